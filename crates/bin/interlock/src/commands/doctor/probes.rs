//! What only the gateway's own parts can say: each is tried, and none keeps another from being tried.
//!
//! A server is started only if it is what was approved, just as the daemon would.

use crate::daemon::{
    Floors, bundle_files, client_info, floors, identity_of, load_catalog, load_policy, package_dir, pinned_operator,
    socket_path, spec_of,
};
use interlock_bin::config::{Config, Launch, ResolvedServer, Secrets, Server};
use interlock_bin::doctor::{CatalogFacts, DaemonFacts, Gateway, LedgerFacts, Listed, PolicyFacts, Probe, ServerProbe};
use interlock_bin::operator;
use interlock_bin::term::Progress;
use interlock_catalog::{Catalog, DriftKind, Live, drift};
use interlock_gateway::{AdminClient, AdminClientError};
use interlock_model::ServerName;
use interlock_policy::Bundle;
use interlock_signature::PublicKey;
use interlock_store::{OpenError, ReadError, Reader};
use interlock_upstream::{ServerSpec, list_once};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How long a server may take to start and list its tools.
const LISTING: Duration = Duration::from_secs(10);
/// How long the daemon may take to say how it is.
const ANSWER: Duration = Duration::from_secs(5);
/// Servers that are tried at once: more would only wait for each other.
const AT_ONCE: usize = 8;
/// A ledger of more entries is verified from its end only; `ledger verify` takes the time for all of it.
const WHOLE: u64 = 20_000;
/// How many of its newest entries are then verified.
const TAIL: u64 = 64;

/// Tries everything.
pub(super) async fn gateway(config: &Arc<Config>, progress: &Progress) -> Gateway {
    if let Err(e) = std::fs::read_dir(&config.data_dir) {
        return absent(&config.data_dir, &e);
    }
    progress.say("reading the ledger");
    let ledger = tokio::task::spawn_blocking({
        let config = config.clone();
        move || ledger(&config.data_dir)
    });
    let ledger = Probe::of(ledger.await.map_err(|e| e.to_string()).and_then(|l| l));
    progress.say("checking what is signed");
    let (catalog, catalog_facts, policy) = signed(config);
    progress.say("asking the daemon");
    let (daemon, set_aside) = daemon(config).await;
    let servers = servers(config, catalog, &set_aside, progress).await;
    Gateway { catalog: catalog_facts, policy, ledger, daemon, servers }
}

/// Without its data directory there is nothing to try, whether it is missing or another user's.
fn absent(data_dir: &Path, error: &io::Error) -> Gateway {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "there is no data directory".to_owned(),
        io::ErrorKind::PermissionDenied => {
            format!("`{}` is another user's; ask as that user", data_dir.display())
        }
        _ => format!("`{}`: {error}", data_dir.display()),
    };
    Gateway {
        catalog: Probe::NotTried(why.clone()),
        policy: Probe::NotTried(why.clone()),
        ledger: Probe::NotTried(why.clone()),
        daemon: Probe::NotTried(why),
        servers: BTreeMap::new(),
    }
}

fn ledger(data_dir: &Path) -> Result<LedgerFacts, String> {
    let reader = match Reader::open(data_dir) {
        Err(OpenError::NoLedger(_)) => return Ok(LedgerFacts::default()),
        other => other.map_err(|e| e.to_string())?,
    };
    look_through(&reader, data_dir, WHOLE).map_err(|e| e.to_string())
}

fn look_through(reader: &Reader, data_dir: &Path, whole: u64) -> Result<LedgerFacts, ReadError> {
    let entries = reader.size()?;
    let mut facts = LedgerFacts { entries, ..LedgerFacts::default() };
    if entries <= whole {
        facts.damage = reader.verify(|_, _| {})?.faults.iter().map(|fault| fault.what.clone()).collect();
        facts.verified = entries;
    } else {
        let first = entries.saturating_sub(TAIL);
        for index in first..entries {
            // A receipt is given only if it verifies: the entry, its place in the tree and the signature.
            if let Err(e) = reader.receipt(index) {
                facts.damage.push(e.to_string());
            }
        }
        facts.verified = entries - first;
    }
    if let Some(newest) = entries.checked_sub(1) {
        facts.newest = reader.entry(newest).ok().map(|stored| stored.entry.at);
    }
    facts.operator = pinned_operator(data_dir)?;
    Ok(facts)
}

/// The catalog, if it would come into force, and what is to be said of it and of the bundle.
fn signed(config: &Config) -> (Option<Arc<Catalog>>, Probe<CatalogFacts>, Probe<PolicyFacts>) {
    let operator = match operator::public_key(&config.data_dir) {
        Ok(operator) => operator,
        Err(e) => {
            let why = format!("what is signed cannot be checked: {e}");
            return (None, Probe::NotTried(why.clone()), Probe::NotTried(why));
        }
    };
    // What a damaged ledger does not say, the ledger's own check reports.
    let floors = floors(&config.data_dir).unwrap_or_default();
    match load_catalog(config, &operator, &floors) {
        Ok(catalog) => {
            let mut tools: BTreeMap<ServerName, usize> = BTreeMap::new();
            for tool in catalog.tools() {
                *tools.entry(tool.server.clone()).or_default() += 1;
            }
            let facts = CatalogFacts { serial: catalog.serial(), tools };
            let policy = Probe::of(policy(config, &operator, &catalog, &floors));
            (Some(catalog), Probe::Found(facts), policy)
        }
        Err(why) => {
            let policy =
                Probe::NotTried("a bundle is checked against the catalog, and there is none in order".to_owned());
            (None, Probe::Failed(why.to_string()), policy)
        }
    }
}

fn policy(config: &Config, operator: &PublicKey, catalog: &Catalog, floors: &Floors) -> Result<PolicyFacts, String> {
    let snapshot = load_policy(config, operator, catalog, floors).map_err(|e| e.to_string())?;
    let bundle = bundle_files(&config.policy_dir).map_err(|e| e.to_string())?;
    let tests = Bundle::parse(&bundle).map_err(|e| e.to_string())?.cases().len();
    Ok(PolicyFacts { version: snapshot.version(), policies: snapshot.policy_count(), tests })
}

/// What the daemon says, and which tools it has set aside (`server/tool`).
async fn daemon(config: &Config) -> (Probe<DaemonFacts>, Vec<String>) {
    let status = async {
        let mut client = AdminClient::connect(&socket_path(&config.data_dir)).await?;
        client.timeout = ANSWER;
        client.call("status", json!({}), None).await
    };
    match status.await {
        Ok(status) => {
            let set_aside = all(&status, "quarantined", |q| text(q, "tool").to_owned());
            (Probe::Found(daemon_facts(&status)), set_aside)
        }
        Err(e @ AdminClientError::NotAdmitted(_)) => (Probe::NotTried(e.to_string()), Vec::new()),
        Err(e) => (Probe::Failed(e.to_string()), Vec::new()),
    }
}

fn daemon_facts(status: &Value) -> DaemonFacts {
    let pid = status.get("pid").and_then(Value::as_u64).unwrap_or_default();
    let down = |server: &Value| {
        (text(server, "condition") == "down")
            .then(|| format!("`{}` ({})", text(server, "server"), text(server, "detail")))
    };
    DaemonFacts {
        about: format!(
            "version {}, process {pid}, {} mode, {}",
            text(status, "build"),
            text(status, "mode"),
            text(status, "mcp")
        ),
        refused: all(status, "refused", |why| why.as_str().unwrap_or_default().to_owned()),
        down: all(status, "servers", down).into_iter().flatten().collect(),
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn all<T>(value: &Value, member: &str, read: impl Fn(&Value) -> T) -> Vec<T> {
    value.get(member).and_then(Value::as_array).into_iter().flatten().map(read).collect()
}

async fn servers(
    config: &Arc<Config>,
    catalog: Option<Arc<Catalog>>,
    set_aside: &[String],
    progress: &Progress,
) -> BTreeMap<ServerName, ServerProbe> {
    let mut tasks = JoinSet::new();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut waiting: BTreeSet<ServerName> = config.servers.keys().cloned().collect();
    for server in config.servers.values().cloned() {
        let (config, catalog, places) = (config.clone(), catalog.clone(), places.clone());
        tasks.spawn(async move {
            let _place = places.acquire_owned().await;
            let probe = server_probe(&config, &server, catalog.as_deref()).await;
            (server.name, probe)
        });
    }
    let mut probes = BTreeMap::new();
    loop {
        let names: Vec<&str> = waiting.iter().map(ServerName::as_str).collect();
        progress.say(&format!("trying {}", names.join(", ")));
        let Some(done) = tasks.join_next().await else { break };
        let Ok((name, mut probe)) = done else { continue };
        waiting.remove(&name);
        if let Probe::Found(listed) = &mut probe.listed {
            add_set_aside(listed, &name, set_aside);
        }
        probes.insert(name, probe);
    }
    probes
}

/// What the daemon has set aside stays so until it has seen the approved definition again.
fn add_set_aside(listed: &mut Listed, server: &ServerName, set_aside: &[String]) {
    for tool in set_aside {
        if let Some((of, tool)) = tool.split_once('/')
            && of == server.as_str()
            && !listed.quarantined.iter().any(|q| q == tool)
        {
            listed.quarantined.push(tool.to_owned());
        }
    }
}

async fn server_probe(config: &Config, server: &Server, catalog: Option<&Catalog>) -> ServerProbe {
    let not_tried = |why: &str| ServerProbe {
        installed: Probe::NotTried(why.to_owned()),
        identity: Probe::NotTried(why.to_owned()),
        listed: Probe::NotTried(why.to_owned()),
    };
    let Some(resolved) = resolved(config, server) else { return not_tried("a reference in it has no value") };
    let spec = spec_of(config, &resolved);
    let mut probe = not_tried("it is not installed");
    match (&server.launch, &spec) {
        (Launch::Package(_), Err(_)) if !package_dir(config, &server.name).exists() => {
            probe.installed = Probe::Failed("its package is not installed yet".to_owned());
        }
        (Launch::Package(_), Err(why)) => probe.installed = Probe::Failed(why.clone()),
        _ => probe.installed = Probe::Found(()),
    }
    let spec = match spec {
        Ok(spec) => spec,
        Err(why) => {
            if !matches!(server.launch, Launch::Package(_)) {
                probe.identity = Probe::Failed(why);
            }
            return probe;
        }
    };
    let installed = probe.installed;
    let Some(catalog) = catalog else {
        return ServerProbe { installed, ..not_tried("there is no catalog in order to compare it with") };
    };
    let Some(approved) = catalog.server(&server.name) else {
        let why = format!(
            "no tool of it is approved yet: `interlock catalog scan {0}` and `approve {0}` do that",
            server.name
        );
        return ServerProbe { installed, ..not_tried(&why) };
    };
    let identity = Probe::of(
        identity_of(config, &server.name, &spec).await.map(|found| found.digest() == approved.identity_digest),
    );
    let listed = match &identity {
        Probe::Found(true) => Probe::of(listed(&spec, catalog).await),
        _ => Probe::NotTried("it is not started: it is not known to be what was approved".to_owned()),
    };
    ServerProbe { installed, identity, listed }
}

/// One server with its secrets, whatever is missing of the others.
fn resolved(config: &Config, server: &Server) -> Option<ResolvedServer> {
    let secrets = Secrets::load(&config.secrets_file()).ok()?;
    let alone = Config { servers: BTreeMap::from([(server.name.clone(), server.clone())]), ..config.clone() };
    alone.resolve(&secrets, &|name| std::env::var(name).ok()).ok()?.into_iter().next()
}

async fn listed(spec: &ServerSpec, catalog: &Catalog) -> Result<Listed, String> {
    let listing = tokio::time::timeout(LISTING, list_once(spec, &client_info()))
        .await
        .map_err(|_| format!("it did not list its tools in time ({} s)", LISTING.as_secs()))?
        .map_err(|e| e.detail)?;
    let live: Vec<Live> = listing.tools.iter().map(|raw| Live::read(raw)).collect();
    let drifts = drift(&spec.name, catalog, &live);
    let called = |tool: Option<&interlock_model::ToolName>| {
        tool.map_or_else(|| "(without a name)".to_owned(), ToString::to_string)
    };
    Ok(Listed {
        tools: live.len(),
        quarantined: drifts.iter().filter(|d| d.kind.quarantines()).map(|d| called(d.tool.as_ref())).collect(),
        unapproved: drifts.iter().filter(|d| matches!(d.kind, DriftKind::New { .. })).count(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::now;
    use interlock_engine::ports::{Append, Ledger};
    use interlock_ledger::entry::{Entry, Event, StartEvent};
    use interlock_model::{Digest, Mode, UnixMillis};
    use interlock_store::{Store, StoreOptions};

    #[tokio::test]
    async fn a_long_ledger_is_verified_from_its_end() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("data");
        assert_eq!(ledger(&dir).unwrap(), LedgerFacts::default());
        let (store, _) = Store::open(StoreOptions::new(dir.clone(), now())).unwrap();
        for n in 0..TAIL + 3 {
            let start = StartEvent {
                build: "0.1.0".into(),
                catalog: None,
                config: Digest([0; 32]),
                mode: Mode::Enforcing,
                operator: format!("{n:016x}"),
                policy: None,
                recovered: 0,
            };
            let entry = Entry::new(UnixMillis(n), Event::Start(start));
            store.append(Append::entry(&entry).unwrap()).await.unwrap();
        }
        let all = ledger(&dir).unwrap();
        let (operator, newest) = (Some(format!("{:016x}", TAIL + 2)), Some(UnixMillis(TAIL + 2)));
        assert_eq!(all, LedgerFacts { entries: TAIL + 3, verified: TAIL + 3, operator, newest, damage: vec![] });
        let reader = Reader::open(&dir).unwrap();
        let end = look_through(&reader, &dir, TAIL).unwrap();
        assert_eq!(end, LedgerFacts { verified: TAIL, ..all });
        store.close().unwrap();
    }

    #[test]
    fn what_the_daemon_set_aside_is_not_said_twice() {
        let mut listed = Listed { tools: 3, quarantined: vec!["a".into()], unapproved: 0 };
        let set_aside = ["files/a", "files/b", "other/c"].map(str::to_owned);
        add_set_aside(&mut listed, &"files".parse().unwrap(), &set_aside);
        assert_eq!(listed.quarantined, ["a", "b"]);
    }

    #[test]
    fn the_daemons_status_is_read() {
        let status = json!({
            "build": "0.1.0", "pid": 7, "mode": "enforcing", "mcp": "http://127.0.0.1:7420/mcp", "refused": ["bad signature"],
            "servers": [{"server": "a", "condition": "down", "detail": "it ended"}, {"server": "b", "condition": "up", "detail": ""}],
        });
        let facts = daemon_facts(&status);
        assert_eq!(facts.about, "version 0.1.0, process 7, enforcing mode, http://127.0.0.1:7420/mcp");
        assert_eq!((facts.refused, facts.down), (vec!["bad signature".to_owned()], vec!["`a` (it ended)".to_owned()]));
    }
}
