//! What happens by itself while the daemon runs: files that the operator changed are taken up, approvals
//! run out, signals stop it.

use super::Gateway;
use interlock_engine::ports::Clock;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often the files are looked at. Polling sees changes on every file system.
const LOOK: Duration = Duration::from_secs(1);

/// Takes up changes of the catalog, the policy bundle, the certificate and the documents of APIs.
pub(crate) async fn watch_files(gateway: Arc<Gateway>) {
    let mut seen = fingerprint(&gateway);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = fingerprint(&gateway);
        if now != seen {
            // Several files change one after the other: wait until they are still.
            tokio::time::sleep(Duration::from_millis(150)).await;
            seen = fingerprint(&gateway);
            gateway.reload().await;
        }
    }
}

type Stamp = Vec<(std::path::PathBuf, Option<SystemTime>, u64)>;

fn fingerprint(gateway: &Gateway) -> Stamp {
    let mut stamps = vec![stamp(&gateway.config.catalog.file)];
    if let Some(tls) = &gateway.config.listen.tls {
        stamps.extend([stamp(&tls.certificate), stamp(&tls.key)]);
    }
    let documents = gateway.config.servers.values().filter_map(|server| server.launch.document());
    stamps.extend(documents.map(|document| stamp(&document.file)));
    for dir in [gateway.config.policy_dir.clone(), gateway.config.policy_dir.join("tests")] {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
        paths.sort();
        stamps.extend(paths.iter().map(|p| stamp(p)));
    }
    stamps
}

fn stamp(path: &Path) -> (std::path::PathBuf, Option<SystemTime>, u64) {
    let meta = std::fs::metadata(path).ok();
    (path.to_owned(), meta.as_ref().and_then(|m| m.modified().ok()), meta.map_or(0, |m| m.len()))
}

/// Ends approvals whose time has passed.
pub(crate) async fn expire_approvals(gateway: Arc<Gateway>) {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(e) = gateway.store.expire_due(gateway.engine().clock().now()).await {
            gateway.log(&format!("the ledger did not take expired approvals: {e}"));
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
    }
}

/// Stops in order on SIGINT and SIGTERM.
#[cfg(unix)]
pub(crate) async fn stop_on_signal(gateway: Arc<Gateway>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return;
    };
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    gateway.log("stopping");
    gateway.stop.send_replace(true);
}

/// Stops in order on Ctrl-C.
#[cfg(not(unix))]
pub(crate) async fn stop_on_signal(gateway: Arc<Gateway>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        gateway.log("stopping");
        gateway.stop.send_replace(true);
    }
}

/// Takes up what changed on disk on SIGHUP, as daemons do. Started from a terminal the signal says that the terminal
/// is gone, and ends the gateway as it ends any program.
#[cfg(unix)]
pub(crate) async fn reload_on_hangup(gateway: Arc<Gateway>) {
    use std::io::IsTerminal as _;
    use tokio::signal::unix::{SignalKind, signal};
    if std::io::stdin().is_terminal() {
        return;
    }
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        gateway.log("SIGHUP: looking at the files again");
        gateway.reload().await;
    }
}

/// There is no such signal here.
#[cfg(not(unix))]
pub(crate) async fn reload_on_hangup(_: Arc<Gateway>) {}
