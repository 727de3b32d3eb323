//! Cedar policy: bundles, the schema generated from approved tools, decisions and their explanation.
//!
//! In scope: reading and validating a bundle, deciding calls by slices of it, running its own tests,
//! saying what would have allowed a call. Out of scope: files, clocks, approvals, forwarding. Bytes in, values out.
//! Source: design sections 4.3, 6 ("Cedar") and 8; Cedar 4.

mod arguments;
mod asks_secret;
mod bundle;
mod cases;
mod context;
mod decide;
mod diagnostic;
mod entity;
mod evaluator;
mod explain;
mod fold;
#[cfg(test)]
#[path = "../tests/common/generated.rs"]
mod generated;
mod policy;
mod reads;
mod schema;
mod secret_path;
mod slice;
mod snapshot;
mod starter;
mod subject;
mod text;

pub use bundle::{Bundle, BundleFiles, MANIFEST, SCHEMA, write_manifest};
pub use cases::{Case, CaseResult};
pub use decide::{ActionKind, Decision, DecisionRequest, Obligations};
pub use diagnostic::{Diagnostic, InvalidBundle, Place};
pub use explain::{Explanation, NearPermit, PolicyText, Remedy};
pub use schema::generate as generate_schema;
pub use snapshot::PolicySnapshot;
pub use starter::{Preset, preset_files};
pub use subject::Subject;
pub use text::TextLimits;
