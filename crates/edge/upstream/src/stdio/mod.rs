//! Servers as child processes: what they are started with, their streams, their end.

pub mod env;

pub(crate) mod child;
pub(crate) mod peer;
pub(crate) mod tail;
