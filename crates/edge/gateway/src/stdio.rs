//! The stdio front: one JSON-RPC message per line, both eras, many requests at once.
//!
//! Source: MCP 2025-11-25 and 2026-07-28, basic/transports, "stdio".

use crate::flight::{Flights, Grounded};
use crate::line::{Line, Lines};
use crate::parking::{self, Desk, Leg, ModernSide, Parking, Running};
use crate::side::{LegacySide, Shared, Sink, one_line};
use crate::subscription::{Listening, is_listen, to_legacy};
use crate::{batch, era, legacy, modern};
use bytes::Bytes;
use interlock_engine::front::{Caller, Endpoint, Governed, Notice};
use interlock_mcp::{Era, Frame, FrameError, Notification, Request, Revision, RpcError};
use interlock_model::Code;
use interlock_model::json::Limits;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

/// Limits of one stdio connection, and which view it has.
#[derive(Clone, Debug)]
pub struct StdioOptions {
    /// Which view of the servers.
    pub endpoint: Endpoint,
    /// Most bytes of one line.
    pub message_bytes: usize,
    /// Most requests under way.
    pub in_flight: usize,
    /// How long the end of input waits for what is under way.
    pub drain: Duration,
    /// How long the host may take to answer what a server asks: a person may have to read it.
    pub question_timeout: Duration,
}

impl Default for StdioOptions {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::All,
            message_bytes: 4 << 20,
            in_flight: 128,
            drain: Duration::from_secs(10),
            question_timeout: Duration::from_secs(600),
        }
    }
}

/// Serves one host that speaks over `reader` and `writer` until its input ends and what is under way has
/// finished.
///
/// `presented` is the bearer key the host was given, if any; it is looked up again for every request, so
/// that a revocation holds at once.
///
/// # Errors
///
/// Those of `reader`. A `writer` that is gone ends the connection without one.
pub async fn serve_stdio<G, R, W>(
    reader: R,
    writer: W,
    governed: Arc<G>,
    presented: Option<Zeroizing<String>>,
    (catalog_epoch, notices): (watch::Receiver<u64>, broadcast::Sender<Notice>),
    options: StdioOptions,
) -> io::Result<()>
where
    G: Governed,
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let lines = Lines::new(reader, options.message_bytes);
    serve_lines(lines, writer, governed, presented, (catalog_epoch, notices), options, std::future::pending()).await
}

/// [`serve_stdio`] on a stream of which something has been read already; `stop` ends the input early.
pub(crate) async fn serve_lines<G, R, W>(
    mut lines: Lines<R>,
    writer: W,
    governed: Arc<G>,
    presented: Option<Zeroizing<String>>,
    (mut catalog_epoch, notices): (watch::Receiver<u64>, broadcast::Sender<Notice>),
    options: StdioOptions,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()>
where
    G: Governed,
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let mut stop = std::pin::pin!(stop);
    let (out, queue) = mpsc::channel(64);
    let writing = tokio::spawn(write(queue, writer));
    let flights = Flights::new(options.in_flight);
    let mut connection = Connection {
        governed,
        presented,
        options,
        flights,
        out,
        revision: None,
        capabilities: Bytes::new(),
        shared: Arc::default(),
        parking: Arc::default(),
        catalog_epoch: catalog_epoch.clone(),
        notices: notices.clone(),
        work: JoinSet::new(),
    };
    catalog_epoch.mark_unchanged();
    let mut announced = notices.subscribe();
    let ended = loop {
        tokio::select! {
            line = lines.next() => match line {
                Ok(Some(Line::Text(text))) => connection.message(text).await,
                Ok(Some(Line::TooLong)) => connection.refuse(&era::too_large(connection.options.message_bytes)).await,
                Ok(Some(Line::Utf16)) => {
                    connection.refuse(&RpcError::new(RpcError::PARSE, Code::Malformed, "the input is UTF-16; MCP is UTF-8")).await;
                    break Ok(());
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            },
            Ok(()) = catalog_epoch.changed() => {
                // Modern clients hear of changes only where they subscribed.
                if connection.revision.is_some() {
                    connection.send(Bytes::from_static(legacy::LIST_CHANGED)).await;
                }
            }
            // One that falls behind loses notices: what changed can still be listed.
            Ok(notice) = announced.recv(), if connection.revision.is_some() => {
                let shown = to_legacy(&notice, &connection.options.endpoint, &connection.shared.subscribed);
                if let Some(message) = shown {
                    connection.send(message).await;
                }
            }
            Some(_) = connection.work.join_next() => {}
            () = connection.out.closed() => break Ok(()),
            () = stop.as_mut() => break Ok(()),
        }
    };
    connection.drain().await;
    // The queue has no sender left: the writer ends with the last answer.
    let _ = writing.await;
    ended
}

async fn write<W: AsyncWrite + Unpin>(mut queue: mpsc::Receiver<Bytes>, mut writer: W) -> io::Result<()> {
    while let Some(message) = queue.recv().await {
        writer.write_all(&one_line(&message)).await?;
        writer.write_all(b"\n").await?;
        writer.flush().await?;
    }
    writer.shutdown().await
}

struct Connection<G> {
    governed: Arc<G>,
    presented: Option<Zeroizing<String>>,
    options: StdioOptions,
    flights: Arc<Flights>,
    out: mpsc::Sender<Bytes>,
    /// What `initialize` settled on; a modern host never sends one.
    revision: Option<Revision>,
    /// What a legacy host said that it can do.
    capabilities: Bytes,
    shared: Arc<Shared>,
    parking: Arc<Parking<Lined>>,
    catalog_epoch: watch::Receiver<u64>,
    notices: broadcast::Sender<Notice>,
    work: JoinSet<()>,
}

impl<G: Governed> Connection<G> {
    async fn send(&self, message: Bytes) {
        // A writer that is gone shows in the loop.
        let _ = self.out.send(message).await;
    }

    async fn refuse(&self, error: &RpcError) {
        self.send(error.to_frame(None)).await;
    }

    async fn message(&mut self, text: Bytes) {
        match Frame::parse(text.clone(), Limits::REQUEST) {
            Ok(Frame::Request(request)) => match self.begin(request) {
                Ok(Begun::Answer(message)) => self.send(message).await,
                Ok(Begun::Work(work)) => {
                    let out = self.out.clone();
                    self.work.spawn(async move {
                        if let Some(answer) = work.await {
                            let _ = out.send(answer).await;
                        }
                    });
                }
                Err(message) => self.send(message).await,
            },
            Ok(Frame::Notification(notification)) => self.notification(&notification),
            Ok(Frame::Response(response)) => self.shared.questions.reply(response),
            Err(FrameError::Batch) if self.revision == Some(Revision::V2025_03_26) => self.batch(&text).await,
            Err(error) => self.refuse(&era::unreadable(error)).await,
        }
    }

    fn notification(&self, notification: &Notification) {
        if let Some(id) = legacy::cancelled_id(notification) {
            self.flights.cancel(id);
        }
    }

    async fn batch(&mut self, text: &Bytes) {
        let frames = match batch::split(text) {
            Ok(frames) => frames,
            Err(error) => return self.refuse(&error).await,
        };
        let mut work = Vec::new();
        for frame in frames {
            let begun = match frame {
                Ok(Frame::Request(request)) => self.begin(request),
                Ok(Frame::Notification(notification)) => {
                    self.notification(&notification);
                    continue;
                }
                Ok(Frame::Response(response)) => {
                    self.shared.questions.reply(response);
                    continue;
                }
                Err(error) => Err(era::unreadable(error).to_frame(None)),
            };
            work.push(async move {
                match begun {
                    Ok(Begun::Work(work)) => work.await,
                    Ok(Begun::Answer(message)) | Err(message) => Some(message),
                }
            });
        }
        let out = self.out.clone();
        self.work.spawn(async move {
            if let Some(answers) = batch::answer(work.into_iter()).await {
                let _ = out.send(answers).await;
            }
        });
    }

    /// Everything about a request that is settled in the order of arrival; the rest is its work.
    fn begin(&mut self, request: Request) -> Result<Begun<impl Future<Output = Option<Bytes>> + Send + use<G>>, Bytes> {
        let id = request.id().clone();
        let to = |error: RpcError| error.to_frame(Some(&id));
        let received_us = self.governed.monotonic_us();
        let principal = self
            .governed
            .identify(self.presented.as_ref().map(|key| key.as_str()))
            .map_err(|refusal| to(era::not_identified(refusal)))?;
        if !self.governed.has_endpoint(&self.options.endpoint) {
            return Err(to(era::no_such_endpoint()));
        }
        let era = era::classify(None, request.params()).map_err(to)?;
        let revision = match era {
            Era::Modern => modern::check_envelope(request.params(), None).map_err(to)?,
            Era::Legacy if request.method() == "initialize" => {
                let offers = self.governed.offers(&self.options.endpoint);
                let opened = legacy::initialize(&request, Revision::V2024_11_05, offers).map_err(to)?;
                (self.revision, self.capabilities) = (Some(opened.revision), opened.capabilities);
                return Ok(Begun::Answer(opened.message));
            }
            Era::Legacy => match self.revision {
                Some(revision) => revision,
                // A probe for the newer era from a host that has not said which one it speaks, or a ping.
                None if matches!(request.method(), "ping" | "server/discover") => Revision::NEWEST_LEGACY,
                None => {
                    return Err(to(RpcError::new(
                        RpcError::INVALID_REQUEST,
                        Code::Malformed,
                        "send `initialize` first, or a request with the envelope of 2026-07-28",
                    )));
                }
            },
        };
        let flight = self.flights.start(&id).map_err(|grounded| match grounded {
            Grounded::Duplicate => legacy::duplicate_id().to_frame(None),
            Grounded::Full => to(era::overloaded()),
        })?;
        let capabilities = match era {
            Era::Modern => modern::capabilities(&request),
            Era::Legacy => self.capabilities.clone(),
        };
        let endpoint = self.options.endpoint.clone();
        let log_level = (era == Era::Legacy).then(|| self.shared.level.name());
        let caller = Caller { principal, endpoint, revision, capabilities, log_level, trace: None, received_us };
        let governed = self.governed.clone();
        let (sink, patience) = (Lined(self.out.clone()), self.options.question_timeout);
        let (shared, parking) = (self.shared.clone(), self.parking.clone());
        let sources = (self.catalog_epoch.clone(), self.notices.subscribe());
        Ok(Begun::Work(async move {
            // A cancelled request has no answer (basic/utilities/cancellation).
            match era {
                Era::Modern if is_listen(request.method()) => {
                    let listening = match Listening::open(&governed, caller, &request).await {
                        Ok(listening) => listening,
                        Err(error) => return Some(error.to_frame(Some(request.id()))),
                    };
                    flight.run(listen(listening, sink, sources)).await
                }
                Era::Modern => {
                    let leg = Leg {
                        id: request.id().clone(),
                        principal: caller.principal.clone(),
                        endpoint: caller.endpoint.clone(),
                        about: parking::about(&request),
                    };
                    let running = match parking.resume(&request, &leg) {
                        Some(Ok(running)) => running,
                        Some(Err(error)) => return Some(error.to_frame(Some(&leg.id))),
                        None => {
                            let (desk, level) = (Arc::<Desk>::default(), modern::level(&request));
                            let side = ModernSide::new(sink.clone(), desk.clone(), level, patience);
                            let work = async move { modern::answer(&*governed, caller, request, &side).await };
                            Running::new(work, desk, sink)
                        }
                    };
                    flight.run(parking.run(running, leg)).await.map(|(_, message)| message)
                }
                Era::Legacy => {
                    let side = LegacySide::new(sink, shared, patience);
                    flight.run(legacy::answer(&governed, caller, request, side)).await
                }
            }
        }))
    }

    async fn drain(mut self) {
        let within = self.options.drain;
        let _ = tokio::time::timeout(within, async { while self.work.join_next().await.is_some() {} }).await;
        // What is still under way is dropped here, which cancels it.
    }
}

/// Tells what a modern host listens to, until that is cancelled.
async fn listen(
    listening: Listening,
    sink: Lined,
    (mut catalog_epoch, mut notices): (watch::Receiver<u64>, broadcast::Receiver<Notice>),
) -> Bytes {
    catalog_epoch.mark_unchanged();
    let _told = sink.0.send(listening.acknowledgement()).await;
    while !listening.is_empty() {
        let message = tokio::select! {
            changed = catalog_epoch.changed() => match changed {
                Ok(()) => listening.tools_changed(),
                Err(_) => break,
            },
            notice = notices.recv() => match notice {
                Ok(notice) => listening.hears(&notice),
                Err(broadcast::error::RecvError::Lagged(_)) => None,
                Err(broadcast::error::RecvError::Closed) => break,
            },
        };
        if let Some(message) = message
            && sink.0.send(message).await.is_err()
        {
            break;
        }
    }
    listening.end()
}

/// Lines on their way to the host.
#[derive(Clone)]
struct Lined(mpsc::Sender<Bytes>);

impl Sink for Lined {
    fn put(&self, message: Bytes) -> bool {
        self.0.try_send(message).is_ok()
    }
}

enum Begun<F> {
    Answer(Bytes),
    Work(F),
}
