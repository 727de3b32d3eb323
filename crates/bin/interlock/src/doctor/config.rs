//! Checks of what the configuration says.

use super::{
    Check,
    facts::{Facts, Probe, References},
};
use crate::{
    config::{Config, Launch, Server, Setting, suspect},
    init::launcher::{self, Launcher},
};
use interlock_model::Mode;

pub(super) fn checks(config: &Config, facts: &Facts) -> Vec<Check> {
    let mut out = vec![mode(config), unbound(config), tls(config, facts), references(facts)];
    for server in config.servers.values() {
        out.extend(literal_secrets(server));
        out.extend(secrets_among_arguments(server));
        out.extend(unexpanded(server));
        out.extend(identity(server, facts.machine.windows));
        out.extend(clear_text(server));
    }
    out
}

fn mode(config: &Config) -> Check {
    match config.mode {
        Mode::Enforcing => Check::ok("config.mode", "enforcing: what policy denies is stopped"),
        Mode::Advisory | Mode::Silent => Check::warn(
            "config.mode",
            format!("{}: what policy denies is forwarded all the same", config.mode),
            "set `mode = \"enforcing\"` once the recorded decisions look right",
        ),
    }
}

fn unbound(config: &Config) -> Check {
    if config.listen.allow_unbound {
        return Check::warn(
            "config.unbound",
            "callers without a key are served: any program of this machine may call, and the ledger cannot say which",
            "give each agent a key (`interlock agents add`) and set `allow_unbound = false`",
        );
    }
    Check::ok("config.unbound", "every caller needs a key")
}

fn tls(config: &Config, facts: &Facts) -> Check {
    let id = "listen.tls";
    let Some(files) = &config.listen.tls else {
        return if config.listen.mcp.ip().is_loopback() {
            Check::ok(id, "no TLS, and only this machine can connect")
        } else {
            Check::warn(
                id,
                format!("agents' keys and all that they say travel to {} in the clear", config.listen.mcp),
                "set `listen.tls`, or listen on a loopback address behind a proxy that has a certificate",
            )
        };
    };
    match &facts.tls {
        Probe::Found(()) => Check::ok(id, format!("the certificate `{}` and its key", files.certificate.display())),
        Probe::NotTried(why) => Check::skipped(id, why.clone()),
        Probe::Failed(why) => Check::fail(
            id,
            why.clone(),
            "mend the file; a gateway that runs goes on with the certificate that it had, and does not start without one",
        ),
    }
}

fn references(facts: &Facts) -> Check {
    match &facts.references {
        Ok(()) => Check::ok("config.references", "every secret:// and env:// reference has a value"),
        Err(References::Missing(list)) => Check::fail(
            "config.references",
            list.to_string(),
            "add the names to secrets.toml in the data directory, or set the variables where the gateway starts",
        ),
        Err(References::Unreadable(why)) => {
            Check::fail("config.references", why.clone(), "mend the secrets file first")
        }
    }
}

/// Every value of a server with its place and the name it stands under.
fn settings(server: &Server) -> Vec<(String, Option<&str>, &Setting)> {
    let name = &server.name;
    let mut all: Vec<(String, Option<&str>, &Setting)> = Vec::new();
    all.extend(server.env.iter().map(|(k, v)| (format!("servers.{name}.env.{k}"), Some(k.as_str()), v)));
    all.extend(server.launch.args().iter().enumerate().map(|(i, v)| (format!("servers.{name}.args[{i}]"), None, v)));
    if let Launch::Remote { url, headers, .. } = &server.launch {
        all.push((format!("servers.{name}.url"), None, url));
        all.extend(headers.iter().map(|(k, v)| (format!("servers.{name}.headers.{k}"), Some(k.as_str()), v)));
    }
    all
}

fn plain(setting: &Setting) -> Option<&str> {
    match setting {
        Setting::Plain(text) => Some(text),
        Setting::Secret(_) | Setting::Env(_) => None,
    }
}

fn literal_secrets(server: &Server) -> Option<Check> {
    let suspicious = |(place, name, setting): (String, Option<&str>, &Setting)| {
        let text = plain(setting)?;
        let named = suspect::assignment(text).and_then(|(n, v)| suspect::suspicion(Some(n), v));
        let why = suspect::suspicion(name, text).or(named)?;
        Some(format!("{place} ({})", why.describe()))
    };
    let found: Vec<_> = settings(server).into_iter().filter_map(suspicious).collect();
    (!found.is_empty()).then(|| {
        Check::warn(
            format!("server.{}.literal-secrets", server.name),
            format!("looks like a secret written out: {}", found.join(", ")),
            "move the value to secrets.toml and write `secret://NAME` instead; agents that can read this file have it already, so replace it",
        )
    })
}

fn secrets_among_arguments(server: &Server) -> Option<Check> {
    let among = server.launch.args().iter().any(|a| !matches!(a, Setting::Plain(_)));
    among.then(|| {
        Check::warn(
            format!("server.{}.secret-arguments", server.name),
            "a secret stands among its arguments, which every program of this machine can read while it runs",
            "give it in `env` if the server has a variable for it",
        )
    })
}

/// What a shell or a client would have expanded, and nothing here does.
fn unexpanded(server: &Server) -> Option<Check> {
    let is_unexpanded = |text: &str| {
        let percent = text.split('%').skip(1).step_by(2).any(|n| {
            n.len() > 1
                && n.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b'(' | b')'))
        });
        let braced = text.contains("${") && text.contains('}');
        percent && text.matches('%').count() >= 2
            || braced
            || text == "~"
            || text.starts_with("~/")
            || text.starts_with(r"~\")
            || text.starts_with("$HOME")
    };
    let control = |text: &str| text.chars().any(|c| matches!(c, '\t' | '\u{8}' | '\u{c}')) && text.contains(':');
    let mut found = Vec::new();
    let mut lost = Vec::new();
    for (place, _, setting) in settings(server) {
        let Some(text) = plain(setting) else { continue };
        if is_unexpanded(text) {
            found.push(place);
        } else if control(text) {
            lost.push(place);
        }
    }
    let id = format!("server.{}.values", server.name);
    if !found.is_empty() {
        return Some(Check::warn(
            id,
            format!("`~`, %VAR% or ${{VAR}} is passed on as it stands: {}", found.join(", ")),
            "write the whole path, or env://NAME for a variable that is the whole value",
        ));
    }
    (!lost.is_empty()).then(|| {
        Check::warn(
            id,
            format!("a control character where a backslash was probably lost: {}", lost.join(", ")),
            r"write Windows paths in single quotes: 'C:\like\this'",
        )
    })
}

/// Whether what runs can be told apart from something else that runs the same way.
fn identity(server: &Server, windows: bool) -> Option<Check> {
    let id = format!("server.{}.pinned", server.name);
    match &server.launch {
        Launch::Package(package) if package.package.version().is_none() => Some(Check::warn(
            id,
            format!(
                "`{}` names no version: the one that was installed first is locked, another machine gets another",
                package.package
            ),
            "write the version that `interlock catalog scan` prints: `package = \"...@1.2.3\"`",
        )),
        Launch::Package(_) | Launch::Remote { .. } => None,
        Launch::Command { program, args } => {
            let words: Vec<String> = args.iter().map(ToString::to_string).collect();
            let (inner, inner_args) = launcher::without_shell(program, &words);
            let name = launcher::program_name(inner);
            if windows && matches!(name.as_str(), "npx" | "npm" | "pnpm" | "yarn") && inner == program {
                return Some(Check::fail(
                    id,
                    format!("`{name}` is a script on Windows and cannot be started by itself"),
                    "use `package = \"npm:...\"`, or `command = \"cmd\"` with `args = [\"/c\", ...]`",
                ));
            }
            match launcher::recognise(inner, inner_args) {
                Launcher::Package { package, .. } => Some(Check::warn(
                    id,
                    format!("`{name}` fetches what it runs each time: its publisher can change it without being seen"),
                    format!("write `package = \"{package}\"` instead"),
                )),
                Launcher::Fetches(why) => Some(Check::warn(
                    id,
                    format!("`{name}` fetches what it runs, since {why}: it is not pinned"),
                    "install it yourself and name the program",
                )),
                Launcher::Docker if !words.iter().any(|w| w.contains("@sha256:")) => Some(Check::warn(
                    id,
                    "the image is named by a tag, which its publisher can move",
                    "name it by digest: `image@sha256:...`",
                )),
                Launcher::Docker => None,
                Launcher::Program => interpreter_only(server, &name, inner_args),
            }
        }
    }
}

/// An interpreter with code on its command line, or a module by name: the program's file says nothing about what runs.
fn interpreter_only(server: &Server, name: &str, args: &[String]) -> Option<Check> {
    let interpreter = matches!(
        name,
        "node"
            | "deno"
            | "bun"
            | "python"
            | "python3"
            | "py"
            | "ruby"
            | "perl"
            | "sh"
            | "bash"
            | "zsh"
            | "cmd"
            | "powershell"
            | "pwsh"
    ) || name.starts_with("python3.");
    let first = args.first().map(String::as_str).unwrap_or_default();
    let names_no_file = matches!(first, "" | "-c" | "-e" | "-m" | "-p" | "--eval" | "/c" | "/C" | "-Command" | "run");
    (interpreter && names_no_file).then(|| {
        Check::warn(
            format!("server.{}.pinned", server.name),
            format!("only the interpreter `{name}` is pinned, not what it runs"),
            "name a file (its digest is pinned then) or a package",
        )
    })
}

fn clear_text(server: &Server) -> Option<Check> {
    let Launch::Remote { url: Setting::Plain(url), headers, .. } = &server.launch else { return None };
    let host = url.strip_prefix("http://")?.split(['/', '?', '#']).next().unwrap_or_default();
    let local = host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]");
    if local {
        return None;
    }
    let id = format!("server.{}.clear-text", server.name);
    let mend = "use its https address";
    Some(if headers.is_empty() {
        Check::warn(id, "what is sent to it and what it answers can be read and changed on the way", mend)
    } else {
        Check::fail(id, "its headers would be sent in the clear, which is refused", mend)
    })
}
