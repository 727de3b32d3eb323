//! `interlock-verify`: judges files offline. The only part of the verifier that reads files and the clock.

use interlock_claim::Trust;
use interlock_ledger::checkpoint::Checkpoint;
use interlock_model::UnixMillis;
use interlock_verifier::{Given, Keys, Report, checkpoint_in, printable, verify_with};
use lexopt::prelude::*;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

const HELP: &str = "\
Verifies Interlock's claims, receipts and checkpoints, offline.

Usage: interlock-verify FILE... [--key FILE|STRING]... [--transcript FILE] [--max-age SECONDS|any] [--json]

  FILE                 a claim, receipt or checkpoint; - is standard input
  --key FILE|STRING    a key you trust, or a file with one on each line:
                       a log's `name+01234567+base64`, or the base64 of a claim key
  --transcript FILE    the transcript that the claim commits to
  --max-age SECONDS    how old a claim may be, a day unless given; `any` for no limit
  --json               one JSON document on standard output
  --version, --help

Exit codes: 0 every file is verified; 1 one is not; 2 usage; 3 a file could not be read.
";

/// Most bytes of a claim, receipt, checkpoint or key file.
const SMALL: u64 = 1 << 20;
/// Most bytes of a transcript.
const LARGE: u64 = 1 << 28;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}; see --help")]
    Usage(String),
    #[error("cannot read `{}`: {error}", printable(file))]
    Read { file: String, error: io::Error },
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    #[error("the system's clock is before 1970")]
    Clock,
}

struct Arguments {
    files: Vec<OsString>,
    keys: Vec<OsString>,
    transcript: Option<OsString>,
    max_age_s: Option<u64>,
    json: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(failure) => {
            // Nothing is left to do if standard error is gone too.
            let _ = writeln!(io::stderr(), "interlock-verify: {failure}");
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 3 })
        }
    }
}

fn run() -> Result<ExitCode, Failure> {
    let Some(arguments) = arguments()? else { return Ok(ExitCode::SUCCESS) };
    let mut keys = Keys::default();
    for key in &arguments.keys {
        keys.extend(read_keys(key)?);
    }
    let transcript = arguments.transcript.as_ref().map(|file| read(file, LARGE)).transpose()?;
    let files: Vec<(String, Vec<u8>)> = arguments
        .files
        .iter()
        .map(|file| Ok((file.to_string_lossy().into_owned(), read(file, SMALL)?)))
        .collect::<Result<_, Failure>>()?;
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| Failure::Clock)?;
    let now = UnixMillis(u64::try_from(since_epoch.as_millis()).map_err(|_| Failure::Clock)?);
    // A checkpoint in one file may be the one that a claim in another refers to.
    let checkpoints: Vec<Checkpoint> = files.iter().filter_map(|(_, bytes)| checkpoint_in(bytes, &keys)).collect();
    let given = Given {
        keys: &keys,
        transcript: transcript.as_deref(),
        checkpoints: &checkpoints,
        max_age_s: arguments.max_age_s,
        now,
    };
    let reports: Vec<(&str, Report)> =
        files.iter().map(|(name, bytes)| (name.as_str(), verify_with(bytes, &given))).collect();
    let verified = reports.iter().all(|(_, report)| report.verified);
    let mut out = io::stdout().lock();
    if arguments.json {
        let files: Vec<serde_json::Value> =
            reports.iter().map(|(name, report)| serde_json::json!({"file": name, "report": report})).collect();
        writeln!(out, "{}", serde_json::json!({"files": files, "verified": verified}))?;
    } else {
        for (name, report) in &reports {
            write!(out, "{}: {report}", printable(name))?;
        }
    }
    out.flush()?;
    Ok(ExitCode::from(u8::from(!verified)))
}

/// The command line; `None` where it only asked for a text, which is then printed.
fn arguments() -> Result<Option<Arguments>, Failure> {
    let usage = |e: lexopt::Error| Failure::Usage(e.to_string());
    let mut found = Arguments {
        files: Vec::new(),
        keys: Vec::new(),
        transcript: None,
        max_age_s: Some(Trust::MAX_AGE_S),
        json: false,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Value(file) => found.files.push(file),
            Long("key") => found.keys.push(parser.value().map_err(usage)?),
            Long("transcript") => found.transcript = Some(parser.value().map_err(usage)?),
            Long("max-age") => found.max_age_s = read_age(&parser.value().map_err(usage)?)?,
            Long("json") => found.json = true,
            Short('h') | Long("help") => return print(HELP),
            Short('V') | Long("version") => {
                return print(concat!("interlock-verify ", env!("CARGO_PKG_VERSION"), "\n"));
            }
            Short(_) | Long(_) => return Err(usage(argument.unexpected())),
        }
    }
    if found.files.is_empty() { Err(Failure::Usage("no file to verify".into())) } else { Ok(Some(found)) }
}

fn print(text: &str) -> Result<Option<Arguments>, Failure> {
    io::stdout().write_all(text.as_bytes())?;
    Ok(None)
}

fn read_age(text: &OsString) -> Result<Option<u64>, Failure> {
    match text.to_str() {
        Some("any") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| Failure::Usage("--max-age takes seconds or `any`".into())),
        None => Err(Failure::Usage("--max-age takes seconds or `any`".into())),
    }
}

/// A key as it stands, or the file of that name.
fn read_keys(key: &OsString) -> Result<Keys, Failure> {
    if let Some(keys) = key.to_str().and_then(|text| Keys::parse(text).ok()).filter(|keys| !keys.is_empty()) {
        return Ok(keys);
    }
    let bytes = read(key, SMALL)?;
    let invalid =
        |e: &dyn std::fmt::Display| Failure::Usage(format!("key file `{}`: {e}", printable(&key.to_string_lossy())));
    let text = String::from_utf8(bytes).map_err(|e| invalid(&e))?;
    Keys::parse(&text).map_err(|e| invalid(&e))
}

fn read(file: &OsString, limit: u64) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::Read { file: file.to_string_lossy().into_owned(), error };
    let mut bytes = Vec::new();
    let read = if file == "-" {
        io::stdin().lock().take(limit + 1).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|f| f.take(limit + 1).read_to_end(&mut bytes))
    };
    match read {
        Ok(n) if n as u64 > limit => Err(failed(io::Error::other(format!("it is over {limit} bytes")))),
        Ok(_) => Ok(bytes),
        Err(e) => Err(failed(e)),
    }
}
