//! A configured server: how it is started or reached, and with what.

use super::{
    PackageRef, Secrets, Setting, UnresolvedList,
    reference::{Resolved, Resolver},
};
use interlock_model::ServerName;
use interlock_upstream::adapted::DocumentKind;
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// A server, its values still references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name; the part before `__` in exposed tool names.
    pub name: ServerName,
    /// How it is started or reached.
    pub launch: Launch,
    /// What its environment gets besides the few variables that every child gets. Empty for remote servers.
    pub env: BTreeMap<String, Setting>,
    /// Where it runs; `None` leaves that to the launcher.
    pub cwd: Option<PathBuf>,
    /// How long it may take for a call; `None` is the general limit.
    pub timeout: Option<Duration>,
    /// Most calls in flight at it; `None` is the general limit.
    pub max_in_flight: Option<usize>,
}

/// How a server is started or reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Launch {
    /// A package, installed once from a lock and run from there.
    Package(Package),
    /// A program on this machine.
    Command {
        /// A name to be found on `PATH`, or a path.
        program: String,
        /// Its arguments.
        args: Vec<Setting>,
    },
    /// A server that runs elsewhere.
    Remote {
        /// Its `http` or `https` address; a reference where the address itself holds a key.
        url: Setting,
        /// What every request to it carries.
        headers: BTreeMap<String, Setting>,
        /// What describes it, where it is an API and no MCP server.
        document: Option<Document>,
    },
}

/// What describes an API, so that it can be presented as tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What it is.
    pub kind: DocumentKind,
    /// Where it is.
    pub file: PathBuf,
}

impl Document {
    /// The key that names it.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self.kind {
            DocumentKind::OpenApi => "openapi",
            DocumentKind::GraphQl => "graphql",
        }
    }
}

/// A package to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Which.
    pub package: PackageRef,
    /// Which of its programs, where it has several or one by another name.
    pub bin: Option<String>,
    /// Its arguments.
    pub args: Vec<Setting>,
    /// Further requirements to install beside it (PEP 508, Python only), such as `mcp<2`.
    pub with: Vec<String>,
}

impl Launch {
    /// The arguments of what is started; none for a remote server.
    #[must_use]
    pub fn args(&self) -> &[Setting] {
        match self {
            Self::Package(package) => &package.args,
            Self::Command { args, .. } => args,
            Self::Remote { .. } => &[],
        }
    }

    /// What describes it, where it is an API and no MCP server.
    #[must_use]
    pub const fn document(&self) -> Option<&Document> {
        match self {
            Self::Remote { document, .. } => document.as_ref(),
            Self::Package(_) | Self::Command { .. } => None,
        }
    }

    /// In a few words, without secrets: `npm:@scope/name@1.2.3`, `node`, `https://host`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Package(package) => package.package.to_string(),
            Self::Command { program, .. } => program.clone(),
            Self::Remote { url: Setting::Plain(url), .. } => {
                let end = url.find("://").and_then(|at| url.get(at + 3..)?.find(['/', '?', '#']).map(|n| at + 3 + n));
                let origin = end.and_then(|e| url.get(..e)).unwrap_or(url);
                match (origin.split_once("://"), origin.rsplit_once('@')) {
                    (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
                    _ => origin.to_owned(),
                }
            }
            Self::Remote { url, .. } => url.to_string(),
        }
    }
}

/// A server with every reference replaced by its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedServer {
    /// Its name.
    pub name: ServerName,
    /// How it is started or reached.
    pub launch: ResolvedLaunch,
    /// What its environment gets.
    pub env: BTreeMap<String, Resolved>,
    /// Where it runs.
    pub cwd: Option<PathBuf>,
    /// How long it may take for a call.
    pub timeout: Option<Duration>,
    /// Most calls in flight at it.
    pub max_in_flight: Option<usize>,
}

/// [`Launch`] with values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedLaunch {
    /// A package.
    Package {
        /// Which.
        package: PackageRef,
        /// Which of its programs.
        bin: Option<String>,
        /// Its arguments.
        args: Vec<Resolved>,
        /// Further requirements.
        with: Vec<String>,
    },
    /// A program on this machine.
    Command {
        /// A name to be found on `PATH`, or a path.
        program: String,
        /// Its arguments.
        args: Vec<Resolved>,
    },
    /// A server that runs elsewhere.
    Remote {
        /// Its address.
        url: Resolved,
        /// What every request to it carries.
        headers: BTreeMap<String, Resolved>,
        /// What describes it, where it is an API and no MCP server.
        document: Option<Document>,
    },
}

pub(super) fn resolve_all<'a>(
    servers: impl Iterator<Item = &'a Server>,
    secrets: &Secrets,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<ResolvedServer>, UnresolvedList> {
    let mut resolver = Resolver { secrets, environment, missing: Vec::new() };
    let resolved: Vec<_> = servers.filter_map(|server| resolve(server, &mut resolver)).collect();
    if resolver.missing.is_empty() { Ok(resolved) } else { Err(UnresolvedList(resolver.missing)) }
}

/// `None` where a reference led nowhere; the resolver has noted which.
fn resolve(server: &Server, resolver: &mut Resolver<'_>) -> Option<ResolvedServer> {
    let name = &server.name;
    let mut map = |values: &BTreeMap<String, Setting>, table: &str| -> Option<BTreeMap<String, Resolved>> {
        // Every value is looked at, so that all that is missing is reported at once.
        let all: Vec<_> = values
            .iter()
            .map(|(key, value)| {
                Some((key.clone(), resolver.resolve(value, || format!("servers.{name}.{table}.{key}"))?))
            })
            .collect();
        all.into_iter().collect()
    };
    let env = map(&server.env, "env");
    let headers = match &server.launch {
        Launch::Remote { headers, .. } => map(headers, "headers"),
        Launch::Package(_) | Launch::Command { .. } => Some(BTreeMap::new()),
    };
    let args: Vec<_> = server
        .launch
        .args()
        .iter()
        .enumerate()
        .map(|(i, arg)| resolver.resolve(arg, || format!("servers.{name}.args[{i}]")))
        .collect();
    let args: Option<Vec<_>> = args.into_iter().collect();
    let launch = match &server.launch {
        Launch::Package(p) => ResolvedLaunch::Package {
            package: p.package.clone(),
            bin: p.bin.clone(),
            args: args?,
            with: p.with.clone(),
        },
        Launch::Command { program, .. } => ResolvedLaunch::Command { program: program.clone(), args: args? },
        Launch::Remote { url, document, .. } => {
            let url = resolver.resolve(url, || format!("servers.{name}.url"));
            ResolvedLaunch::Remote { url: url?, headers: headers?, document: document.clone() }
        }
    };
    Some(ResolvedServer {
        name: name.clone(),
        launch,
        env: env?,
        cwd: server.cwd.clone(),
        timeout: server.timeout,
        max_in_flight: server.max_in_flight,
    })
}
