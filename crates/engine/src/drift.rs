//! What happens when a server's live definitions are not the approved ones: those tools, and only
//! those, are set aside until a human has looked (design 4.4).

use crate::engine::{Engine, Ports};
use crate::ports::{Append, AppendError, Clock, Ledger, UpstreamFault};
use crate::world::{Quarantine, World};
use interlock_catalog::{Drift, DriftKind};
use interlock_ledger::entry::{CatalogAction, CatalogEvent, Entry, Event};
use interlock_model::ServerName;
use std::collections::HashMap;

impl<P: Ports> Engine<P> {
    /// Takes the comparison of one server's live list with the catalog: tools that drifted are
    /// quarantined, tools that are as approved again are released. The world changes first, the entries
    /// follow: a drifted tool is never callable while its entry is being written.
    ///
    /// # Errors
    ///
    /// [`AppendError`] where an entry was not taken; the quarantine stands all the same.
    pub async fn apply_drift(&self, server: &ServerName, drifts: &[Drift]) -> Result<(), AppendError> {
        let before = self.world();
        let now_quarantined = quarantine_of(&before, server, drifts);
        let world = self.change_world(|world| {
            let of_others = world.quarantined.iter().filter(|(name, _)| !belongs(world, name, server));
            let quarantined = of_others.map(|(k, v)| (k.clone(), v.clone())).chain(now_quarantined.clone()).collect();
            World { quarantined, ..world.clone() }
        });
        let mut events = Vec::new();
        for tool in world.catalog.tools().iter().filter(|tool| tool.server == *server) {
            let (old, new) = (before.quarantine(tool), world.quarantine(tool));
            let (action, reason, found) = match (old, new) {
                (was, Some(now)) if was != Some(now) => (CatalogAction::Quarantined, now.reason.clone(), now.found),
                (Some(_), None) => {
                    (CatalogAction::Released, "the live definition is the approved one again".to_owned(), None)
                }
                _ => continue,
            };
            events.push(CatalogEvent {
                action,
                by: "gateway".to_owned(),
                catalog: world.catalog.digest(),
                found,
                pinned: Some(tool.definition.digest()),
                reason,
                serial: world.catalog.serial(),
                server: Some(server.clone()),
                tool: Some(tool.definition.name().clone()),
            });
        }
        for event in events {
            let entry = Entry::new(self.clock.now(), Event::Catalog(event));
            self.ledger.append(Append::entry(&entry)?).await?;
        }
        Ok(())
    }
}

fn belongs(world: &World, exposed: &str, server: &ServerName) -> bool {
    world.catalog.by_exposed(exposed).is_some_and(|tool| tool.server == *server)
}

fn quarantine_of(world: &World, server: &ServerName, drifts: &[Drift]) -> HashMap<Box<str>, Quarantine> {
    drifts
        .iter()
        .filter_map(|drift| {
            let tool = world.catalog.by_name(server, drift.tool.as_ref()?.as_str())?;
            let (found, reason) = match &drift.kind {
                DriftKind::Changed { found } => {
                    (Some(found.digest()), "the server's definition of this tool is not the approved one".to_owned())
                }
                DriftKind::Missing => (None, "the server does not list this tool any more".to_owned()),
                DriftKind::Malformed { reason } => {
                    (None, format!("the server's definition of this tool cannot be read: {reason}"))
                }
                // Nobody approved it, so nobody sees it: nothing to set aside.
                DriftKind::New { .. } => return None,
            };
            Some((tool.exposed.as_str().into(), Quarantine { found, reason }))
        })
        .collect()
}

/// The world in which all tools of a server that did not settle are set aside, for one call.
pub(crate) fn unsettled(world: &World, server: &ServerName, fault: &UpstreamFault) -> World {
    let mut unsettled = world.clone();
    for tool in world.catalog.tools().iter().filter(|tool| tool.server == *server) {
        let reason =
            format!("the server said that its tools changed and its new list could not be compared: {}", fault.detail);
        unsettled.quarantined.entry(tool.exposed.as_str().into()).or_insert(Quarantine { found: None, reason });
    }
    unsettled
}
