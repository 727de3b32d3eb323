//! `interlock claim`: TRACE trust records of governance sessions.

use super::{Context, Done, Failed};
use crate::cli::ClaimCommand;
use crate::daemon::{binary_digest, now};
use interlock_bin::config::Config;
use interlock_bin::term::{Tone, clean};
use interlock_claim::issue::Facts;
use interlock_claim::record::TrustRecord;
use interlock_claim::session::{SessionFold, SessionSummary};
use interlock_claim::subject::TrustDomain;
use interlock_claim::verify::{CheckResult, Trust, Verified, verify};
use interlock_ledger::checkpoint::Checkpoint;
use interlock_model::SessionId;
use interlock_signature::PublicKey;
use interlock_store::{Reader, log_signer};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

/// How many entries are read at once.
const CHUNK: usize = 4096;

pub(super) async fn run(context: &Context, command: ClaimCommand) -> Result<Done, Failed> {
    match command {
        ClaimCommand::Issue { session, all, out } => {
            let config = context.config()?;
            let issued = issue(&config, session.as_deref(), all, &out)?;
            context.print(&json!({ "claims": issued }), || {
                let file =
                    |claim: &Value, name: &str| claim.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                let key = out.join("claim.key");
                let check = |claim: &Value| {
                    let (record, transcript) = (file(claim, "record"), file(claim, "transcript"));
                    format!("{record}\n  interlock-verify {record} --transcript {transcript} --key {}\n", key.display())
                };
                issued.iter().map(check).collect()
            });
            Ok(Done::Yes)
        }
        ClaimCommand::Show { file } => {
            let bytes = read(&file)?;
            let record =
                TrustRecord::from_bytes(&bytes).map_err(|e| Failed::usage(format!("`{}`: {e}", file.display())))?;
            context.print(&record, || render(&record));
            Ok(Done::Yes)
        }
        ClaimCommand::Verify { file, transcript, keys } => check(context, &file, transcript, &keys),
    }
}

/// Writes a record and a transcript for each session asked for.
pub(crate) fn issue(config: &Config, session: Option<&str>, all: bool, out: &Path) -> Result<Vec<Value>, Failed> {
    let reader = Reader::open(&config.data_dir).map_err(Failed::unanswered)?;
    let sessions = reader.sessions()?;
    let chosen: Vec<SessionId> = match session {
        Some(text) => {
            let wanted = text.strip_prefix("session-").unwrap_or(text);
            let fits =
                |id: &SessionId| id.to_string().strip_prefix("session-").is_some_and(|id| id.starts_with(wanted));
            let found: Vec<_> = sessions.iter().map(|s| s.id).filter(fits).collect();
            if found.len() != 1 {
                return Err(Failed::usage(format!("{} sessions begin with `{text}`", found.len())));
            }
            found
        }
        None if all => sessions.iter().map(|s| s.id).collect(),
        None => sessions.iter().max_by_key(|s| s.opened).map(|s| s.id).into_iter().collect(),
    };
    if chosen.is_empty() {
        return Err(Failed::usage("no agent has called yet, so there is no session to claim anything about"));
    }
    let signer = log_signer(&config.data_dir).map_err(Failed::unanswered)?;
    let note = reader.checkpoint()?.ok_or_else(|| Failed::unanswered("the ledger has no checkpoint yet"))?;
    let checkpoint = Checkpoint::open(note.as_bytes(), reader.verifier_key()).map_err(Failed::unanswered)?;
    let trust_domain: TrustDomain = format!("{}.interlock.local", config.environment).parse().map_err(Failed::usage)?;
    let facts = Facts { trust_domain, binary: binary_digest(), checkpoint, issued_at: now() };
    std::fs::create_dir_all(out).map_err(|e| Failed::unanswered(format!("`{}`: {e}", out.display())))?;
    let mut issued = Vec::new();
    for id in chosen {
        let (summary, transcript) = fold(&reader, id)?;
        let record = facts.issue(&summary, &signer).map_err(Failed::unanswered)?;
        let name = id.to_string();
        let (record_file, transcript_file) =
            (out.join(format!("{name}.json")), out.join(format!("{name}.transcript.ndjson")));
        for (file, bytes) in [(&transcript_file, transcript), (&record_file, record.to_bytes())] {
            std::fs::write(file, bytes).map_err(|e| Failed::unanswered(format!("`{}`: {e}", file.display())))?;
        }
        let key = *reader.verifier_key().key();
        std::fs::write(out.join("claim.key"), format!("{key}\n")).map_err(Failed::unanswered)?;
        issued.push(json!({
            "session": id, "agent": summary.agent, "calls": summary.calls(),
            "record": record_file, "transcript": transcript_file, "key": key,
        }));
    }
    Ok(issued)
}

fn fold(reader: &Reader, session: SessionId) -> Result<(SessionSummary, Vec<u8>), Failed> {
    let mut fold = SessionFold::new(session);
    let mut transcript = fold.header().to_vec();
    let mut next = 0;
    loop {
        let chunk = reader.entries(next..u64::MAX, CHUNK)?;
        let Some(last) = chunk.last() else { break };
        next = last.index + 1;
        for stored in &chunk {
            transcript.extend(fold.add(stored.index, &stored.entry).map_err(Failed::unanswered)?);
        }
    }
    Ok((fold.finish().map_err(Failed::unanswered)?, transcript))
}

fn read(file: &Path) -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    let result = if file == Path::new("-") {
        std::io::stdin().take(64 << 20).read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::read(file).map(|read| bytes = read)
    };
    result.map_err(|e| Failed::usage(format!("`{}`: {e}", file.display())))?;
    // A line break at the end is an editor's, not part of the record.
    while bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Ok(bytes)
}

fn check(context: &Context, file: &Path, transcript: Option<PathBuf>, keys: &[String]) -> Result<Done, Failed> {
    let bytes = read(file)?;
    let mut trusted: Vec<PublicKey> =
        keys.iter().map(|k| k.parse().map_err(Failed::usage)).collect::<Result<_, _>>()?;
    let mut checkpoints = Vec::new();
    if let Ok(config) = context.config()
        && let Ok(reader) = Reader::open(&config.data_dir)
    {
        if trusted.is_empty() {
            trusted.push(*reader.verifier_key().key());
        }
        checkpoints.extend(
            reader.checkpoint()?.and_then(|note| Checkpoint::open(note.as_bytes(), reader.verifier_key()).ok()),
        );
    }
    if trusted.is_empty() {
        return Err(Failed::usage("no key to trust: run this beside the ledger, or give one with --key"));
    }
    let beside = file.with_extension("transcript.ndjson");
    let transcript = transcript.or_else(|| beside.exists().then_some(beside));
    let transcript = transcript
        .map(|path| std::fs::read(&path).map_err(|e| Failed::usage(format!("`{}`: {e}", path.display()))))
        .transpose()?;
    let verified = verify(
        &bytes,
        &Trust {
            keys: &trusted,
            transcript: transcript.as_deref(),
            checkpoints: &checkpoints,
            max_age_s: Some(Trust::MAX_AGE_S),
            now: now(),
        },
    );
    let shown = json!({
        "verified": verified.overall,
        "checks": verified.checks.iter().map(|c| json!({ "name": c.name, "result": word(c.result), "detail": c.detail })).collect::<Vec<_>>(),
    });
    context.print(&shown, || render_checks(context, &verified));
    Ok(if verified.overall { Done::Yes } else { Done::No })
}

const fn word(result: CheckResult) -> &'static str {
    match result {
        CheckResult::Verified => "verified",
        CheckResult::Failed => "failed",
        CheckResult::NotEvaluated => "not evaluated",
    }
}

fn render_checks(context: &Context, verified: &Verified) -> String {
    let mut out = String::new();
    for check in &verified.checks {
        let tone = match check.result {
            CheckResult::Verified => Tone::Good,
            CheckResult::Failed => Tone::Bad,
            CheckResult::NotEvaluated => Tone::Warn,
        };
        out.push_str(&format!(
            "{}  {:<14} {}\n",
            context.out.paint(tone, &format!("{:<13}", word(check.result))),
            check.name,
            clean(&check.detail)
        ));
    }
    let (tone, text) = if verified.overall {
        (Tone::Good, "verified, as far as the lines above say")
    } else {
        (Tone::Bad, "not verified")
    };
    out.push_str(&context.out.paint(tone, text));
    out
}

fn render(record: &TrustRecord) -> String {
    let lines = [
        ("subject", record.subject.clone()),
        ("issued", interlock_model::UnixMillis(record.iat.saturating_mul(1000)).to_rfc3339()),
        ("calls", record.tool_transcript.call_count.to_string()),
        ("transcript", record.tool_transcript.hash.to_string()),
        (
            "policy",
            format!(
                "version {}, {}, {}",
                record.policy.version, record.policy.bundle_hash, record.policy.enforcement_mode
            ),
        ),
        ("data class", record.data_class.clone()),
        ("platform", format!("{}: no hardware vouches for this", record.runtime.platform)),
        ("appraisal", format!("{} by {}", record.appraisal.status, record.appraisal.verifier)),
    ];
    lines.iter().map(|(name, value)| format!("{name:<12}{}\n", clean(value))).collect()
}
