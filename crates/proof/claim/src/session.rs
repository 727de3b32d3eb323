//! What one session did: which entries tell it, the transcript they make, and the summary of them.
//!
//! A transcript is NDJSON: a header line, then one line for each entry, holding the entry as it stands in
//! the ledger and its index. It has the session's own entries and, before each of them, the newest daemon
//! start, policy activation and catalog activation since the last: what the calls were judged with. The
//! same fold that writes a transcript reads it, so whoever has the file recomputes everything a claim says.
//!
//! Approval entries are not in it: they name no session. An intent names the approval it consumed.

use interlock_ledger::entry::{CallRecord, CatalogAction, Entry, EntryError, Event, PolicyRecord, SessionAction};
use interlock_model::json::{Json, JsonError, Limits, canonical};
use interlock_model::{AgentId, CallId, Digest, Mode, OwnerId, Sensitivity, SessionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::HashSet;

/// What a session's entries add up to. Everything here can be recomputed from the transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSummary {
    /// The session.
    pub session: SessionId,
    /// Whose it is.
    pub agent: AgentId,
    /// The accountable human.
    pub owner: OwnerId,
    /// Index of the session's first entry.
    pub first: u64,
    /// Index of its last.
    pub last: u64,
    /// Calls that were forwarded.
    pub forwarded: u64,
    /// Calls that were permitted to a caller that acts itself: nothing was forwarded, and what it did is not known.
    pub answered: u64,
    /// Calls that were refused.
    pub denied: u64,
    /// Permitted calls without an outcome yet.
    pub open: u64,
    /// The policy bundles that judged calls, in the order of their first use; without calls, the one in force.
    pub policies: Vec<PolicyRecord>,
    /// The bundle that judged last.
    pub policy: Option<PolicyRecord>,
    /// Whether every call was judged in `enforcing` mode; without calls, whether the daemon ran in it.
    pub enforcing: bool,
    /// The highest sensitivity among the session's labels, at least `internal`: the gateway labels what is
    /// above that, so the absence of a label does not mean that the data was public.
    pub sensitivity: Sensitivity,
    /// The catalog in force at the last entry.
    pub catalog: Option<Digest>,
    /// The build that wrote the last entry.
    pub build: Option<String>,
    /// Digest of the transcript's bytes.
    pub transcript: Digest,
    /// Lines of the transcript after its header.
    pub entries: u64,
}

impl SessionSummary {
    /// The value of the member `format` in a transcript's first line, by which a file is known to be one.
    pub const FORMAT: &'static str = "interlock-transcript";

    /// Calls the agent made or asked about, whatever was decided.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.forwarded + self.answered + self.denied
    }

    /// Summarises the entries of `session` among `entries`, which come in the order of the log.
    ///
    /// # Errors
    ///
    /// [`TranscriptError`].
    pub fn from_entries(
        session: SessionId,
        entries: impl IntoIterator<Item = (u64, Entry)>,
    ) -> Result<Self, TranscriptError> {
        let mut fold = SessionFold::new(session);
        for (index, entry) in entries {
            fold.add(index, &entry)?;
        }
        fold.finish()
    }

    /// Reads a transcript, refusing any that the fold would not have written.
    ///
    /// # Errors
    ///
    /// [`TranscriptError`].
    pub fn from_transcript(bytes: &[u8]) -> Result<Self, TranscriptError> {
        let mut lines = bytes.split_inclusive(|b| *b == b'\n');
        let header: Header = line(lines.next().unwrap_or_default(), 1)?;
        if header.format != SessionSummary::FORMAT || header.v != 1 {
            return Err(TranscriptError::Header);
        }
        let mut fold = SessionFold::new(header.session);
        // What the fold writes for the lines read so far; anything else in the file shows as a difference.
        let mut at = fold.header().len();
        if bytes.get(..at) != Some(fold.header()) {
            return Err(TranscriptError::Line(1));
        }
        for (number, text) in (2_u64..).zip(lines) {
            let Line { entry, index } = line(text, number)?;
            let written = fold.add(index, &Entry::from_bytes(entry.get().as_bytes())?)?;
            let end = at + written.len();
            // A context entry is written once an entry of the session follows; it may lag, never differ.
            if bytes.get(at..end) != Some(written.as_slice()) {
                return Err(TranscriptError::Line(number));
            }
            at = end;
        }
        if at == bytes.len() { fold.finish() } else { Err(TranscriptError::Leftover) }
    }
}

/// The first line. Members in sorted order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    session: SessionId,
    v: u8,
}

/// Every other line. Members in sorted order; the entry is taken as it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    entry: &'a serde_json::value::RawValue,
    index: u64,
}

fn line<'a, T: Deserialize<'a>>(text: &'a [u8], number: u64) -> Result<T, TranscriptError> {
    let json = text.strip_suffix(b"\n").ok_or(TranscriptError::Line(number))?;
    if json.len() > Entry::MAX_LEN + 64 {
        return Err(TranscriptError::Line(number));
    }
    Json::parse(json, Limits::REQUEST)?;
    serde_json::from_slice(json).map_err(|_| TranscriptError::Line(number))
}

/// Why entries or bytes are not a session's transcript.
#[derive(Debug, thiserror::Error)]
pub enum TranscriptError {
    /// A line is not JSON, or has twice the same member.
    #[error("the transcript is not strict JSON: {0}")]
    Json(#[from] JsonError),
    /// The first line is not a header.
    #[error("not a transcript of version 1")]
    Header,
    /// A line is not what this version writes there.
    #[error("line {0} of the transcript is not as it would have been written")]
    Line(u64),
    /// The last lines belong to nothing: context, with no entry of the session after it.
    #[error("the transcript ends with entries that do not belong to the session")]
    Leftover,
    /// A line holds no entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Entries do not come in the order of the log.
    #[error("entry {0} is out of order")]
    Order(u64),
    /// The session changes its agent or owner in the middle.
    #[error("entry {0} names another agent or owner than the session's")]
    Mixed(u64),
    /// There is no entry of the session.
    #[error("there is no entry of this session")]
    Empty,
}

/// An entry that tells what calls were judged with, and is written once a call follows.
#[derive(Debug)]
struct Context {
    index: u64,
    entry: Entry,
}

/// Folds a log into one session's transcript and summary, entry by entry. Memory is bounded by the
/// session's open calls and its policy bundles.
#[derive(Debug)]
pub struct SessionFold {
    session: SessionId,
    header: Vec<u8>,
    hash: Hasher,
    /// The newest start, policy activation and catalog activation, if not written yet.
    pending: BTreeMap<u8, Context>,
    next: u64,
    who: Option<(AgentId, OwnerId)>,
    first: u64,
    last: u64,
    forwarded: u64,
    answered: u64,
    denied: u64,
    open: HashSet<CallId>,
    policies: Vec<PolicyRecord>,
    judged_by: Option<PolicyRecord>,
    in_force: Option<PolicyRecord>,
    relaxed: bool,
    mode: Mode,
    sensitivity: Sensitivity,
    catalog: Option<Digest>,
    build: Option<String>,
    entries: u64,
}

impl SessionFold {
    /// A fold for `session`.
    #[must_use]
    pub fn new(session: SessionId) -> Self {
        // Strings and integers only: serialising them cannot fail.
        let mut header = canonical::ordered(&Header { format: SessionSummary::FORMAT.to_owned(), session, v: 1 })
            .unwrap_or_default();
        header.push(b'\n');
        let mut hash = Hasher::default();
        hash.update(&header);
        Self {
            session,
            header,
            hash,
            pending: BTreeMap::new(),
            next: 0,
            who: None,
            first: 0,
            last: 0,
            forwarded: 0,
            answered: 0,
            denied: 0,
            open: HashSet::new(),
            policies: Vec::new(),
            judged_by: None,
            in_force: None,
            relaxed: false,
            mode: Mode::Enforcing,
            sensitivity: Sensitivity::Internal,
            catalog: None,
            build: None,
            entries: 0,
        }
    }

    /// The transcript's first line.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Takes the next entry of the log, whichever session it is of, and returns the transcript's next
    /// lines; most often none.
    ///
    /// # Errors
    ///
    /// [`TranscriptError::Order`], [`TranscriptError::Mixed`].
    pub fn add(&mut self, index: u64, entry: &Entry) -> Result<Vec<u8>, TranscriptError> {
        if index < self.next {
            return Err(TranscriptError::Order(index));
        }
        self.next = index + 1;
        if is_context(&entry.event) {
            let context = Context { index, entry: entry.clone() };
            self.pending.insert(entry.event.kind() as u8, context);
            return Ok(Vec::new());
        }
        if session_of(&entry.event) != Some(self.session) {
            return Ok(Vec::new());
        }
        let mut context: Vec<Context> = std::mem::take(&mut self.pending).into_values().collect();
        context.sort_by_key(|c| c.index);
        let mut lines = Vec::new();
        for Context { index, entry } in context {
            self.judge_with(&entry.event);
            write_line(index, &entry, &mut lines)?;
            self.entries += 1;
        }
        self.tell(index, &entry.event)?;
        write_line(index, entry, &mut lines)?;
        self.entries += 1;
        self.hash.update(&lines);
        Ok(lines)
    }

    /// The summary.
    ///
    /// # Errors
    ///
    /// [`TranscriptError::Empty`].
    pub fn finish(self) -> Result<SessionSummary, TranscriptError> {
        let (agent, owner) = self.who.ok_or(TranscriptError::Empty)?;
        let policy = self.judged_by.or(self.in_force);
        let policies = if self.policies.is_empty() { policy.iter().cloned().collect() } else { self.policies };
        let calls = self.forwarded + self.answered + self.denied;
        Ok(SessionSummary {
            session: self.session,
            agent,
            owner,
            first: self.first,
            last: self.last,
            forwarded: self.forwarded,
            answered: self.answered,
            denied: self.denied,
            open: self.open.len() as u64,
            policies,
            policy,
            enforcing: if calls == 0 { self.mode.stops() } else { !self.relaxed },
            sensitivity: self.sensitivity,
            catalog: self.catalog,
            build: self.build,
            transcript: self.hash.finish(),
            entries: self.entries,
        })
    }

    fn judge_with(&mut self, event: &Event) {
        match event {
            Event::Start(start) => {
                self.build = Some(start.build.clone());
                self.catalog = start.catalog;
                self.in_force.clone_from(&start.policy);
                self.mode = start.mode;
            }
            Event::Policy(policy) => self.in_force = Some(policy.policy.clone()),
            Event::Catalog(catalog) => self.catalog = Some(catalog.catalog),
            _ => {}
        }
    }

    fn tell(&mut self, index: u64, event: &Event) -> Result<(), TranscriptError> {
        match event {
            Event::Session(event) => self.belongs(index, &event.agent, &event.owner)?,
            Event::Intent(record) => {
                self.judged(index, record)?;
                // An entry that announces nothing to be sent is a permission for a caller that acts itself.
                match record.arguments.sent {
                    Some(_) => self.forwarded += 1,
                    None => self.answered += 1,
                }
                self.open.insert(record.call);
            }
            Event::Denial(record) => {
                self.judged(index, record)?;
                self.denied += 1;
            }
            Event::Outcome(record) => {
                self.open.remove(&record.call);
                self.labelled(record.labels.iter().map(String::as_str));
            }
            _ => {}
        }
        if self.who.is_none() {
            // An outcome alone does not say whose the session is.
            return Err(TranscriptError::Order(index));
        }
        self.last = index;
        Ok(())
    }

    fn judged(&mut self, index: u64, record: &CallRecord) -> Result<(), TranscriptError> {
        self.belongs(index, &record.agent.id, &record.agent.owner)?;
        if !self.policies.contains(&record.policy) {
            self.policies.push(record.policy.clone());
        }
        self.judged_by = Some(record.policy.clone());
        self.relaxed |= !record.mode.stops();
        self.labelled(record.obligations.iter().filter_map(|o| o.strip_prefix("label:")));
        Ok(())
    }

    fn labelled<'a>(&mut self, labels: impl Iterator<Item = &'a str>) {
        let highest = labels.filter_map(|label| label.parse().ok()).max();
        self.sensitivity = self.sensitivity.max(highest.unwrap_or(Sensitivity::Internal));
    }

    fn belongs(&mut self, index: u64, agent: &AgentId, owner: &OwnerId) -> Result<(), TranscriptError> {
        match &self.who {
            None => {
                self.who = Some((agent.clone(), owner.clone()));
                self.first = index;
                Ok(())
            }
            Some((a, o)) if a == agent && o == owner => Ok(()),
            Some(_) => Err(TranscriptError::Mixed(index)),
        }
    }
}

/// Whether an entry changes what calls are judged with.
fn is_context(event: &Event) -> bool {
    match event {
        Event::Start(_) => true,
        Event::Policy(policy) => policy.activated,
        Event::Catalog(catalog) => catalog.action == CatalogAction::Activated,
        _ => false,
    }
}

fn session_of(event: &Event) -> Option<SessionId> {
    match event {
        Event::Session(event) => match event.action {
            SessionAction::Opened | SessionAction::Reset => Some(event.session),
        },
        Event::Intent(record) | Event::Denial(record) => Some(record.session),
        Event::Outcome(record) => Some(record.session),
        _ => None,
    }
}

fn write_line(index: u64, entry: &Entry, out: &mut Vec<u8>) -> Result<(), TranscriptError> {
    out.extend_from_slice(b"{\"entry\":");
    out.extend_from_slice(&entry.to_bytes()?);
    out.extend_from_slice(format!(",\"index\":{index}}}\n").as_bytes());
    Ok(())
}

/// SHA-256 over the lines as they come.
#[derive(Debug, Default)]
struct Hasher(sha2::Sha256);

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.0, bytes);
    }

    fn finish(self) -> Digest {
        Digest(sha2::Digest::finalize(self.0).into())
    }
}
