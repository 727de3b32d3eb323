//! What is put on the wire toward a server: the agent's own bytes with a few members changed, and
//! the handful of messages that we write ourselves.

pub(crate) mod header;
pub(crate) mod outbound;
pub(crate) mod trace;
