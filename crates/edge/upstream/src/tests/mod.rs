//! Whole sessions against servers that misbehave in every way we know of.

mod fake_http;
mod http;
mod real;
mod rig;
mod stdio;
