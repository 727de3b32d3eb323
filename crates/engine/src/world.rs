//! What one call is judged against: one immutable snapshot, replaced as a whole.

use interlock_catalog::{ApprovedTool, Catalog};
use interlock_identity::Registry;
use interlock_ledger::entry::PolicyRecord;
use interlock_model::{Digest, Mode};
use interlock_policy::PolicySnapshot;
use std::collections::HashMap;
use std::sync::Arc;

/// Everything a decision reads that changes rarely. A call holds one of these from the moment its tool
/// is resolved, so a swap in mid-call cannot mix two bundles or two catalogs (threat T4).
#[derive(Clone)]
pub struct World {
    /// The approved tools.
    pub catalog: Arc<Catalog>,
    /// Tools whose live definition is not the approved one, by exposed name.
    pub quarantined: HashMap<Box<str>, Quarantine>,
    /// The bundle in force; without one every call is denied.
    pub policy: Option<Arc<PolicySnapshot>>,
    /// Its digest and version; zeros without one.
    pub policy_record: PolicyRecord,
    /// The agents.
    pub registry: Arc<Registry>,
    /// The operator's settings.
    pub settings: Arc<Settings>,
}

/// What the operator configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether a denial stops a call.
    pub mode: Mode,
    /// The environment's name, as policy reads it.
    pub environment: String,
    /// Whether a caller without a key is served as `unbound`.
    pub allow_unbound: bool,
    /// How long a server may take, in milliseconds.
    pub call_timeout_ms: u64,
    /// How long an approval may be answered and used, in milliseconds.
    pub approval_ttl_ms: u64,
    /// Most calls at once.
    pub max_in_flight: usize,
}

/// Why a tool is not served for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// The live definition's digest; `None` where the server does not list the tool any more.
    pub found: Option<Digest>,
    /// For people.
    pub reason: String,
}

impl World {
    /// A world without policy: everything is denied until there is one.
    #[must_use]
    pub fn closed(catalog: Arc<Catalog>, registry: Arc<Registry>, settings: Arc<Settings>) -> Self {
        let policy_record = PolicyRecord { digest: Digest([0; 32]), version: 0 };
        Self { catalog, quarantined: HashMap::new(), policy: None, policy_record, registry, settings }
    }

    /// The same with another policy.
    #[must_use]
    pub fn with_policy(self, policy: Arc<PolicySnapshot>) -> Self {
        let policy_record = PolicyRecord { digest: policy.digest(), version: policy.version() };
        Self { policy_record, policy: Some(policy), ..self }
    }

    /// Why `tool` is not served for now, if it is not.
    #[must_use]
    pub fn quarantine(&self, tool: &ApprovedTool) -> Option<&Quarantine> {
        if self.quarantined.is_empty() { None } else { self.quarantined.get(tool.exposed.as_str()) }
    }
}
