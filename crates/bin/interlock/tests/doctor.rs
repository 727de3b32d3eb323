//! `interlock doctor`: each thing that can be wrong is found, named and comes with what to do.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use interlock_bin::{
    config::{Config, ConfigError, Unresolved, UnresolvedList},
    doctor::{
        self, CatalogFacts, DaemonFacts, Facts, FileFacts, FileSystem, Found, Gateway, HostFile, LedgerFacts, Listed,
        Machine, PolicyFacts, Port, Probe, Report, ServerProbe, Status,
    },
    init::Host,
    term::Term,
};
use interlock_model::{ServerName, UnixMillis};
use interlock_upstream::adapted::Described;
use std::{collections::BTreeMap, path::Path};

const NOW: UnixMillis = UnixMillis(1_795_167_938_120);

const SOUND: &str = "version = 1
[servers.files]
package = \"npm:@modelcontextprotocol/server-filesystem@2026.7.10\"
args = [\"/srv/files\"]
[servers.tickets]
url = \"https://tickets.example.com/mcp\"
headers = { Authorization = \"secret://tickets\" }
[servers.shop]
openapi = \"shop.yaml\"
url = \"https://shop.example.com/api\"
";

const HOST: &str = r#"{"mcpServers": {"interlock": {"command": "/usr/bin/interlock", "args": ["stdio", "--config", "/srv/interlock.toml"]}}}"#;

fn config(text: &str) -> Config {
    Config::parse(text, Path::new("/srv/interlock.toml")).unwrap()
}

fn name(name: &str) -> ServerName {
    name.parse().unwrap()
}

fn host(host: Host, bytes: impl AsRef<[u8]>) -> HostFile {
    HostFile { host, file: "/home/ada/host.json".into(), bytes: Ok(bytes.as_ref().to_vec()) }
}

fn ledger() -> LedgerFacts {
    let operator = Some("98953217335a3d3c".into());
    LedgerFacts { entries: 7, verified: 7, operator, newest: Some(NOW), damage: vec![] }
}

fn described(left_out: Vec<String>) -> Described {
    Described { title: "Shop".into(), tools: 3, left_out, notes: vec![] }
}

/// A machine on which nothing is wrong.
fn sound() -> Facts {
    let listed = |tools| ServerProbe {
        installed: Probe::Found(()),
        identity: Probe::Found(true),
        listed: Probe::Found(Listed { tools, ..Listed::default() }),
    };
    let file = |mode| Some(FileFacts { mode: Some(mode), uid: Some(990) });
    Facts {
        machine: Machine { windows: false, wsl: false, uid: Some(0), now: NOW },
        data_dir: file(0o700),
        file_system: FileSystem::Local,
        free_bytes: Some(50 << 30),
        operator_key: file(0o600),
        operator_id: Some("98953217335a3d3c".into()),
        secrets: file(0o600),
        references: Ok(()),
        port: Port::Taken,
        tls: Probe::default(),
        programs: BTreeMap::from([(name("files"), Found::At("/usr/bin/node".into()))]),
        documents: BTreeMap::from([(name("shop"), Probe::Found(described(vec![])))]),
        docker: None,
        hosts: vec![host(Host::Cursor, HOST)],
        gateway: Gateway {
            catalog: Probe::Found(CatalogFacts {
                serial: 3,
                tools: BTreeMap::from([(name("files"), 14), (name("tickets"), 5), (name("shop"), 3)]),
            }),
            policy: Probe::Found(PolicyFacts { version: 2, policies: 9, tests: 12 }),
            ledger: Probe::Found(ledger()),
            daemon: Probe::Found(DaemonFacts { about: "running, pid 4711".into(), ..DaemonFacts::default() }),
            servers: BTreeMap::from([
                (name("files"), listed(14)),
                (name("tickets"), listed(5)),
                (name("shop"), listed(3)),
            ]),
        },
    }
}

fn check<'a>(report: &'a Report, id: &str) -> &'a doctor::Check {
    report.checks.iter().find(|c| c.id == id).unwrap_or_else(|| {
        panic!("no check `{id}` in {:?}", report.checks.iter().map(|c| c.id.as_str()).collect::<Vec<_>>())
    })
}

#[test]
fn a_sound_installation_has_nothing_to_mend() {
    let report = doctor::examine(Ok(&config(SOUND)), &sound());
    for check in &report.checks {
        assert_eq!(check.status, Status::Ok, "{check:?}");
        assert_eq!(check.mend, None, "{check:?}");
    }
    assert!(report.is_sound());
    let ids: std::collections::BTreeSet<_> = report.checks.iter().map(|c| &c.id).collect();
    assert_eq!(ids.len(), report.checks.len(), "ids are told apart");
}

#[test]
fn each_fact_that_is_wrong_is_found() {
    type Spoil = fn(&mut Facts);
    let cases: &[(&str, Spoil, &str, Status, &str)] = &[
        (
            "open directory",
            |f| f.data_dir = Some(FileFacts { mode: Some(0o755), uid: Some(990) }),
            "data.mode",
            Status::Fail,
            "755",
        ),
        ("no directory", |f| f.data_dir = None, "data.present", Status::Fail, "interlock init"),
        ("same user", |f| f.machine.uid = Some(990), "data.same-user", Status::Warn, "passphrase"),
        ("another user", |f| f.machine.uid = Some(1000), "data.owner", Status::Skipped, "990"),
        ("WSL drive", |f| f.file_system = FileSystem::WindowsDrive, "data.file-system", Status::Fail, "Linux disk"),
        ("network disk", |f| f.file_system = FileSystem::Network, "data.file-system", Status::Fail, "local disk"),
        ("memory", |f| f.file_system = FileSystem::Memory, "data.file-system", Status::Warn, "restart"),
        ("full disk", |f| f.free_bytes = Some(1 << 20), "data.space", Status::Fail, "nothing is forwarded"),
        ("nearly full", |f| f.free_bytes = Some(500 << 20), "data.space", Status::Warn, "500 MiB"),
        ("no key", |f| f.operator_key = None, "keys.operator", Status::Fail, "backup"),
        (
            "open key",
            |f| f.operator_key = Some(FileFacts { mode: Some(0o644), uid: None }),
            "keys.operator",
            Status::Fail,
            "644",
        ),
        (
            "open secrets",
            |f| f.secrets = Some(FileFacts { mode: Some(0o640), uid: None }),
            "data.secrets",
            Status::Fail,
            "chmod 600",
        ),
        (
            "missing secret",
            |f| {
                let one = Unresolved {
                    place: "servers.tickets.headers.Authorization".into(),
                    reference: "secret://tickets".into(),
                    reason: "no",
                };
                f.references = Err(doctor::References::Missing(UnresolvedList(vec![one])));
            },
            "config.references",
            Status::Fail,
            "servers.tickets.headers.Authorization",
        ),
        (
            "bad catalog",
            |f| f.gateway.catalog = Probe::Failed("signature does not verify".into()),
            "catalog.signed",
            Status::Fail,
            "signature",
        ),
        (
            "bad policy",
            |f| f.gateway.policy = Probe::Failed("test `x` failed".into()),
            "policy.valid",
            Status::Fail,
            "policy test",
        ),
        (
            "damaged ledger",
            |f| {
                f.gateway.ledger = Probe::Found(LedgerFacts { damage: vec!["entry 5".into()], ..ledger() });
            },
            "ledger.verifies",
            Status::Fail,
            "entry 5",
        ),
        (
            "clock set back",
            |f| {
                f.gateway.ledger = Probe::Found(LedgerFacts { newest: Some(NOW.plus_ms(3_600_000)), ..ledger() });
            },
            "machine.clock",
            Status::Fail,
            "3600 s in the future",
        ),
        (
            "another operator's key",
            |f| f.operator_id = Some("0123456789abcdef".into()),
            "keys.operator",
            Status::Fail,
            "0123456789abcdef is not the one that the ledger was last started with, 98953217335a3d3c",
        ),
        (
            "long ledger",
            |f| f.gateway.ledger = Probe::Found(LedgerFacts { entries: 90_000, ..ledger() }),
            "ledger.verifies",
            Status::Ok,
            "the newest 7 were verified",
        ),
        (
            "nothing approved",
            |f| f.gateway.catalog = Probe::Found(CatalogFacts { serial: 1, tools: BTreeMap::new() }),
            "catalog.tools",
            Status::Warn,
            "catalog scan",
        ),
        (
            "daemon with what it had",
            |f| {
                let refused = vec!["`catalog.lock.json`: bad signature".into()];
                f.gateway.daemon = Probe::Found(DaemonFacts { refused, ..DaemonFacts::default() });
            },
            "daemon.refused",
            Status::Fail,
            "bad signature",
        ),
        (
            "daemon without a server",
            |f| {
                let down = vec!["`files` (it ended)".into()];
                f.gateway.daemon = Probe::Found(DaemonFacts { down, ..DaemonFacts::default() });
            },
            "daemon.servers",
            Status::Warn,
            "files",
        ),
        ("clock never set", |f| f.machine.now = UnixMillis(0), "machine.clock", Status::Fail, "1970"),
        (
            "port of another",
            |f| f.gateway.daemon = Probe::Failed("no socket".into()),
            "daemon.answers",
            Status::Fail,
            "another program",
        ),
        (
            "daemon at rest",
            |f| {
                f.gateway.daemon = Probe::Failed("no socket".into());
                f.port = Port::Free;
            },
            "daemon.answers",
            Status::Ok,
            "on demand",
        ),
        (
            "address of another machine",
            |f| {
                f.gateway.daemon = Probe::Failed("no socket".into());
                f.port = Port::Refused("cannot assign".into());
            },
            "daemon.answers",
            Status::Fail,
            "cannot assign",
        ),
        (
            "no node",
            |f| drop(f.programs.insert(name("files"), Found::Nowhere("node".into()))),
            "server.files.program",
            Status::Fail,
            "Node.js",
        ),
        (
            "not executable",
            |f| drop(f.programs.insert(name("files"), Found::NotExecutable("/x".into()))),
            "server.files.program",
            Status::Fail,
            "chmod +x",
        ),
        (
            "a description that is none",
            |f| drop(f.documents.insert(name("shop"), Probe::Failed("but `2.0`".into()))),
            "server.shop.document",
            Status::Fail,
            "OpenAPI 3.0 or 3.1",
        ),
        (
            "left out",
            |f| drop(f.documents.insert(name("shop"), Probe::Found(described(vec!["TRACE /a".into()])))),
            "server.shop.document",
            Status::Ok,
            "operations left out: 1",
        ),
        ("docker", |f| f.docker = Some(false), "machine.docker", Status::Fail, "docker.sock"),
        (
            "other files",
            |f| f.gateway.servers.get_mut("files").unwrap().identity = Probe::Found(false),
            "server.files.identity",
            Status::Fail,
            "catalog scan files",
        ),
        (
            "not installed",
            |f| f.gateway.servers.get_mut("files").unwrap().installed = Probe::Failed("its lock is missing".into()),
            "server.files.installed",
            Status::Fail,
            "catalog scan files",
        ),
        (
            "quarantine",
            |f| {
                f.gateway.servers.get_mut("files").unwrap().listed =
                    Probe::Found(Listed { tools: 14, quarantined: vec!["write_file".into()], unapproved: 0 })
            },
            "server.files.lists",
            Status::Warn,
            "write_file",
        ),
        (
            "unapproved",
            |f| {
                f.gateway.servers.get_mut("files").unwrap().listed =
                    Probe::Found(Listed { tools: 14, quarantined: vec![], unapproved: 2 })
            },
            "server.files.lists",
            Status::Warn,
            "approve files",
        ),
        (
            "host check",
            |f| {
                f.gateway.servers.get_mut("tickets").unwrap().listed =
                    Probe::Failed("HTTP 421 Misdirected Request".into())
            },
            "server.tickets.lists",
            Status::Fail,
            "allowedHosts",
        ),
        (
            "credential",
            |f| f.gateway.servers.get_mut("tickets").unwrap().listed = Probe::Failed("HTTP 401".into()),
            "server.tickets.lists",
            Status::Fail,
            "credential",
        ),
        ("nobody tried", |f| f.gateway = Gateway::default(), "server.files.lists", Status::Skipped, "not asked for"),
        ("no host", |f| f.hosts.clear(), "host.none", Status::Warn, "--apply"),
        (
            "side door",
            |f| {
                f.hosts = vec![host(
                    Host::Cursor,
                    HOST.replace("\"interlock\":", "\"direct\": {\"command\": \"npx\"}, \"interlock\":"),
                )]
            },
            "host.cursor",
            Status::Warn,
            "direct",
        ),
        (
            "broken host",
            |f| f.hosts.push(host(Host::VsCode, r#"{"servers": {"a": {"command": "C:\Users\x"}}}"#)),
            "host.vs-code",
            Status::Fail,
            "Windows path",
        ),
        (
            "marked host",
            |f| f.hosts = vec![host(Host::Cursor, format!("\u{feff}{HOST}"))],
            "host.cursor.encoding",
            Status::Warn,
            "byte order mark",
        ),
        (
            "relative entry",
            |f| f.hosts = vec![host(Host::Cursor, HOST.replace("/usr/bin/interlock", "interlock"))],
            "host.cursor.entry",
            Status::Warn,
            "whole path",
        ),
        (
            "relative configuration",
            |f| f.hosts = vec![host(Host::Cursor, HOST.replace("/srv/interlock.toml", "interlock.toml"))],
            "host.cursor.entry",
            Status::Warn,
            "--config",
        ),
        (
            "home in entry",
            |f| f.hosts = vec![host(Host::Cursor, HOST.replace("/srv/", "~/"))],
            "host.cursor.entry",
            Status::Warn,
            "expand",
        ),
        (
            "too many tools",
            |f| {
                f.gateway.catalog =
                    Probe::Found(CatalogFacts { serial: 3, tools: BTreeMap::from([(name("files"), 41)]) })
            },
            "host.cursor.tools",
            Status::Warn,
            "41 tools",
        ),
    ];
    let config = config(SOUND);
    for (case, spoil, id, status, part) in cases {
        let mut facts = sound();
        spoil(&mut facts);
        let report = doctor::examine(Ok(&config), &facts);
        let check = check(&report, id);
        assert_eq!(check.status, *status, "{case}: {check:?}");
        let text = format!("{} {}", check.what, check.mend.as_deref().unwrap_or_default());
        assert!(text.contains(part), "{case}: `{part}` not in {text}");
        assert_eq!(report.is_sound(), report.count(Status::Fail) == 0);
        assert_eq!(check.mend.is_some(), matches!(status, Status::Warn | Status::Fail), "{case}");
        if *status == Status::Fail {
            assert!(!report.is_sound(), "{case}");
        }
    }
}

#[test]
fn each_fault_of_a_configuration_is_found() {
    let config = config(include_str!("fixtures/doctor/troubled.toml"));
    let report = doctor::examine(Ok(&config), &sound());
    for (id, status, part) in [
        ("config.mode", Status::Warn, "forwarded all the same"),
        ("config.unbound", Status::Warn, "without a key"),
        ("server.files.pinned", Status::Warn, "names no version"),
        ("server.files.values", Status::Warn, "args[0]"),
        ("server.floating.pinned", Status::Warn, "npm:some-server"),
        ("server.custom-index.pinned", Status::Warn, "--index-url"),
        ("server.container.pinned", Status::Warn, "@sha256:"),
        ("server.inline.pinned", Status::Warn, "only the interpreter `python3`"),
        ("server.keyed.literal-secrets", Status::Warn, "servers.keyed.env.API_PASSWORD"),
        ("server.keyed.secret-arguments", Status::Warn, "every program of this machine"),
        ("server.keyed.values", Status::Warn, "servers.keyed.env.HOME_DIR"),
        ("server.lost.values", Status::Warn, "backslash"),
        ("server.clear.clear-text", Status::Fail, "in the clear"),
    ] {
        let check = check(&report, id);
        assert_eq!(check.status, status, "{check:?}");
        assert!(format!("{} {:?}", check.what, check.mend).contains(part), "{check:?}");
    }
    let shown = format!("{}{}", report.render(&Term::plain(100)), report.to_json());
    assert!(!shown.contains("hunter2"), "invariant 7: no secret is shown");

    let mut windows = sound();
    windows.machine.windows = true;
    let report = doctor::examine(Ok(&config), &windows);
    assert_eq!(check(&report, "server.floating.pinned").status, Status::Fail);
    let mut wsl = sound();
    wsl.machine.wsl = true;
    let mut on_drive = config;
    on_drive.data_dir = "/mnt/c/Users/ada/.interlock".into();
    assert_eq!(check(&doctor::examine(Ok(&on_drive), &wsl), "data.file-system").status, Status::Fail);
}

#[test]
fn the_certificate_is_judged_before_the_gateway_meets_it() {
    let tls = "tls = { certificate = \"c.pem\", key = \"k.pem\" }";
    for (listen, found, status, part) in [
        ("", Probe::default(), Status::Ok, "only this machine"),
        ("mcp = \"0.0.0.0:7420\"", Probe::default(), Status::Warn, "in the clear"),
        (tls, Probe::Found(()), Status::Ok, "/srv/c.pem"),
        (tls, Probe::Failed("the private key can be read by others".into()), Status::Fail, "read by others"),
        (tls, Probe::NotTried("not by this user".into()), Status::Skipped, "this user"),
    ] {
        let facts = Facts { tls: found, ..sound() };
        let report = doctor::examine(Ok(&config(&format!("version = 1\n[listen]\n{listen}\n"))), &facts);
        let check = check(&report, "listen.tls");
        assert_eq!((check.status, check.what.contains(part)), (status, true), "{listen}: {check:?}");
    }
}

#[test]
fn without_a_configuration_the_rest_is_still_judged() {
    let error: ConfigError = Config::parse("version = 1\n[lisen]\n", Path::new("/srv/interlock.toml")).unwrap_err();
    let report = doctor::examine(Err(&error), &sound());
    assert!(check(&report, "config.parses").what.contains("did you mean `listen`?"));
    assert_eq!(check(&report, "host.cursor").status, Status::Ok);
    assert!(!report.is_sound());
}

#[test]
fn what_is_shown() {
    let mut facts = sound();
    facts.free_bytes = Some(500 << 20);
    facts.gateway.catalog = Probe::Failed("bad \u{1b}[2J signature".into());
    let report = doctor::examine(Ok(&config(SOUND)), &facts);
    let text = report.render(&Term::plain(80));
    assert!(text.contains("warn     data.space"), "{text}");
    assert!(text.contains("-> make room"), "{text}");
    assert!(!text.contains('\u{1b}'), "others' escapes are not obeyed");
    assert!(text.lines().all(|l| l.chars().count() <= 80 || !l.contains(' ')), "{text}");
    let json = report.to_json();
    assert_eq!(json["sound"], false);
    let catalog = json["checks"].as_array().unwrap().iter().find(|c| c["id"] == "catalog.signed").unwrap();
    assert_eq!(catalog["status"], "fail");
    assert!(catalog["mend"].as_str().unwrap().contains("catalog verify"));
}

#[test]
fn facts_are_gathered_from_a_real_directory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("interlock.toml");
    std::fs::write(&file, "version = 1\n[listen]\nmcp = \"127.0.0.1:1\"\ntls = { certificate = \"c.pem\", key = \"k.pem\" }\n[servers.x]\ncommand = \"no-such-program-here\"\nenv = { T = \"secret://t\" }\n").unwrap();
    let config = Config::load(&file).unwrap();
    let facts = Facts::gather(Some(&config), None, &|_| None, NOW, Gateway::default());
    assert_eq!(facts.data_dir, None);
    assert_eq!(facts.programs[&name("x")], Found::Nowhere("no-such-program-here".into()));
    assert!(matches!(&facts.references, Err(doctor::References::Missing(list)) if list.0.len() == 1));
    let report = doctor::examine(Ok(&config), &facts);
    assert!(check(&report, "listen.tls").what.contains("cannot read"), "{:?}", facts.tls);
    assert_eq!(check(&report, "data.present").status, Status::Fail);
    assert_eq!(check(&report, "server.x.program").status, Status::Fail);
}
