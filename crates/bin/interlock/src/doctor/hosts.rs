//! Checks of the hosts' own configurations: do they use Interlock, do they go round it, can they be read at all.

use super::{
    Check,
    facts::{Facts, HostFile, Probe},
};
use crate::{
    config::decode,
    init::{ClientServer, Host, jsonc, servers_in},
};

/// Most tools that a host passes on to its model, as reported by their users. Hosts change these figures: Cursor's
/// documentation named 40 in 2025, its warning 80 later; VS Code refuses requests with more than 128.
const TOOL_LIMITS: &[(Host, usize)] = &[(Host::Cursor, 40), (Host::VsCode, 128)];
/// What is said for hosts without a figure: models choose worse among more.
const MANY_TOOLS: usize = 100;

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let mut out = Vec::new();
    let mut uses = 0;
    for file in &facts.hosts {
        let id = format!("host.{}", file.host.slug());
        let path = file.file.display();
        let servers = match read(file) {
            Ok(servers) => servers,
            Err((what, mend)) => {
                out.push(Check::fail(id, format!("`{path}`: {what}"), mend));
                continue;
            }
        };
        if let Some(check) = encoding(&id, file) {
            out.push(check);
        }
        let (ours, direct): (Vec<_>, Vec<_>) = servers.iter().partition(|(_, server)| server.is_interlock());
        uses += ours.len();
        let direct: Vec<_> =
            direct.iter().filter(|(_, s)| !s.disabled).map(|(name, _)| crate::term::clean(name).into_owned()).collect();
        out.push(match (ours.is_empty(), direct.is_empty()) {
            (_, false) => Check::warn(
                id.clone(),
                format!("{} starts these past Interlock: {} (`{path}`)", file.host.as_str(), direct.join(", ")),
                "what goes past Interlock is neither decided nor recorded: see that interlock.toml has these servers, then leave only `interlock` there",
            ),
            (false, true) => Check::ok(id.clone(), format!("{} uses Interlock alone (`{path}`)", file.host.as_str())),
            (true, true) => Check::ok(id.clone(), format!("`{path}` lists no servers")),
        });
        out.extend(ours.iter().filter_map(|(_, server)| entry(&id, server)));
    }
    if uses == 0 {
        out.push(Check::warn(
            "host.none",
            "no host's configuration that was found uses Interlock",
            "run `interlock agents add NAME --owner WHO` and put the entry that it prints into the host's configuration (a first `interlock init --apply` does both)",
        ));
    }
    out.extend(tool_counts(facts));
    out
}

type Servers = Vec<(String, ClientServer)>;

fn read(file: &HostFile) -> Result<Servers, (String, String)> {
    let bytes = file.bytes.as_ref().map_err(|e| (e.clone(), "see that this user may read it".to_owned()))?;
    let text = decode(bytes).map_err(|e| (e.to_string(), "save it as UTF-8".to_owned()))?;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let root = jsonc::parse(&text)
        .map_err(|e| (e.to_string(), "correct it there; the host does not read it either".to_owned()))?;
    Ok(servers_in(&root))
}

/// Hosts are programs in JavaScript, whose parser takes neither mark.
fn encoding(id: &str, file: &HostFile) -> Option<Check> {
    let bytes = file.bytes.as_ref().ok()?;
    let what = match bytes.as_slice() {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "is UTF-16, which most hosts do not read",
        [0xef, 0xbb, 0xbf, ..] => "starts with a byte order mark, at which some hosts stop",
        _ => return None,
    };
    Some(Check::warn(
        format!("{id}.encoding"),
        format!("`{}` {what}", file.file.display()),
        "save it as UTF-8 without a mark",
    ))
}

/// How a host starts Interlock.
fn entry(id: &str, server: &ClientServer) -> Option<Check> {
    let command = server.command.as_deref().unwrap_or_default();
    let absolute = command.starts_with('/')
        || command.get(1..3).is_some_and(|s| s == ":\\" || s == ":/")
        || command.starts_with(r"\\");
    let unexpanded = |t: &str| t.contains("${") || t.starts_with('~') || t.matches('%').count() >= 2;
    let id = format!("{id}.entry");
    if unexpanded(command) || server.args.iter().any(|a| unexpanded(a)) {
        return Some(Check::warn(
            id,
            "its entry for Interlock has `~` or a variable, which few hosts expand",
            "write whole paths",
        ));
    }
    if !absolute {
        return Some(Check::warn(
            id,
            format!("its entry starts `{command}`, which the host may not find: its PATH is not the one of your shell"),
            "write the whole path of the program",
        ));
    }
    let config = server.args.iter().position(|a| a == "--config").and_then(|i| server.args.get(i + 1));
    let relative = config.is_none_or(|c| !c.starts_with('/') && c.get(1..2) != Some(":"));
    relative.then(|| {
        Check::warn(
            id,
            "its entry names no configuration by its whole path: hosts start programs anywhere",
            "add `--config` with the whole path",
        )
    })
}

fn tool_counts(facts: &Facts) -> Vec<Check> {
    let Probe::Found(catalog) = &facts.gateway.catalog else { return Vec::new() };
    let tools: usize = catalog.tools.values().sum();
    let mut out = Vec::new();
    for (host, limit) in TOOL_LIMITS {
        if facts.hosts.iter().any(|f| f.host == *host) && tools > *limit {
            out.push(Check::warn(
                format!("host.{}.tools", host.slug()),
                format!("{tools} tools are approved; {} was reported to pass on {limit} at most", host.as_str()),
                "let policy show each agent only what it needs (action `list`), or use /mcp/NAME for one server",
            ));
        }
    }
    if out.is_empty() && tools > MANY_TOOLS {
        out.push(Check::warn(
            "host.tools",
            format!("{tools} tools are approved: many hosts have a limit, and models choose worse among so many"),
            "let policy show each agent only what it needs (action `list`)",
        ));
    }
    out
}
