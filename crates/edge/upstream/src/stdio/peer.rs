//! MCP with a child process: one line per message, answers routed by id.
//!
//! In scope: the tasks around a child, whose line is whose, what a child may write beside messages.
//! Out of scope: which requests are made, starting again. Source: MCP, transports, stdio.

use super::child::{self, Process, Program, Streams};
use super::tail::Tail;
use crate::aside::Hearers;
use crate::lines::{Line, Lines, id_of_too_long};
use crate::link::{Ending, Gone, Inbound, Link, count};
use crate::routes::Routes;
use crate::spec::Limits;
use bytes::Bytes;
use interlock_engine::ports::UpstreamFault;
use interlock_mcp::{Frame, Response};
use interlock_model::{Code, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot};

/// A child server. Dropping it ends the child.
pub(crate) struct Peer {
    inner: Arc<Inner>,
    stop: Option<oneshot::Sender<()>>,
    ended: tokio::sync::watch::Receiver<bool>,
}

struct Inner {
    routes: Routes,
    hearers: Arc<Hearers>,
    link: Arc<Link>,
    gone: Arc<Gone>,
    /// Lines on their way to the child; an empty one closes its standard input.
    lines: mpsc::Sender<Bytes>,
    tail: Tail,
    limits: Limits,
}

/// How long a child may take to end by itself once its input is closed, or once it closed its output.
const GRACE: Duration = Duration::from_secs(2);
const LAST_WORDS: Duration = Duration::from_millis(300);

impl Peer {
    pub(crate) fn start(
        program: Program<'_>,
        queue: usize,
        limits: Limits,
        (link, gone, hearers): (&Arc<Link>, &Arc<Gone>, &Arc<Hearers>),
    ) -> Result<Self, UpstreamFault> {
        let (process, streams) = child::start(program)
            .map_err(|e| link.unsent(Code::ServerUnavailable, format!("cannot be started: {e}")))?;
        // Calls under way are bounded already; beside them go cancellations and answers to pings.
        let (lines, outgoing) = mpsc::channel(queue.clamp(8, 256) * 2);
        let inner = Arc::new(Inner {
            routes: Routes::default(),
            hearers: hearers.clone(),
            link: link.clone(),
            gone: gone.clone(),
            lines,
            tail: Tail::default(),
            limits,
        });
        let (stop, stopped) = oneshot::channel();
        let (ending, ended) = tokio::sync::watch::channel(false);
        let minded = inner.clone();
        tokio::spawn(async move {
            minded.mind(process, streams, outgoing, stopped).await;
            ending.send_replace(true);
        });
        Ok(Self { inner, stop: Some(stop), ended })
    }

    /// Sends a request, as one line, and waits for the answer to `id`.
    pub(crate) async fn request(&self, id: u64, line: Bytes) -> Result<Response, UpstreamFault> {
        let inner = &self.inner;
        let route = inner.routes.open(id);
        // After opening: whoever ends the session closes the routes after saying so.
        if let Some(ending) = inner.gone.ending() {
            return Err(inner.link.unsent(Code::ServerUnavailable, ending.to_string()));
        }
        inner.send(line)?;
        let lost = || Err(inner.link.sent(Code::UpstreamClosed, "the child is gone"));
        route.answer().await.unwrap_or_else(lost)
    }

    /// Sends a message that has no answer.
    pub(crate) fn notify(&self, line: Bytes) -> Result<(), UpstreamFault> {
        self.inner.send(line)
    }

    /// Closes the child's input, waits a little, then ends it and all it started.
    pub(crate) async fn close(&self) {
        // A full queue means that the child reads nothing; then it is only waited for.
        drop(self.inner.lines.try_send(Bytes::new()));
        let mut ended = self.ended.clone();
        drop(tokio::time::timeout(GRACE, ended.wait_for(|e| *e)).await);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself.
            let _ = stop.send(());
        }
    }
}

impl Inner {
    fn send(&self, line: Bytes) -> Result<(), UpstreamFault> {
        self.lines.try_send(line).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => {
                self.link.unsent(Code::Overloaded, "does not read its input fast enough")
            }
            mpsc::error::TrySendError::Closed(_) => self.link.unsent(Code::ServerUnavailable, "the child is gone"),
        })
    }

    /// Lives as long as the child.
    async fn mind(
        self: Arc<Self>,
        process: Process,
        Streams { input, output, errors }: Streams,
        outgoing: mpsc::Receiver<Bytes>,
        stopped: oneshot::Receiver<()>,
    ) {
        let listener = self.clone();
        let mut said = tokio::spawn(async move { listener.tail.follow(errors, &listener.link).await });
        let reason = tokio::select! {
            reason = self.read(output) => reason,
            () = write(input, outgoing) => "closed its standard input".to_owned(),
            _ = stopped => "was stopped".to_owned(),
        };
        let fate = process.end(LAST_WORDS).await;
        drop(tokio::time::timeout(LAST_WORDS, &mut said).await);
        said.abort();
        let last = self.tail.read();
        let said = if last.is_empty() { String::new() } else { format!("; it last said: {last}") };
        self.end(&format!("the child {reason} and {fate}{said}"));
    }

    fn end(&self, reason: &str) {
        // First the flag, then the routes: a call that opens its route in between sees the flag.
        self.gone.set(Ending::Broken(reason.to_owned()), &self.link);
        self.routes.fail_all(&self.link.sent(Code::UpstreamClosed, reason));
    }

    /// Reads messages until the child closes its output or writes what cannot be messages. Why it ended.
    async fn read(&self, mut output: ChildStdout) -> String {
        let mut lines = Lines::new(self.limits.result_bytes);
        let mut first = true;
        loop {
            match output.read_buf(lines.buffer()).await {
                Ok(0) => return "closed its standard output".to_owned(),
                Ok(_) => {}
                Err(error) => return format!("could not be read from ({error})"),
            }
            while let Some(line) = lines.next() {
                if let Err(why) = self.take(line, first) {
                    return why.to_owned();
                }
                first = false;
            }
        }
    }

    fn take(&self, line: Line, first: bool) -> Result<(), &'static str> {
        let mut text = match line {
            Line::Whole(text) => text,
            Line::TooLong { head, tail } => {
                count(&self.link.tally.garbage);
                if let Some(id) = id_of_too_long(&head, &tail) {
                    let max = self.limits.result_bytes;
                    let fault = self.link.sent(Code::UpstreamTooLarge, format!("the answer is over {max} bytes"));
                    self.routes.deliver(id, Err(fault));
                }
                return Ok(());
            }
        };
        if first && text.starts_with(b"\xEF\xBB\xBF") {
            text = text.slice(3..);
        }
        if text.starts_with(b"\xFF\xFE") || text.starts_with(b"\xFE\xFF") || (first && is_utf16(&text)) {
            return Err(
                "writes UTF-16; its standard output must be UTF-8 (set its encoding in the shell that starts it)",
            );
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let Ok(frame) = Frame::parse(text.clone(), json::Limits::RESULT) else {
            self.take_garbage(&text);
            return Ok(());
        };
        let taken = match self.link.take(frame, true) {
            Inbound::Aside(aside) => match self.hearers.tell(aside) {
                Ok(()) => Inbound::Done,
                Err(unheard) => self.link.unheard(unheard, true),
            },
            other => other,
        };
        match taken {
            Inbound::Response(response) => {
                let id = response.id().and_then(|id| std::str::from_utf8(id.raw()).ok()?.parse().ok());
                let delivered = id.is_some_and(|id| self.routes.deliver(id, Ok(response)));
                if !delivered {
                    count(&self.link.tally.responses_dropped);
                }
            }
            // A child that floods us with requests and reads no answers gets none.
            Inbound::Reply(line) => drop(self.send(line.into())),
            Inbound::Aside(_) | Inbound::Done => {}
        }
        Ok(())
    }

    /// Logs on standard output are common and dropped; an answer that no one may read is told to its call.
    fn take_garbage(&self, text: &[u8]) {
        count(&self.link.tally.garbage);
        if text.trim_ascii_start().starts_with(b"{") {
            let tail = text.get(text.len().saturating_sub(256)..).unwrap_or_default();
            if let Some(id) = id_of_too_long(text, tail) {
                self.routes
                    .deliver(id, Err(self.link.sent(Code::UpstreamInvalid, "answered with no valid MCP message")));
            }
        }
    }
}

/// Every other byte of ASCII text in UTF-16 is zero.
fn is_utf16(text: &[u8]) -> bool {
    text.len() >= 4 && text.iter().take(64).filter(|b| **b == 0).count() * 3 >= text.len().min(64)
}

/// Writes lines until told to stop or the child reads no more.
async fn write(mut input: ChildStdin, mut lines: mpsc::Receiver<Bytes>) {
    while let Some(line) = lines.recv().await {
        if line.is_empty() {
            // Closing the input asks the child to end; its output then ends the session.
            drop(input);
            return std::future::pending().await;
        }
        if input.write_all(&line).await.is_err() {
            return;
        }
    }
}
