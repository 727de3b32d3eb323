//! What the operator says about a server: how to reach it and what it may cost.

use crate::adapted::DocumentKind;
use crate::secret::SecretString;
use http::HeaderName;
use interlock_model::{Digest, ServerName};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// One server.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    /// Its configured name.
    pub name: ServerName,
    /// How to reach it.
    pub launch: Launch,
    /// The longest any of its calls may take, whatever the call asks for.
    pub timeout: Duration,
    /// What it may send.
    pub limits: Limits,
    /// Most calls at once; more wait.
    pub max_in_flight: usize,
    /// Most calls that wait for one of those to end; more are refused.
    pub queue: usize,
    /// The longest a call waits so. What the server may take for it is counted from there.
    pub queue_wait: Duration,
    /// When calls are refused because the server is unwell.
    pub tolerance: Tolerance,
    /// How often its tools are listed even if it announced no change.
    pub relist_interval: Duration,
}

impl ServerSpec {
    /// A server with the defaults: 60 s for a call, 256 calls at once and as many that wait for up to 10 s,
    /// listed every 60 s.
    #[must_use]
    pub const fn new(name: ServerName, launch: Launch) -> Self {
        Self {
            name,
            launch,
            timeout: Duration::from_secs(60),
            limits: Limits::DEFAULT,
            max_in_flight: 256,
            queue: 256,
            queue_wait: Duration::from_secs(10),
            tolerance: Tolerance::DEFAULT,
            relist_interval: Duration::from_secs(60),
        }
    }
}

/// How to reach a server.
#[derive(Clone)]
pub enum Launch {
    /// A child process that speaks newline-delimited JSON on its standard streams.
    Stdio {
        /// Its executable: a path, or a name looked up in the `PATH` that the child gets.
        program: PathBuf,
        /// Its arguments. Visible to other processes, so no place for secrets.
        args: Vec<String>,
        /// Its environment, beside the fixed list in [`crate::stdio::env`]; nothing else is inherited.
        env: Vec<(String, SecretString)>,
        /// Its working directory; ours if there is none.
        cwd: Option<PathBuf>,
    },
    /// Streamable HTTP, or HTTP+SSE where the endpoint takes no more than that.
    Http {
        /// The endpoint. `http` with secret headers only toward this machine.
        url: http::Uri,
        /// Sent with every request. What an agent sends as headers never is.
        headers: Vec<(HeaderName, SecretString)>,
        /// Where not empty, the server's certificate must hold one of these keys, beside being valid.
        key_pins: Vec<KeyPin>,
    },
    /// An API that a document describes; each call is one request to it.
    Adapted {
        /// What the document is.
        kind: DocumentKind,
        /// The file, read at every listing.
        document: PathBuf,
        /// The base URL, or the GraphQL endpoint. `http` with secret headers only toward this machine.
        url: http::Uri,
        /// Sent with every request.
        headers: Vec<(HeaderName, SecretString)>,
        /// As for [`Self::Http`].
        key_pins: Vec<KeyPin>,
    },
}

impl Launch {
    /// Every secret in it, to keep them out of messages.
    pub(crate) fn secrets(&self) -> Vec<SecretString> {
        match self {
            Self::Stdio { env, .. } => env.iter().map(|(_, v)| v.clone()).collect(),
            Self::Http { headers, .. } | Self::Adapted { headers, .. } => {
                headers.iter().map(|(_, v)| v.clone()).collect()
            }
        }
    }
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdio { program, args, env, cwd } => f
                .debug_struct("Stdio")
                .field("program", program)
                .field("args", args)
                .field("env", env)
                .field("cwd", cwd)
                .finish(),
            Self::Http { url, headers, key_pins } => f
                .debug_struct("Http")
                .field("url", &without_query(url))
                .field("headers", headers)
                .field("key_pins", key_pins)
                .finish(),
            Self::Adapted { kind, document, url, headers, key_pins } => f
                .debug_struct("Adapted")
                .field("kind", kind)
                .field("document", document)
                .field("url", &without_query(url))
                .field("headers", headers)
                .field("key_pins", key_pins)
                .finish(),
        }
    }
}

/// People put keys into queries.
fn without_query(url: &http::Uri) -> String {
    format!("{}://{}{}", url.scheme_str().unwrap_or_default(), url.host().unwrap_or_default(), url.path())
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo (DER).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPin(pub Digest);

/// What a server may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes of one answer.
    pub result_bytes: usize,
    /// Most bytes of all pages of a listing together.
    pub listing_bytes: usize,
    /// Most tools.
    pub tools: usize,
}

impl Limits {
    /// 16 MiB for an answer and for a listing, 4096 tools.
    pub const DEFAULT: Self = Self { result_bytes: 16 << 20, listing_bytes: 16 << 20, tools: 4096 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How many faults in a row are one too many, and what follows.
///
/// Faults are failures to connect, missing answers and answers that are none; JSON-RPC errors are answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// After so many, calls are refused at once until the server has answered a request of ours.
    pub faults: u32,
    /// How long until it is asked; each time in vain, or without a call answered since, twice as long.
    pub wait: Duration,
    /// At most so long.
    pub longest_wait: Duration,
    /// How long it may take to answer that request.
    pub patience: Duration,
}

impl Tolerance {
    /// Five faults; asked after a second, at most a minute, for ten seconds.
    pub const DEFAULT: Self = Self {
        faults: 5,
        wait: Duration::from_secs(1),
        longest_wait: Duration::from_secs(60),
        patience: Duration::from_secs(10),
    };
}

impl Default for Tolerance {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What we tell servers about ourselves.
#[derive(Clone, Debug)]
pub struct ClientInfo {
    /// The product.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl ClientInfo {
    /// As the JSON object of MCP's `Implementation`.
    pub(crate) fn to_json(&self) -> String {
        let quote = interlock_mcp::answer::quote;
        format!("{{\"name\":{},\"version\":{}}}", quote(&self.name), quote(&self.version))
    }
}
