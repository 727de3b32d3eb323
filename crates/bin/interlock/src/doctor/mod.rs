//! `interlock doctor`: what is wrong and how to mend it, check by check.
//!
//! Facts are gathered first ([`Facts::gather`], and by whoever can ask the daemon, [`Gateway`]); judging them is pure.
//! In scope: the checks and how they are shown. Out of scope: mending anything, starting servers.

mod config;
mod data;
mod facts;
mod gateway;
mod gather;
mod hosts;
mod report;
mod servers;

pub use facts::{
    CatalogFacts, DaemonFacts, Facts, FileFacts, FileSystem, Found, Gateway, HostFile, LedgerFacts, Listed, Machine,
    PolicyFacts, Port, Probe, References, ServerProbe,
};
pub use gather::find_program;
pub use report::Report;

use crate::config::{Config, ConfigError};
use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Not looked at; `what` says why.
    Skipped,
    /// Works, at a cost that is named.
    Warn,
    /// Does not work, or is not safe.
    Fail,
}

/// One check and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked: `data.mode`, `server.github.executable`. Stable, for scripts.
    pub id: String,
    /// How it ended.
    pub status: Status,
    /// What was found.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Check {
    pub(crate) fn ok(id: impl Into<String>, what: impl Into<String>) -> Self {
        Self { id: id.into(), status: Status::Ok, what: what.into(), mend: None }
    }

    pub(crate) fn skipped(id: impl Into<String>, why: impl Into<String>) -> Self {
        Self { id: id.into(), status: Status::Skipped, what: why.into(), mend: None }
    }

    pub(crate) fn warn(id: impl Into<String>, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { id: id.into(), status: Status::Warn, what: what.into(), mend: Some(mend.into()) }
    }

    pub(crate) fn fail(id: impl Into<String>, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { id: id.into(), status: Status::Fail, what: what.into(), mend: Some(mend.into()) }
    }
}

/// Judges everything. Without a configuration only what does not need one is judged.
#[must_use]
pub fn examine(config: Result<&Config, &ConfigError>, facts: &Facts) -> Report {
    let mut checks = Vec::new();
    match config {
        Ok(config) => {
            checks.push(Check::ok(
                "config.parses",
                format!("`{}`, {} servers", config.file.display(), config.servers.len()),
            ));
            checks.extend(config::checks(config, facts));
            checks.extend(data::checks(config, facts));
            checks.extend(gateway::checks(config, facts));
            checks.extend(servers::checks(config, facts));
        }
        Err(e) => {
            let mend = match e {
                ConfigError::Missing(_) => "run `interlock init`, or name the one that you have with --config",
                ConfigError::Unreadable { .. } => "see that this user may read it, and that it is text in UTF-8",
                ConfigError::Fault(_) => "correct it as it says, or write a new one with `interlock init --force`",
            };
            checks.push(Check::fail("config.parses", e.to_string(), mend));
        }
    }
    checks.extend(hosts::checks(facts));
    checks.push(gateway::clock(facts));
    Report { checks }
}
