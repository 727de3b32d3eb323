//! `interlock init`: finds MCP servers in clients' configurations and writes Interlock's own files from them.
//!
//! In scope: reading those files on every platform, converting, moving secrets out, the files, the one change in the
//! host. Out of scope: installing and listing (`interlock catalog scan`), registering agents.

mod apply;
mod client;
mod convert;
mod expand;
mod hosts;
pub mod jsonc;
pub mod launcher;
mod names;
mod plan;
mod report;
mod write;

pub use apply::{apply, changed};
pub use client::ClientServer;
pub use convert::Moved;
pub use hosts::{Entry, Host, Os, Registering, Roots};
pub use names::{secret_name, server_name};
pub use plan::{From, Plan, Planned, Skipped, Source};
pub use report::Report;
pub use write::{DATA_DIR, Written, existing, write};

use crate::{
    config::{SECRETS_FILE, Secrets, SecretsError},
    operator::{self, OperatorError, OperatorKey},
};
use interlock_model::UnixMillis;
use interlock_policy::Preset;
use interlock_signature::Signer as _;
use std::{
    io,
    path::{Path, PathBuf},
};

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to look.
    pub from: From,
    /// The bundle to start with.
    pub policy: Preset,
    /// Where to write.
    pub dir: PathBuf,
    /// Whether existing files are replaced, keeping backups.
    pub force: bool,
    /// Where the operator's passphrase comes from.
    pub passphrase: operator::Source,
}

/// Why nothing, or not everything, was written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Files are there already.
    #[error("already there: {}; use --force to replace them (backups are kept), or --dir", list(.0))]
    Exists(Vec<PathBuf>),
    /// The file named with `--from` is not there, or cannot be read.
    #[error("`{}`: {reason}", file.display())]
    Source {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// The host's file cannot be changed.
    #[error("`{}` was not changed: {reason}", file.display())]
    Host {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// A server could not be written down.
    #[error("what was found does not make a configuration, which is a fault of this program: {0}")]
    Unsound(String),
    /// The operator's key.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// The secrets file.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The system refused.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// What for.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| format!("`{}`", p.display())).collect::<Vec<_>>().join(", ")
}

/// The servers that a client's file lists, for whichever project, by the names they have there.
#[must_use]
pub fn servers_in(root: &jsonc::Node) -> Vec<(String, ClientServer)> {
    let all = hosts::listings(root).into_iter().flat_map(|l| l.servers.members());
    all.filter_map(|(name, node)| Some((name.clone(), ClientServer::read(node)?))).collect()
}

/// Finds, converts and writes. The operator's key is made if there is none, else opened: it signs what is written,
/// and comes back for whatever else needs it, so that nobody is asked twice.
///
/// # Errors
///
/// [`InitError`]. Files that exist are found out before anybody is asked for a passphrase.
pub fn run(
    options: &Options,
    roots: &Roots,
    environment: &dyn Fn(&str) -> Option<String>,
    now: UnixMillis,
) -> Result<(Report, OperatorKey), InitError> {
    let there = existing(&options.dir);
    if !there.is_empty() && !options.force {
        return Err(InitError::Exists(there));
    }
    let data_dir = options.dir.join(DATA_DIR);
    let secrets = Secrets::load(&data_dir.join(SECRETS_FILE))?;
    let plan = Plan::of(&options.from, roots, environment, &|name| secrets.get(name).is_some());
    if let (From::File(file), Some(Source { found: Err(reason), .. })) = (&options.from, plan.sources.first()) {
        return Err(InitError::Source { file: file.clone(), reason: reason.clone() });
    }
    let (key, made) = operator_key(&data_dir, &options.passphrase)?;
    let written = write(&plan, &options.dir, options.policy, &key, options.force, now)?;
    let report = Report { plan, written, operator: key.public_key(), operator_made: made, policy: options.policy };
    Ok((report, key))
}

fn operator_key(data_dir: &Path, source: &operator::Source) -> Result<(OperatorKey, bool), OperatorError> {
    if operator::exists(data_dir) {
        return Ok((operator::unlock(data_dir, &source.existing()?)?, false));
    }
    Ok((operator::create(data_dir, &source.new_one()?)?, true))
}
