//! A gateway to measure: its directory made with the product's own commands, as an operator would.

use crate::Failure;
use crate::child::{Process, free_port};
use http::Uri;
use serde::Deserialize;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Its name in the catalog.
const SERVER: &str = "bench";

/// A directory that `interlock run` can start from.
#[derive(Debug)]
pub(crate) struct Prepared {
    binary: PathBuf,
    dir: PathBuf,
    listen: SocketAddr,
    /// The agent's key.
    pub(crate) key: String,
}

/// Where the binary under test is: `INTERLOCK_BIN`, else beside this program.
pub(crate) fn binary() -> Result<Option<PathBuf>, Failure> {
    if let Some(given) = std::env::var_os("INTERLOCK_BIN") {
        return Ok(Some(fs::canonicalize(&given).map_err(|error| format!("{}: {error}", given.display()))?));
    }
    let beside = std::env::current_exe()?.with_file_name("interlock");
    Ok(beside.exists().then_some(beside))
}

/// Makes a directory with configuration, signed catalog, signed reference policies and one agent. All that this program knows
/// of the gateway's command line is here.
///
/// The effects of the tools are stated as writes, the dearer kind: a read may be forwarded before its entry is on disk.
pub(crate) fn prepare_gateway(
    binary: &Path,
    dir: &Path,
    policies: &Path,
    upstream: SocketAddr,
) -> Result<Prepared, Failure> {
    fs::create_dir_all(dir)?;
    let interlock = |arguments: &[&str]| -> Result<Vec<u8>, Failure> {
        let output = Command::new(binary)
            .current_dir(dir)
            .env("INTERLOCK_PASSPHRASE_FILE", dir.join("passphrase"))
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            let said = String::from_utf8_lossy(&output.stdout);
            Err(format!("`interlock {}` ended with {}: {said}", arguments.join(" "), output.status).into())
        }
    };
    let listen = free_port()?;
    fs::write(dir.join("passphrase"), "only for a benchmark, in a directory that is removed\n")?;
    let servers = format!(r#"{{"mcpServers":{{"{SERVER}":{{"type":"http","url":"http://{upstream}/mcp"}}}}}}"#);
    fs::write(dir.join("servers.json"), servers)?;
    interlock(&["init", "--from", "servers.json", "--policy", "open", "--dir", "."])?;
    let configuration = format!(
        "version = 1\nenvironment = \"bench\"\n\n[listen]\nmcp = \"{listen}\"\n\n[servers.{SERVER}]\nurl = \"http://{upstream}/mcp\"\n"
    );
    fs::write(dir.join("interlock.toml"), configuration)?;
    interlock(&["catalog", "scan"])?;
    interlock(&[
        "catalog",
        "approve",
        "--all",
        "--yes",
        &format!("--effects={SERVER}/payload=write"),
        &format!("--effects={SERVER}/sink=write"),
        &format!("--destination={SERVER}/payload=internal"),
        &format!("--destination={SERVER}/sink=internal"),
        &format!("--sensitivity={SERVER}/payload=internal"),
        &format!("--sensitivity={SERVER}/sink=internal"),
    ])?;
    if policies.is_dir() {
        let target = dir.join("policy");
        // The manifest stays: it holds the version that the next one must be above.
        let manifest = target.join("manifest.json");
        let version = fs::read(&manifest).map_err(|error| format!("`init` left no {}: {error}", manifest.display()))?;
        fs::remove_dir_all(&target)?;
        copy(policies, &target)?;
        fs::write(manifest, version)?;
    }
    interlock(&["policy", "sign"])?;
    let mut prepared = Prepared { binary: binary.to_owned(), dir: dir.to_owned(), listen, key: String::new() };
    // Agents are the daemon's. Started by us, it also stops with us, whatever goes wrong.
    let daemon = prepared.start(None)?;
    let added = interlock(&["--json", "agents", "add", "bench-agent", "--owner", "bench-owner", "--role", "operator"])?;
    let added: Added = serde_json::from_slice(&added)?;
    prepared.key = added.key;
    daemon.stop(Duration::from_secs(20))?;
    Ok(prepared)
}

/// What `agents add --json` prints, as far as it is needed here.
#[derive(Deserialize)]
struct Added {
    key: String,
}

impl Prepared {
    /// The endpoint of the one server, where its tools keep their names.
    pub(crate) fn uri(&self) -> Result<Uri, Failure> {
        Ok(format!("http://{}/mcp/{SERVER}", self.listen).parse()?)
    }

    /// Starts the gateway and waits until it listens.
    pub(crate) fn start(&self, allocations: Option<&Path>) -> Result<Process, Failure> {
        let mut command = Command::new(&self.binary);
        command
            .current_dir(&self.dir)
            .arg("run")
            .env("INTERLOCK_PASSPHRASE_FILE", self.dir.join("passphrase"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.dir.join("gateway.log"))?);
        if let Some(path) = allocations {
            command.env("INTERLOCK_ALLOC_REPORT", path);
        }
        let mut process = Process::start("the gateway", &mut command)?;
        process.wait_for(self.listen, Duration::from_secs(30)).map_err(|error| {
            let log = fs::read_to_string(self.dir.join("gateway.log")).unwrap_or_default();
            format!("{error}\n{log}")
        })?;
        Ok(process)
    }
}

/// What a build with the feature `count-allocations` writes at its end.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Allocations {
    pub(crate) allocations: u64,
    pub(crate) reallocations: u64,
    pub(crate) bytes_allocated: u64,
}

impl Allocations {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read(path).map_err(|error| {
            format!("{}: {error}; is this a build with `--features count-allocations`?", path.display())
        })?;
        Ok(serde_json::from_slice(&text)?)
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
