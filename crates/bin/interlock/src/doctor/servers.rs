//! Checks of each server: its program, its package, what it is, what it lists.

use super::{
    Check,
    facts::{Facts, Found, Probe, ServerProbe},
};
use crate::config::{Config, Launch, Server};

pub(super) fn checks(config: &Config, facts: &Facts) -> Vec<Check> {
    let mut out = Vec::new();
    if let Some(answers) = facts.docker {
        out.push(if answers {
            Check::ok("machine.docker", "the container engine answers")
        } else {
            Check::fail(
                "machine.docker",
                "/var/run/docker.sock does not answer: it is not running, or this user may not use it",
                "start Docker; with Docker Desktop under WSL, switch on the integration for this distribution; else add the gateway's user to the group `docker`, which makes it as good as root",
            )
        });
    }
    for server in config.servers.values() {
        let nothing = ServerProbe::default();
        let probe = facts.gateway.servers.get(&server.name).unwrap_or(&nothing);
        out.extend(program(server, facts));
        out.extend(document(server, facts));
        if matches!(server.launch, Launch::Package(_)) {
            out.push(installed(server, probe));
        }
        out.push(identity(server, probe));
        out.push(listed(server, probe));
    }
    out
}

fn program(server: &Server, facts: &Facts) -> Option<Check> {
    let id = format!("server.{}.program", server.name);
    Some(match facts.programs.get(&server.name)? {
        Found::At(path) => Check::ok(id, path.display().to_string()),
        Found::NotExecutable(path) => {
            Check::fail(id, format!("`{}` is not executable", path.display()), "run `chmod +x` on it")
        }
        Found::Nowhere(program) => {
            let mend = match (&server.launch, program.as_str()) {
                (Launch::Package(_), "node") => "install Node.js 22 or newer, where the gateway's PATH finds it",
                (Launch::Package(_), _) => "install Python 3, where the gateway's PATH finds it",
                _ => "write the whole path: the gateway's PATH is not the one of your shell",
            };
            Check::fail(id, format!("`{program}` was not found"), mend)
        }
    })
}

/// What comes of the document that describes an API.
fn document(server: &Server, facts: &Facts) -> Option<Check> {
    let id = format!("server.{}.document", server.name);
    let file = &server.launch.document()?.file;
    Some(match facts.documents.get(&server.name)? {
        Probe::NotTried(why) => Check::skipped(id, why.clone()),
        Probe::Found(described) if described.left_out.is_empty() => {
            Check::ok(id, format!("{} tools come of `{}`", described.tools, file.display()))
        }
        Probe::Found(described) => Check::ok(
            id,
            format!(
                "{} tools come of `{}`; operations left out: {}; `interlock catalog scan {}` says which and why",
                described.tools,
                file.display(),
                described.left_out.len(),
                server.name
            ),
        ),
        Probe::Failed(why) => Check::fail(
            id,
            why.clone(),
            "mend the file, or write another one's name: an OpenAPI 3.0 or 3.1 description (JSON or YAML) for `openapi`, the \
             result of an introspection query or schema definition language for `graphql`",
        ),
    })
}

fn installed(server: &Server, probe: &ServerProbe) -> Check {
    let id = format!("server.{}.installed", server.name);
    match &probe.installed {
        Probe::NotTried(why) => Check::skipped(id, why.clone()),
        Probe::Found(()) => Check::ok(id, "installed as its lock says"),
        Probe::Failed(why) => Check::fail(id, why.clone(), format!("run `interlock catalog scan {}`", server.name)),
    }
}

fn identity(server: &Server, probe: &ServerProbe) -> Check {
    let id = format!("server.{}.identity", server.name);
    match &probe.identity {
        Probe::NotTried(why) => Check::skipped(id, why.clone()),
        Probe::Found(true) => Check::ok(id, "it is what was approved"),
        Probe::Found(false) => Check::fail(
            id,
            "it is not what was approved: its files or its address changed, and it is not started",
            format!(
                "if the change is wanted, `interlock catalog scan {0}`, look at what it shows, and `interlock catalog approve {0}`",
                server.name
            ),
        ),
        Probe::Failed(why) => Check::fail(id, why.clone(), format!("run `interlock catalog scan {}`", server.name)),
    }
}

fn listed(server: &Server, probe: &ServerProbe) -> Check {
    let id = format!("server.{}.lists", server.name);
    match &probe.listed {
        Probe::NotTried(why) => Check::skipped(id, why.clone()),
        Probe::Found(list) if !list.quarantined.is_empty() => Check::warn(
            id,
            format!(
                "{} tools changed since they were approved and are in quarantine: {}",
                list.quarantined.len(),
                list.quarantined.join(", ")
            ),
            format!(
                "look at `interlock catalog diff {0}`; if the change is wanted, `interlock catalog scan {0}` and `approve {0}`",
                server.name
            ),
        ),
        Probe::Found(list) if list.unapproved > 0 => Check::warn(
            id,
            format!("{} of its {} tools are approved by nobody; agents do not see them", list.unapproved, list.tools),
            format!("run `interlock catalog approve {}`", server.name),
        ),
        Probe::Found(list) => Check::ok(id, format!("{} tools", list.tools)),
        Probe::Failed(why) => Check::fail(id, why.clone(), why_not(server, why)),
    }
}

/// What usually lies behind an error of a server.
fn why_not(server: &Server, error: &str) -> String {
    let lower = error.to_ascii_lowercase();
    let remote = matches!(server.launch, Launch::Remote { .. });
    let mend = if server.launch.document().is_some() {
        "look at the document that describes it, and at its `url` and `headers`"
    } else if remote && lower.contains("421") {
        "it answers 421 because it checks the `Host` header and does not know the name in its address: add that name (and port) to \
         the server's own list (`allowedHosts` or `allowed_hosts` in the MCP SDKs), or use an address that it knows"
    } else if remote && (lower.contains("401") || lower.contains("403")) {
        "its credential is missing, wrong or expired: look at `headers` and secrets.toml"
    } else if remote && lower.contains("404") {
        "the address is not an MCP endpoint: most end in /mcp, older ones in /sse"
    } else if remote && (lower.contains("certificate") || lower.contains("tls")) {
        "its certificate is not trusted here: add its authority to the system's, or use the name that it is issued for"
    } else if lower.contains("timed out") || lower.contains("timeout") || lower.contains("in time") {
        "start it by hand and see how long it takes; a first start that downloads something is better done once before"
    } else if lower.contains("no such file") || lower.contains("not found") {
        "write whole paths: the gateway's PATH and directory are not those of your shell"
    } else if lower.contains("parse") || lower.contains("json") || lower.contains("utf-8") {
        "it writes something else than MCP on standard output: such messages belong on standard error"
    } else {
        "start it by hand with the same environment and read what it writes on standard error"
    };
    mend.to_owned()
}
