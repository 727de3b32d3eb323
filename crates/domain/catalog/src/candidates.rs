//! What a scan found, waiting for a human; and the human's yes.
//!
//! The file is a convenience for people and is trusted for nothing: approving recomputes the concerns.

use crate::lookalike::{Concern, concerns};
use crate::pretty;
use crate::propose::propose_for;
use crate::{
    Definition, InputSchema, Lock, LockedServer, LockedTool, Proposal, SchemaError, ServerIdentity, ToolFacts,
};
use interlock_mcp::ExposedName;
use interlock_model::json::{Json, JsonError, Limits};
use interlock_model::{OwnerId, ServerName, ToolName, UnixMillis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One tool that a server offers, with what a reviewer should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The server.
    pub server: ServerName,
    /// What the server is.
    pub identity: ServerIdentity,
    /// The tool object.
    pub definition: Definition,
    /// What it seems to do.
    pub proposal: Proposal,
    /// What speaks against it.
    pub concerns: Vec<Concern>,
}

/// All that one scan found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidates {
    version: u64,
    /// When the servers were asked.
    pub scanned_at: UnixMillis,
    /// The servers.
    pub servers: BTreeMap<ServerName, CandidateServer>,
}

/// What one server offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CandidateServer {
    /// What the server is.
    pub identity: ServerIdentity,
    /// Elements of its list that are no definitions: what is wrong with each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub malformed: Vec<String>,
    /// What the description of an API has and no tool was made of, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Where its tools differ from that description.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Its tools.
    pub tools: Vec<CandidateTool>,
}

/// One tool as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CandidateTool {
    /// What it seems to do.
    pub proposal: Proposal,
    /// What speaks against it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub concerns: Vec<Concern>,
    /// The tool object, canonical.
    pub definition: Definition,
}

/// Why a file of candidates was refused.
#[derive(Debug, thiserror::Error)]
pub enum CandidatesError {
    /// Over [`Lock::MAX_LEN`].
    #[error("candidates of {len} bytes are over {max}", max = Lock::MAX_LEN)]
    TooLarge {
        /// Bytes found.
        len: usize,
    },
    /// Not one JSON text, or a member twice.
    #[error("the candidates are not strict JSON: {0}")]
    Json(#[from] JsonError),
    /// A member is missing, unknown, or of the wrong form.
    #[error("the candidates do not have the form that `interlock catalog scan` writes: {0}")]
    Form(#[from] serde_json::Error),
    /// Another version of the format.
    #[error("the candidates have format version {0}, this program reads 1; scan again")]
    Version(u64),
}

/// Why a candidate was not approved. The lock is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApproveError {
    /// There are concerns that nobody accepted.
    #[error("tool `{tool}` of server `{server}` has concerns that were not accepted: {}", join(concerns))]
    Concerns {
        /// The server.
        server: ServerName,
        /// The tool.
        tool: ToolName,
        /// Those concerns.
        concerns: Vec<Concern>,
    },
    /// An exception that no concern asks for: a slip, or the definition changed after it was reviewed.
    #[error("tool `{tool}` has no concern `{id}` to accept")]
    NoSuchConcern {
        /// The tool.
        tool: ToolName,
        /// What was accepted.
        id: String,
    },
    /// Facts without effects or without a human behind them.
    #[error("the facts of tool `{tool}` are not confirmed: say what it can do")]
    Unconfirmed {
        /// The tool.
        tool: ToolName,
    },
    /// Arguments could not be checked against the schema.
    #[error("the input schema of tool `{tool}` cannot be used: {error}")]
    Schema {
        /// The tool.
        tool: ToolName,
        /// What is wrong with it.
        error: SchemaError,
    },
    /// The server is another than the one whose tools are in the lock.
    #[error(
        "server `{server}` is now {found}, but its approved tools belong to {locked}; adopt the new identity first"
    )]
    Identity {
        /// The server.
        server: ServerName,
        /// The candidate's, for people.
        found: String,
        /// The lock's, for people.
        locked: String,
    },
    /// Another tool is exposed under this name.
    #[error("tool `{tool}` would be exposed as `{exposed}`, as `{other}` is")]
    Collision {
        /// The tool.
        tool: ToolName,
        /// The name.
        exposed: ExposedName,
        /// `server/tool` of the other.
        other: String,
    },
}

fn join(concerns: &[Concern]) -> String {
    concerns.iter().map(Concern::id).collect::<Vec<_>>().join(", ")
}

impl Candidates {
    /// No servers yet.
    #[must_use]
    pub const fn new(scanned_at: UnixMillis) -> Self {
        Self { version: 1, scanned_at, servers: BTreeMap::new() }
    }

    /// Adds what one server offers, judged against what is approved.
    pub fn add(
        &mut self,
        server: &ServerName,
        identity: ServerIdentity,
        definitions: Vec<Definition>,
        malformed: Vec<String>,
        approved: &Lock,
    ) {
        let tools = definitions
            .into_iter()
            .map(|definition| CandidateTool {
                proposal: propose_for(&definition, &identity),
                concerns: concerns(server, &identity, &definition, approved),
                definition,
            })
            .collect();
        self.servers.insert(
            server.clone(),
            CandidateServer { identity, malformed, left_out: Vec::new(), notes: Vec::new(), tools },
        );
    }

    /// One tool, ready to be approved.
    #[must_use]
    pub fn get(&self, server: &ServerName, tool: &ToolName) -> Option<Candidate> {
        let found = self.servers.get(server)?;
        let tool = found.tools.iter().find(|t| t.definition.name() == tool)?;
        Some(candidate(server, found, tool))
    }

    /// All tools, by server.
    pub fn iter(&self) -> impl Iterator<Item = Candidate> + '_ {
        self.servers.iter().flat_map(|(name, found)| found.tools.iter().map(move |tool| candidate(name, found, tool)))
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`CandidatesError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CandidatesError> {
        if bytes.len() > Lock::MAX_LEN {
            return Err(CandidatesError::TooLarge { len: bytes.len() });
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        Json::parse(bytes, LIMITS)?;
        let candidates: Self = serde_json::from_slice(bytes)?;
        match candidates.version {
            1 => Ok(candidates),
            other => Err(CandidatesError::Version(other)),
        }
    }

    /// The file's text, for people to review.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Names, strings, integers and canonical JSON: serialising them cannot fail.
        let compact = serde_json::to_vec(self).unwrap_or_default();
        Json::parse(compact, LIMITS).map(|json| pretty::text(json.root())).unwrap_or_default()
    }
}

const LIMITS: Limits = Limits { depth: 64, nodes: 4 * 1024 * 1024, lone_surrogates: false };

fn candidate(server: &ServerName, found: &CandidateServer, tool: &CandidateTool) -> Candidate {
    Candidate {
        server: server.clone(),
        identity: found.identity.clone(),
        definition: tool.definition.clone(),
        proposal: tool.proposal.clone(),
        concerns: tool.concerns.clone(),
    }
}

/// Puts a candidate into the lock, in place of an older definition of the same tool. The result has the
/// next serial and no signature.
///
/// `facts` are what the human confirmed; `accepted` the ids of the concerns that they accept. Concerns
/// are computed again here: neither the file nor the lock may have changed in between.
///
/// # Errors
///
/// [`ApproveError`].
pub fn approve(
    lock: &Lock,
    candidate: &Candidate,
    facts: ToolFacts,
    by: &OwnerId,
    at: UnixMillis,
    accepted: &[String],
) -> Result<Lock, ApproveError> {
    let Candidate { server, identity, definition, .. } = candidate;
    let tool = definition.name();
    if !facts.confirmed || facts.effects.iter().next().is_none() {
        return Err(ApproveError::Unconfirmed { tool: tool.clone() });
    }
    if let Some(locked) = lock.servers.get(server)
        && locked.identity != *identity
    {
        let (found, locked) = (identity.describe(), locked.identity.describe());
        return Err(ApproveError::Identity { server: server.clone(), found, locked });
    }
    InputSchema::compile(definition.input_schema())
        .map_err(|error| ApproveError::Schema { tool: tool.clone(), error })?;
    refuse_collision(lock, server, tool)?;
    let concerns = concerns(server, identity, definition, lock);
    if let Some(id) = accepted.iter().find(|id| !concerns.iter().any(|c| c.id() == **id)) {
        return Err(ApproveError::NoSuchConcern { tool: tool.clone(), id: id.clone() });
    }
    let open: Vec<Concern> = concerns.into_iter().filter(|c| !accepted.contains(&c.id())).collect();
    if !open.is_empty() {
        return Err(ApproveError::Concerns { server: server.clone(), tool: tool.clone(), concerns: open });
    }
    let mut exceptions = accepted.to_vec();
    exceptions.sort();
    exceptions.dedup();
    let locked = LockedTool {
        approved_at: at,
        approved_by: by.clone(),
        digest: definition.digest(),
        exceptions,
        facts,
        definition: definition.clone(),
    };
    Ok(lock.clone().changed(|servers| {
        let entry = servers
            .entry(server.clone())
            .or_insert_with(|| LockedServer { identity: identity.clone(), tools: BTreeMap::new() });
        entry.tools.insert(tool.clone(), locked);
    }))
}

/// Takes a tool out of the lock; a server without tools goes with its last one.
#[must_use]
pub fn withdraw(lock: &Lock, server: &ServerName, tool: &ToolName) -> Lock {
    lock.clone().changed(|servers| {
        if let Some(entry) = servers.get_mut(server) {
            entry.tools.remove(tool);
            if entry.tools.is_empty() {
                servers.remove(server);
            }
        }
    })
}

/// Says that the approved tools of `server` belong to `identity` from now on: another version of the
/// package, say, whose definitions are the same. A human's act, since other code answers from now on.
#[must_use]
pub fn adopt(lock: &Lock, server: &ServerName, identity: &ServerIdentity) -> Lock {
    lock.clone().changed(|servers| {
        if let Some(entry) = servers.get_mut(server) {
            entry.identity = identity.clone();
        }
    })
}

fn refuse_collision(lock: &Lock, server: &ServerName, tool: &ToolName) -> Result<(), ApproveError> {
    // The server's part of an exposed name ends at the first `__`, so that only tools of one server can collide.
    let exposed = ExposedName::new(server, tool);
    let others = lock.servers.get(server).into_iter().flat_map(|s| s.tools.keys()).filter(|other| *other != tool);
    match others.into_iter().find(|other| ExposedName::new(server, other) == exposed) {
        Some(other) => Err(ApproveError::Collision { tool: tool.clone(), exposed, other: format!("{server}/{other}") }),
        None => Ok(()),
    }
}
