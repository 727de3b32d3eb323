//! Claims: what one governance session did, as a TRACE v0.2 trust record, built and verified.
//!
//! In scope: the record, the transcript it commits to, and judging both. Out of scope: keys at rest,
//! clocks, files, hardware evidence. This is software mode and every record says so: the platform is
//! `software-only`, nobody appraised anything, and the build has no provenance behind its digest.
//!
//! What the members of a record mean here, beyond the profile:
//!
//! - `runtime.measurement` is a [software commitment](issue::software_commitment): a digest over the build,
//!   the policy and the catalog, so that a record cannot be passed off as one of another set-up. It
//!   measures nothing.
//! - `appraisal` is `none`, by the issuer itself.
//! - `model` is `undeclared`: a gateway does not see the model.
//! - `data_class` is the highest sensitivity label of the session, at least `internal` ([`session`]).
//! - `policy.enforcement_mode` is `advisory` as soon as one call was judged in `advisory` or `silent` mode.
//!   Our `silent` forwards what policy denies; TRACE's `silent` enforces, so that word is never used.
//! - `policy.bundle_hash` is that of the last bundle that judged a call; where there were several,
//!   `policy.version` names them all.
//! - `references` name the transcript (`behavior-trace`) and the log's checkpoint (`ledger-checkpoint`).
//!
//! Source: TRACE v0.2 (flat trust record, embedded signature), RFC 8785, RFC 7638, SPIFFE ID.

pub mod issue;
pub mod record;
pub mod session;
pub mod subject;
pub mod verify;

pub use issue::{Facts, IssueError};
pub use record::{RecordError, TrustRecord};
pub use session::{SessionFold, SessionSummary, TranscriptError};
pub use subject::TrustDomain;
pub use verify::{Check, CheckResult, Trust, Verified, verify};
