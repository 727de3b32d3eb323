//! The operator's key is pinned: the ledger's newest start entry names the one whose signatures are obeyed.

use super::DaemonError;
use interlock_ledger::entry::{Event, EventKind};
use interlock_signature::PublicKey;
use interlock_store::{Filter, Reader};
use std::path::Path;

/// The key id of the operator whose signatures this ledger's last run obeyed; `None` where there was none yet.
pub(crate) fn pinned_operator(data_dir: &Path) -> Result<Option<String>, interlock_store::ReadError> {
    let reader = match Reader::open(data_dir) {
        Err(interlock_store::OpenError::NoLedger(_)) => return Ok(None),
        other => other?,
    };
    let starts = Filter { kind: Some(EventKind::Start), ..Filter::default() };
    Ok(reader.search(&starts, 1)?.into_iter().find_map(|stored| match stored.entry.event {
        Event::Start(start) => Some(start.operator),
        _ => None,
    }))
}

/// Nothing is obeyed that is signed by another operator than the one this ledger knows (design 4.10): who can
/// replace `operator.pub` could else sign with a key of their own. Who has the log's key, too, can forge a start
/// entry for it; that entry stays in the log.
pub(super) fn same_operator(data_dir: &Path, operator: &PublicKey) -> Result<(), DaemonError> {
    let found = operator.id();
    match pinned_operator(data_dir)? {
        Some(pinned) if pinned != found => Err(DaemonError::OtherOperator { pinned, found }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Floors, now, settings, start_entries};
    use super::*;
    use interlock_bin::config::{Config, FILE_NAME};
    use interlock_catalog::Catalog;
    use interlock_engine::World;
    use interlock_identity::Registry;
    use interlock_store::{Store, StoreOptions};
    use std::sync::Arc;

    fn key(byte: u8) -> PublicKey {
        PublicKey::from_bytes([byte; 32])
    }

    #[tokio::test]
    async fn invariant_10_another_operators_key_is_not_obeyed() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::parse("version = 1\n", &dir.path().join(FILE_NAME)).unwrap();
        let (first, other) = (key(1), key(2));
        // No ledger yet: whoever is there first is the operator.
        same_operator(&config.data_dir, &first).unwrap();
        let (store, _) = Store::open(StoreOptions::new(config.data_dir.clone(), now())).unwrap();
        same_operator(&config.data_dir, &first).unwrap();
        let world = World::closed(Arc::new(Catalog::empty()), Arc::new(Registry::new([])), Arc::new(settings(&config)));
        for _ in 0..2 {
            start_entries(&store, &config, &first, &world, &Floors::default(), 0).await.unwrap();
            same_operator(&config.data_dir, &first).unwrap();
            let error = same_operator(&config.data_dir, &other).unwrap_err();
            assert!(
                matches!(&error, DaemonError::OtherOperator { pinned, found } if *pinned == first.id() && *found == other.id())
            );
            assert!(error.to_string().contains("restore `keys/operator.pub`"), "{error}");
        }
        // The newest start counts.
        start_entries(&store, &config, &other, &world, &Floors::default(), 0).await.unwrap();
        same_operator(&config.data_dir, &other).unwrap();
        same_operator(&config.data_dir, &first).unwrap_err();
        store.close().unwrap();
    }
}
