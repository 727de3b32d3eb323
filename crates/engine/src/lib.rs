//! The path of a call: from a frame to an answer, every step in one function, each consuming the last.
//!
//! In scope: the order of things, and the ports that edges implement. Out of scope: sockets, files, SQL, clocks.

pub mod front;
pub mod ports;
