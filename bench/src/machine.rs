//! What the figures were measured on.

use crate::Failure;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// One line each, for the head of the report.
pub(crate) fn facts(dir: &Path) -> Vec<(&'static str, String)> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory_gib = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok())
        .map_or(0.0, |kib| kib / f64::from(1 << 20));
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    vec![
        ("Machine", format!("{processor}, {cores} cores, {memory_gib:.0} GiB")),
        ("Kernel", read("/proc/sys/kernel/osrelease").unwrap_or_default()),
        ("Compiler", output("rustc", &["--version"]).unwrap_or_default()),
        ("Commit", output("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_default()),
        ("Load of the machine before", load_average()),
        (
            "One 4 KiB append and fdatasync",
            sync_us(dir).map_or_else(|error| error.to_string(), |us| format!("{us:.0} us (median of 50)")),
        ),
    ]
}

/// Runnable processes, averaged over one and five minutes.
pub(crate) fn load_average() -> String {
    read("/proc/loadavg").map(|text| text.split_whitespace().take(2).collect::<Vec<_>>().join(", ")).unwrap_or_default()
}

/// What a durable write costs where the ledger of the run is.
fn sync_us(dir: &Path) -> Result<f64, Failure> {
    let path = dir.join("sync-probe");
    let mut file = File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..50 {
        let begun = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    fs::remove_file(path)?;
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().ok_or_else(|| "nothing was timed".into())
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// The value of a `name : value` line.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
