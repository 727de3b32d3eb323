//! The whole benchmark: every subject in turn, in rounds, so that whatever else the machine does meets all of them alike.

use crate::Failure;
use crate::call::{Era, Shape, TOOL};
use crate::child::Process;
use crate::cost::{CpuTime, Memory};
use crate::gateway::{self, Allocations, Prepared, prepare_gateway};
use crate::load::{Extent, Seen, measure};
use crate::upstream::runtime;
use crate::{machine, report};
use http::Uri;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fewer, shorter rounds, for a look
    #[arg(long)]
    quick: bool,
    /// Rounds; the median of them is reported
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of each measurement
    #[arg(long)]
    seconds: Option<f64>,
    /// Connections to measure with
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32, 256])]
    connections: Vec<usize>,
    /// Sizes of the answers, multiples of 64
    #[arg(long, value_delimiter = ',', default_values_t = [64, 1024, 1 << 20])]
    answers: Vec<usize>,
    #[arg(long, value_enum, default_value = "modern")]
    era: Era,
    /// The policy bundle that the gateway runs
    #[arg(long, default_value = "bench/policy-reference")]
    policies: PathBuf,
    /// Where the gateway's data goes, on a real disk
    #[arg(long, default_value = "target/bench")]
    dir: PathBuf,
    /// The page to write the tables into, between its markers
    #[arg(long, default_value = "docs/performance.md")]
    report: PathBuf,
    /// Only print, write no page
    #[arg(long)]
    dry_run: bool,
    /// A gateway built with the feature `count-allocations`, for a run of its own
    #[arg(long, env = "INTERLOCK_COUNTING_BIN")]
    counting: Option<PathBuf>,
    /// Fail (exit code 1) if a governed call of 1 KiB costs more than this many floors
    #[arg(long)]
    at_most: Option<f64>,
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// No proxy: the upstream itself.
    Direct,
    /// A proxy that only forwards.
    Floor,
    /// The gateway, all governance on.
    Gateway,
}

impl Subject {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Floor => "floor",
            Self::Gateway => "gateway",
        }
    }
}

/// One subject, ready to be called.
struct Target {
    subject: Subject,
    process: u32,
    uri: Uri,
    key: Option<String>,
}

/// One measurement.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) subject: Subject,
    pub(crate) connections: usize,
    pub(crate) answer_bytes: usize,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Processor time of the subject's process for one call.
    pub(crate) cpu_us: f64,
}

/// Memory of a process before any call and after all of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Footprint {
    pub(crate) subject: Subject,
    pub(crate) idle: Memory,
    pub(crate) after: Memory,
}

/// Heap traffic of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PerCall {
    pub(crate) allocations: f64,
    pub(crate) reallocations: f64,
    pub(crate) bytes: f64,
}

/// Everything that goes into the report.
pub(crate) struct Results {
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) footprints: Vec<Footprint>,
    pub(crate) allocations: Option<PerCall>,
    pub(crate) missing: Vec<String>,
}

/// Measures and reports; false if a limit was given and not held.
pub(crate) fn run(options: &Options) -> Result<bool, Failure> {
    fs::create_dir_all(&options.dir)?;
    let dir = tempfile::Builder::new().prefix("run-").tempdir_in(&options.dir)?;
    let home = fs::canonicalize(dir.path())?;
    let (_upstream, upstream) = Process::listening("the upstream", &["upstream".to_owned()]).map(keep)?;
    let (_floor, floor) =
        Process::listening("the floor", &["floor".to_owned(), format!("--to={}", upstream.1)]).map(keep)?;
    let path = |address: SocketAddr| -> Result<Uri, Failure> { Ok(format!("http://{address}/mcp").parse()?) };
    let mut targets = vec![
        Target { subject: Subject::Direct, process: upstream.0, uri: path(upstream.1)?, key: None },
        Target { subject: Subject::Floor, process: floor.0, uri: path(floor.1)?, key: None },
    ];
    let mut missing = Vec::new();
    let mut running = None;
    match gateway::binary()? {
        Some(binary) => {
            if !options.policies.is_dir() {
                missing.push(format!("`{}` is not there: the gateway ran an open bundle", options.policies.display()));
            }
            let prepared = prepare_gateway(&binary, &home.join("gateway"), &options.policies, upstream.1)?;
            let process = prepared.start(None)?;
            targets.push(Target {
                subject: Subject::Gateway,
                process: process.id(),
                uri: prepared.uri()?,
                key: Some(prepared.key.clone()),
            });
            running = Some(process);
        }
        None => missing.push("no gateway binary: build it, or set INTERLOCK_BIN".to_owned()),
    }

    let facts = machine::facts(&home);
    // Idle is what a process takes once it has started and nothing has been asked of it yet.
    std::thread::sleep(Duration::from_secs(1));
    let idle: Vec<_> = targets
        .iter()
        .map(|target| Ok((target.subject, target.process, Memory::of(target.process)?)))
        .collect::<Result<_, Failure>>()?;
    let samples = measure_all(options, &targets)?;
    let footprints = idle
        .into_iter()
        .map(|(subject, process, idle)| Ok(Footprint { subject, idle, after: Memory::of(process)? }))
        .collect::<Result<_, Failure>>()?;
    if let Some(process) = running {
        process.stop(Duration::from_secs(20))?;
    }
    let allocations = match &options.counting {
        Some(binary) => Some(count_allocations(options, &fs::canonicalize(binary)?, &home, upstream.1)?),
        None => {
            missing.push("allocations were not counted: give a build with `--counting`".to_owned());
            None
        }
    };

    let results = Results { facts, samples, footprints, allocations, missing };
    let text = report::render(&results);
    println!("{text}");
    if !options.dry_run {
        report::write(&options.report, &text)?;
        eprintln!("bench: wrote {}", options.report.display());
    }
    Ok(options.at_most.is_none_or(|limit| within(&results, limit)))
}

/// A process that must live on, and how it is reached.
fn keep((process, address): (Process, SocketAddr)) -> (Process, (u32, SocketAddr)) {
    let id = process.id();
    (process, (id, address))
}

fn measure_all(options: &Options, targets: &[Target]) -> Result<Vec<Sample>, Failure> {
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 5 });
    let seconds = options.seconds.unwrap_or(if options.quick { 0.7 } else { 2.0 });
    let extent = Extent::Time {
        warm_up: Duration::from_secs_f64(if options.quick { 0.3 } else { 0.7 }),
        measured: Duration::from_secs_f64(seconds),
    };
    // One thread calls, so that the subject has a core even on a machine of two.
    let runtime = runtime(1)?;
    let mut samples = Vec::new();
    let all = options.answers.len() * options.connections.len() * rounds * targets.len();
    for &answer_bytes in &options.answers {
        for &connections in &options.connections {
            for _ in 0..rounds {
                for target in targets {
                    let shape = shape(options.era, target, answer_bytes);
                    let (seen, cpu) = runtime.block_on(measure(
                        &shape,
                        connections,
                        extent,
                        || CpuTime::of(target.process),
                        |before, calls| Ok(before.since()? as f64 / 1e3 / calls.max(1) as f64),
                    ))?;
                    samples.push(sample(target.subject, connections, answer_bytes, &seen, cpu));
                    if let Some(sample) = samples.last() {
                        eprintln!(
                            "bench: {}/{all} {:7} {connections:3} connections, {answer_bytes} B: {:.0}/s, p99 {:.0} us, {:.1} us CPU per call",
                            samples.len(),
                            target.subject.name(),
                            sample.per_second,
                            sample.p99_us,
                            sample.cpu_us,
                        );
                    }
                }
            }
        }
    }
    Ok(samples)
}

fn shape(era: Era, target: &Target, answer_bytes: usize) -> Shape {
    Shape {
        uri: target.uri.clone(),
        era,
        tool: TOOL.to_owned(),
        key: target.key.clone(),
        arguments_bytes: 1024,
        answer_bytes,
    }
}

fn sample(subject: Subject, connections: usize, answer_bytes: usize, seen: &Seen, cpu_us: f64) -> Sample {
    Sample {
        subject,
        connections,
        answer_bytes,
        per_second: seen.per_second(),
        p50_us: seen.quantile_us(0.5),
        p99_us: seen.quantile_us(0.99),
        cpu_us,
    }
}

/// Two runs of the counting build that differ in nothing but the number of calls: the difference is what calls take, without
/// what starting takes.
fn count_allocations(options: &Options, binary: &Path, home: &Path, upstream: SocketAddr) -> Result<PerCall, Failure> {
    const FEW: u64 = 500;
    const MANY: u64 = 4_500;
    let prepared = prepare_gateway(binary, &home.join("counting"), &options.policies, upstream)?;
    let few = counted_run(&prepared, options.era, FEW)?;
    let many = counted_run(&prepared, options.era, MANY)?;
    let each = |few: u64, many: u64| (many as f64 - few as f64) / (MANY - FEW) as f64;
    Ok(PerCall {
        allocations: each(few.allocations, many.allocations),
        reallocations: each(few.reallocations, many.reallocations),
        bytes: each(few.bytes_allocated, many.bytes_allocated),
    })
}

fn counted_run(prepared: &Prepared, era: Era, calls: u64) -> Result<Allocations, Failure> {
    let out = tempfile::NamedTempFile::new()?;
    let process = prepared.start(Some(out.path()))?;
    let target = Target {
        subject: Subject::Gateway,
        process: process.id(),
        uri: prepared.uri()?,
        key: Some(prepared.key.clone()),
    };
    let shape = shape(era, &target, 1024);
    runtime(1)?.block_on(measure(&shape, 8, Extent::Calls(calls), || Ok(()), |(), _| Ok(())))?;
    process.stop(Duration::from_secs(20))?;
    Allocations::read(out.path())
}

/// Whether the gateway held the limit with 1 KiB at every number of connections.
fn within(results: &Results, limit: f64) -> bool {
    let rows = report::rows(&results.samples);
    let mut judged = rows.iter().filter(|row| row.subject == Subject::Gateway && row.answer_bytes == 1024).peekable();
    // A limit that nothing was measured against is not held.
    judged.peek().is_some() && judged.all(|row| row.floors.is_some_and(|floors| floors <= limit))
}
