//! From a configured server to one that runs: installed if it is a package, and only if it is still what
//! was approved.

use super::log::Log;
use super::{Gateway, now};
use interlock_bin::config::{self, Config, Document, ResolvedLaunch, ResolvedServer, Secrets};
use interlock_catalog::{Catalog, ServerIdentity};
use interlock_engine::ports::{Append, Ledger};
use interlock_ledger::entry::{CatalogAction, CatalogEvent, Entry, Event};
use interlock_model::ServerName;
use interlock_store::Store;
use interlock_upstream::install::{self, Installed, PackageRef, Progress, Registry};
use interlock_upstream::{ClientInfo, Condition, Launch, Limits, SecretString, ServerSpec, ServerStatus, identity};
use serde_json::{Value, json};
use std::path::PathBuf;

/// What we tell servers about ourselves.
pub(crate) fn client_info() -> ClientInfo {
    ClientInfo { name: "interlock".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}

/// Where a package of this server is installed.
pub(crate) fn package_dir(config: &Config, server: &ServerName) -> PathBuf {
    config.data_dir.join("servers").join(server.as_str())
}

/// Installs the server's package, if it is one and is not installed yet.
pub(crate) async fn install(
    config: &Config,
    server: &ResolvedServer,
    say: &(dyn Fn(Progress) + Sync),
) -> Result<(), String> {
    let ResolvedLaunch::Package { package, bin, with, .. } = &server.launch else { return Ok(()) };
    let wanted = PackageRef {
        registry: match package.registry() {
            config::Registry::Npm => Registry::Npm,
            config::Registry::Pypi => Registry::Pypi,
        },
        name: package.name().to_owned(),
        version: package.version().map(str::to_owned),
        bin: bin.clone(),
        with: with.clone(),
    };
    install::install(&wanted, &package_dir(config, &server.name), say).await.map(drop).map_err(|e| e.to_string())
}

/// How to run the server. A package must have been installed by `interlock catalog scan`: nothing is
/// fetched or resolved here.
pub(crate) fn spec_of(config: &Config, server: &ResolvedServer) -> Result<ServerSpec, String> {
    let reveal = |values: &[config::Resolved]| values.iter().map(|v| v.danger_reveal().to_owned()).collect::<Vec<_>>();
    let env = || {
        server
            .env
            .iter()
            .map(|(k, v)| (k.clone(), SecretString::from(v.danger_reveal().to_owned())))
            .collect::<Vec<_>>()
    };
    let launch = match &server.launch {
        ResolvedLaunch::Package { args, .. } => {
            let installed = Installed::load(&package_dir(config, &server.name)).map_err(|e| {
                format!("its package is not installed ({e}); `interlock catalog scan {}` installs it", server.name)
            })?;
            installed.launch(&reveal(args), env(), server.cwd.clone())
        }
        ResolvedLaunch::Command { program, args } => Launch::Stdio {
            program: program.into(),
            args: reveal(args),
            env: env(),
            cwd: server.cwd.clone().or_else(|| Some(config.root().to_owned())),
        },
        ResolvedLaunch::Remote { url, headers, document } => {
            let url = url.danger_reveal().parse().map_err(|e| format!("its url is not one: {e}"))?;
            let headers = headers
                .iter()
                .map(|(k, v)| {
                    let name = k.parse().map_err(|_| format!("`{k}` is not a header name"))?;
                    Ok((name, SecretString::from(v.danger_reveal().to_owned())))
                })
                .collect::<Result<_, String>>()?;
            let key_pins = Vec::new();
            match document {
                None => Launch::Http { url, headers, key_pins },
                Some(Document { kind, file }) => {
                    Launch::Adapted { kind: *kind, document: file.clone(), url, headers, key_pins }
                }
            }
        }
    };
    let mut spec = ServerSpec::new(server.name.clone(), launch);
    spec.timeout = server.timeout.unwrap_or(config.limits.call_timeout);
    spec.limits = Limits { result_bytes: config.limits.result_bytes, ..Limits::DEFAULT };
    spec.max_in_flight = server.max_in_flight.unwrap_or(config.limits.in_flight);
    spec.relist_interval = config.catalog.relist;
    Ok(spec)
}

/// What the server is, from the files that would run. Arguments stand as configured: a reference to a
/// secret stays a reference. Reads every file of a package.
pub(crate) async fn identity_of(
    config: &Config,
    server: &ServerName,
    spec: &ServerSpec,
) -> Result<ServerIdentity, String> {
    let configured = config.servers.get(server).ok_or("it is not configured")?;
    let args: Vec<String> = configured.launch.args().iter().map(ToString::to_string).collect();
    let launch = match &spec.launch {
        Launch::Stdio { program, env, cwd, .. } => {
            Launch::Stdio { program: program.clone(), args: args.clone(), env: env.clone(), cwd: cwd.clone() }
        }
        remote @ (Launch::Http { .. } | Launch::Adapted { .. }) => remote.clone(),
    };
    let package = matches!(configured.launch, config::Launch::Package(_)).then(|| package_dir(config, server));
    let computed = tokio::task::spawn_blocking(move || match package {
        Some(dir) => {
            let installed = Installed::load(&dir).map_err(|e| e.to_string())?;
            identity::of_package(&installed, &args).map_err(|e| e.to_string())
        }
        None => identity::of_launch(&launch).map_err(|e| e.to_string()),
    });
    computed.await.map_err(|e| e.to_string())?
}

/// The servers that may run: those that are approved and are still what was approved.
pub(super) async fn admitted(
    config: &Config,
    servers: &[ResolvedServer],
    catalog: &Catalog,
    store: &Store,
    log: &Log,
) -> Vec<ServerSpec> {
    let mut admitted = Vec::new();
    for server in servers {
        match admit(config, server, catalog, store).await {
            Ok(spec) => admitted.push(spec),
            Err(why) => log.line(&format!("server `{}` is not started: {why}", server.name)),
        }
    }
    admitted
}

async fn admit(
    config: &Config,
    server: &ResolvedServer,
    catalog: &Catalog,
    store: &Store,
) -> Result<ServerSpec, String> {
    let name = &server.name;
    let approved = catalog.server(name).ok_or_else(|| {
        format!("no tool of it is approved; `interlock catalog scan {name}` and `approve {name}` do that")
    })?;
    let spec = spec_of(config, server)?;
    let identity = identity_of(config, name, &spec).await?;
    if identity.digest() == approved.identity_digest {
        return Ok(spec);
    }
    let why = format!("it is {}, approved was {}", identity.describe(), approved.identity.describe());
    let event = CatalogEvent {
        action: CatalogAction::IdentityRefused,
        by: "gateway".to_owned(),
        catalog: catalog.digest(),
        found: Some(identity.digest()),
        pinned: Some(approved.identity_digest),
        reason: why.clone(),
        serial: catalog.serial(),
        server: Some(name.clone()),
        tool: None,
    };
    if let Ok(append) = Append::entry(&Entry::new(now(), Event::Catalog(event))) {
        // Not started either way.
        let _ = store.append(append).await;
    }
    Err(format!("{why}; if that is meant, `interlock catalog scan {name}` and approve it again"))
}

/// Starts what a new catalog admits and stops what it does not. Servers that stay are not touched.
pub(super) async fn restart(gateway: &Gateway, catalog: &Catalog) -> Vec<String> {
    let secrets = match Secrets::load(&gateway.config.secrets_file()) {
        Ok(secrets) => secrets,
        Err(e) => return vec![e.to_string()],
    };
    match gateway.config.resolve(&secrets, &|name| std::env::var(name).ok()) {
        Ok(servers) => {
            let specs = admitted(&gateway.config, &servers, catalog, &gateway.store, &gateway.log).await;
            let before = gateway.engine().world().catalog.clone();
            let same = |name: &ServerName| {
                let identity = |c: &Catalog| c.server(name).map(|s| s.identity_digest);
                identity(&before).is_some() && identity(&before) == identity(catalog)
            };
            let kept = specs.iter().map(|spec| spec.name.clone()).filter(same).collect();
            gateway.engine().upstream().replace(specs, &kept);
            Vec::new()
        }
        Err(e) => vec![e.to_string()],
    }
}

/// Reads the documents of APIs again soon. One that is as it was changes nothing.
pub(super) fn relist_documents(gateway: &Gateway) {
    for server in gateway.config.servers.values().filter(|server| server.launch.document().is_some()) {
        // One that is not started reads its document when it is.
        let _runs = gateway.engine().upstream().relist(&server.name);
    }
}

pub(super) fn status_json(status: &ServerStatus) -> Value {
    let (condition, detail) = match &status.condition {
        Condition::Connecting => ("connecting", String::new()),
        Condition::Up { revision, server_info } => {
            ("up", format!("{} {} ({revision})", server_info.name, server_info.version))
        }
        Condition::Down { reason } => ("down", reason.clone()),
    };
    json!({
        "server": status.server,
        "condition": if status.outage.is_some() { "down" } else { condition },
        "detail": status.outage.as_ref().map_or(detail, ToString::to_string),
        "settled": status.settled,
        "in_flight": status.in_flight,
        "queued": status.queued,
        "garbage": status.counters.garbage,
        "answers_dropped": status.counters.responses_dropped,
    })
}
