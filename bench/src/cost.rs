//! What a process has used: processor time in nanoseconds, memory.

use crate::Failure;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// Nanoseconds that each thread of one process has run, user and system, as the scheduler counted them.
///
/// Loopback traffic is received in the sender's context, so a process is charged for its own sends up to the receiver's
/// socket; that is the same for every subject.
#[derive(Debug)]
pub(crate) struct CpuTime {
    process: u32,
    threads: BTreeMap<u32, u64>,
    /// The same in clock ticks of 10 ms, with the threads that have ended.
    ticks: u64,
}

impl CpuTime {
    /// Reads the counters of a process.
    pub(crate) fn of(process: u32) -> Result<Self, Failure> {
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{process}/task"))? {
            let entry = entry?;
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
            let ran = text.split_whitespace().next().ok_or("schedstat is empty")?.parse()?;
            threads.insert(entry.file_name().to_string_lossy().parse()?, ran);
        }
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        Ok(Self { process, threads, ticks: ticks(&stat).ok_or("stat has an unknown form")? })
    }

    /// Nanoseconds used since this was read. Exact unless a thread ended meanwhile: its own count went with it, and then the
    /// tick counter is used instead.
    pub(crate) fn since(&self) -> Result<u64, Failure> {
        let now = Self::of(self.process)?;
        Ok(self.until(&now))
    }

    fn until(&self, now: &Self) -> u64 {
        if self.threads.keys().any(|thread| !now.threads.contains_key(thread)) {
            return now.ticks.saturating_sub(self.ticks) * 10_000_000;
        }
        now.threads.iter().map(|(thread, ran)| ran - self.threads.get(thread).copied().unwrap_or(0).min(*ran)).sum()
    }
}

/// `utime` plus `stime`. The command's name, in parentheses, may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// KiB resident now, and at most so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) resident_kib: u64,
    pub(crate) peak_kib: u64,
}

impl Memory {
    pub(crate) fn of(process: u32) -> Result<Self, Failure> {
        let path: PathBuf = format!("/proc/{process}/status").into();
        let status = fs::read_to_string(path)?;
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| rest.split_whitespace().next())
                .and_then(|number| number.parse().ok())
                .ok_or_else(|| format!("status has no {name}"))
        };
        Ok(Self { resident_kib: field("VmRSS:")?, peak_kib: field("VmHWM:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_thread_is_counted_in_nanoseconds() {
        let before = CpuTime::of(std::process::id()).unwrap();
        let begun = std::time::Instant::now();
        while begun.elapsed().as_millis() < 30 {
            std::hint::black_box(0);
        }
        let used = before.since().unwrap();
        assert!(used > 1_000_000, "{used} ns for 30 ms of spinning");
    }

    #[test]
    fn a_thread_that_ended_makes_the_ticks_count() {
        let at =
            |threads: &[(u32, u64)], ticks| CpuTime { process: 1, threads: threads.iter().copied().collect(), ticks };
        assert_eq!(at(&[(1, 10), (2, 5)], 0).until(&at(&[(1, 30), (2, 5), (3, 7)], 9)), 27);
        assert_eq!(at(&[(1, 10), (2, 5)], 1).until(&at(&[(1, 30)], 4)), 30_000_000);
    }

    #[test]
    fn the_name_of_a_command_does_not_shift_the_fields() {
        let stat = "7 (a ) b) S 1 1 1 0 -1 4194560 0 0 0 0 12 30 0 0 20 0 1 0 100 0 0";
        assert_eq!(ticks(stat), Some(42));
    }
}
