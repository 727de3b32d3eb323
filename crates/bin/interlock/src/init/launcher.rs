//! Commands that fetch a package and run it, read as the package they name.
//!
//! | In a client's configuration | Here |
//! | --- | --- |
//! | `npx [-y] PKG[@V] ARGS`, `npm exec`, `bunx`, `bun x`, `pnpm dlx`, `pnpx`, `yarn dlx` | `package = "npm:PKG@V"` |
//! | `npx -p PKG BIN ARGS` | the same with `bin = "BIN"` |
//! | `uvx PKG[@V] ARGS`, `uvx PKG==V`, `uv tool run`, `pipx run` | `package = "pypi:PKG@V"` |
//! | `uvx --from PKG --with R BIN ARGS`, `pipx run --spec PKG BIN` | the same with `bin` and `with` |
//! | `python -m MODULE ARGS` | `pypi:` for the modules in [`MODULES`], else a command |
//! | `cmd /c` before any of them | left out |
//! | anything else, or an option that changes where packages come from | a command, as it stands |
//!
//! A tag or range (`@latest`, `>=1`) is left out: the version that installing finds is locked.

use crate::config::{PackageRef, Registry};

/// What a command is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Launcher {
    /// A package of a registry.
    Package {
        /// Which.
        package: PackageRef,
        /// Which of its programs.
        bin: Option<String>,
        /// Further requirements.
        with: Vec<String>,
        /// What its program is given: the index of the first of the arguments that were read.
        rest: usize,
        /// What is worth knowing about the conversion.
        notes: Vec<String>,
    },
    /// A container.
    Docker,
    /// Something that fetches what it runs, in a way that is kept: why.
    Fetches(String),
    /// A program.
    Program,
}

/// Modules of the reference servers, and their packages. No guessing for others: a package that happens to
/// have a module's name may be anybody's.
pub const MODULES: &[(&str, &str)] = &[
    ("mcp_server_fetch", "mcp-server-fetch"),
    ("mcp_server_git", "mcp-server-git"),
    ("mcp_server_sqlite", "mcp-server-sqlite"),
    ("mcp_server_time", "mcp-server-time"),
];

/// The program's name without directory and Windows extension, lower case.
#[must_use]
pub fn program_name(command: &str) -> String {
    let base = command.rsplit(['/', '\\']).next().unwrap_or(command).to_ascii_lowercase();
    [".exe", ".cmd", ".bat", ".ps1"].iter().find_map(|ext| base.strip_suffix(ext)).unwrap_or(&base).to_owned()
}

/// Takes `cmd /c` (Windows needs it to start `npx.cmd`; nothing else does) off a command.
#[must_use]
pub fn without_shell<'a>(command: &'a str, args: &'a [String]) -> (&'a str, &'a [String]) {
    match args {
        [flag, program, rest @ ..] if program_name(command) == "cmd" && flag.eq_ignore_ascii_case("/c") => {
            (program, rest)
        }
        _ => (command, args),
    }
}

/// What `command` with `args` is.
#[must_use]
pub fn recognise(command: &str, args: &[String]) -> Launcher {
    let word = |i: usize| args.get(i).map(String::as_str).unwrap_or_default();
    match (program_name(command).as_str(), word(0), word(1)) {
        ("npx" | "bunx" | "pnpx", ..) => npm(args, 0),
        ("npm", "exec" | "x", _) | ("bun", "x", _) | ("pnpm" | "yarn", "dlx", _) => npm(args, 1),
        ("uvx", ..) => uv(args, 0),
        ("uv", "tool", "run") => uv(args, 2),
        ("uv", "x", _) => uv(args, 1),
        ("pipx", "run", _) => pipx(args, 1),
        ("docker" | "podman" | "nerdctl", ..) => Launcher::Docker,
        (program, "-m", module) if is_python(program) => python_module(module),
        _ => Launcher::Program,
    }
}

fn is_python(program: &str) -> bool {
    program == "py"
        || program.strip_prefix("python").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

fn python_module(module: &str) -> Launcher {
    match MODULES.iter().find(|(m, _)| *m == module) {
        Some((_, package)) => package_of(Registry::Pypi, package, None, Vec::new(), 2, Vec::new()),
        None => Launcher::Program,
    }
}

/// Options before the package, one by one: what each one means decides whether the command can be read.
enum Meaning {
    /// No effect on what runs.
    Ignored,
    /// As `Ignored`, and its value is the next argument.
    IgnoredValue,
    /// The next argument is the package.
    Package,
    /// The next argument is a further requirement.
    With,
    /// It changes what is fetched or run in a way that is not read.
    Unknown,
}

struct Options {
    package: Option<String>,
    with: Vec<String>,
    /// Index of the first argument that is no option.
    at: usize,
}

/// Reads options from `at` on; the error names the one that was not understood.
fn options(args: &[String], mut at: usize, meaning: fn(&str) -> Meaning) -> Result<Options, String> {
    let mut found = Options { package: None, with: Vec::new(), at };
    while let Some(arg) = args.get(at).filter(|a| a.starts_with('-')) {
        at += 1;
        if arg == "--" {
            break;
        }
        let (name, inline) = arg.split_once('=').map_or((arg.as_str(), None), |(n, v)| (n, Some(v.to_owned())));
        let mut value = || {
            inline.clone().or_else(|| {
                at += 1;
                args.get(at - 1).cloned()
            })
        };
        match meaning(name) {
            Meaning::Ignored => {}
            Meaning::IgnoredValue => drop(value()),
            Meaning::Package => match (found.package.is_some(), value()) {
                (false, Some(package)) => found.package = Some(package),
                _ => return Err(name.to_owned()),
            },
            Meaning::With => match value() {
                Some(with) => found.with.extend(with.split(',').map(|w| w.trim().to_owned())),
                None => return Err(name.to_owned()),
            },
            Meaning::Unknown => return Err(name.to_owned()),
        }
    }
    found.at = at;
    Ok(found)
}

fn unread(option: &str) -> Launcher {
    Launcher::Fetches(format!("its option `{option}` changes what is fetched or how it is run"))
}

fn npm(args: &[String], at: usize) -> Launcher {
    let meaning = |option: &str| match option {
        "-y" | "--yes" | "-q" | "--quiet" | "-s" | "--silent" | "--prefer-online" | "--prefer-offline" => {
            Meaning::Ignored
        }
        "-p" | "--package" => Meaning::Package,
        _ => Meaning::Unknown,
    };
    let options = match options(args, at, meaning) {
        Ok(options) => options,
        Err(option) => return unread(&option),
    };
    let Some(first) = args.get(options.at) else { return Launcher::Program };
    let (spec, bin) = match options.package {
        Some(package) => (package, Some(first.clone())),
        None => (first.clone(), None),
    };
    let (name, version) = match spec.rfind('@').filter(|at| *at > 0) {
        Some(at) => (spec.get(..at).unwrap_or_default(), spec.get(at + 1..)),
        None => (spec.as_str(), None),
    };
    let (version, notes) = exact(Registry::Npm, name, version);
    let bin = bin.filter(|bin| bin != name.rsplit('/').next().unwrap_or(name));
    package_or_fetch(Registry::Npm, name, version, &spec, bin, Vec::new(), options.at + 1, notes)
}

fn uv(args: &[String], at: usize) -> Launcher {
    let meaning = |option: &str| match option {
        "-q" | "--quiet" | "--no-cache" | "-n" | "--refresh" | "--isolated" | "--no-progress" | "--native-tls"
        | "--no-config" => Meaning::Ignored,
        "-p" | "--python" | "--cache-dir" => Meaning::IgnoredValue,
        "--from" => Meaning::Package,
        "--with" | "-w" => Meaning::With,
        _ => Meaning::Unknown,
    };
    python_package(args, at, meaning)
}

fn pipx(args: &[String], at: usize) -> Launcher {
    let meaning = |option: &str| match option {
        "-q" | "--quiet" | "-v" | "--verbose" | "--no-cache" => Meaning::Ignored,
        "--python" => Meaning::IgnoredValue,
        "--spec" => Meaning::Package,
        "--with" => Meaning::With,
        _ => Meaning::Unknown,
    };
    python_package(args, at, meaning)
}

fn python_package(args: &[String], at: usize, meaning: fn(&str) -> Meaning) -> Launcher {
    let options = match options(args, at, meaning) {
        Ok(options) => options,
        Err(option) => return unread(&option),
    };
    let Some(first) = args.get(options.at) else { return Launcher::Program };
    let (spec, bin) = match options.package {
        Some(package) => (package, Some(first.clone())),
        None => (first.clone(), None),
    };
    let end = spec.find(['=', '<', '>', '~', '!', '@', ' ', ';']).unwrap_or(spec.len());
    let (name, rest) = spec.split_at(end);
    let version = match rest.trim() {
        "" => None,
        rest => Some(rest.strip_prefix("==").or_else(|| rest.strip_prefix('@')).unwrap_or(rest).trim()),
    };
    let base = name.split('[').next().unwrap_or(name);
    let bin = bin.filter(|bin| bin != base);
    let (version, notes) = exact(Registry::Pypi, name, version);
    package_or_fetch(Registry::Pypi, name, version, &spec, bin, options.with, options.at + 1, notes)
}

/// The version if it is exact, else a note on what was left out.
fn exact<'a>(registry: Registry, name: &str, version: Option<&'a str>) -> (Option<&'a str>, Vec<String>) {
    match version {
        Some(v) if PackageRef::new(registry, name, Some(v)).is_ok() => (Some(v), Vec::new()),
        Some(v) => {
            (None, vec![format!("`{v}` is no exact version: the one that `interlock catalog scan` installs is locked")])
        }
        None => (None, vec!["has no version: the one that `interlock catalog scan` installs is locked".to_owned()]),
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of one value, named at both places that call this")]
fn package_or_fetch(
    registry: Registry,
    name: &str,
    version: Option<&str>,
    spec: &str,
    bin: Option<String>,
    with: Vec<String>,
    rest: usize,
    notes: Vec<String>,
) -> Launcher {
    // Addresses, files and repositories: `git+https://...`, `./server.tgz`, `user/repo`.
    if spec.contains("://") || spec.contains("git+") || PackageRef::new(registry, name, version).is_err() {
        return Launcher::Fetches(format!("`{spec}` is not a package of the registry"));
    }
    package_of(registry, name, version, with, rest, notes).with_bin(bin)
}

fn package_of(
    registry: Registry,
    name: &str,
    version: Option<&str>,
    with: Vec<String>,
    rest: usize,
    notes: Vec<String>,
) -> Launcher {
    match PackageRef::new(registry, name, version) {
        Ok(package) => Launcher::Package { package, bin: None, with, rest, notes },
        Err(_) => Launcher::Program,
    }
}

impl Launcher {
    fn with_bin(mut self, program: Option<String>) -> Self {
        if let Self::Package { bin, .. } = &mut self {
            *bin = program;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `package [bin] [+with] | rest`, or what else it is.
    fn read(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (command, args) = without_shell(&words[0], &words[1..]);
        match recognise(command, args) {
            Launcher::Package { package, bin, with, rest, .. } => {
                let bin = bin.map(|b| format!(" bin={b}")).unwrap_or_default();
                let with = if with.is_empty() { String::new() } else { format!(" with={}", with.join("+")) };
                format!("{package}{bin}{with} | {}", args[rest..].join(" "))
            }
            Launcher::Docker => "docker".to_owned(),
            Launcher::Fetches(_) => "fetches".to_owned(),
            Launcher::Program => "program".to_owned(),
        }
    }

    #[test]
    fn commands() {
        for (line, expected) in [
            (
                "npx -y @modelcontextprotocol/server-filesystem /a /b",
                "npm:@modelcontextprotocol/server-filesystem | /a /b",
            ),
            ("npx @scope/x@1.2.3 --flag", "npm:@scope/x@1.2.3 | --flag"),
            ("npx x@latest", "npm:x | "),
            ("npx --yes --package=@scope/x@2.0.0 -- run-x a", "npm:@scope/x@2.0.0 bin=run-x | a"),
            ("npx -p @scope/x x a", "npm:@scope/x | a"),
            (r"C:\nodejs\npx.cmd -y x -y", "npm:x | -y"),
            ("cmd /c npx -y x a", "npm:x | a"),
            ("CMD.EXE /C npx x", "npm:x | "),
            ("cmd /k npx x", "program"),
            ("npm exec -y x@1.0.0 -- a", "npm:x@1.0.0 | -- a"),
            ("bunx x", "npm:x | "),
            ("pnpm dlx x@1.0.0", "npm:x@1.0.0 | "),
            ("npx -c 'x y'", "fetches"),
            ("npx --registry https://r x", "fetches"),
            ("npx github:user/repo", "fetches"),
            ("npx user/repo", "fetches"),
            ("npx ./local.tgz", "fetches"),
            ("npx https://example.com/x.tgz", "fetches"),
            ("npx", "program"),
            ("uvx mcp-server-git --repository /r", "pypi:mcp-server-git | --repository /r"),
            ("uvx mcp-server-git@2026.10.19", "pypi:mcp-server-git@2026.10.19 | "),
            ("uvx mcp-server-git==2026.10.19", "pypi:mcp-server-git@2026.10.19 | "),
            ("uvx x>=1.0", "pypi:x | "),
            ("uvx x@latest", "pypi:x | "),
            ("uvx --from x[cli]==1.0 --with mcp<2,anyio tool a", "pypi:x[cli]@1.0 bin=tool with=mcp<2+anyio | a"),
            ("uvx --python 3.12 --from x x", "pypi:x | "),
            ("uv tool run x a", "pypi:x | a"),
            ("uvx --from git+https://example.com/x x", "fetches"),
            ("uvx --index-url https://i x", "fetches"),
            ("uv run server.py", "program"),
            ("uv --directory /p run server", "program"),
            ("pipx run --spec x==2.0 tool a", "pypi:x@2.0 bin=tool | a"),
            ("python -m mcp_server_git --repository /r", "pypi:mcp-server-git | --repository /r"),
            ("/usr/bin/python3.12 -m mcp_server_time", "pypi:mcp-server-time | "),
            ("python -m my_company.server", "program"),
            ("python server.py", "program"),
            ("pythonista -m mcp_server_git", "program"),
            ("docker run -i --rm mcp/time", "docker"),
            ("node server.js", "program"),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }
}
