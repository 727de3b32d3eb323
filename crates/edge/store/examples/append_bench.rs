//! What one entry with its payload costs, by how many calls are under way: CPU of all threads, and rate.
//!
//! `cargo run --release -p interlock-store --example append_bench [SECONDS]`. Absolute figures on a shared
//! machine mean nothing; each row has its floor from the same run: the same bytes into one bare SQLite table
//! in groups of the same size, every commit synced, nothing hashed, encrypted, signed or indexed.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs, reason = "a benchmark")]

#[path = "../tests/support/mod.rs"]
mod support;

use interlock_engine::ports::{Append, Ledger as _, Session};
use interlock_store::{Store, StoreOptions};
use rustix::time::{ClockId, clock_gettime};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PAYLOAD: [u8; 1024] = [b'x'; 1024];

fn main() {
    let seconds = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(3);
    let duration = Duration::from_secs(seconds);
    println!("entries of about 800 bytes, each with a payload of 1 KiB; CPU in microseconds for each\n");
    println!(
        "{:>6} {:>11} {:>8} {:>8} {:>8} {:>9} | {:>11} {:>8} {:>6}",
        "batch", "entries/s", "CPU", "caller", "writer", "publisher", "floor: /s", "CPU", "ratio"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for batch in [1_usize, 16, 32, 64, 128, 512] {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(StoreOptions::new(dir.path().join("data"), support::NOW)).unwrap();
        let row = runtime.block_on(run(&store, batch, duration));
        store.close().unwrap();
        let floor = floor(&dir.path().join("floor.db"), batch, duration);
        println!(
            "{batch:>6} {:>11.0} {:>8.2} {:>8.2} {:>8.2} {:>9.2} | {:>11.0} {:>8.2} {:>6.1}",
            row.rate,
            row.cpu,
            row.caller,
            row.writer,
            row.publisher,
            floor.rate,
            floor.cpu,
            row.cpu / floor.cpu
        );
    }
}

#[derive(Default)]
struct Row {
    rate: f64,
    cpu: f64,
    caller: f64,
    writer: f64,
    publisher: f64,
}

async fn run(store: &Store, batch: usize, duration: Duration) -> Row {
    let (agent, owner) = ("builder".parse().unwrap(), "ada@example.org".parse().unwrap());
    store.append(support::start()).await.unwrap();
    let session = store.session(&agent, &owner, support::NOW).await.unwrap();
    let mut next = 0;
    // Building an append is the engine's work: done beforehand, in stretches, outside of what is measured.
    let (mut entries, mut wall) = (0_u64, Duration::ZERO);
    let (mut cpu, mut caller, mut writer, mut publisher) = (0.0, 0.0, 0.0, 0.0);
    while wall < duration {
        let work = stretch(&session, &mut next, batch);
        let (started, before) = (Instant::now(), Busy::now());
        for group in work {
            let waiting: Vec<_> = group.into_iter().map(|append| store.append(append)).collect();
            for one in waiting {
                one.await.unwrap();
                entries += 1;
            }
        }
        wall += started.elapsed();
        let after = Busy::now();
        cpu += after.process - before.process;
        caller += after.caller - before.caller;
        writer += after.writer - before.writer;
        publisher += after.publisher - before.publisher;
    }
    let per = |us: f64| us / entries as f64;
    Row {
        rate: entries as f64 / wall.as_secs_f64(),
        cpu: per(cpu),
        caller: per(caller),
        writer: per(writer),
        publisher: per(publisher),
    }
}

fn stretch(session: &Arc<Session>, next: &mut u64, batch: usize) -> Vec<Vec<Append>> {
    let mut one = || {
        // Intents and outcomes in turn, as calls are.
        let n = *next;
        *next += 1;
        if n.is_multiple_of(2) {
            support::intent(session, n / 2, &PAYLOAD)
        } else {
            support::outcome(session, n / 2, &PAYLOAD)
        }
    };
    (0..(4096 / batch).clamp(1, 256)).map(|_| (0..batch).map(|_| one()).collect()).collect()
}

fn floor(path: &Path, batch: usize, duration: Duration) -> Row {
    let connection = rusqlite::Connection::open(path).unwrap();
    let setup = "PRAGMA page_size = 8192; PRAGMA journal_mode = wal; PRAGMA synchronous = full;
                 CREATE TABLE t (id INTEGER PRIMARY KEY, entry BLOB NOT NULL, payload BLOB NOT NULL) STRICT;";
    connection.execute_batch(setup).unwrap();
    let entry = [b'e'; 800];
    let (started, before, mut entries) = (Instant::now(), Busy::now(), 0_u64);
    while started.elapsed() < duration {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut insert = connection.prepare_cached("INSERT INTO t (entry, payload) VALUES (?, ?)").unwrap();
        for _ in 0..batch {
            insert.execute((&entry[..], &PAYLOAD[..])).unwrap();
        }
        drop(insert);
        connection.execute_batch("COMMIT").unwrap();
        entries += batch as u64;
    }
    let cpu = (Busy::now().process - before.process) / entries as f64;
    Row { rate: entries as f64 / started.elapsed().as_secs_f64(), cpu, ..Row::default() }
}

/// CPU time so far, in microseconds.
struct Busy {
    process: f64,
    caller: f64,
    writer: f64,
    publisher: f64,
}

impl Busy {
    fn now() -> Self {
        Self {
            process: time_of(ClockId::ProcessCPUTime),
            caller: time_of(ClockId::ThreadCPUTime),
            writer: thread_time("ledger-writer"),
            publisher: thread_time("ledger-publishe"),
        }
    }
}

fn time_of(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// Time on a processor of the thread with this name, as Linux tells it (nanoseconds, the first number).
fn thread_time(name: &str) -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of = |task: std::fs::DirEntry| {
        let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        let nanoseconds: f64 = stat.split(' ').next()?.parse().ok()?;
        (comm.trim() == name).then_some(nanoseconds / 1e3)
    };
    tasks.filter_map(of).sum()
}
