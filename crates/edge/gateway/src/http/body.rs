//! Bodies: requests read within limits, responses whole or as an event stream.

use super::load::{Held, Load};
use super::outbox::Outbox;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFault {
    TooLarge,
    TooSlow,
    /// All bodies being read together are over the limit.
    NoRoom,
    /// The connection broke or the encoding is wrong.
    Broken,
}

/// Reads a whole body of at most `limit` bytes. What it holds counts against the room of `load` until
/// the second value is dropped.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Incoming,
    limit: usize,
    within: Duration,
    load: &Arc<Load>,
) -> Result<(Bytes, Held), BodyFault> {
    if body.size_hint().lower() > limit as u64 {
        discard(headers, body);
        return Err(BodyFault::TooLarge);
    }
    let read = tokio::time::timeout(within, collect(&mut body, limit, load)).await.unwrap_or(Err(BodyFault::TooSlow));
    if matches!(read, Err(BodyFault::TooLarge | BodyFault::NoRoom)) {
        discard(headers, body);
    }
    read
}

/// Most bytes of a refused body that are still taken off the connection, and for how long.
const LINGER_BYTES: usize = 16 << 20;
const LINGER: Duration = Duration::from_secs(2);

/// Throws a body away while its refusal is sent. Closing on a client that is still sending would reset the
/// connection, and it would never see why. Whoever waits for `100 Continue` sends nothing and is not asked to.
pub(super) fn discard(headers: &HeaderMap, mut body: Incoming) {
    if body.is_end_stream() || headers.contains_key(header::EXPECT) {
        return;
    }
    tokio::spawn(tokio::time::timeout(LINGER, async move {
        let mut left = LINGER_BYTES;
        while let Ok(Some(some)) = chunk(&mut body).await {
            match left.checked_sub(some.len()) {
                Some(less) => left = less,
                None => return,
            }
        }
    }));
}

async fn collect(body: &mut Incoming, limit: usize, load: &Arc<Load>) -> Result<(Bytes, Held), BodyFault> {
    let mut held = load.hold();
    let Some(first) = chunk(body).await? else { return Ok((Bytes::new(), held)) };
    held.grow(first.len()).ok_or(BodyFault::NoRoom)?;
    if first.len() > limit {
        return Err(BodyFault::TooLarge);
    }
    // The common body arrives in one piece and is not copied.
    if body.is_end_stream() {
        return Ok((first, held));
    }
    // What the sender announces is not reserved: only what arrives counts.
    let mut whole = BytesMut::with_capacity((first.len() * 2).max(4096));
    whole.extend_from_slice(&first);
    while let Some(next) = chunk(body).await? {
        held.grow(next.len()).ok_or(BodyFault::NoRoom)?;
        if whole.len() + next.len() > limit {
            return Err(BodyFault::TooLarge);
        }
        whole.extend_from_slice(&next);
    }
    Ok((whole.freeze(), held))
}

async fn chunk(body: &mut Incoming) -> Result<Option<Bytes>, BodyFault> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| BodyFault::Broken)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// What is sent back.
pub(super) enum Answer {
    /// All of it; `None` once it is sent.
    Whole(Option<Bytes>),
    /// A stream of events.
    Events(mpsc::Receiver<Bytes>),
    /// The events of one request, the last of which answers it.
    Exchange(Box<Exchange>),
}

/// One request and what comes before its answer.
pub(super) struct Exchange {
    outbox: Arc<Outbox>,
    /// What remains to be done, where this stream's end is the cancel; its outcome is the answer.
    work: Option<Pin<Box<dyn Future<Output = Bytes> + Send>>>,
    every: Duration,
    tick: Pin<Box<tokio::time::Sleep>>,
}

impl Exchange {
    pub(super) fn new(
        outbox: Arc<Outbox>,
        work: Option<Pin<Box<dyn Future<Output = Bytes> + Send>>>,
        every: Duration,
    ) -> Box<Self> {
        Box::new(Self { outbox, work, every, tick: Box::pin(tokio::time::sleep(every)) })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(work) = &mut self.work
            && let Poll::Ready(message) = work.as_mut().poll(cx)
        {
            self.work = None;
            // Into the stream, since it is one.
            let _none = self.outbox.finish(message, true);
        }
        if let Poll::Ready(event) = self.outbox.poll(cx) {
            return Poll::Ready(event);
        }
        // Proxies close what is silent.
        self.tick.as_mut().poll(cx).map(|()| {
            self.tick.as_mut().reset(tokio::time::Instant::now() + self.every);
            Some(Bytes::from_static(COMMENT))
        })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

/// Comments keep the connection alive, and show that the client still reads.
pub(super) const COMMENT: &[u8] = b":\n\n";

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Events(events) => events.poll_recv(cx).map(|e| e.map(|b| Ok(Frame::data(b)))),
            Self::Exchange(exchange) => exchange.poll(cx).map(|e| e.map(|b| Ok(Frame::data(b)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Events(_) | Self::Exchange(_) => SizeHint::default(),
        }
    }
}
