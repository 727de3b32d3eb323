//! What one entry with its payload costs, by how many calls are under way: CPU of all threads and rate.
//!
//! `cargo run --release -p interlock-store --example append_bench [SECONDS]`. Absolute figures on a shared
//! machine mean little; the columns of one run can be compared.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs, reason = "a benchmark")]

#[path = "../tests/support/mod.rs"]
mod support;

use interlock_engine::ports::{Append, Ledger as _, Session};
use interlock_store::{Store, StoreOptions};
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn main() {
    let seconds = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(3);
    let payload = vec![b'x'; 1024];
    println!("entries of about 800 bytes, each with a payload of 1 KiB\n");
    println!("{:>8} {:>12} {:>14} {:>14} {:>16}", "batch", "entries/s", "CPU us/entry", "writer us", "prepare us");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for batch in [1_usize, 16, 32, 128, 512] {
        let dir = tempfile::tempdir().unwrap();
        let mut options = StoreOptions::new(dir.path().join("data"), support::NOW);
        if std::env::var_os("NO_PUBLISH").is_some() { options.publish_every = Duration::from_secs(3600); }
        let (store, _) = Store::open(options).unwrap();
        let row = runtime.block_on(run(&store, batch, &payload, Duration::from_secs(seconds)));
        store.close().unwrap();
        println!("{batch:>8} {:>12.0} {:>14.2} {:>14.2} {:>16.2}", row.rate, row.cpu, row.cpu - row.prepare, row.prepare);
    }
}

struct Row {
    rate: f64,
    cpu: f64,
    prepare: f64,
}

async fn run(store: &Store, batch: usize, payload: &[u8], duration: Duration) -> Row {
    let (agent, owner) = ("builder".parse().unwrap(), "ada@example.org".parse().unwrap());
    store.append(support::start()).await.unwrap();
    let session = store.session(&agent, &owner, support::NOW).await.unwrap();
    let next = AtomicU64::new(0);
    // Building an append is the engine's work: done beforehand, in stretches, outside of what is measured.
    let (mut entries, mut wall, mut cpu, mut prepare) = (0_u64, Duration::ZERO, Duration::ZERO, Duration::ZERO);
    while wall < duration {
        let work = stretch(&session, &next, batch, payload);
        let (started, busy) = (Instant::now(), cpu_time());
        for group in work {
            let before = thread_time();
            let waiting: Vec<_> = group.into_iter().map(|append| store.append(append)).collect();
            prepare += thread_time() - before;
            for one in waiting {
                one.await.unwrap();
                entries += 1;
            }
        }
        wall += started.elapsed();
        cpu += cpu_time() - busy;
    }
    let per = |d: Duration| d.as_secs_f64() * 1e6 / entries as f64;
    Row { rate: entries as f64 / wall.as_secs_f64(), cpu: per(cpu), prepare: per(prepare) }
}

fn stretch(session: &Arc<Session>, next: &AtomicU64, batch: usize, payload: &[u8]) -> Vec<Vec<Append>> {
    (0..(2048 / batch).clamp(1, 256))
        .map(|_| {
            let mut group = Vec::with_capacity(batch);
            while group.len() < batch {
                // Intents and outcomes in turn, as calls are.
                let n = next.fetch_add(1, Ordering::Relaxed);
                let append =
                    if n.is_multiple_of(2) { support::intent(session, n / 2, payload) } else { support::outcome(session, n / 2, payload) };
                group.push(append);
            }
            group
        })
        .collect()
}

fn cpu_time() -> Duration {
    time_of(ClockId::ProcessCPUTime)
}

fn thread_time() -> Duration {
    time_of(ClockId::ThreadCPUTime)
}

fn time_of(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
