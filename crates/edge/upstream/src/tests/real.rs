//! Real servers. They need the network and the registries' tools, so they run only when asked for:
//! `cargo test -p interlock-upstream real -- --ignored --nocapture`.

use super::rig::{Rig, client, spec};
use crate::install::{PackageRef, Registry, install};
use crate::{Launch, ServerSpec, identity, list_once};
use std::path::PathBuf;
use std::time::{Duration, Instant};

async fn tried(name: &str, spec: ServerSpec, calls: &[(&str, &str)]) {
    let started = Instant::now();
    let rig = Rig::started(spec).await;
    println!("{name}: {} after {:?}", rig.log.lock().unwrap()[0], started.elapsed());
    for (tool, arguments) in calls {
        let started = Instant::now();
        let answer = rig.call(tool, arguments).await;
        let shown = match &answer {
            Ok(answer) => String::from_utf8_lossy(answer.bytes()).chars().take(300).collect(),
            Err(fault) => fault.to_string(),
        };
        println!("  {tool} {:?}: {shown}", started.elapsed());
        assert!(answer.is_ok_and(|a| a.result().is_some()), "{name} {tool}");
    }
    println!("  {:?}", rig.status().counters);
    rig.upstreams.stop().await;
}

/// `INTERLOCK_TEST_URLS`: endpoints of MCP servers, separated by spaces; `INTERLOCK_TEST_TOOL`: a tool
/// of each that takes any arguments.
#[tokio::test]
#[ignore = "needs a running server"]
async fn endpoints() {
    let tool = std::env::var("INTERLOCK_TEST_TOOL").unwrap_or_else(|_| "x_echo".into());
    for url in std::env::var("INTERLOCK_TEST_URLS").unwrap_or_default().split_whitespace() {
        let launch = Launch::Http { url: url.parse().unwrap(), headers: vec![], key_pins: vec![] };
        let listing = list_once(&spec(launch.clone()), &client()).await.unwrap();
        println!("{url}: {} {} tools", listing.revision, listing.tools.len());
        let calls: Vec<_> = (0..3).map(|_| (tool.as_str(), r#"{"value":"gr\u00fcn","n":1.10}"#)).collect();
        tried(url, spec(launch), &calls).await;
    }
}

/// `PEERS_NODE` and `PEERS_NPM`, as `scripts/peers.sh` prints them.
#[tokio::test]
#[ignore = "needs the pinned peers"]
async fn http_sse() {
    let (Some(node), Some(npm)) = (std::env::var_os("PEERS_NODE"), std::env::var_os("PEERS_NPM")) else {
        panic!("PEERS_NODE and PEERS_NPM are not set");
    };
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let index = PathBuf::from(npm).join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    let mut command = tokio::process::Command::new(node);
    command.arg(index).arg("sse").env("PORT", port.to_string()).stderr(std::process::Stdio::null()).kill_on_drop(true);
    let mut server = command.spawn().unwrap();
    let launch = || Launch::Http {
        url: format!("http://127.0.0.1:{port}/sse").parse().unwrap(),
        headers: vec![],
        key_pins: vec![],
    };
    let listens = async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), listens).await.unwrap();
    tried("server-everything sse", spec(launch()), &[("echo", r#"{"message":"hi"}"#), ("get-sum", r#"{"a":1,"b":2}"#)])
        .await;
    let rig = Rig::started(spec(launch())).await;
    let answer = rig.call("echo", r#"{"message":"hi"}"#).await.unwrap();
    assert!(String::from_utf8_lossy(answer.bytes()).contains("Echo: hi"), "{answer:?}");
    // Its end is the session's.
    server.kill().await.unwrap();
    rig.logged(|log| log.iter().any(|l| l.starts_with("down"))).await;
    assert_eq!(rig.call("echo", "{}").await.unwrap_err().code, interlock_model::Code::ServerUnavailable);
}

fn cache() -> PathBuf {
    std::env::temp_dir().join("interlock-packages")
}

fn package(registry: Registry, name: &str, with: &[&str]) -> PackageRef {
    let with = with.iter().map(ToString::to_string).collect();
    PackageRef { registry, name: name.into(), version: None, bin: None, with }
}

#[tokio::test]
#[ignore = "needs npm, python3 and their registries"]
async fn packages() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().canonicalize().unwrap().join("x.txt");
    std::fs::write(&file, "hello").unwrap();
    let read = format!("{{\"path\":\"{}\"}}", file.display());
    let root = file.parent().unwrap().display().to_string();
    let database = dir.path().join("db.sqlite").display().to_string();
    for (package, args, calls) in [
        (
            package(Registry::Npm, "@modelcontextprotocol/server-filesystem", &[]),
            vec![root],
            vec![("read_text_file", &*read)],
        ),
        (
            package(Registry::Npm, "@modelcontextprotocol/server-everything", &[]),
            vec![],
            vec![("echo", r#"{"message":"hi"}"#)],
        ),
        (
            package(Registry::Pypi, "mcp-server-time", &[]),
            vec![],
            vec![("get_current_time", r#"{"timezone":"Europe/Berlin"}"#)],
        ),
        (
            package(Registry::Pypi, "mcp-server-sqlite", &["mcp<2"]),
            vec!["--db-path".into(), database],
            vec![("read_query", r#"{"query":"select 1 as one"}"#)],
        ),
    ] {
        let at = cache().join(package.name.replace(['@', '/'], "_"));
        let started = Instant::now();
        let installed = install(&package, &at, |step| println!("  {step:?}")).await.unwrap();
        println!("{} {} in {:?}, entry {}", installed.name, installed.version, started.elapsed(), installed.entry);
        let started = Instant::now();
        let before = identity::of_package(&installed, &args).unwrap();
        println!("  {} in {:?}", before.describe(), started.elapsed());
        let again = install(&package, &at, |_| panic!("already there")).await.unwrap();
        assert_eq!(again, installed);
        let spec = ServerSpec { timeout: Duration::from_secs(20), ..spec(installed.launch(&args, vec![], None)) };
        tried(&installed.name, spec, &calls).await;
        assert_eq!(identity::of_package(&installed, &args).unwrap(), before, "running it changes nothing");
        // The lock alone brings back the same files.
        std::fs::remove_dir_all(installed.tree_path()).unwrap();
        let anew = install(&package, &at, |_| {}).await.unwrap();
        assert_eq!(identity::of_package(&anew, &args).unwrap(), before, "the lock names the same files");
    }
}
