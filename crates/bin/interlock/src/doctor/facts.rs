//! What the checks judge: facts about this machine, the files, the daemon and the servers.

use crate::{config::UnresolvedList, init::Host};
use interlock_model::{ServerName, UnixMillis};
use interlock_upstream::adapted::Described;
use std::{collections::BTreeMap, path::PathBuf};

/// Everything that was found out.
#[derive(Clone, Debug)]
pub struct Facts {
    /// This machine.
    pub machine: Machine,
    /// The data directory, if it is there.
    pub data_dir: Option<FileFacts>,
    /// What it lies on.
    pub file_system: FileSystem,
    /// Bytes free there, if the system says.
    pub free_bytes: Option<u64>,
    /// The sealed operator's key, if it is there.
    pub operator_key: Option<FileFacts>,
    /// The id of the public key in force, to compare with the one that `init` printed.
    pub operator_id: Option<String>,
    /// The secrets file, if it is there.
    pub secrets: Option<FileFacts>,
    /// References without a value, or that the secrets file could not be read.
    pub references: Result<(), References>,
    /// The MCP port.
    pub port: Port,
    /// The certificate and key of the MCP port, where they are configured.
    pub tls: Probe<()>,
    /// Programs that servers need, by server.
    pub programs: BTreeMap<ServerName, Found>,
    /// Documents that describe APIs, by server: what comes of each.
    pub documents: BTreeMap<ServerName, Probe<Described>>,
    /// Whether the container engine answers; `None` where no server needs it.
    pub docker: Option<bool>,
    /// Hosts' configurations that exist.
    pub hosts: Vec<HostFile>,
    /// What only the gateway's own parts can say.
    pub gateway: Gateway,
}

/// Why references have no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum References {
    /// These lead nowhere.
    Missing(UnresolvedList),
    /// The secrets file was refused: why.
    Unreadable(String),
}

/// This machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Whether it is Windows.
    pub windows: bool,
    /// Whether it is Linux inside Windows.
    pub wsl: bool,
    /// The user that asks; `None` where there are no such numbers.
    pub uid: Option<u32>,
    /// The wall clock.
    pub now: UnixMillis,
}

/// A file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// Permission bits; `None` where there are none.
    pub mode: Option<u32>,
    /// Its owner.
    pub uid: Option<u32>,
}

/// What a directory lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// A disk of this machine, or unknown.
    Local,
    /// A Windows drive seen from Linux (drvfs over 9p).
    WindowsDrive,
    /// Another machine's disk.
    Network,
    /// Memory: gone after a restart.
    Memory,
}

/// The MCP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// Nobody listens.
    Free,
    /// Somebody does; whether it is this gateway the daemon's probe says.
    Taken,
    /// It cannot be listened on: why.
    Refused(String),
}

/// Where a program is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Here.
    At(PathBuf),
    /// Here, but not executable.
    NotExecutable(PathBuf),
    /// Nowhere: what was looked for.
    Nowhere(String),
}

/// A host's configuration.
#[derive(Clone, Debug)]
pub struct HostFile {
    /// Whose.
    pub host: Host,
    /// Where.
    pub file: PathBuf,
    /// Its bytes, or why they were not read.
    pub bytes: Result<Vec<u8>, String>,
}

/// Something that was tried, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe<T> {
    /// Not tried: why.
    NotTried(String),
    /// It answered.
    Found(T),
    /// It did not: why.
    Failed(String),
}

impl<T> Default for Probe<T> {
    fn default() -> Self {
        Self::NotTried("not asked for".to_owned())
    }
}

impl<T> Probe<T> {
    /// From a result.
    pub fn of(result: Result<T, impl std::fmt::Display>) -> Self {
        match result {
            Ok(found) => Self::Found(found),
            Err(e) => Self::Failed(e.to_string()),
        }
    }
}

/// What only the gateway's own parts can say. Nothing is tried by default.
#[derive(Clone, Debug, Default)]
pub struct Gateway {
    /// The catalog: read, verified under the operator's key, not older than what was in force.
    pub catalog: Probe<CatalogFacts>,
    /// The bundle: signed, valid over the catalog, its own tests passed.
    pub policy: Probe<PolicyFacts>,
    /// The ledger: opened, its newest entries verified.
    pub ledger: Probe<LedgerFacts>,
    /// The daemon.
    pub daemon: Probe<DaemonFacts>,
    /// The servers.
    pub servers: BTreeMap<ServerName, ServerProbe>,
}

/// A verified catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogFacts {
    /// Its serial.
    pub serial: u64,
    /// Approved tools, by server.
    pub tools: BTreeMap<ServerName, usize>,
}

/// A valid bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyFacts {
    /// Its version.
    pub version: u64,
    /// How many policies it has.
    pub policies: usize,
    /// How many tests it passed.
    pub tests: usize,
}

/// A ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerFacts {
    /// How many entries it has.
    pub entries: u64,
    /// How many of them, the newest, were verified.
    pub verified: u64,
    /// The key id of the operator whom its last run obeyed.
    pub operator: Option<String>,
    /// When the newest was written.
    pub newest: Option<UnixMillis>,
    /// What does not verify.
    pub damage: Vec<String>,
}

/// What a running daemon says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonFacts {
    /// In a few words: version, process, mode.
    pub about: String,
    /// What on disk it refused to take up, and why.
    pub refused: Vec<String>,
    /// Servers that it cannot use, each with the reason.
    pub down: Vec<String>,
}

/// One server, tried.
#[derive(Clone, Debug, Default)]
pub struct ServerProbe {
    /// Its package is installed as its lock says. `NotTried` for servers that are no packages.
    pub installed: Probe<()>,
    /// Whether it is what was approved.
    pub identity: Probe<bool>,
    /// It was started (or reached) and listed its tools within the time allowed.
    pub listed: Probe<Listed>,
}

/// What a server listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// How many tools.
    pub tools: usize,
    /// Those that changed since they were approved.
    pub quarantined: Vec<String>,
    /// Those that nobody approved.
    pub unapproved: usize,
}
