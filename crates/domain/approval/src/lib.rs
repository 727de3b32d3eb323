//! Approvals: what a human is asked, what they said, and the one use of it.
//!
//! In scope: the statement people sign and the pure state machine around it. Out of scope: storing,
//! asking, clocks. An approval is a fact, not a bypass (design 4.5): it names one statement, is used
//! once, and anything the approver saw that has changed since supersedes it.

mod life;
mod statement;

pub use life::{Approval, ConsumeError, SettleError, Settled, Settlement, State, Verdict};
pub use statement::{Seen, Statement};
