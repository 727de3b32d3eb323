//! What the ledger says happened. One entry is one canonical JSON object; its members are declared in
//! sorted order here, so that writing one is already RFC 8785, and reading refuses any other spelling.
//!
//! Entries hold names, digests of public things and keyed commitments to payloads; never a payload.

use interlock_model::{
    AgentId, ApprovalId, CallId, Code, Commitment, Digest, Effects, Mode, Outcome, OwnerId, ServerName, SessionId,
    Tier, ToolName, UnixMillis,
    json::{self, Json, Limits, canonical},
};
use serde::{Deserialize, Serialize};

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When it was written, by the gateway's clock.
    pub at: UnixMillis,
    /// What happened.
    pub event: Event,
    /// The format's version: 1.
    pub v: u8,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// An agent was added or changed.
    Agent(AgentEvent),
    /// An approval was asked for, given, refused, or lapsed.
    Approval(ApprovalEvent),
    /// The catalog changed, or a tool left or entered quarantine.
    Catalog(CatalogEvent),
    /// A call was refused. Nothing was sent.
    Denial(Box<CallRecord>),
    /// A call is about to be sent (or, for a read-only tool, may already be on its way; its result is not released before this is durable).
    /// Where [`ArgumentsRecord::sent`] is absent, the caller acts itself and is about to be told that it may.
    Intent(Box<CallRecord>),
    /// What became of a call that an intent announced.
    Outcome(Box<OutcomeRecord>),
    /// A policy bundle was activated or refused.
    Policy(PolicyEvent),
    /// A governance session began, or was reset by a human.
    Session(SessionEvent),
    /// The daemon started on this ledger.
    Start(StartEvent),
    /// The daemon stopped in order.
    Stop(StopEvent),
}

/// The kinds of [`Event`], as the store's search column holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// [`Event::Agent`]
    Agent = 1,
    /// [`Event::Approval`]
    Approval = 2,
    /// [`Event::Catalog`]
    Catalog = 3,
    /// [`Event::Denial`]
    Denial = 4,
    /// [`Event::Intent`]
    Intent = 5,
    /// [`Event::Outcome`]
    Outcome = 6,
    /// [`Event::Policy`]
    Policy = 7,
    /// [`Event::Session`]
    Session = 8,
    /// [`Event::Start`]
    Start = 9,
    /// [`Event::Stop`]
    Stop = 10,
}

/// Who called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRecord {
    /// `key:` and the first 16 hexadecimal digits of the key's digest, or `unbound`.
    pub credential: String,
    /// The agent.
    pub id: AgentId,
    /// The accountable human.
    pub owner: OwnerId,
}

/// The arguments, committed to under the session's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArgumentsRecord {
    /// Commitment (label `arguments`) to the bytes the agent sent.
    pub received: Commitment,
    /// Their number.
    pub received_bytes: u64,
    /// Commitment (label `arguments`) to the bytes the server gets; absent where nothing is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Commitment>,
    /// Their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_bytes: Option<u64>,
}

/// What was decided, and by what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionRecord {
    /// Why it was refused; absent where it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What policy said. In `advisory` and `silent` mode an intent may carry `deny` here: it was forwarded all the same.
    pub outcome: Outcome,
    /// Ids (`@id`) of the policies that determined it, sorted.
    pub policies: Vec<String>,
    /// Human-readable reason given to the agent; empty for an allowed call.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The tier asked for, where a human must approve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
}

/// The policy bundle in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRecord {
    /// Digest of the bundle.
    pub digest: Digest,
    /// Its version.
    pub version: u64,
}

/// The pinned tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolRecord {
    /// Digest of the approved definition.
    pub definition: Digest,
    /// What the catalog says it does.
    pub effects: Effects,
    /// Digest of the server's identity.
    pub identity: Digest,
    /// Its name within the server.
    pub name: ToolName,
    /// The server.
    pub server: ServerName,
}

/// What was asked for, where it is no tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectRecord {
    /// Digest of the server's identity.
    pub identity: Digest,
    /// The method, such as `resources/read`.
    pub method: String,
    /// The server's own name for a prompt. A resource's address is an argument, and so not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The server that was asked, or that asks.
    pub server: ServerName,
    /// The call for whose sake the server asks; absent where the agent does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<CallId>,
}

impl SubjectRecord {
    /// `server/method`, with the name where there is one, for people.
    #[must_use]
    pub fn what(&self) -> String {
        let name = self.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        format!("{}/{}{name}", self.server, self.method)
    }
}

/// An intent, or a denial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallRecord {
    /// Who called.
    pub agent: AgentRecord,
    /// The approval that this intent consumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalId>,
    /// What was passed; absent where the call had none.
    pub arguments: ArgumentsRecord,
    /// The call.
    pub call: CallId,
    /// HMAC over agent, owner, mandate, server, definition and argument bytes (design section 2).
    pub call_digest: Commitment,
    /// What was decided.
    pub decision: DecisionRecord,
    /// What inspection saw; `None` means that nothing inspected the call.
    pub findings: Option<Vec<String>>,
    /// The mode in force.
    pub mode: Mode,
    /// What must be done with the call or its result, as `label:internal`.
    pub obligations: Vec<String>,
    /// The policy bundle in force.
    pub policy: PolicyRecord,
    /// The name the agent asked for, where no approved tool answers to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<String>,
    /// The governance session.
    pub session: SessionId,
    /// What was asked for, where it is no tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectRecord>,
    /// Durations in microseconds.
    pub timing: CallTiming,
    /// The pinned tool; absent where the name is not one, and where it is not a tool that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolRecord>,
}

/// How long deciding took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallTiming {
    /// From the last byte received to the decision.
    pub decided_us: u64,
}

/// How a call that was not refused ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// A result.
    Ok,
    /// A result with `isError: true`.
    ToolError,
    /// A JSON-RPC error from the server.
    RpcError,
    /// Nothing was sent: the server could not be reached.
    NotSent,
    /// It was sent and no usable answer came; it may have had its effect.
    Failed,
    /// The client cancelled it; it may have had its effect.
    Cancelled,
    /// A question of a server that went to the client with the answer to a call; the reply comes with its next leg.
    Shown,
    /// The decision was given to a caller that acts itself; nothing was sent here, and what the caller did is not known.
    Answered,
    /// The gateway stopped before it knew; closed by recovery.
    Unknown,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeRecord {
    /// The call that its intent named.
    pub call: CallId,
    /// Why there is no result; absent where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The session's labels after this call, where they rose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Commitment (label `result`) to the `result` or `error` member as the server sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Commitment>,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_bytes: Option<u64>,
    /// The governance session.
    pub session: SessionId,
    /// How it ended.
    pub status: CallStatus,
    /// Durations in microseconds; absent where recovery closed the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<OutcomeTiming>,
}

/// How long the call took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeTiming {
    /// From the last byte received to this entry.
    pub total_us: u64,
    /// Of those, waiting for the server.
    pub upstream_us: u64,
}

/// A step in an approval's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalEvent {
    /// What happened: consumption shows as the intent that names the approval.
    pub action: ApprovalAction,
    /// The approval.
    pub approval: ApprovalId,
    /// Who did it: an operator's key id, or `clock`, or `engine`.
    pub by: String,
    /// The call it is for.
    pub call_digest: Commitment,
    /// The operator's Ed25519 signature over the settlement, base64; present where a human settled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Digest of the statement that people sign.
    pub statement: Digest,
    /// The tier.
    pub tier: Tier,
}

/// A step in an approval's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalAction {
    /// A call needs it.
    Requested,
    /// A human said yes.
    Approved,
    /// A human said no.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// What the approver saw changed.
    Superseded,
}

/// A change of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogEvent {
    /// What happened.
    pub action: CatalogAction,
    /// Who did it: an operator's key id, or `gateway`.
    pub by: String,
    /// Digest of the catalog after it.
    pub catalog: Digest,
    /// The live definition's digest, for a drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Digest>,
    /// The approved definition's digest, where one tool is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Digest>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The catalog's serial number.
    pub serial: u64,
    /// The server, where one is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerName>,
    /// The tool, where one is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolName>,
}

/// What happened to the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatalogAction {
    /// A new catalog came into force.
    Activated,
    /// A catalog was refused; the one before stays.
    Refused,
    /// A tool's live definition is not the approved one.
    Quarantined,
    /// It is the approved one again, or the new one was approved.
    Released,
    /// The server's identity is not the pinned one; it is not used.
    IdentityRefused,
}

/// A change of policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyEvent {
    /// Whether it came into force.
    pub activated: bool,
    /// The bundle, as far as it could be read.
    pub policy: PolicyRecord,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A step in a governance session's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionEvent {
    /// What happened.
    pub action: SessionAction,
    /// The agent.
    pub agent: AgentId,
    /// Who did it: an operator's key id for a reset, `engine` for the first call.
    pub by: String,
    /// The accountable human.
    pub owner: OwnerId,
    /// The session.
    pub session: SessionId,
}

/// A step in a governance session's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionAction {
    /// The first call.
    Opened,
    /// Ended by a human; the next call opens another.
    Reset,
}

/// The daemon started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartEvent {
    /// The binary's version.
    pub build: String,
    /// Digest of the catalog in force; absent where there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<Digest>,
    /// Digest of the configuration file.
    pub config: Digest,
    /// The mode.
    pub mode: Mode,
    /// Key id of the operator whose signatures this run obeys; another one's needs another ledger.
    pub operator: String,
    /// The policy in force; absent where none could be activated, and then every call is denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyRecord>,
    /// Calls that recovery closed as `unknown`; zero after an orderly stop.
    pub recovered: u64,
}

/// The daemon stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopEvent {
    /// Why, for people.
    pub reason: String,
}

/// An agent was added or changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentEvent {
    /// What happened.
    pub action: AgentAction,
    /// The agent.
    pub agent: AgentId,
    /// Who did it: an operator's key id.
    pub by: String,
    /// The first 16 hexadecimal digits of the digest of the key that was issued or revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The accountable human.
    pub owner: OwnerId,
}

/// What happened to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentAction {
    /// Registered, with a key.
    Added,
    /// May not call for now.
    Suspended,
    /// May call again.
    Resumed,
    /// May never call again.
    Retired,
}

/// Why bytes are not an entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Not JSON, or twice the same member.
    #[error("entry is not strict JSON: {0}")]
    Json(#[from] json::JsonError),
    /// Not the members this version has.
    #[error("entry has the wrong members: {0}")]
    Form(#[from] serde_json::Error),
    /// Spelled in another way than the one canonical one.
    #[error("entry is not in its canonical spelling")]
    Spelling,
    /// C2SP tlog-tiles stores the length of an entry in 16 bits.
    #[error("entry of {len} bytes is over {max}", max = Entry::MAX_LEN)]
    TooLarge {
        /// Bytes.
        len: usize,
    },
    /// A version this code does not read.
    #[error("entry is of version {0}, this reads version 1")]
    Version(u8),
}

impl Entry {
    /// Most bytes of an entry (C2SP tlog-tiles, "Log entries").
    pub const MAX_LEN: usize = 65_535;

    /// An entry of this version.
    #[must_use]
    pub const fn new(at: UnixMillis, event: Event) -> Self {
        Self { at, event, v: 1 }
    }

    /// Its canonical bytes.
    ///
    /// # Errors
    ///
    /// [`EntryError::TooLarge`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, EntryError> {
        let bytes = canonical::ordered(self)?;
        if bytes.len() > Self::MAX_LEN { Err(EntryError::TooLarge { len: bytes.len() }) } else { Ok(bytes) }
    }

    /// Reads an entry, refusing any spelling but the canonical one.
    ///
    /// # Errors
    ///
    /// [`EntryError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(EntryError::TooLarge { len: bytes.len() });
        }
        Json::parse(bytes, Limits::REQUEST)?;
        let entry: Self = serde_json::from_slice(bytes)?;
        if entry.v != 1 {
            return Err(EntryError::Version(entry.v));
        }
        if entry.to_bytes()? != bytes {
            return Err(EntryError::Spelling);
        }
        Ok(entry)
    }

    /// The call this entry is about, if it is about one.
    #[must_use]
    pub fn call(&self) -> Option<CallId> {
        match &self.event {
            Event::Intent(c) | Event::Denial(c) => Some(c.call),
            Event::Outcome(o) => Some(o.call),
            _ => None,
        }
    }
}

impl Event {
    /// Which kind it is.
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Agent(_) => EventKind::Agent,
            Self::Approval(_) => EventKind::Approval,
            Self::Catalog(_) => EventKind::Catalog,
            Self::Denial(_) => EventKind::Denial,
            Self::Intent(_) => EventKind::Intent,
            Self::Outcome(_) => EventKind::Outcome,
            Self::Policy(_) => EventKind::Policy,
            Self::Session(_) => EventKind::Session,
            Self::Start(_) => EventKind::Start,
            Self::Stop(_) => EventKind::Stop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use std::collections::BTreeSet;

    #[test]
    fn every_variant_is_canonical_and_reads_back() {
        let mut kinds = BTreeSet::new();
        for entry in samples::every_kind() {
            kinds.insert(entry.event.kind() as u8);
            let bytes = entry.to_bytes().unwrap();
            let json = Json::parse(&bytes[..], Limits::REQUEST).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(String::from_utf8_lossy(&canonical::respell(json.root())), text, "members out of order");
            assert_eq!(serde_json::to_string(&entry).unwrap(), text, "serde_json spells it otherwise");
            assert_eq!(Entry::from_bytes(&bytes).unwrap(), entry, "{text}");
        }
        assert_eq!(kinds, (1..=10).collect(), "a kind without a sample");
    }

    #[test]
    fn every_other_spelling_is_refused() {
        let text = String::from_utf8(samples::denial(1).to_bytes().unwrap()).unwrap();
        for (from, to, why) in [
            ("{\"at\"", "{ \"at\"", "space"),
            ("\"v\":1", "\"v\":1.0", "a number written otherwise"),
            ("\"v\":1", "\"v\":2", "another version"),
            ("\"v\":1", "\"v\":1,\"w\":2", "a member too many"),
            ("\"v\":1", "\"v\":1,\"v\":1", "a member twice"),
            ("isn't", "isn\\u0027t", "an escape that is not needed"),
            ("\"findings\":null,", "", "a member left out"),
            ("\"credential\":", "\"approval\":null,\"credential\":", "null for absent"),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text, "{why}");
            assert!(Entry::from_bytes(other.as_bytes()).is_err(), "{why}");
        }
        let members = text.find("\"event\"").unwrap();
        let (at, rest) = text.split_at(members);
        let swapped =
            format!("{{{},{}}}", rest.trim_end_matches("}").trim_end_matches(",\"v\":1"), &at[1..at.len() - 1]);
        assert!(Entry::from_bytes(swapped.as_bytes()).is_err());
        assert!(matches!(Entry::from_bytes(&[b' '; 65_536]), Err(EntryError::TooLarge { len: 65_536 })));
    }

    #[test]
    fn an_entry_too_long_for_a_bundle_is_not_written() {
        let mut record = samples::call_record(1);
        record.requested = Some("x".repeat(Entry::MAX_LEN));
        assert!(matches!(samples::entry(1, Event::Denial(record)).to_bytes(), Err(EntryError::TooLarge { .. })));
    }
}
