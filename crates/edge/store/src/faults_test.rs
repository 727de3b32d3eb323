//! The fault table: every durable write fails once lost (it never happened) and once kept (it happened and
//! nobody heard). Whatever was acknowledged is there afterwards, and nothing refused is there twice.

use crate::fault::{Faults, Write};
use crate::support::{NOW, call, crash_copy, intent, options, outcome, start};
use crate::{CloseError, Reader, Store};
use interlock_engine::ports::{AppendError, Ledger as _, Session};
use std::sync::Arc;

async fn opened(dir: &std::path::Path, faults: &Faults) -> (Store, Arc<Session>) {
    let (store, recovery) = Store::open_with(options(dir), faults.clone()).unwrap();
    assert_eq!(recovery.damage, Vec::<String>::new());
    if recovery.entries == 0 {
        store.append(start()).await.unwrap();
    }
    let session = store.session(&"builder".parse().unwrap(), &"ada@example.org".parse().unwrap(), NOW).await.unwrap();
    (store, session)
}

fn entries_of(dir: &std::path::Path, n: u64) -> usize {
    Reader::open(dir).unwrap().of_call_id(call(n)).unwrap().len()
}

fn assert_intact(dir: &std::path::Path) {
    let report = Reader::open(dir).unwrap().verify(|_, _| {}).unwrap();
    assert!(report.is_intact(), "{report:?}");
}

#[tokio::test]
async fn a_failed_statement_fails_its_group_and_nothing_else() {
    for kept in [false, true] {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("data");
        let faults = Faults::default();
        let (store, session) = opened(&dir, &faults).await;
        store.append(intent(&session, 1, b"a")).await.unwrap();
        faults.fail(Write::Statement, kept);
        let refused = store.append(outcome(&session, 1, b"r")).await;
        assert!(matches!(refused, Err(AppendError::Closed(_))), "{refused:?}");
        assert!(faults.spent());
        assert_eq!(entries_of(&dir, 1), 1);
        // What is in memory went back as well: the call is still open and the tree still fits.
        store.append(outcome(&session, 1, b"r")).await.unwrap();
        store.close().unwrap();
        assert_eq!(entries_of(&dir, 1), 2);
        assert_intact(&dir);
    }
}

/// An ambiguous commit closes the store: what is on disk is learnt by opening it again, and recovery ends
/// whatever the commit may have begun.
#[tokio::test]
async fn a_commit_that_is_not_confirmed_closes_the_store() {
    for kept in [false, true] {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("data");
        let faults = Faults::default();
        let (store, session) = opened(&dir, &faults).await;
        store.append(intent(&session, 1, b"a")).await.unwrap();
        faults.fail(Write::Commit, kept);
        let (first, second) = (store.append(intent(&session, 2, b"a")), store.append(outcome(&session, 1, b"r")));
        for unknown in [first.await, second.await] {
            assert!(matches!(unknown, Err(AppendError::Unconfirmed | AppendError::Closed(_))), "{unknown:?}");
        }
        let closed = store.append(intent(&session, 3, b"a")).await;
        assert!(matches!(&closed, Err(AppendError::Closed(why)) if why.contains("restart")), "{closed:?}");
        let _ = store.close();
        drop(store);

        let (store, recovery) = Store::open(options(&dir)).unwrap();
        assert!(recovery.closed_unknown >= 1);
        assert_eq!(entries_of(&dir, 1), 2, "acknowledged intent, and an outcome");
        let second = if kept { 2 } else { 0 };
        // Both may have met in the failed group, or only the first.
        assert_eq!(entries_of(&dir, 2), second, "kept: {kept}");
        assert_eq!(entries_of(&dir, 3), 0);
        store.close().unwrap();
        assert_intact(&dir);
    }
}

#[tokio::test]
async fn failed_publications_are_made_up_for() {
    for write in [Write::Tile, Write::TileName, Write::CheckpointFile] {
        for kept in [false, true] {
            let temporary = tempfile::tempdir().unwrap();
            let (dir, after) = (temporary.path().join("data"), temporary.path().join("after"));
            let faults = Faults::default();
            let (store, session) = opened(&dir, &faults).await;
            for n in 0..150 {
                store.append(intent(&session, n, b"a")).await.unwrap();
                store.append(outcome(&session, n, b"r")).await.unwrap();
            }
            faults.fail(write, kept);
            assert!(matches!(store.close(), Err(CloseError::Publish(_))), "{write:?}");
            assert!(faults.spent());
            // Entries are not affected, and the files as they are deceive nobody.
            assert_intact(&dir);
            crash_copy(&dir, &after);
            let (again, recovery) = Store::open(options(&after)).unwrap();
            assert_eq!(recovery.damage, Vec::<String>::new(), "{write:?} {kept}");
            again.close().unwrap();
            assert_intact(&after);
            assert!(after.join("log/checkpoint").exists());
            assert!(after.join("log/tile/0/000").exists());
        }
    }
}

#[tokio::test]
async fn a_publication_that_fails_while_running_is_tried_again() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("data");
    let faults = Faults::default();
    let mut quick = options(&dir);
    quick.publish_every = std::time::Duration::from_millis(5);
    faults.fail(Write::Tile, false);
    faults.fail(Write::TileName, true);
    faults.fail(Write::CheckpointFile, true);
    let (store, _) = Store::open_with(quick, faults.clone()).unwrap();
    store.append(start()).await.unwrap();
    let shown = || std::fs::read_to_string(dir.join("log/checkpoint")).unwrap_or_default();
    for _ in 0..1000 {
        if faults.spent() && shown().contains("\n1\n") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(faults.spent() && shown().contains("\n1\n"), "{}", shown());
    store.close().unwrap();
    assert_intact(&dir);
}
