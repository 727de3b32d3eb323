//! The hosts whose configurations are looked for, where each keeps them, and what to write there instead.

use super::jsonc::Node;
use interlock_model::OwnerId;
use std::path::{Path, PathBuf};

/// A program that runs agents and starts MCP servers for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// Claude Desktop.
    ClaudeDesktop,
    /// Claude Code.
    ClaudeCode,
    /// Cursor.
    Cursor,
    /// Visual Studio Code.
    VsCode,
    /// Any file in one of their formats.
    File,
}

/// The operating system whose layout to use: a parameter, so that every layout is tested everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Os {
    /// Linux and other systems with XDG directories.
    Linux,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

/// Where a person's files are.
#[derive(Clone, Debug)]
pub struct Roots {
    /// Whose layout.
    pub os: Os,
    /// The home directory.
    pub home: PathBuf,
    /// Where programs keep their settings: `%APPDATA%`, `~/Library/Application Support`, `~/.config`.
    pub settings: PathBuf,
    /// The directory whose project files count.
    pub project: PathBuf,
}

impl Roots {
    /// This machine's, for `project`. `None` without a home directory.
    #[must_use]
    pub fn of_this_machine(project: PathBuf, variable: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let os = if cfg!(windows) {
            Os::Windows
        } else if cfg!(target_os = "macos") {
            Os::MacOs
        } else {
            Os::Linux
        };
        let set = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let home = set(if os == Os::Windows { "USERPROFILE" } else { "HOME" })?;
        let settings = match os {
            Os::Windows => set("APPDATA").unwrap_or_else(|| home.join("AppData").join("Roaming")),
            Os::MacOs => home.join("Library").join("Application Support"),
            Os::Linux => set("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
        };
        Some(Self { os, home, settings, project })
    }
}

impl Host {
    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClaudeDesktop => "Claude Desktop",
            Self::ClaudeCode => "Claude Code",
            Self::Cursor => "Cursor",
            Self::VsCode => "VS Code",
            Self::File => "file",
        }
    }

    /// As a part of ids: its checks in `doctor`, the agent that stands for it.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::ClaudeDesktop => "claude-desktop",
            Self::ClaudeCode => "claude-code",
            Self::Cursor => "cursor",
            Self::VsCode => "vs-code",
            Self::File => "mcp-host",
        }
    }

    /// The member under which this host's own files list servers.
    #[must_use]
    pub const fn servers_member(self) -> &'static str {
        match self {
            Self::VsCode => "servers",
            Self::ClaudeDesktop | Self::ClaudeCode | Self::Cursor | Self::File => "mcpServers",
        }
    }

    /// Hosts by the word on the command line.
    #[must_use]
    pub fn by_word(word: &str) -> Option<&'static [Self]> {
        match word {
            "claude" => Some(&[Self::ClaudeDesktop, Self::ClaudeCode]),
            "cursor" => Some(&[Self::Cursor]),
            "vscode" => Some(&[Self::VsCode]),
            _ => None,
        }
    }

    /// All of them that have places of their own.
    pub const ALL: &'static [Self] = &[Self::ClaudeDesktop, Self::ClaudeCode, Self::Cursor, Self::VsCode];

    /// Where this host may keep its configuration, the person's own files first.
    #[must_use]
    pub fn locations(self, roots: &Roots) -> Vec<PathBuf> {
        let (home, settings, project) = (&roots.home, &roots.settings, &roots.project);
        match self {
            Self::ClaudeDesktop => vec![settings.join("Claude").join("claude_desktop_config.json")],
            Self::ClaudeCode => vec![home.join(".claude.json"), project.join(".mcp.json")],
            Self::Cursor => vec![home.join(".cursor").join("mcp.json"), project.join(".cursor").join("mcp.json")],
            Self::VsCode => {
                let user = |product: &str| settings.join(product).join("User");
                vec![
                    user("Code").join("mcp.json"),
                    user("Code").join("settings.json"),
                    user("Code - Insiders").join("mcp.json"),
                    project.join(".vscode").join("mcp.json"),
                ]
            }
            Self::File => Vec::new(),
        }
    }
}

/// The members that lead to the servers in `file`: VS Code's general settings hold them one level deeper.
pub(super) fn servers_path(host: Host, file: &Path) -> Vec<&'static str> {
    let general = host == Host::VsCode && file.file_name().is_some_and(|n| n == "settings.json");
    if general { vec!["mcp", host.servers_member()] } else { vec![host.servers_member()] }
}

/// Where in a file servers are listed, and for which project if only for one.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    pub(super) servers: &'a Node,
    /// A project's directory (Claude Code keeps those in one file).
    pub(super) project: Option<&'a str>,
}

/// All objects of servers in a client's file: `mcpServers`, `servers`, `mcp.servers`, `projects.*.mcpServers`.
pub(super) fn listings(root: &Node) -> Vec<Listing<'_>> {
    let mcp = root.get("mcp");
    let own = [
        root.get("mcpServers"),
        root.get("servers"),
        mcp.and_then(|mcp| mcp.get("servers")),
        mcp.and_then(|mcp| mcp.get("mcpServers")),
    ];
    let projects = root.get("projects").map(Node::members).unwrap_or_default();
    let of_projects = projects.iter().map(|(project, settings)| (settings.get("mcpServers"), Some(project.as_str())));
    own.into_iter()
        .map(|servers| (servers, None))
        .chain(of_projects)
        .filter_map(|(servers, project)| Some(Listing { servers: servers?, project }))
        .filter(|listing| matches!(listing.servers.json, super::jsonc::Json::Object(_)))
        .collect()
}

/// How a host starts Interlock.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// This program, with its whole path: hosts have another `PATH` than shells.
    pub program: &'a Path,
    /// The configuration, with its whole path.
    pub config: &'a Path,
    /// The agent's key; `None` leaves words to replace, for people to read and never for a host's file.
    pub agent_key: Option<&'a str>,
}

/// How a person registers the agent that stands for a host.
#[derive(Clone, Debug)]
pub struct Registering<'a> {
    /// What to type for this program with this configuration: `interlock`, `interlock --config /p/interlock.toml`.
    pub command: &'a str,
    /// The accountable human.
    pub owner: &'a OwnerId,
}

impl Registering<'_> {
    /// The command that prints the key of the agent for `host`.
    #[must_use]
    pub fn line(&self, host: Host) -> String {
        format!("{} agents add {} --owner {}", self.command, host.slug(), self.owner)
    }
}

impl Entry<'_> {
    /// The value of the member `interlock`, as JSON.
    #[must_use]
    pub fn to_json(&self, host: Host) -> serde_json::Value {
        let key = self.agent_key.unwrap_or("the key that `interlock agents add` prints");
        let mut entry = serde_json::json!({
            "command": self.program.to_string_lossy(),
            "args": ["stdio", "--config", self.config.to_string_lossy()],
            "env": { "INTERLOCK_AGENT_KEY": key },
        });
        if let Some(object) = entry.as_object_mut().filter(|_| host == Host::VsCode) {
            object.insert("type".to_owned(), "stdio".into());
        }
        entry
    }

    /// The whole of `file` for a host that has nothing else in it, for people to copy.
    #[must_use]
    pub fn snippet(&self, host: Host, file: &Path) -> String {
        let mut whole = serde_json::json!({ "interlock": self.to_json(host) });
        for member in servers_path(host, file).iter().rev() {
            whole = serde_json::json!({ *member: whole });
        }
        serde_json::to_string_pretty(&whole).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout() {
        let roots = |os, home: &str, settings: &str| Roots {
            os,
            home: home.into(),
            settings: settings.into(),
            project: "/src".into(),
        };
        let mac = roots(Os::MacOs, "/Users/ada", "/Users/ada/Library/Application Support");
        let windows = roots(Os::Windows, "/c/Users/ada", "/c/Users/ada/AppData/Roaming");
        for (host, roots, expected) in [
            (Host::ClaudeDesktop, &mac, "/Users/ada/Library/Application Support/Claude/claude_desktop_config.json"),
            (Host::ClaudeDesktop, &windows, "/c/Users/ada/AppData/Roaming/Claude/claude_desktop_config.json"),
            (Host::ClaudeCode, &windows, "/c/Users/ada/.claude.json"),
            (Host::Cursor, &mac, "/Users/ada/.cursor/mcp.json"),
            (Host::VsCode, &windows, "/c/Users/ada/AppData/Roaming/Code/User/mcp.json"),
            (Host::VsCode, &mac, "/Users/ada/Library/Application Support/Code/User/mcp.json"),
        ] {
            assert_eq!(host.locations(roots)[0], Path::new(expected));
        }
        assert_eq!(Host::Cursor.locations(&mac)[1], Path::new("/src/.cursor/mcp.json"));
    }

    #[test]
    fn a_snippet_is_the_whole_file() {
        let entry = Entry { program: Path::new("/i"), config: Path::new("/c"), agent_key: Some("k") };
        for (host, file, path) in [
            (Host::Cursor, "mcp.json", &["mcpServers"][..]),
            (Host::VsCode, "mcp.json", &["servers"]),
            (Host::VsCode, "settings.json", &["mcp", "servers"]),
        ] {
            let whole: serde_json::Value = serde_json::from_str(&entry.snippet(host, Path::new(file))).unwrap();
            let servers = path.iter().fold(&whole, |at, member| &at[*member]);
            assert_eq!(servers["interlock"]["command"], "/i");
            assert_eq!(servers["interlock"]["env"]["INTERLOCK_AGENT_KEY"], "k");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_follows_its_variables() {
        let variable = |name: &str| match name {
            "HOME" => Some("/home/ada".to_owned()),
            "XDG_CONFIG_HOME" => Some(String::new()),
            _ => None,
        };
        let roots = Roots::of_this_machine("/p".into(), &variable).unwrap();
        assert_eq!((roots.os, roots.settings), (Os::Linux, PathBuf::from("/home/ada/.config")));
        assert!(Roots::of_this_machine("/p".into(), &|_| None).is_none());
    }
}
