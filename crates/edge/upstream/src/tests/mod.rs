//! Whole sessions against servers that misbehave in every way we know of.

mod adapted;
mod fake_http;
mod fake_sse;
mod http;
mod http_sse;
mod real;
mod rig;
mod stdio;
mod unwell;
