//! The engine over fakes of its ports.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod asks;
mod authorize;
mod observe;
mod path;
mod support;
