//! Live listings against the catalog: each server's newest list is compared when it comes, and again
//! when the catalog changes.

use super::Gateway;
use bytes::Bytes;
use interlock_catalog::{Live, drift};
use interlock_model::ServerName;
use interlock_upstream::ServerEvent;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Compares until the servers are gone.
pub(crate) async fn watch_listings(
    gateway: Arc<Gateway>,
    mut events: mpsc::Receiver<ServerEvent>,
    mut catalog_changed: watch::Receiver<u64>,
) {
    let mut newest: HashMap<ServerName, Vec<Bytes>> = HashMap::new();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                None => return,
                Some(ServerEvent::Up { server, revision, server_info }) => {
                    gateway.log(&format!("server `{server}` is up: {} {} ({revision})", server_info.name, server_info.version));
                }
                Some(ServerEvent::Down { server, reason }) => gateway.log(&format!("server `{server}` is down: {reason}")),
                Some(ServerEvent::Listed { server, tools, ack }) => {
                    compare(&gateway, &server, &tools).await;
                    // Only now may calls to it go on: what differs is set aside.
                    ack.done();
                    newest.insert(server, tools);
                }
            },
            changed = catalog_changed.changed() => {
                if changed.is_err() {
                    return;
                }
                catalog_changed.mark_unchanged();
                for (server, tools) in &newest {
                    compare(&gateway, server, tools).await;
                }
            }
        }
    }
}

async fn compare(gateway: &Gateway, server: &ServerName, tools: &[Bytes]) {
    let live: Vec<Live> = tools.iter().map(|raw| Live::read(raw)).collect();
    let before = gateway.engine().world();
    let drifts = drift(server, &before.catalog, &live);
    for drifted in drifts.iter().filter(|d| d.kind.quarantines()) {
        if let Some(tool) = &drifted.tool {
            gateway.log(&format!(
                "tool `{server}/{tool}` is set aside: {}; review it with `interlock catalog diff {server}/{tool}`",
                drifted.kind.as_str()
            ));
        }
    }
    if let Err(e) = gateway.engine().apply_drift(server, &drifts).await {
        gateway.log(&format!("the ledger did not take a drift of `{server}`: {e}"));
    }
    if gateway.engine().world().quarantined != before.quarantined {
        gateway.tools_changed();
    }
}
