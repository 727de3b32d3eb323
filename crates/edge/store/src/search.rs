//! Searching entries: by kind and time in the database, by everything else in what the entries say.

use crate::error::ReadError;
use crate::reader::{Reader, Stored, stored};
use crate::rows::{int, uint};
use interlock_ledger::entry::{CallRecord, Entry, Event, EventKind};
use interlock_model::{AgentId, Outcome, UnixMillis};
use rusqlite::params;

/// What to look for; what is `None` fits everything.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Entries of this kind.
    pub kind: Option<EventKind>,
    /// Not before this instant.
    pub since: Option<UnixMillis>,
    /// Before this instant.
    pub until: Option<UnixMillis>,
    /// Entries that name this agent. Of a call's entries, its outcome names none.
    pub agent: Option<AgentId>,
    /// Intents and denials of a tool: its name, or `server__name`.
    pub tool: Option<String>,
    /// Intents and denials that were decided so.
    pub decision: Option<Outcome>,
    /// Entries whose canonical text contains this.
    pub text: Option<String>,
}

impl Reader {
    /// The newest `limit` entries that fit `filter`, the newest first.
    ///
    /// Time and length of the search grow with the entries of the kind and time asked for.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn search(&self, filter: &Filter, limit: usize) -> Result<Vec<Stored>, ReadError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT idx, bytes FROM entries
             WHERE (?1 IS NULL OR kind = ?1) AND at >= ?2 AND at < ?3 ORDER BY idx DESC",
        )?;
        let since = int(filter.since.map_or(0, |t| t.0));
        let until = int(filter.until.map_or(u64::MAX, |t| t.0));
        let mut rows = statement.query(params![filter.kind.map(|k| k as u8), since, until])?;
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(row) = rows.next()?
        {
            let bytes = row.get_ref(1)?.as_blob().unwrap_or_default();
            if filter.text.as_ref().is_some_and(|text| !contains(bytes, text.as_bytes())) {
                continue;
            }
            let one = stored(uint(row.get(0)?), bytes.to_vec())?;
            if filter.fits(&one.entry) {
                found.push(one);
            }
        }
        Ok(found)
    }
}

impl Filter {
    /// Whether `entry` fits, the text aside.
    #[must_use]
    pub fn fits(&self, entry: &Entry) -> bool {
        let call = match &entry.event {
            Event::Intent(call) | Event::Denial(call) => Some(&**call),
            _ => None,
        };
        self.kind.is_none_or(|kind| entry.event.kind() == kind)
            && self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
            && self.agent.as_ref().is_none_or(|agent| agent_of(&entry.event) == Some(agent))
            && self.decision.is_none_or(|decision| call.is_some_and(|c| c.decision.outcome == decision))
            && self.tool.as_ref().is_none_or(|tool| call.is_some_and(|c| is_of_tool(c, tool)))
    }
}

fn agent_of(event: &Event) -> Option<&AgentId> {
    match event {
        Event::Intent(call) | Event::Denial(call) => Some(&call.agent.id),
        Event::Agent(event) => Some(&event.agent),
        Event::Session(event) => Some(&event.agent),
        Event::Approval(_)
        | Event::Catalog(_)
        | Event::Outcome(_)
        | Event::Policy(_)
        | Event::Start(_)
        | Event::Stop(_) => None,
    }
}

fn is_of_tool(call: &CallRecord, wanted: &str) -> bool {
    let pinned = call.tool.as_ref().is_some_and(|tool| {
        let exposed = wanted.split_once("__");
        tool.name.as_str() == wanted
            || exposed.is_some_and(|(server, name)| tool.server.as_str() == server && tool.name.as_str() == name)
    });
    let subject = call.subject.as_ref().is_some_and(|subject| {
        let exposed = wanted.split_once("__");
        subject.method == wanted
            || subject.name.as_deref().is_some_and(|name| {
                name == wanted || exposed.is_some_and(|(server, n)| subject.server.as_str() == server && n == name)
            })
    });
    pinned || subject || call.requested.as_deref() == Some(wanted)
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    text.is_empty() || bytes.windows(text.len()).any(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_ledger::samples;

    #[test]
    fn a_filter_fits_what_it_names() {
        let denial = samples::denial(1);
        let agent = |id: &str| Filter { agent: Some(id.parse().unwrap()), ..Filter::default() };
        let tool = |name: &str| Filter { tool: Some(name.into()), ..Filter::default() };
        for (filter, fits) in [
            (Filter::default(), true),
            (agent("builder"), true),
            (agent("other"), false),
            (tool("query"), true),
            (tool("db__query"), true),
            (tool("db__drop"), true), // the name it asked for
            (tool("fs__query"), false),
            (Filter { decision: Some(Outcome::Deny), ..Filter::default() }, true),
            (Filter { decision: Some(Outcome::Allow), ..Filter::default() }, false),
            (Filter { kind: Some(EventKind::Intent), ..Filter::default() }, false),
            (Filter { since: Some(denial.at), ..Filter::default() }, true),
            (Filter { until: Some(denial.at), ..Filter::default() }, false),
        ] {
            assert_eq!(filter.fits(&denial), fits, "{filter:?}");
        }
        assert!(!tool("query").fits(&samples::start()));
        assert!(contains(b"abc", b"bc") && contains(b"abc", b"") && !contains(b"abc", b"abcd"));
    }
}
