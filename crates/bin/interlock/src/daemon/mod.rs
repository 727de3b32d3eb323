//! The daemon: one per data directory. It puts the edges and the engine together, watches what the
//! operator changes on disk, and stops in order.

mod admin;
mod clock;
mod drift;
mod handover;
mod load;
mod log;
mod pin;
mod servers;
mod watch;

pub(crate) use clock::now;
pub(crate) use load::{Floors, bundle_files, catalog as load_catalog, policy as load_policy};
pub(crate) use pin::pinned_operator;
pub(crate) use servers::{client_info, identity_of, install, package_dir, spec_of};

use clock::SystemClock;
use interlock_bin::config::{Config, Listen, Secrets};
use interlock_bin::operator;
use interlock_catalog::Catalog;
use interlock_engine::front::Endpoint;
use interlock_engine::ports::{Append, Clock, Ledger};
use interlock_engine::{Engine, Ports, Settings, World};
use interlock_gateway::{
    AdminOptions, AdminSocket, HttpOptions, OtlpOptions, Published, StdioOptions, Tls, otlp, serve_admin, serve_api,
    serve_http,
};
use interlock_identity::Registry;
use interlock_ledger::entry::{
    CatalogAction, CatalogEvent, Entry, Event, EventKind, PolicyEvent, StartEvent, StopEvent,
};
use interlock_model::Digest;
use interlock_signature::PublicKey;
use interlock_store::{Filter, Reader, Store, StoreOptions};
use interlock_upstream::Upstreams;
use log::Log;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, oneshot, watch as channel};

/// The administration socket's name in the data directory.
pub(crate) const SOCKET: &str = "admin.sock";
/// Events of servers that may wait to be compared; beyond that the servers wait.
const EVENTS: usize = 64;

/// Most entries of a ledger whose sessions are claimed at a stop: some two seconds of a debug build.
const MAX_CLAIMED_AT_STOP: u64 = 20_000;

/// The real edges.
pub(crate) struct Edges;

impl Ports for Edges {
    type Clock = SystemClock;
    type Ledger = Store;
    type Upstream = Upstreams;
}

/// What the daemon's parts share.
pub(crate) struct Gateway {
    config: Config,
    operator: PublicKey,
    engine: Arc<Engine<Edges>>,
    store: Store,
    floors: Mutex<Floors>,
    /// What keeps the newest catalog or bundle on disk from coming into force, if anything does.
    refused: Mutex<Vec<String>>,
    /// Changes when agents may see other tools.
    visible: channel::Sender<u64>,
    /// Changes when another catalog came into force.
    catalog_loaded: channel::Sender<u64>,
    stop: channel::Sender<bool>,
    /// The socket that MCP is served on, for whoever comes after this daemon.
    listener: std::net::TcpListener,
    tls: Option<Arc<Tls>>,
    /// Where the API is served.
    api: Option<String>,
    /// One reload at a time: the watcher and a command may ask at once.
    reloading: tokio::sync::Mutex<()>,
    log: Log,
}

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    /// The data directory.
    #[error(transparent)]
    Store(#[from] interlock_store::OpenError),
    /// The operator's key.
    #[error(transparent)]
    Operator(#[from] operator::OperatorError),
    /// Someone put another key in the place of the operator's.
    #[error(
        "the operator's key `{found}` is not the one that this ledger was last started with, `{pinned}`; restore \
         `keys/operator.pub` (and `operator.key`) from a backup, or begin a new data directory (`[data] dir`)"
    )]
    OtherOperator {
        /// The key id that the newest start entry names.
        pinned: String,
        /// The one that is there now.
        found: String,
    },
    /// The secrets file.
    #[error(transparent)]
    Secrets(#[from] interlock_bin::config::SecretsError),
    /// References without a value.
    #[error(transparent)]
    Unresolved(#[from] interlock_bin::config::UnresolvedList),
    /// The ledger.
    #[error("the ledger did not take the start entry: {0}")]
    Ledger(#[from] interlock_engine::ports::AppendError),
    /// Reading it.
    #[error(transparent)]
    Read(#[from] interlock_store::ReadError),
    /// The port.
    #[error("cannot listen on {address}: {source}; stop what listens there, or set `listen.mcp` to another port")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// What a running daemon cannot be changed in by another that takes over.
    #[error("{0} changed, which a restart cannot take up; `interlock stop`, then `interlock run`")]
    Handover(&'static str),
    /// The certificate.
    #[error("`listen.tls`: {0}")]
    Tls(#[from] interlock_gateway::TlsError),
    /// The administration socket.
    #[error(transparent)]
    Admin(#[from] interlock_gateway::AdminBindError),
    /// The ledger's last words.
    #[error(transparent)]
    Close(#[from] interlock_store::CloseError),
    /// The log file.
    #[error("cannot write the log: {0}")]
    Log(std::io::Error),
    /// A name that is fixed in this program is not valid.
    #[error(transparent)]
    Name(#[from] interlock_model::id::InvalidName),
}

/// The administration socket of a data directory.
pub(crate) fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join(SOCKET)
}

/// Most connections that wait to be accepted. The library's own 128 are full in an instant, and whoever
/// comes then waits a second.
const BACKLOG: u32 = 1024;

fn listen(address: std::net::SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A daemon that starts again takes the port although old connections linger in the system.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// How long a stop waits for the last spans to be taken.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Most connections to the API, and most questions at once there. Those who ask are few programs, not many hosts.
const API_CONNECTIONS: usize = 1024;

/// The API's port. Where it is taken, agents are served all the same: what asks there is told nothing, and acts on nothing.
fn bind_api(config: &Config, log: &Log) -> Option<TcpListener> {
    let address = config.listen.api?;
    match listen(address) {
        Ok(listener) => {
            log.line(&format!("serving the API on {}", config.listen.api_url().unwrap_or_default()));
            Some(listener)
        }
        Err(why) => {
            log.line(&format!(
                "not serving the API: cannot listen on {address}: {why}; set `listen.api` to another port, or to `false`"
            ));
            None
        }
    }
}

/// Runs the gateway until it is told to stop.
///
/// With `inherit`, after the daemon of that data directory, which passed its socket on.
pub(crate) async fn run(config: Config, background: bool, inherit: Option<&Path>) -> Result<(), DaemonError> {
    let address = config.listen.mcp;
    let unheard = |source| DaemonError::Listen { address, source };
    let passed_on = inherit.map(|before| handover::inherited(&config, before)).transpose()?;
    let (store, recovery) = match passed_on {
        Some(_) => handover::succeed(&config).await?,
        None => Store::open(StoreOptions::new(config.data_dir.clone(), now()))?,
    };
    let operator = operator::public_key(&config.data_dir)?;
    pin::same_operator(&config.data_dir, &operator)?;
    let log = Log::open(&config.data_dir, background).map_err(DaemonError::Log)?;
    if recovery.closed_unknown > 0 {
        log.line(&format!("closed {} calls of the last run as unknown", recovery.closed_unknown));
    }
    for damage in &recovery.damage {
        log.line(&format!("damage: {damage}; see `interlock ledger verify`"));
    }
    let floors = floors(&config.data_dir)?;
    let secrets = Secrets::load(&config.secrets_file())?;
    let tls = config.listen.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
    let resolved = config.resolve(&secrets, &|name| std::env::var(name).ok())?;

    let catalog = load::catalog(&config, &operator, &floors);
    let mut refused = Vec::new();
    let catalog = catalog.unwrap_or_else(|why| {
        refused.push(why.to_string());
        Arc::new(Catalog::empty())
    });
    let registry = Arc::new(Registry::new(store.agents()?));
    let mut world = World::closed(catalog.clone(), registry, Arc::new(settings(&config)));
    match load::policy(&config, &operator, &catalog, &floors) {
        Ok(policy) => world = world.with_policy(policy),
        Err(why) => refused.push(why.to_string()),
    }
    for why in &refused {
        log.line(&format!("not in force: {why}"));
    }
    let first = start_entries(&store, &config, &operator, &world, &floors, recovery.closed_unknown).await?;

    let listener = match passed_on {
        Some(listener) => listener,
        None => listen(address).and_then(TcpListener::into_std).map_err(unheard)?,
    };
    listener.set_nonblocking(true).map_err(unheard)?;
    let serving = listener.try_clone().and_then(TcpListener::from_std).map_err(unheard)?;
    let api = bind_api(&config, &log);
    let socket = AdminSocket::bind(&socket_path(&config.data_dir))?;

    let (events, listings) = mpsc::channel(EVENTS);
    let specs = servers::admitted(&config, &resolved, &catalog, &store, &log).await;
    let upstreams = Upstreams::start(specs, &client_info(), &events);
    let engine = Arc::new(Engine::new(SystemClock::new(), store.clone(), upstreams, world)?);
    let gateway = Arc::new(Gateway {
        operator,
        engine,
        store: store.clone(),
        floors: Mutex::new(Floors { catalog_serial: catalog.serial().max(floors.catalog_serial), ..floors }),
        refused: Mutex::new(refused),
        visible: channel::channel(0).0,
        catalog_loaded: channel::channel(0).0,
        stop: channel::channel(false).0,
        listener,
        tls,
        api: api.as_ref().and_then(|_| config.listen.api_url()),
        reloading: tokio::sync::Mutex::new(()),
        log,
        config,
    });
    serve(&gateway, serving, api, socket, listings, events).await;

    let stop = StopEvent { reason: "asked to".to_owned() };
    let entry = Entry::new(now(), Event::Stop(stop));
    if let Ok(append) = Append::entry(&entry) {
        store.append(append).await?;
    }
    tokio::task::spawn_blocking(move || store.close()).await.unwrap_or(Ok(()))?;
    let claiming = gateway.clone();
    match tokio::task::spawn_blocking(move || claim_sessions(&claiming.config, first)).await {
        Ok(Ok(0)) => {}
        Ok(Ok(count)) => {
            gateway.log(&format!("{count} claims are in {}", gateway.config.data_dir.join("claims").display()))
        }
        Ok(Err(why)) => gateway.log(&format!("no claims were made: {why}; `interlock claim issue` makes them")),
        Err(_) => gateway.log("no claims were made; `interlock claim issue` makes them"),
    }
    gateway.log("stopped");
    Ok(())
}

async fn serve(
    gateway: &Arc<Gateway>,
    listener: TcpListener,
    api: Option<TcpListener>,
    socket: AdminSocket,
    listings: mpsc::Receiver<interlock_upstream::ServerEvent>,
    events: mpsc::Sender<interlock_upstream::ServerEvent>,
) {
    let notices = gateway.engine.upstream().notices();
    let published = Published {
        catalog_epoch: gateway.visible.subscribe(),
        notices: notices.clone(),
        checkpoint: {
            let path = gateway.config.data_dir.join("log").join("checkpoint");
            Arc::new(move || std::fs::read(&path).ok().map(Into::into))
        },
    };
    let limits = gateway.config.limits;
    let http = HttpOptions {
        allowed_hosts: gateway.config.listen.allowed_hosts.clone(),
        allowed_origins: gateway.config.listen.allowed_origins.clone(),
        message_bytes: limits.message_bytes,
        session_key: Some(gateway.store.derived_key("mcp-session")),
        tls: gateway.tls.clone(),
        ..HttpOptions::default()
    };
    let exposed = gateway.config.listen.api.is_some_and(|at| !at.ip().is_loopback());
    let api_http = HttpOptions {
        connections: API_CONNECTIONS,
        in_flight: API_CONNECTIONS,
        tls: gateway.tls.clone().filter(|_| exposed),
        ..http.clone()
    };
    let stdio =
        StdioOptions { endpoint: Endpoint::All, message_bytes: limits.message_bytes, ..StdioOptions::default() };
    let stopped = || {
        let mut stop = gateway.stop.subscribe();
        async move {
            let _gone = stop.wait_for(|stop| *stop).await;
        }
    };
    let drift = tokio::spawn(drift::watch_listings(gateway.clone(), listings, gateway.catalog_loaded.subscribe()));
    let files = tokio::spawn(watch::watch_files(gateway.clone()));
    let expiry = tokio::spawn(watch::expire_approvals(gateway.clone()));
    let signals = tokio::spawn(watch::stop_on_signal(gateway.clone()));
    let hangups = tokio::spawn(watch::reload_on_hangup(gateway.clone()));
    gateway.log(&format!(
        "serving MCP on {} ({} mode, {} tools approved, ledger {})",
        Listen { mcp: listener.local_addr().unwrap_or(gateway.config.listen.mcp), ..gateway.config.listen.clone() }
            .url(),
        gateway.config.mode,
        gateway.engine.world().catalog.tools().len(),
        gateway.config.data_dir.display(),
    ));
    let (calls_over, over) = oneshot::channel::<()>();
    let telemetry = gateway.config.telemetry.clone().map(|collector| {
        let to = gateway.clone();
        let (watcher, sending) = otlp(collector, OtlpOptions::default(), move |line| to.log(line), async {
            let _gone = over.await;
        });
        gateway.engine.observe(Box::new(watcher));
        tokio::spawn(sending)
    });
    let admin_options = AdminOptions { stdio, ..AdminOptions::default() };
    tokio::join!(
        serve_http(vec![listener], gateway.engine.clone(), published, http, stopped()),
        serve_api(api.into_iter().collect(), gateway.engine.clone(), api_http, stopped()),
        serve_admin(
            socket,
            gateway.clone(),
            gateway.engine.clone(),
            (gateway.visible.subscribe(), notices),
            admin_options,
            stopped()
        ),
    );
    drop(calls_over);
    if let Some(sending) = telemetry {
        let _ended = tokio::time::timeout(LAST_SPANS, sending).await;
    }
    for task in [files, expiry, signals, hangups] {
        task.abort();
    }
    gateway.engine.upstream().stop().await;
    drop(events);
    drift.abort();
}

impl Gateway {
    pub(crate) const fn engine(&self) -> &Arc<Engine<Edges>> {
        &self.engine
    }

    pub(crate) fn log(&self, line: &str) {
        self.log.line(line);
    }

    /// Tells hosts that their tool list may have changed.
    pub(crate) fn tools_changed(&self) {
        self.visible.send_modify(|epoch| *epoch += 1);
    }

    /// Takes up what the operator changed on disk. Returns what was refused, and why.
    pub(crate) async fn reload(&self) -> Vec<String> {
        let _one = self.reloading.lock().await;
        servers::relist_documents(self);
        let floors = *self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.engine.world();
        let mut refused = Vec::new();
        let catalog = match load::catalog(&self.config, &self.operator, &floors) {
            Ok(catalog) => catalog,
            Err(why) => {
                refused.push(why.to_string());
                before.catalog.clone()
            }
        };
        let policy = match load::policy(&self.config, &self.operator, &catalog, &floors) {
            Ok(policy) => Some(policy),
            Err(why) => {
                refused.push(why.to_string());
                None
            }
        };
        match self.tls.as_ref().map(|tls| tls.reload()) {
            Some(Ok(true)) => self.log.line("in force: another TLS certificate, for new connections"),
            Some(Err(why)) => refused.push(why.to_string()),
            Some(Ok(false)) | None => {}
        }
        let catalog_changed = catalog.digest() != before.catalog.digest();
        let policy_changed = policy.as_ref().is_some_and(|p| p.digest() != before.policy_record.digest);
        // A bundle is valid for the catalog it was checked against: a new catalog comes into force only
        // with a bundle that validates for it.
        if (catalog_changed && policy.is_some()) || policy_changed {
            let Some(policy) = policy else { return refused };
            let mut servers_refused = Vec::new();
            if catalog_changed {
                servers_refused = servers::restart(self, &catalog).await;
            }
            self.engine.change_world(|world| {
                let world = World { catalog: catalog.clone(), ..world.clone() };
                world.with_policy(policy.clone())
            });
            self.note_in_force(catalog_changed, policy_changed).await;
            refused.extend(servers_refused);
        }
        let mut known = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        for why in refused.iter().filter(|why| !known.contains(why)) {
            self.log.line(&format!("not in force: {why}"));
        }
        known.clone_from(&refused);
        refused
    }

    async fn note_in_force(&self, catalog_changed: bool, policy_changed: bool) {
        let world = self.engine.world();
        let mut entries = Vec::new();
        if catalog_changed {
            entries.push(Event::Catalog(activated(&world, &self.operator)));
        }
        if policy_changed {
            entries.push(Event::Policy(PolicyEvent {
                activated: true,
                policy: world.policy_record.clone(),
                reason: String::new(),
            }));
        }
        {
            let mut floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
            *floors = floors_of(&world);
        }
        for event in entries {
            let entry = Entry::new(self.engine.clock().now(), event);
            let taken = match Append::entry(&entry) {
                Ok(append) => self.store.append(append).await.map(drop),
                Err(e) => Err(e),
            };
            if let Err(e) = taken {
                self.log.line(&format!("the ledger did not take a change: {e}"));
            }
        }
        self.log.line(&format!(
            "in force: catalog {} ({} tools), policy version {} ({})",
            world.catalog.serial(),
            world.catalog.tools().len(),
            world.policy_record.version,
            world.policy_record.digest.short(),
        ));
        if catalog_changed {
            self.catalog_loaded.send_modify(|epoch| *epoch += 1);
        }
        self.tools_changed();
    }

    fn status(&self) -> Value {
        let world = self.engine.world();
        let servers: Vec<Value> = self.engine.upstream().status().iter().map(servers::status_json).collect();
        json!({
            "build": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "pid": std::process::id(),
            "mcp": self.config.listen.url(),
            "api": self.api,
            "mode": world.settings.mode,
            "environment": world.settings.environment,
            "catalog": { "serial": world.catalog.serial(), "digest": world.catalog.digest(), "tools": world.catalog.tools().len() },
            "policy": { "version": world.policy_record.version, "digest": world.policy_record.digest, "in_force": world.policy.is_some() },
            "agents": world.registry.all().len(),
            "open_approvals": self.store.open_approvals().len(),
            "quarantined": world.quarantined.iter().map(|(tool, q)| json!({ "tool": tool, "reason": q.reason })).collect::<Vec<_>>(),
            "refused": *self.refused.lock().unwrap_or_else(PoisonError::into_inner),
            "servers": servers,
            "log_key": self.store.verifier_key().to_string(),
        })
    }
}

fn settings(config: &Config) -> Settings {
    let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    Settings {
        mode: config.mode,
        environment: config.environment.clone(),
        allow_unbound: config.listen.allow_unbound,
        call_timeout_ms: ms(config.limits.call_timeout),
        approval_ttl_ms: ms(config.limits.approval_ttl),
        max_in_flight: config.limits.in_flight,
    }
}

fn activated(world: &World, operator: &PublicKey) -> CatalogEvent {
    CatalogEvent {
        action: CatalogAction::Activated,
        by: operator.id(),
        catalog: world.catalog.digest(),
        found: None,
        pinned: None,
        reason: String::new(),
        serial: world.catalog.serial(),
        server: None,
        tool: None,
    }
}

fn floors_of(world: &World) -> Floors {
    Floors {
        catalog_serial: world.catalog.serial(),
        catalog: Some(world.catalog.digest()),
        policy_version: world.policy_record.version,
        policy: Some(world.policy_record.digest),
    }
}

/// What was last in force, by the ledger; nothing where there is no ledger yet.
pub(crate) fn floors(data_dir: &Path) -> Result<Floors, interlock_store::ReadError> {
    let mut floors = Floors::default();
    let reader = match Reader::open(data_dir) {
        Err(interlock_store::OpenError::NoLedger(_)) => return Ok(floors),
        other => other?,
    };
    let newest = |kind, text: &str| {
        let filter = Filter { kind: Some(kind), text: Some(text.to_owned()), ..Filter::default() };
        reader.search(&filter, 1).map(|found| found.into_iter().next().map(|stored| stored.entry.event))
    };
    if let Some(Event::Catalog(event)) = newest(EventKind::Catalog, "\"action\":\"activated\"")? {
        (floors.catalog_serial, floors.catalog) = (event.serial, Some(event.catalog));
    }
    if let Some(Event::Policy(event)) = newest(EventKind::Policy, "\"activated\":true")? {
        (floors.policy_version, floors.policy) = (event.policy.version, Some(event.policy.digest));
    }
    Ok(floors)
}

async fn start_entries(
    store: &Store,
    config: &Config,
    operator: &PublicKey,
    world: &World,
    floors: &Floors,
    recovered: u64,
) -> Result<u64, DaemonError> {
    let in_force = world.policy.as_ref().map(|_| world.policy_record.clone());
    let has_catalog = world.catalog.serial() > 0;
    let mut events = vec![Event::Start(StartEvent {
        build: env!("CARGO_PKG_VERSION").to_owned(),
        catalog: has_catalog.then(|| world.catalog.digest()),
        config: config.digest,
        mode: config.mode,
        operator: operator.id(),
        policy: in_force.clone(),
        recovered,
    })];
    if has_catalog && floors.catalog != Some(world.catalog.digest()) {
        events.push(Event::Catalog(activated(world, operator)));
    }
    if let Some(policy) = in_force.filter(|p| floors.policy != Some(p.digest)) {
        events.push(Event::Policy(PolicyEvent { activated: true, policy, reason: String::new() }));
    }
    let mut first = None;
    for event in events {
        let appended = store.append(Append::entry(&Entry::new(now(), event))?).await?;
        first.get_or_insert(appended.index);
    }
    Ok(first.unwrap_or_default())
}

/// Claims of the sessions that had calls since the entry at `first`, made at an orderly stop.
fn claim_sessions(config: &Config, first: u64) -> Result<usize, String> {
    let reader = Reader::open(&config.data_dir).map_err(|e| e.to_string())?;
    let size = reader.size().map_err(|e| e.to_string())?;
    // A claim reads the whole log; a stop takes no longer than it must.
    if size > MAX_CLAIMED_AT_STOP {
        return Err(format!("the ledger has {size} entries, which would hold up the stop"));
    }
    let mut sessions = std::collections::BTreeSet::new();
    let mut next = first;
    loop {
        let chunk = reader.entries(next..u64::MAX, 4096).map_err(|e| e.to_string())?;
        let Some(last) = chunk.last() else { break };
        next = last.index + 1;
        sessions.extend(chunk.iter().filter_map(|stored| match &stored.entry.event {
            Event::Intent(call) | Event::Denial(call) => Some(call.session),
            _ => None,
        }));
    }
    for session in &sessions {
        crate::commands::issue_claims(config, Some(&session.to_string()), false, &config.data_dir.join("claims"))?;
    }
    Ok(sessions.len())
}

/// The digest of the running binary, for claims; zeros where it cannot be read.
pub(crate) fn binary_digest() -> Digest {
    std::env::current_exe().and_then(std::fs::read).map_or(Digest([0; 32]), |bytes| Digest::of(&bytes))
}
