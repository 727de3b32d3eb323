//! The other people's servers of the demo, at exact versions.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Where the servers come from.
pub(super) enum Peers {
    /// Installed before from the project's lock files (`scripts/peers.sh`, which `make demo` runs).
    Installed { node: String, npm: PathBuf, python_1: PathBuf, python_2: PathBuf },
    /// Installed by `interlock catalog scan`, as a user's servers are.
    Packages,
}

impl Peers {
    pub(super) fn find() -> Self {
        let path = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.exists());
        match (std::env::var("PEERS_NODE").ok(), path("PEERS_NPM"), path("PEERS_PY1"), path("PEERS_PY2")) {
            (Some(node), Some(npm), Some(python_1), Some(python_2)) => {
                Self::Installed { node, npm, python_1, python_2 }
            }
            _ => Self::Packages,
        }
    }

    /// The servers as a host's configuration has them.
    pub(super) fn hosts_configuration(&self, workspace: &str, database: &str) -> Value {
        match self {
            Self::Installed { node, npm, python_1, python_2 } => {
                let script = npm.join("node_modules/@modelcontextprotocol/server-filesystem/dist/index.js");
                let program = |dir: &Path, name: &str| dir.join("bin").join(name).display().to_string();
                json!({ "mcpServers": {
                    "files": { "command": node, "args": [script.display().to_string(), workspace] },
                    "db": { "command": program(python_1, "mcp-server-sqlite"), "args": ["--db-path", database] },
                    "web": { "command": program(python_2, "mcp-server-fetch") },
                }})
            }
            Self::Packages => json!({ "mcpServers": {
                "files": { "command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem@2026.8.31", workspace] },
                "db": { "command": "uvx", "args": ["--with", "mcp<2", "mcp-server-sqlite@2025.4.25", "--db-path", database] },
                "web": { "command": "uvx", "args": ["mcp-server-fetch@2026.10.24"] },
            }}),
        }
    }

    /// A Python that has version 2 of the official SDK: that of the server that is built on it.
    pub(super) fn python(&self, dir: &Path) -> PathBuf {
        match self {
            Self::Installed { python_2, .. } => python_2.join("bin/python"),
            Self::Packages => dir.join(".interlock/servers/web/venv/bin/python"),
        }
    }
}
