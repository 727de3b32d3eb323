//! `interlock init` over clients' configurations as they are found on each platform.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use interlock_bin::{
    config::{Config, Launch, SecretName, Secrets, Setting},
    init::{self, Entry, From, Host, InitError, Options, Os, Plan, Planned, Registering, Roots},
    operator,
    term::Term,
};
use interlock_catalog::Lock;
use interlock_model::UnixMillis;
use interlock_policy::Preset;
use std::{
    fs,
    path::{Path, PathBuf},
};

const NOW: UnixMillis = UnixMillis(1_795_167_938_120);

/// Put together here so that scanners do not take the fixtures for leaks.
fn github_token() -> String {
    format!("ghp_{}", "a1B2c3D4e5".repeat(4))
}

fn fixture(name: &str) -> String {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clients").join(name)).unwrap();
    text.replace("@GITHUB@", &github_token()).replace("@LINEAR@", &format!("lin_api_{}", "x9Y8z7".repeat(6)))
}

/// A home directory in one layout.
struct Machine {
    dir: tempfile::TempDir,
    roots: Roots,
}

impl Machine {
    fn new(os: Os) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let settings = match os {
            Os::Linux => home.join(".config"),
            Os::MacOs => home.join("Library/Application Support"),
            Os::Windows => home.join("AppData/Roaming"),
        };
        let project = dir.path().join("project");
        fs::create_dir_all(&project).unwrap();
        Self { roots: Roots { os, home, settings, project }, dir }
    }

    fn put(&self, host: Host, which: usize, bytes: &[u8]) -> PathBuf {
        let file = host.locations(&self.roots)[which].clone();
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, bytes).unwrap();
        file
    }

    fn plan(&self) -> Plan {
        Plan::of(&From::Everywhere, &self.roots, &environment, &|_| false)
    }

    fn options(&self) -> Options {
        let passphrase = self.dir.path().join("passphrase");
        fs::write(&passphrase, "correct horse\n").unwrap();
        Options {
            from: From::Everywhere,
            policy: Preset::Starter,
            dir: self.roots.project.clone(),
            force: false,
            passphrase: operator::Source::File(passphrase),
        }
    }
}

fn environment(name: &str) -> Option<String> {
    match name {
        "APPDATA" => Some(r"C:\Users\ada\AppData\Roaming".to_owned()),
        _ => None,
    }
}

fn server<'a>(plan: &'a Plan, name: &str) -> &'a Planned {
    plan.servers.iter().find(|p| p.server.name.as_str() == name).unwrap_or_else(|| {
        panic!("no `{name}` in {:?}", plan.servers.iter().map(|p| p.server.name.as_str()).collect::<Vec<_>>())
    })
}

fn args(planned: &Planned) -> Vec<String> {
    planned.server.launch.args().iter().map(ToString::to_string).collect()
}

fn moved(planned: &Planned) -> Vec<(&str, Option<&str>, &str)> {
    planned.moved.iter().map(|m| (m.name.as_str(), m.value.as_ref().map(|v| v.as_str()), m.place.as_str())).collect()
}

#[test]
fn claude_desktop_on_macos() {
    let machine = Machine::new(Os::MacOs);
    machine.put(Host::ClaudeDesktop, 0, fixture("claude_desktop_macos.json").as_bytes());
    let plan = machine.plan();
    assert_eq!(plan.sources.len(), 1);
    assert_eq!(plan.sources[0].found, Ok(6));

    let files = server(&plan, "filesystem");
    assert_eq!(files.server.launch.describe(), "npm:@modelcontextprotocol/server-filesystem");
    assert_eq!(args(files), ["/Users/ada/Documents", &machine.roots.home.join("Desktop").to_string_lossy()]);
    assert!(files.notes.iter().any(|n| n.contains("no version")));

    let github = server(&plan, "github");
    let token = github_token();
    assert_eq!(
        moved(github),
        [("github-personal-access-token", Some(token.as_str()), "env.GITHUB_PERSONAL_ACCESS_TOKEN")]
    );
    assert_eq!(github.server.env["GITHUB_API_URL"], Setting::Plain("https://api.github.com".into()));
    assert!(github.notes.iter().any(|n| n.contains("was called `GitHub`")));

    let postgres = server(&plan, "postgres");
    let Launch::Package(package) = &postgres.server.launch else { panic!("{:?}", postgres.server) };
    assert_eq!(
        (package.package.to_string().as_str(), package.with.as_slice()),
        ("pypi:postgres-mcp@0.3.0", &["mcp<2".to_owned()][..])
    );
    assert_eq!(args(postgres), ["secret://postgres-argument"]);
    assert!(postgres.notes.iter().any(|n| n.contains("other programs of this machine can read")));

    assert_eq!(args(server(&plan, "git")), ["--repository", "/Users/ada/src/app"]);
    let time = server(&plan, "time");
    assert!(matches!(&time.server.launch, Launch::Command { program, .. } if program == "docker"));
    assert!(time.notes.iter().any(|n| n.contains("container")));
    assert_eq!(plan.skipped.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["memory"]);
}

#[test]
fn claude_desktop_on_windows_in_every_encoding() {
    let text = fixture("claude_desktop_windows.json").replace('\n', "\r\n");
    let le: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let be: Vec<u8> = [0xfe, 0xff].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    for bytes in [text.as_bytes().to_vec(), format!("\u{feff}{text}").into_bytes(), le, be] {
        let machine = Machine::new(Os::Windows);
        machine.put(Host::ClaudeDesktop, 0, &bytes);
        let plan = machine.plan();
        let files = server(&plan, "filesystem");
        assert_eq!(files.server.launch.describe(), "npm:@modelcontextprotocol/server-filesystem");
        assert_eq!(args(files), [r"C:\Users\ada\Documents", r"C:\Users\ada\AppData\Roaming\notes"]);

        let company = server(&plan, "my-company-tools");
        assert!(
            matches!(&company.server.launch, Launch::Command { program, .. } if program == r"C:\Program Files\nodejs\node.exe")
        );
        assert_eq!(
            args(company),
            [r"C:\tools\server.js", "--api-key", "secret://my-company-tools-api-key", "--level=debug"]
        );
        assert_eq!(company.server.env["ACCOUNT_KEY"], Setting::Env("COMPANY_KEY".into()));
        assert_eq!(company.server.env["RETRIES"], Setting::Plain("3".into()));
        assert_eq!(company.server.env["VERBOSE"], Setting::Plain("true".into()));

        let lost = server(&plan, "lost");
        assert!(lost.notes.iter().any(|n| n.contains("backslash was probably lost")), "{:?}", lost.notes);
    }
}

#[test]
fn claude_code_with_projects() {
    let machine = Machine::new(Os::Linux);
    machine.put(Host::ClaudeCode, 0, fixture("claude_code.json").as_bytes());
    let plan = machine.plan();
    assert_eq!((plan.sources[0].found.clone(), plan.sources[0].lists), (Ok(4), 2));
    let names: Vec<_> = plan.servers.iter().map(|p| p.server.name.as_str()).collect();
    // The project's `github` is the same server as the person's.
    assert_eq!(names, ["github", "linear", "db"]);
    let github = server(&plan, "github");
    assert_eq!(github.origins.len(), 2);
    assert_eq!(github.server.env["GITHUB_PERSONAL_ACCESS_TOKEN"], Setting::Env("GITHUB_TOKEN".into()));
    assert_eq!(github.server.env["LOG_LEVEL"], Setting::Plain("warn".into()));
    let linear = server(&plan, "linear");
    assert!(linear.moved[0].value.as_ref().unwrap().starts_with("Bearer lin_api_"));
    assert_eq!(linear.moved[0].place, "headers.Authorization");
    assert!(
        matches!(&server(&plan, "db").server.launch, Launch::Command { program, .. } if program.starts_with("/Users/ada/src/app/"))
    );
}

#[test]
fn cursor_with_bridges() {
    let machine = Machine::new(Os::MacOs);
    machine.put(Host::Cursor, 0, fixture("cursor.json").as_bytes());
    let plan = machine.plan();
    let remote = server(&plan, "remote");
    let Launch::Remote { url, headers, .. } = &remote.server.launch else { panic!("{:?}", remote.server) };
    assert_eq!(*url, Setting::Plain("https://tickets.example.com/sse".into()));
    assert_eq!(headers["Authorization"].to_string(), "secret://remote-authorization");
    assert_eq!(server(&plan, "login").server.launch.describe(), "npm:mcp-remote@0.15.1");
    assert!(matches!(&server(&plan, "keyed").server.launch, Launch::Remote { url: Setting::Secret(_), .. }));
    let skipped: Vec<_> = plan.skipped.iter().map(|s| (s.name.as_str(), s.why)).collect();
    assert_eq!(
        skipped,
        [("interlock", "it is Interlock itself"), ("broken", "it has neither a command nor an address")]
    );
}

#[test]
fn vscode_with_comments_and_inputs() {
    let machine = Machine::new(Os::Linux);
    machine.put(Host::VsCode, 3, fixture("vscode_mcp.json").as_bytes());
    machine.put(Host::VsCode, 1, fixture("vscode_settings.json").as_bytes());
    let plan = machine.plan();
    let project = machine.roots.project.to_string_lossy().into_owned();
    assert_eq!(server(&plan, "fetch").server.launch.describe(), "pypi:mcp-server-fetch@2026.10.24");
    // What VS Code would ask for has no value yet; the reference says where it goes.
    assert_eq!(moved(server(&plan, "perplexity")), [("perplexity-api-key", None, "env.PERPLEXITY_API_KEY")]);
    let tickets = server(&plan, "tickets");
    assert_eq!(moved(tickets), [("tickets-authorization", None, "headers.Authorization")]);
    assert!(tickets.moved[0].why.contains("Ticket system token"));
    let local = server(&plan, "local");
    assert_eq!(args(local), ["--root", &project, "--home", &machine.roots.home.join("data").to_string_lossy()]);
    assert_eq!(local.server.cwd.as_deref(), Some(machine.roots.project.as_path()));
    assert!(local.notes.iter().any(|n| n.contains(".env")));
}

#[test]
fn a_broken_file_is_named_and_the_others_are_read() {
    let machine = Machine::new(Os::Linux);
    machine.put(Host::ClaudeDesktop, 0, br#"{"mcpServers": {"a": {"command": "C:\Users\x"}}}"#);
    machine.put(Host::Cursor, 0, fixture("cursor.json").as_bytes());
    machine.put(Host::ClaudeCode, 0, b"");
    let plan = machine.plan();
    let desktop = plan.sources.iter().find(|s| s.host == Host::ClaudeDesktop).unwrap();
    assert!(desktop.found.as_ref().unwrap_err().contains("line 1, column 37"), "{:?}", desktop.found);
    assert!(desktop.found.as_ref().unwrap_err().contains("Windows path"));
    assert_eq!(plan.sources.iter().find(|s| s.host == Host::ClaudeCode).unwrap().found, Ok(0));
    assert_eq!(plan.servers.len(), 3);
}

#[test]
fn init_writes_what_run_reads_and_leaves_no_secret_behind() {
    let machine = Machine::new(Os::MacOs);
    let desktop = machine.put(Host::ClaudeDesktop, 0, fixture("claude_desktop_macos.json").as_bytes());
    machine.put(Host::Cursor, 0, fixture("cursor.json").as_bytes());
    let (report, _) = init::run(&machine.options(), &machine.roots, &environment, NOW).unwrap();
    let dir = &machine.roots.project;

    let config = Config::load(&dir.join("interlock.toml")).unwrap();
    assert_eq!(config.servers.len(), report.plan.servers.len());
    for planned in &report.plan.servers {
        assert_eq!(config.servers[&planned.server.name], planned.server);
    }
    let secrets = Secrets::load(&config.secrets_file()).unwrap();
    config.resolve(&secrets, &|_| None).unwrap();
    let name = SecretName::new("github-personal-access-token").unwrap();
    assert_eq!(secrets.get(&name), Some(github_token().as_str()));

    let public = operator::public_key(&config.data_dir).unwrap();
    assert_eq!(public, report.operator);
    let lock = Lock::parse(&fs::read(&config.catalog.file).unwrap()).unwrap();
    assert!(lock.servers.is_empty() && lock.serial == 1);
    lock.verify(&public).unwrap();
    assert!(config.policy_dir.join("manifest.json").is_file());

    let entry = Entry { program: Path::new("/usr/bin/interlock"), config: &config.file, agent_key: None };
    let owner = "ada@example.org".parse().unwrap();
    let registering = Registering { command: "interlock", owner: &owner };
    let shown = format!(
        "{}{}{}{}",
        fs::read_to_string(&config.file).unwrap(),
        report.render(&Term::plain(100)),
        report.render_change(&Term::plain(100), &report.hosts(), &entry, &registering),
        report.to_json(&entry, &registering)
    );
    for secret in [github_token().as_str(), "hunter2", "abcdefgh12345678"] {
        assert!(!shown.contains(secret), "{secret} in\n{shown}");
    }
    for part in [
        "github-personal-access-token",
        "Looked at",
        "\"interlock\"",
        "stdio",
        "the operator's key, new",
        "interlock agents add claude-desktop --owner ada@example.org",
    ] {
        assert!(shown.contains(part), "{part} not in\n{shown}");
    }
    assert_eq!(report.hosts()[0], (Host::ClaudeDesktop, desktop.as_path()));
}

#[test]
fn nothing_is_replaced_without_force_and_then_a_backup_stays() {
    let machine = Machine::new(Os::Linux);
    machine.put(Host::VsCode, 1, fixture("vscode_settings.json").as_bytes());
    let mut options = machine.options();
    let (first, _) = init::run(&options, &machine.roots, &environment, NOW).unwrap();
    let file = machine.roots.project.join("interlock.toml");
    fs::write(&file, "version = 1 # mine\n").unwrap();

    let error = init::run(&options, &machine.roots, &environment, NOW).map(|_| ()).unwrap_err();
    let InitError::Exists(there) = &error else { panic!("{error}") };
    assert_eq!(there.len(), 3);
    assert!(error.to_string().contains("--force"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "version = 1 # mine\n");

    options.force = true;
    options.policy = Preset::Closed;
    let (second, _) = init::run(&options, &machine.roots, &environment, NOW).unwrap();
    assert_eq!(second.operator, first.operator);
    assert!(!second.operator_made);
    assert_eq!(second.written.backups.len(), 3);
    let backup = &second.written.backups[0].1;
    assert_eq!(fs::read_to_string(backup).unwrap(), "version = 1 # mine\n");
    // The store refuses to go back: serial and version go on.
    let lock = Lock::parse(&fs::read(machine.roots.project.join("catalog.lock.json")).unwrap()).unwrap();
    assert_eq!(lock.serial, 2);
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(machine.roots.project.join("policy/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["version"], 2);
    // With the wrong passphrase nothing is touched.
    let Options { passphrase: operator::Source::File(passphrase), .. } = &options else { panic!() };
    fs::write(passphrase, "wrong horse\n").unwrap();
    assert!(matches!(init::run(&options, &machine.roots, &environment, NOW), Err(InitError::Operator(_))));
    assert!(file.is_file());
}

#[test]
fn a_named_file_must_be_readable() {
    let machine = Machine::new(Os::Linux);
    let mut options = machine.options();
    let file = machine.dir.path().join("servers.json");
    options.from = From::from_option(Some(file.to_str().unwrap()));
    for bytes in [None, Some(&b"{"[..])] {
        if let Some(bytes) = bytes {
            fs::write(&file, bytes).unwrap();
        }
        let error = init::run(&options, &machine.roots, &environment, NOW).map(|_| ()).unwrap_err();
        assert!(matches!(error, InitError::Source { .. }), "{error}");
        assert!(!machine.roots.project.join("interlock.toml").exists());
    }
    fs::write(&file, fixture("cursor.json")).unwrap();
    let (report, _) = init::run(&options, &machine.roots, &environment, NOW).unwrap();
    assert_eq!(report.plan.servers.len(), 3);
    assert_eq!(From::from_option(Some("vscode")), From::Hosts(&[Host::VsCode]));
}
