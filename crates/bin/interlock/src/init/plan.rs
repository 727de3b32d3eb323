//! What was found in which files, and what it becomes.

use super::{
    client::{self, ClientServer},
    convert::{Moved, Surroundings, convert},
    expand::Context,
    hosts::{Host, Roots, listings},
    jsonc, names,
};
use crate::config::{SecretName, Server, read_text};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Most bytes of a client's configuration: `~/.claude.json` also holds history.
const MAX_BYTES: u64 = 32 << 20;

/// A file that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Whose it is.
    pub host: Host,
    /// The file.
    pub file: PathBuf,
    /// How many servers it lists, or why it could not be read.
    pub found: Result<usize, String>,
    /// In how many lists: Claude Code keeps one for each project beside its own.
    pub lists: usize,
}

/// A server that was found and what it becomes.
pub struct Planned {
    /// The configured server.
    pub server: Server,
    /// Where it was found: indexes into [`Plan::sources`], and its name there.
    pub origins: Vec<(usize, String)>,
    /// What moves to the secrets file.
    pub moved: Vec<Moved>,
    /// What its owner should know.
    pub notes: Vec<String>,
}

/// A server that was found and left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its name in the client's file.
    pub name: String,
    /// Index into [`Plan::sources`].
    pub source: usize,
    /// Why.
    pub why: &'static str,
}

/// All that `init` is about to write down.
#[derive(Default)]
pub struct Plan {
    /// The files, in the order they were looked at.
    pub sources: Vec<Source>,
    /// The servers, in the order they were found.
    pub servers: Vec<Planned>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// Wherever the known hosts keep their files.
    Everywhere,
    /// Where these hosts do.
    Hosts(&'static [Host]),
    /// In this file, which must exist.
    File(PathBuf),
}

impl From {
    /// What `--from` says.
    #[must_use]
    pub fn from_option(word: Option<&str>) -> Self {
        match word {
            None => Self::Everywhere,
            Some(word) => Host::by_word(word).map_or_else(|| Self::File(word.into()), Self::Hosts),
        }
    }

    fn files(&self, roots: &Roots) -> Vec<(Host, PathBuf)> {
        let hosts = match self {
            Self::File(file) => return vec![(Host::File, file.clone())],
            Self::Everywhere => Host::ALL,
            Self::Hosts(hosts) => hosts,
        };
        let all = hosts.iter().flat_map(|host| host.locations(roots).into_iter().map(|file| (*host, file)));
        all.filter(|(_, file)| file.is_file()).collect()
    }
}

impl Plan {
    /// Looks where `from` says and converts what is there. `taken` names secrets that exist already.
    #[must_use]
    pub fn of(
        from: &From,
        roots: &Roots,
        environment: &dyn Fn(&str) -> Option<String>,
        taken: &dyn Fn(&SecretName) -> bool,
    ) -> Self {
        let mut plan = Self::default();
        let mut seen: Vec<(ClientServer, usize)> = Vec::new();
        for (host, file) in from.files(roots) {
            let at = plan.sources.len();
            plan.sources.push(Source { host, file: file.clone(), found: Ok(0), lists: 0 });
            let found = plan.read(at, &file, roots, environment, taken, &mut seen);
            if let Some(source) = plan.sources.get_mut(at) {
                source.found = found;
            }
        }
        plan
    }

    fn read(
        &mut self,
        source: usize,
        file: &Path,
        roots: &Roots,
        environment: &dyn Fn(&str) -> Option<String>,
        taken: &dyn Fn(&SecretName) -> bool,
        seen: &mut Vec<(ClientServer, usize)>,
    ) -> Result<usize, String> {
        let text = read_text(file, MAX_BYTES).map_err(|e| e.to_string())?;
        if text.trim().is_empty() {
            return Ok(0);
        }
        let root = jsonc::parse(&text).map_err(|e| e.to_string())?;
        let inputs = client::inputs(&root);
        let mut count = 0;
        let listings = listings(&root);
        if let Some(source) = self.sources.get_mut(source) {
            source.lists = listings.iter().filter(|l| !l.servers.members().is_empty()).count();
        }
        for listing in listings {
            let project = match listing.project {
                Some(project) => PathBuf::from(project),
                None => project_of(file).unwrap_or_else(|| roots.project.clone()),
            };
            let context = Context { home: &roots.home, project: &project, environment };
            for (name, node) in listing.servers.members() {
                let skip = |why| Skipped { name: name.clone(), source, why };
                let Some(client) = ClientServer::read(node) else {
                    self.skipped.push(skip("it has neither a command nor an address"));
                    continue;
                };
                if client.is_interlock() {
                    self.skipped.push(skip("it is Interlock itself"));
                    continue;
                }
                count += 1;
                if client.disabled {
                    self.skipped.push(skip("its owner switched it off"));
                    continue;
                }
                let same = seen.iter().find(|(other, _)| *other == client).map(|(_, at)| *at);
                if let Some(planned) = same.and_then(|at| self.servers.get_mut(at)) {
                    planned.origins.push((source, name.clone()));
                    continue;
                }
                let used: BTreeSet<_> = self.servers.iter().map(|p| p.server.name.clone()).collect();
                if used.len() == crate::config::MAX_SERVERS {
                    self.skipped.push(skip("there are more servers than one gateway takes"));
                    continue;
                }
                let Some(own) = names::server_name(name, &used) else { continue };
                let others = |name: &SecretName| {
                    taken(name) || self.servers.iter().any(|p| p.moved.iter().any(|m| m.name == *name))
                };
                let converted = convert(own, &client, &Surroundings { context, inputs: &inputs, taken: &others });
                let mut notes = converted.notes;
                if converted.server.name.as_str() != name {
                    notes.insert(0, format!("was called `{name}`"));
                }
                seen.push((client, self.servers.len()));
                self.servers.push(Planned {
                    server: converted.server,
                    origins: vec![(source, name.clone())],
                    moved: converted.moved,
                    notes,
                });
            }
        }
        Ok(count)
    }

    /// Every secret that moves, by name.
    #[must_use]
    pub fn secrets(&self) -> BTreeMap<&SecretName, &Moved> {
        self.servers.iter().flat_map(|p| &p.moved).map(|m| (&m.name, m)).collect()
    }
}

/// The project that a file of its own kind of directory belongs to: `P/.vscode/mcp.json`, `P/.cursor/mcp.json`, `P/.mcp.json`.
fn project_of(file: &Path) -> Option<PathBuf> {
    let parent = file.parent()?;
    let in_dot_directory = parent.file_name().is_some_and(|n| n == ".vscode" || n == ".cursor");
    if in_dot_directory {
        return parent.parent().map(Path::to_owned);
    }
    (file.file_name()? == ".mcp.json").then(|| parent.to_owned())
}
