//! `interlock.toml`: read once, checked completely, turned into values that need no further checks.
//!
//! In scope: the file's text, its errors with place and advice, references to secrets, the digest that
//! the start entry carries. Out of scope: watching the file, command-line overrides.

mod fault;
mod package;
mod reference;
mod render;
mod sample;
mod secrets;
mod server;
pub mod suspect;
mod text;
mod wire;

pub use fault::{ConfigError, Fault};
pub use package::{InvalidPackage, PackageRef, Registry};
pub use reference::{InvalidReference, Resolved, SecretName, Setting, Unresolved, UnresolvedList};
pub use render::{quoted, render_server};
pub use sample::sample;
pub use secrets::{SECRETS_FILE, Secrets, SecretsError};
pub use server::{Document, Launch, Package, ResolvedLaunch, ResolvedServer, Server};
pub use text::{TextError, decode, read_text};

use interlock_gateway::{Collector, TlsFiles};
use interlock_model::{Digest, Mode, ServerName};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// The configuration's usual name.
pub const FILE_NAME: &str = "interlock.toml";

/// Most bytes of a configuration or secrets file.
pub const MAX_BYTES: u64 = 1 << 20;

/// Most servers in one configuration.
pub const MAX_SERVERS: usize = 256;

/// A configuration in which every value is valid. Paths are absolute if the configuration's own path was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    /// SHA-256 of the file's text, for the start entry. Secrets are references, so it tells nothing of them.
    pub digest: Digest,
    /// Whether a denial stops a call.
    pub mode: Mode,
    /// Where this gateway runs (`dev`, `staging`, `prod`, ...), for policies to read.
    pub environment: String,
    /// Where agents connect.
    pub listen: Listen,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The policy bundle's directory.
    pub policy_dir: PathBuf,
    /// The approved definitions.
    pub catalog: CatalogSource,
    /// What is too much.
    pub limits: Limits,
    /// Where spans go, if anywhere.
    pub telemetry: Option<Collector>,
    /// The servers, by name.
    pub servers: BTreeMap<ServerName, Server>,
}

/// Where agents connect, and which browsers may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The MCP endpoint's address and port.
    pub mcp: SocketAddr,
    /// The API's address and port; `None`: there is none. Loopback, or with TLS.
    pub api: Option<SocketAddr>,
    /// Whether a caller without a key is served, as the agent `unbound`. Loopback only.
    pub allow_unbound: bool,
    /// `Host` headers accepted besides the address itself and loopback names: `name` or `name:port`, lower case.
    pub allowed_hosts: Vec<String>,
    /// `Origin` headers accepted: `scheme://host[:port]`, lower case. Empty: requests from browsers are refused.
    pub allowed_origins: Vec<String>,
    /// The certificate and key of that endpoint; `None`: connections are in the clear.
    pub tls: Option<TlsFiles>,
}

impl Listen {
    /// Where agents that speak HTTP connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}/mcp", if self.tls.is_some() { "https" } else { "http" }, self.mcp)
    }

    /// Where the API is. On a loopback address it is in the clear: the certificate is for another name.
    #[must_use]
    pub fn api_url(&self) -> Option<String> {
        self.api.map(|at| format!("{}://{at}", if at.ip().is_loopback() { "http" } else { "https" }))
    }
}

/// The catalog's file and how often servers are asked for their lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogSource {
    /// `catalog.lock.json`.
    pub file: PathBuf,
    /// The pause between two listings of a server that never says its list changed.
    pub relist: Duration,
}

/// What is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a message from an agent.
    pub message_bytes: usize,
    /// Most bytes of a message from a server.
    pub result_bytes: usize,
    /// Most levels of arrays and objects in either.
    pub depth: usize,
    /// Most calls in flight, over all servers.
    pub in_flight: usize,
    /// How long a server may take, unless it has a figure of its own.
    pub call_timeout: Duration,
    /// How long an approval may wait for its human.
    pub approval_ttl: Duration,
}

impl Config {
    /// Reads and checks `file`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], which shows the place and says what to write instead.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let text = read_text(&absolute, MAX_BYTES).map_err(|source| match source {
            TextError::Io(e) if e.kind() == std::io::ErrorKind::NotFound => ConfigError::Missing(absolute.clone()),
            source => ConfigError::Unreadable { file: absolute.clone(), source },
        })?;
        Self::parse(&text, &absolute)
    }

    /// Checks `text` as the contents of `file`, whose directory relative paths start from.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Fault`].
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        wire::parse(text, file).map_err(|fault| ConfigError::Fault(Box::new(fault)))
    }

    /// The directory that relative paths in the file start from.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.file.parent().unwrap_or_else(|| Path::new("."))
    }

    /// Where the secrets file is.
    #[must_use]
    pub fn secrets_file(&self) -> PathBuf {
        self.data_dir.join(SECRETS_FILE)
    }

    /// Replaces every `secret://` and `env://` reference by its value.
    ///
    /// # Errors
    ///
    /// [`UnresolvedList`] names every reference without a value and where it stands; nothing starts then.
    pub fn resolve(
        &self,
        secrets: &Secrets,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<ResolvedServer>, UnresolvedList> {
        server::resolve_all(self.servers.values(), secrets, environment)
    }
}
