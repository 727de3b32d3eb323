//! What a live server says now, against what was approved (design 4.4).

use crate::{Catalog, Definition, DefinitionError};
use interlock_model::json::{Json, Limits};
use interlock_model::{ServerName, ToolName};
use std::collections::HashMap;

/// One element of a server's `tools/list`.
#[derive(Clone, Debug)]
pub enum Live {
    /// A definition.
    Defined(Definition),
    /// Something else.
    Malformed {
        /// Its name, if it has one that a tool may have.
        name: Option<ToolName>,
        /// What is wrong with it.
        error: DefinitionError,
    },
}

/// One difference between a live server and the catalog.
#[derive(Clone, Debug)]
pub struct Drift {
    /// The tool; absent for a malformed element without a usable name.
    pub tool: Option<ToolName>,
    /// What happened to it.
    pub kind: DriftKind,
}

/// What happened to a tool.
#[derive(Clone, Debug)]
pub enum DriftKind {
    /// Its definition is not the approved one.
    Changed {
        /// What the server says now.
        found: Definition,
    },
    /// It is approved, and the server does not offer it.
    Missing,
    /// The server offers it, and nobody approved it. It stays unlisted; that is no quarantine.
    New {
        /// What the server says.
        found: Definition,
    },
    /// What the server says is not a definition, or it says it twice.
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
}

impl DriftKind {
    /// Whether calls to the tool must stop until a human has looked.
    #[must_use]
    pub const fn quarantines(&self) -> bool {
        match self {
            Self::Changed { .. } | Self::Missing | Self::Malformed { .. } => true,
            Self::New { .. } => false,
        }
    }

    /// The name in entries and messages.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Changed { .. } => "changed",
            Self::Missing => "missing",
            Self::New { .. } => "new",
            Self::Malformed { .. } => "malformed",
        }
    }
}

impl Live {
    /// Reads one element; a malformed one keeps its name where that can be read, so that it is the named
    /// tool that is quarantined.
    #[must_use]
    pub fn read(raw: &[u8]) -> Self {
        match Definition::parse(raw) {
            Ok(definition) => Self::Defined(definition),
            Err(error) => {
                let json = Json::parse(raw, Limits::RESULT).ok();
                let name = json.and_then(|json| ToolName::new(&json.root().get("name")?.as_str()?).ok());
                Self::Malformed { name, error }
            }
        }
    }

    /// The tool's name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&ToolName> {
        match self {
            Self::Defined(definition) => Some(definition.name()),
            Self::Malformed { name, .. } => name.as_ref(),
        }
    }
}

/// Compares everything that `server` offers with the catalog. Empty means: exactly what was approved.
///
/// In the order of `live`, then what is missing, sorted by name.
#[must_use]
pub fn drift(server: &ServerName, approved: &Catalog, live: &[Live]) -> Vec<Drift> {
    let mut times: HashMap<&ToolName, usize> = HashMap::new();
    for name in live.iter().filter_map(Live::name) {
        *times.entry(name).or_default() += 1;
    }
    let mut found = Vec::new();
    let mut reported_twice: Vec<&ToolName> = Vec::new();
    for element in live {
        let name = element.name();
        if let Some(name) = name.filter(|n| times.get(n).is_some_and(|times| *times > 1)) {
            // Hosts differ in which of two they use, so neither is the approved one.
            if !reported_twice.contains(&name) {
                reported_twice.push(name);
                let reason = "the server lists this name more than once".to_owned();
                found.push(Drift { tool: Some(name.clone()), kind: DriftKind::Malformed { reason } });
            }
            continue;
        }
        let kind = match element {
            Live::Malformed { error, .. } => DriftKind::Malformed { reason: error.to_string() },
            Live::Defined(definition) => match approved.by_name(server, definition.name().as_str()) {
                Some(tool) if tool.definition == *definition => continue,
                Some(_) => DriftKind::Changed { found: definition.clone() },
                None => DriftKind::New { found: definition.clone() },
            },
        };
        found.push(Drift { tool: name.cloned(), kind });
    }
    let missing = approved.server(server).map_or(&[][..], |s| s.tools());
    found.extend(
        missing
            .iter()
            .filter(|tool| !times.contains_key(tool.name()))
            .map(|tool| Drift { tool: Some(tool.name().clone()), kind: DriftKind::Missing }),
    );
    found
}
