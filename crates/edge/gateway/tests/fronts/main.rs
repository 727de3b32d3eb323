//! The fronts from outside, over real sockets and pipes, in front of a fake engine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

#[cfg(unix)]
mod admin;
mod api;
mod fake;
mod http2;
mod legacy;
mod limits;
mod modern;
mod otlp;
mod raw;
mod sides;
mod stdio;
mod tls;
