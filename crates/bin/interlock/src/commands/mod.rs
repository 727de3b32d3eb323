//! What each command does. A command gets its arguments and a [`Context`], and ends in a [`Done`] or a [`Failed`].

mod agents;
mod approvals;
mod catalog;
mod claim;
mod client;
mod daemon;
mod doctor;
mod init;
mod ledger;
mod policy;
mod stdio;

use crate::cli::{Cli, Command};
use interlock_bin::config::{Config, ConfigError};
use interlock_bin::operator::{self, OperatorKey, Source};
use interlock_bin::term::Term;
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Ok.
    Yes,
    /// The answer is no: denied, not verified, tests failed.
    No,
}

/// Why a command did not answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The daemon says no: exit code 1.
    Refused(String),
    /// Usage or configuration: exit code 2.
    Usage(String),
    /// It could not be answered: exit code 3.
    Unanswered(String),
}

impl Failed {
    pub(crate) fn usage(why: impl Display) -> Self {
        Self::Usage(why.to_string())
    }

    pub(crate) fn unanswered(why: impl Display) -> Self {
        Self::Unanswered(why.to_string())
    }
}

impl From<ConfigError> for Failed {
    fn from(e: ConfigError) -> Self {
        Self::Usage(e.to_string())
    }
}

impl From<operator::OperatorError> for Failed {
    fn from(e: operator::OperatorError) -> Self {
        Self::Usage(e.to_string())
    }
}

impl From<interlock_store::ReadError> for Failed {
    fn from(e: interlock_store::ReadError) -> Self {
        match e {
            interlock_store::ReadError::NotFound(_)
            | interlock_store::ReadError::Ambiguous(_)
            | interlock_store::ReadError::BadId(_) => Self::Usage(e.to_string()),
            e => Self::Unanswered(e.to_string()),
        }
    }
}

impl From<interlock_gateway::AdminClientError> for Failed {
    fn from(e: interlock_gateway::AdminClientError) -> Self {
        use interlock_gateway::{AdminClientError, AdminErrorKind};
        let why = e.to_string();
        match e {
            AdminClientError::Refused(refusal) => match refusal.kind {
                AdminErrorKind::Refused | AdminErrorKind::Unauthorised => Self::Refused(why),
                AdminErrorKind::NotFound => Self::Usage(why),
                AdminErrorKind::UnknownCommand | AdminErrorKind::Invalid | AdminErrorKind::Failed => {
                    Self::Unanswered(why)
                }
            },
            _ => Self::Unanswered(why),
        }
    }
}

/// What every command may need.
pub(crate) struct Context {
    pub(crate) config_file: PathBuf,
    pub(crate) json: bool,
    pub(crate) passphrase: Source,
    pub(crate) out: Term,
    pub(crate) err: Term,
}

impl Context {
    pub(crate) fn config(&self) -> Result<Config, Failed> {
        Ok(Config::load(&self.config_file)?)
    }

    /// The operator's key, opened with their passphrase.
    pub(crate) fn operator(&self, config: &Config) -> Result<OperatorKey, Failed> {
        let passphrase = self.passphrase.existing().map_err(operator::OperatorError::from)?;
        Ok(operator::unlock(&config.data_dir, &passphrase)?)
    }

    /// Prints `value` as JSON, or what `text` makes of it for people.
    pub(crate) fn print<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) {
        let text = if self.json { serde_json::to_string_pretty(value).unwrap_or_default() } else { text() };
        // Whoever reads may stop reading (`| head`); what was done is done, and the exit code says it.
        let _ = put(text.trim_end_matches('\n'));
    }
}

/// Writes a line to standard output; `println!` would panic where nobody reads.
pub(crate) fn put(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Does what the command line says.
pub(crate) async fn run(cli: Cli) -> Result<Done, Failed> {
    let context = Context {
        config_file: cli.config,
        json: cli.json,
        passphrase: Source::from_option(cli.passphrase_file.as_deref()),
        out: Term::stdout(cli.json),
        err: Term::stderr(cli.json),
    };
    match cli.command {
        Command::Init(args) => init::run(&context, &args).await,
        Command::Run(args) => daemon::run(&context, &args).await,
        Command::Stdio(args) => stdio::run(&context, args).await,
        Command::Demo(args) => crate::demo::run(&context, &args).await,
        Command::Doctor => doctor::run(&context).await,
        Command::Catalog(command) => catalog::run(&context, command).await,
        Command::Policy(command) => policy::run(&context, command).await,
        Command::Agents(command) => agents::run(&context, command).await,
        Command::Approvals(command) => approvals::run(&context, command).await,
        Command::Ledger(command) => ledger::run(&context, command).await,
        Command::Claim(command) => claim::run(&context, command).await,
        Command::Status => daemon::status(&context).await,
        Command::Stop => daemon::stop(&context).await,
        Command::Restart => daemon::restart(&context).await,
    }
}

/// Makes claims as `interlock claim issue` does; for the daemon's orderly stop.
pub(crate) fn issue_claims(
    config: &Config,
    session: Option<&str>,
    all: bool,
    out: &std::path::Path,
) -> Result<(), String> {
    match claim::issue(config, session, all, out) {
        Ok(_) => Ok(()),
        Err(Failed::Refused(why) | Failed::Usage(why) | Failed::Unanswered(why)) => Err(why),
    }
}
