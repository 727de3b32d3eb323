//! The statement: everything the decision saw, in one canonical record.

use interlock_ledger::entry::{PolicyRecord, SubjectRecord};
use interlock_model::{
    AgentId, ApprovalId, Commitment, Digest, Effects, Mode, OwnerId, ServerName, SessionId, Tier, ToolName, UnixMillis,
    json::canonical,
};
use serde::{Deserialize, Serialize};

/// What the decision saw. Two equal values mean that nothing the approver relied on has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The agent.
    pub agent: AgentId,
    /// HMAC over agent, owner, mandate, server, definition and argument bytes.
    pub call_digest: Commitment,
    /// Digest of the approved definition, where a tool is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Digest>,
    /// What the catalog says the tool does.
    pub effects: Effects,
    /// What inspection saw; `None` means that nothing inspected the call.
    pub findings: Option<Vec<String>>,
    /// Digest of the server's identity.
    pub identity: Digest,
    /// The session's labels.
    pub labels: Vec<String>,
    /// The mode in force.
    pub mode: Mode,
    /// The accountable human.
    pub owner: OwnerId,
    /// The policies that ask for a human, sorted.
    pub policies: Vec<String>,
    /// The bundle in force.
    pub policy: PolicyRecord,
    /// The server.
    pub server: ServerName,
    /// The governance session.
    pub session: SessionId,
    /// What is asked for, where it is no tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectRecord>,
    /// How much a human must do.
    pub tier: Tier,
    /// The tool, where one is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolName>,
}

/// What people sign: what was seen, for how long it may be used, and a nonce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The first instant at which it no longer holds.
    pub expires_at: UnixMillis,
    /// The approval's id, which carries 80 random bits and so is the nonce too.
    pub id: ApprovalId,
    /// Why a human is asked, as the policies' `@reason` says.
    pub reason: String,
    /// When it was asked.
    pub requested_at: UnixMillis,
    /// The human for whom the session acts.
    pub requester: OwnerId,
    /// What was seen.
    pub seen: Seen,
    /// The format's version: 1.
    pub v: u8,
}

impl Seen {
    /// `server/tool`, or the method and what it is about.
    #[must_use]
    pub fn what(&self) -> String {
        match (&self.tool, &self.subject) {
            (Some(tool), _) => format!("{}/{tool}", self.server),
            (None, Some(subject)) => subject.what(),
            (None, None) => self.server.to_string(),
        }
    }
}

impl Statement {
    /// Its canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, integers and lists only: serialising them cannot fail.
        canonical::ordered(self).unwrap_or_default()
    }

    /// The digest that entries and settlements name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_parts("interlock/approval-statement/v1", &[&self.to_bytes()])
    }
}
