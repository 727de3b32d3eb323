//! A disk that forgets everything that was not synced, cut off after each write.
//!
//! A child runs a real workload on a real directory under `strace`. Its system calls are then replayed into a
//! model of a disk that keeps what was synced apart from what was only written, and at each point the power
//! goes: what would have survived is put into a fresh directory, opened, recovered and verified, and every
//! append that the child had been told was durable must be there.
//!
//! The model is stricter than most file systems: a file's name survives only once its directory was synced.
//! Needs `strace`; where there is none the test says so and checks nothing (`INTERLOCK_NEED_STRACE=1` fails).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr, reason = "tests")]

#[path = "support/disk.rs"]
mod disk;
mod support;

use disk::{Disk, Event, Survivors};
use interlock_engine::ports::{Effect, Ledger as _};
use interlock_ledger::entry::ApprovalAction;
use interlock_ledger::tree::Hash;
use interlock_model::UnixMillis;
use interlock_store::{Reader, Store};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{approved, consuming, intent, options, outcome, pending, start, step};

const DIRECTORY: &str = "INTERLOCK_POWER_CUT_DIR";

/// The child's part; does nothing unless it is told where.
#[test]
fn workload() {
    let Some(root) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut acks = std::fs::File::create(root.join("acks")).unwrap();
    runtime.block_on(async {
        let mut said = async |store: &Store, appends: Vec<interlock_engine::ports::Append>| {
            let queued: Vec<_> =
                appends.into_iter().map(|append| (Hash::leaf(&append.entry), store.append(append))).collect();
            for (leaf, one) in queued {
                let line = format!("{} {leaf}\n", one.await.unwrap().index);
                // One write, at once: that it stands in the trace says when it was known.
                acks.write_all(line.as_bytes()).unwrap();
            }
        };
        for run in 0..2_u64 {
            let mut options = options(&root.join("data"));
            options.publish_every = std::time::Duration::from_millis(20);
            let (store, _) = Store::open(options).unwrap();
            said(&store, vec![start()]).await;
            let session = store
                .session(&"builder".parse().unwrap(), &"ada@example.org".parse().unwrap(), support::NOW)
                .await
                .unwrap();
            let asked = pending(&session, u8::try_from(run).unwrap() + 1, UnixMillis(u64::MAX >> 1));
            let yes = approved(&asked);
            said(&store, vec![step(&asked, ApprovalAction::Requested, Effect::Request(Box::new(asked.clone())))]).await;
            let replace = Effect::Replace { from: "pending", to: Box::new(yes.clone()) };
            said(&store, vec![step(&asked, ApprovalAction::Approved, replace)]).await;
            said(&store, vec![consuming(&session, 5000 + run, &yes)]).await;
            for n in run * 1000..run * 1000 + 12 {
                said(&store, vec![intent(&session, n, b"{\"q\":1}")]).await;
                said(&store, vec![outcome(&session, n, b"{\"rows\":[]}")]).await;
                tokio::task::yield_now().await;
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
            // Enough at once to fill a tile.
            let many = (run * 1000 + 100..run * 1000 + 250).map(|n| intent(&session, n, b"{}")).collect();
            said(&store, many).await;
            store.close().unwrap();
        }
    });
}

#[test]
fn what_was_acknowledged_survives_the_power_going_at_any_write() {
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("INTERLOCK_NEED_STRACE").is_none(), "strace is not installed");
        eprintln!("strace is not installed: what a power cut leaves was NOT checked");
        return;
    }
    // In memory, where there is such a place: the model does not need a disk, and a sync costs nothing.
    let memory = Path::new("/dev/shm");
    let temporary = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let root = temporary.path().canonicalize().unwrap();
    let trace = root.join("trace");
    let child = Command::new("strace")
        .args(["-f", "-y", "-xx", "-s", "16000000", "-e"])
        .arg(format!("trace={}", disk::CALLS))
        .arg("-o")
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "workload", "--test-threads=1"])
        .env(DIRECTORY, &root)
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));

    let events = disk::parse(&std::fs::read_to_string(&trace).unwrap(), &root);
    let mut disk = Disk::default();
    let began = std::time::Instant::now();
    let mut acknowledged = BTreeMap::new();
    let mut cuts = Cuts::new(&root);
    let (mut syncs, mut acks) = (0, 0);
    for (at, event) in events.iter().enumerate() {
        disk.apply(event);
        match event {
            Event::Write { path, data, .. } if path == Path::new("acks") => {
                let line = String::from_utf8(data.clone()).unwrap();
                let (index, leaf) = line.trim().split_once(' ').unwrap();
                acknowledged.insert(index.parse::<u64>().unwrap(), leaf.to_owned());
                acks += 1;
                // The moment at which forgetting would hurt: nothing else is on its way to be synced.
                cuts.cut(&disk, Survivors::Synced, &acknowledged, at);
            }
            Event::SyncEnd { .. } => {
                syncs += 1;
                cuts.cut(&disk, Survivors::Synced, &acknowledged, at);
            }
            _ => {}
        }
        // In between: all that was written (a kill), and some of it (a disk that reorders).
        if at % 61 == 0 {
            cuts.cut(&disk, Survivors::Written, &acknowledged, at);
        }
        if at % 17 == 0 {
            cuts.cut(&disk, Survivors::Some(at as u64), &acknowledged, at);
        }
    }
    eprintln!(
        "{} events, {syncs} syncs, {acks} acknowledgements, {} cuts, {:?}",
        events.len(),
        cuts.made,
        began.elapsed()
    );
    assert!(acks > 350 && syncs > 60 && cuts.made > 150, "{acks} {syncs} {}", cuts.made);
}

struct Cuts {
    root: PathBuf,
    made: usize,
    /// What the last cut left, and the leaves that were there after recovery.
    last: Option<(u64, BTreeMap<u64, String>)>,
}

impl Cuts {
    fn new(root: &Path) -> Self {
        Self { root: root.join("cut"), made: 0, last: None }
    }

    fn cut(&mut self, disk: &Disk, survivors: Survivors, acknowledged: &BTreeMap<u64, String>, at: usize) {
        let files = disk.after_power_loss(survivors);
        let fingerprint = disk::fingerprint(&files);
        // The same bytes recover to the same ledger; only the promises may be new.
        if self.last.as_ref().is_none_or(|(before, _)| *before != fingerprint) {
            self.made += 1;
            self.last = Some((fingerprint, self.recovered(&files, survivors, at)));
        }
        let there = self.last.as_ref().map(|(_, leaves)| leaves).unwrap();
        for (index, leaf) in acknowledged {
            assert_eq!(there.get(index), Some(leaf), "entry {index}, cut at {at} ({survivors:?})");
        }
    }

    /// Opens what survived; the leaves of the ledger after recovery.
    fn recovered(&self, files: &BTreeMap<PathBuf, Vec<u8>>, survivors: Survivors, at: usize) -> BTreeMap<u64, String> {
        let _ = std::fs::remove_dir_all(&self.root);
        disk::lay_out(files, &self.root);
        let dir = self.root.join("data");
        let opened = Store::open(options(&dir));
        let (store, recovery) = opened.unwrap_or_else(|e| panic!("cut at {at} ({survivors:?}): {e}"));
        assert_eq!(recovery.damage, Vec::<String>::new(), "cut at {at} ({survivors:?})");
        store.close().unwrap();
        let reader = Reader::open(&dir).unwrap();
        let report = reader.verify(|_, _| {}).unwrap();
        assert!(report.is_intact(), "cut at {at} ({survivors:?}): {:?}", report.faults);
        assert_eq!(report.payloads.unwrap().missing, 0, "cut at {at} ({survivors:?})");
        assert_eq!(report.summary.unwrap().open_calls, 0, "recovery closed them");
        let entries = reader.entries(0..u64::MAX, usize::MAX).unwrap();
        entries.into_iter().map(|s| (s.index, Hash::leaf(&s.bytes).to_string())).collect()
    }
}
