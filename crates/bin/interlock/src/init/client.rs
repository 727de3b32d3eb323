//! One server as a client's configuration has it, before anything is judged.

use super::jsonc::{Json, Node};
use std::collections::BTreeMap;

/// What a client would start or reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientServer {
    /// The program.
    pub command: Option<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub cwd: Option<String>,
    /// A file with more environment (VS Code).
    pub env_file: Option<String>,
    /// A remote server's address.
    pub url: Option<String>,
    /// What requests to it carry.
    pub headers: BTreeMap<String, String>,
    /// Whether its owner switched it off.
    pub disabled: bool,
}

impl ClientServer {
    /// Reads a client's entry; `None` if it is no object with a command or an address.
    #[must_use]
    pub fn read(node: &Node) -> Option<Self> {
        if !matches!(node.json, Json::Object(_)) {
            return None;
        }
        let text = |name: &str| node.get(name).and_then(Node::as_str).map(str::to_owned);
        let map = |name: &str| -> BTreeMap<String, String> {
            let members = node.get(name).map(Node::members).unwrap_or_default();
            members.iter().filter_map(|(k, v)| Some((k.clone(), v.as_text()?))).collect()
        };
        let url = ["url", "serverUrl", "httpUrl"].iter().find_map(|name| text(name));
        let command = text("command").filter(|c| !c.trim().is_empty());
        if url.is_none() && command.is_none() {
            return None;
        }
        let flag = |name: &str| matches!(node.get(name).map(|n| &n.json), Some(Json::Bool(true)));
        Some(Self {
            command,
            args: node.get("args").map(Node::items).unwrap_or_default().iter().filter_map(Node::as_text).collect(),
            env: map("env"),
            cwd: text("cwd").filter(|c| !c.is_empty()),
            env_file: text("envFile"),
            url,
            headers: map("headers"),
            disabled: flag("disabled"),
        })
    }

    /// Whether this is Interlock itself, from an earlier change.
    #[must_use]
    pub fn is_interlock(&self) -> bool {
        self.command.as_deref().is_some_and(|c| super::launcher::program_name(c) == "interlock")
            && self.args.iter().any(|a| a == "stdio")
    }
}

/// What VS Code asks its user for: `inputs`, id to description.
#[must_use]
pub(super) fn inputs(root: &Node) -> BTreeMap<String, String> {
    let lists = [root.get("inputs"), root.get("mcp").and_then(|mcp| mcp.get("inputs"))];
    let input = |node: &Node| {
        let id = node.get("id")?.as_str()?.to_owned();
        let description = node.get("description").and_then(Node::as_str).unwrap_or_default().to_owned();
        Some((id, description))
    };
    lists.into_iter().flatten().flat_map(Node::items).filter_map(input).collect()
}
