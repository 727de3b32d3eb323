//! HTTP/2: what tells it from HTTP/1.1, and its bounds.
//!
//! In scope: limits that HTTP/1.1 has no need of. Out of scope: what a request means, which is the same in both.
//! Source: RFC 9113.

use super::body::Answer;
use super::connection::{BUFFER, Busy, Phase, look_every};
use super::reply::Refusal;
use super::service::overloaded;
use super::serving::Serving;
use crate::{era, stopped};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How the client's preface begins (RFC 9113, 3.4). The method `PRI` is reserved for it (RFC 9113, 11.6), so no
/// request of HTTP/1.1 begins so.
pub(super) const MARK: &[u8; 3] = b"PRI";

/// Streams of one connection at once: as many as one session may have requests under way
/// ([`super::SessionLimits::in_flight`]), and above the 100 that RFC 9113, 6.5.2 recommends as the least.
const STREAMS: u32 = 128;

/// Bytes of one request body that may be on the way or unread: the initial window of RFC 9113, 6.9.2. What arrives
/// is read at once and counted against [`super::HttpOptions::buffered_bytes`].
const STREAM_WINDOW: u32 = 65_535;

/// The same of all bodies of a connection: sixteen full ones. (RFC 9113, 6.9.2 begins with 65,535, where one slow
/// body would hold up all the others.)
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Bytes of one frame: the least that every endpoint must take (RFC 9113, 4.2).
const FRAME: u32 = 16_384;

/// Bytes of HPACK's table: the initial value of RFC 9113, 6.5.2.
const HEADER_TABLE: u32 = 4096;

/// Streams that the client reset before we took them up (CVE-2023-44487, "rapid reset"); one more closes the
/// connection. The library's own figure, set here so that an update cannot raise it.
const RESET_BEFORE_ACCEPTED: usize = 20;

/// Streams that we reset because the client broke the protocol on them (CVE-2025-8671, "MadeYouReset"); one more
/// closes the connection. No client of ours needs a single one.
const RESET_FOR_FAULTS: usize = 20;

/// Most headers of a request, as in HTTP/1.1.
const HEADERS: usize = 100;

/// How long a connection that has been told to go may take to do so while nothing is being answered.
const FAREWELL: Duration = Duration::from_secs(1);

/// Whether these first bytes announce HTTP/2; `None` while more are needed to say.
pub(super) fn is_announced(first: &[u8]) -> Option<bool> {
    if first.len() >= MARK.len() {
        Some(first.starts_with(MARK))
    } else if !first.is_empty() && MARK.starts_with(first) {
        None
    } else {
        Some(false)
    }
}

/// Serves one connection to its end.
pub(super) async fn speak<S: Serving, I: Read + Write + Unpin>(
    front: Arc<S>,
    io: I,
    mut stopping: watch::Receiver<bool>,
) {
    let (head, idle) = (front.options().head_timeout, front.options().idle_timeout);
    let phase = Phase::new(front.started());
    let service = service_fn(|request: http::Request<Incoming>| {
        let (front, busy) = (front.clone(), phase.busy());
        async move { Ok::<_, Infallible>(answer(front, request, busy).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .header_table_size(HEADER_TABLE)
        .max_header_list_size(u32::try_from(front.options().header_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(BUFFER)
        .max_pending_accept_reset_streams(RESET_BEFORE_ACCEPTED)
        .max_local_error_reset_streams(RESET_FOR_FAULTS);
    let mut connection = pin!(builder.serve_connection(io, service));
    let every = look_every(head, idle);
    let mut check = pin!(tokio::time::sleep(every));
    let (mut draining, mut leaving) = (false, false);
    loop {
        tokio::select! {
            // The connection first: a request that has arrived is read before a stop.
            biased;
            _ = connection.as_mut() => return,
            () = check.as_mut() => {
                let mut next = every;
                if leaving && phase.is_idle() {
                    return;
                } else if leaving {
                    next = FAREWELL;
                } else if phase.is_over(head, idle) {
                    // Said before it is done: a request that crosses this is either answered or known to be unread.
                    leaving = true;
                    next = FAREWELL;
                    connection.as_mut().graceful_shutdown();
                }
                check.as_mut().reset(tokio::time::Instant::now() + next);
            }
            // GOAWAY; streams that are open finish, and the front bounds how long that may take.
            () = stopped(&mut stopping), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Answers one stream within what HTTP/1.1 is bound to by its connections: as many streams over all as connections.
async fn answer<S: Serving>(front: Arc<S>, request: http::Request<Incoming>, busy: Busy) -> http::Response<Answer> {
    let Some(_permit) = front.streams().call() else { return overloaded().respond() };
    if request.headers().len() > HEADERS {
        return Refusal::new(http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, era::too_many_headers(HEADERS))
            .respond();
    }
    front.handle(request, busy).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_is_told_from_a_request() {
        for (first, expected) in [
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], Some(true)),
            (b"PRI", Some(true)),
            (b"PR", None),
            (b"P", None),
            (b"POST", Some(false)),
            (b"PUT", Some(false)),
            (b"PO", Some(false)),
            (b"G", Some(false)),
            (b"pri", Some(false)),
            (b"\x16\x03\x01", Some(false)),
            (b"", Some(false)),
        ] {
            assert_eq!(is_announced(first), expected, "{first:?}");
        }
    }
}
