//! From a client's entry to a configured server: packages recognised, variables expanded, secrets moved out.

use super::{
    client::ClientServer,
    expand::{Context, Expanded, expand},
    launcher::{self, Launcher},
    names,
};
use crate::config::{Launch, Package, PackageRef, Registry, SecretName, Server, Setting, suspect};
use interlock_model::ServerName;
use std::{collections::BTreeMap, path::PathBuf};
use zeroize::Zeroizing;

/// A value that moves to the secrets file.
#[derive(Clone)]
pub struct Moved {
    /// Its name there.
    pub name: SecretName,
    /// It; `None` where its owner has to write it down, since the client asks for it each time.
    pub value: Option<Zeroizing<String>>,
    /// Where it stood: `env.GITHUB_TOKEN`, `args[2]`.
    pub place: String,
    /// Why it was taken for a secret, or what to write.
    pub why: String,
}

/// A converted server.
pub(super) struct Converted {
    /// It.
    pub(super) server: Server,
    /// What moved out of it.
    pub(super) moved: Vec<Moved>,
    /// What its owner should know.
    pub(super) notes: Vec<String>,
}

/// What conversion needs to know.
pub(super) struct Surroundings<'a> {
    /// What variables stand for.
    pub(super) context: Context<'a>,
    /// What VS Code asks for, by id.
    pub(super) inputs: &'a BTreeMap<String, String>,
    /// Names of secrets that others have.
    pub(super) taken: &'a dyn Fn(&SecretName) -> bool,
}

/// Converts `client` under the name `name`.
#[must_use]
pub(super) fn convert(name: ServerName, client: &ClientServer, around: &Surroundings<'_>) -> Converted {
    let mut work = Work { name: &name, around, moved: Vec::new(), notes: Vec::new() };
    let launch = match (&client.command, &client.url) {
        (Some(command), _) => work.local(command, &client.args),
        (None, url) => work.remote(url.as_deref().unwrap_or_default(), &client.headers),
    };
    let remote = matches!(launch, Launch::Remote { .. });
    let env = if remote { BTreeMap::new() } else { work.settings("env", &client.env) };
    let cwd = client.cwd.as_deref().filter(|_| !remote).map(|cwd| work.directory(cwd));
    if let Some(file) = &client.env_file {
        work.notes.push(format!("its variables in `{file}` are not read: add them to `env`, secrets to secrets.toml"));
    }
    let Work { moved, notes, .. } = work;
    Converted { server: Server { name, launch, env, cwd, timeout: None, max_in_flight: None }, moved, notes }
}

/// The name of an argument that has none.
const ARGUMENT: &str = "argument";

struct Work<'a> {
    name: &'a ServerName,
    around: &'a Surroundings<'a>,
    moved: Vec<Moved>,
    notes: Vec<String>,
}

impl Work<'_> {
    fn local(&mut self, command: &str, args: &[String]) -> Launch {
        let (command, args) = launcher::without_shell(command, args);
        let context = self.around.context;
        // Package names hold variables as rarely as they hold secrets; paths to programs do.
        let command = match expand(command, context) {
            Expanded::Text { text, .. } => text,
            Expanded::Variable(_) | Expanded::Asks(_) => {
                self.notes
                    .push(format!("its command `{command}` depends on a variable that is not set: write the path"));
                command.to_owned()
            }
        };
        match launcher::recognise(&command, args) {
            Launcher::Package { package, bin, with, rest, notes } => {
                let after = args.get(rest..).unwrap_or_default();
                if let Some(remote) = self.through_mcp_remote(&package, after) {
                    return remote;
                }
                self.notes.extend(notes);
                let args = self.args(after);
                Launch::Package(Package { package, bin, args, with })
            }
            Launcher::Docker => {
                self.notes.push("runs a container: what it does is bounded by the container, and known by its tag only unless the image is named by digest".to_owned());
                Launch::Command { program: command, args: self.args(args) }
            }
            Launcher::Fetches(why) => {
                self.notes.push(format!("kept as a command, since {why}; what runs is then not pinned"));
                Launch::Command { program: command, args: self.args(args) }
            }
            Launcher::Program => Launch::Command { program: self.program(command), args: self.args(args) },
        }
    }

    /// `mcp-remote URL --header H` is a bridge from stdio to a remote server, which needs no bridge here. Without a
    /// header it may be there to log in, which is kept.
    fn through_mcp_remote(&mut self, package: &PackageRef, args: &[String]) -> Option<Launch> {
        if package.registry() != Registry::Npm || package.name() != "mcp-remote" {
            return None;
        }
        let url = args.first().filter(|a| a.starts_with("https://") || a.starts_with("http://"))?;
        let mut headers = BTreeMap::new();
        let mut rest = args.get(1..)?.iter();
        while let Some(arg) = rest.next() {
            match arg.as_str() {
                "--header" => {
                    let (name, value) = rest.next()?.split_once(':')?;
                    headers.insert(name.trim().to_owned(), value.trim().to_owned());
                }
                "--allow-http" | "--debug" => {}
                "--transport" => drop(rest.next()),
                _ => return None,
            }
        }
        if headers.is_empty() {
            self.notes.push("mcp-remote may log in with a browser: kept as it is".to_owned());
            return None;
        }
        self.notes.push("reached directly instead of through mcp-remote".to_owned());
        Some(self.remote(url, &headers))
    }

    fn remote(&mut self, url: &str, headers: &BTreeMap<String, String>) -> Launch {
        let url = self.setting("url", "url", url);
        if let Setting::Plain(plain) = &url {
            let local = ["//127.0.0.1", "//localhost", "//[::1]"].iter().any(|l| plain.contains(l));
            if plain.starts_with("http://") && !local {
                self.notes.push("its address is not encrypted: credentials are sent only over https".to_owned());
            }
        }
        Launch::Remote { url, headers: self.settings("headers", headers), document: None }
    }

    /// A path to a program, from the project's directory on where it is relative.
    fn program(&mut self, command: String) -> String {
        let relative = command.starts_with("./")
            || command.starts_with("../")
            || command.starts_with(r".\")
            || command.starts_with(r"..\");
        if !relative {
            return command;
        }
        self.notes.push(format!("its command `{command}` was relative; the project's directory stands before it now"));
        self.around.context.project.join(command).to_string_lossy().into_owned()
    }

    fn directory(&mut self, cwd: &str) -> PathBuf {
        match expand(cwd, self.around.context) {
            Expanded::Text { text, .. } => self.around.context.project.join(text),
            Expanded::Variable(name) | Expanded::Asks(name) => {
                self.notes.push(format!(
                    "its directory depends on `{name}`, which is not known: the project's directory is used"
                ));
                self.around.context.project.to_owned()
            }
        }
    }

    fn settings(&mut self, table: &str, values: &BTreeMap<String, String>) -> BTreeMap<String, Setting> {
        let mut out = BTreeMap::new();
        for (key, value) in values {
            let valid = !key.is_empty() && !key.contains(['=', '\0', '\n', '\r']);
            if !valid || table == "headers" && http::HeaderName::try_from(key.as_str()).is_err() {
                self.notes.push(format!("`{table}` has a name that nothing can hold; it was left out"));
                continue;
            }
            out.insert(key.clone(), self.setting(&format!("{table}.{key}"), key, value));
        }
        out
    }

    fn args(&mut self, args: &[String]) -> Vec<Setting> {
        let mut out = Vec::with_capacity(args.len());
        let mut flag: Option<&str> = None;
        for (i, arg) in args.iter().enumerate() {
            let place = format!("args[{i}]");
            let before = self.moved.len();
            let suspicious = |(name, value): &(&str, &str)| {
                suspect::suspicion(Some(name), value).map(|why| ((*name).to_owned(), why))
            };
            out.push(match suspect::assignment(arg).as_ref().and_then(suspicious) {
                // `--api-key=X`, `Authorization: Bearer X`: the whole argument moves.
                Some((name, why)) => self.moved_setting(&place, &name, arg, why.describe()),
                // `--api-key X`: the flag before names the value.
                None => self.setting(&place, flag.filter(|_| !arg.starts_with('-')).unwrap_or(ARGUMENT), arg),
            });
            if self.moved.len() > before {
                self.notes.push(format!("`{place}` is a secret among arguments, which other programs of this machine can read: use its variable if it has one"));
            }
            if arg.starts_with("./") || arg.starts_with("../") {
                self.notes.push(format!("`{place}` is a relative path: it starts from the server's `cwd`"));
            }
            flag = arg.strip_prefix('-').map(|f| f.trim_start_matches('-')).filter(|f| !f.contains('='));
        }
        out
    }

    fn setting(&mut self, place: &str, key: &str, value: &str) -> Setting {
        if value.chars().any(|c| matches!(c, '\t' | '\u{8}' | '\u{c}')) && value.contains(':') {
            self.notes
                .push(format!("`{place}` has a control character where a backslash was probably lost: JSON wants two"));
        }
        let name_for_suspicion = (!matches!(key, ARGUMENT | "url")).then_some(key);
        match expand(value, self.around.context) {
            Expanded::Variable(variable) => Setting::Env(variable),
            Expanded::Asks(what) => {
                let input = what.strip_prefix("input:");
                let described = input.and_then(|id| self.around.inputs.get(id)).filter(|d| !d.is_empty());
                let wanted = match described {
                    Some(description) => format!("write `{value}` with its value there: {description}"),
                    None => format!("write `{value}` with its value there"),
                };
                let key = if key == ARGUMENT { input.unwrap_or(key) } else { key };
                self.move_out(place, key, None, wanted)
            }
            Expanded::Text { text, from_environment } => {
                let suspicion = suspect::suspicion(name_for_suspicion, &text);
                match suspicion {
                    Some(why) => self.moved_setting(place, key, &text, why.describe()),
                    None if from_environment && place.starts_with("headers.") => {
                        self.moved_setting(place, key, &text, "it comes from a variable".to_owned())
                    }
                    None => text.parse().unwrap_or_else(|_| {
                        self.notes.push(format!(
                            "`{place}` looks like a reference inside a longer value; it moved to the secrets file whole"
                        ));
                        self.moved_setting(place, key, &text, "it holds a reference".to_owned())
                    }),
                }
            }
        }
    }

    fn moved_setting(&mut self, place: &str, key: &str, value: &str, why: String) -> Setting {
        self.move_out(place, key, Some(Zeroizing::new(value.to_owned())), why)
    }

    fn move_out(&mut self, place: &str, key: &str, value: Option<Zeroizing<String>>, why: String) -> Setting {
        let taken = |name: &SecretName| (self.around.taken)(name) || self.moved.iter().any(|m| m.name == *name);
        match names::secret_name(self.name.as_str(), key, &taken) {
            Some(name) => {
                self.moved.push(Moved { name: name.clone(), value, place: place.to_owned(), why });
                Setting::Secret(name)
            }
            // Ten thousand secrets of one name: nothing is lost by leaving this one to its owner.
            None => Setting::Env("UNNAMED".to_owned()),
        }
    }
}
