//! Judging a record: one line for each check, and a check that was not made is never called verified.

use crate::issue::{CHECKPOINT, TRANSCRIPT, checkpoint_digest, enforcement_mode, policy_version, software_commitment};
use crate::record::TrustRecord;
use crate::session::SessionSummary;
use crate::subject::TrustDomain;
use interlock_ledger::checkpoint::Checkpoint;
use interlock_model::UnixMillis;
use interlock_signature::PublicKey;
use std::fmt::Display;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// It was made and holds.
    Verified,
    /// It was made and does not hold.
    Failed,
    /// It was not made, for lack of something or because nothing could be checked.
    NotEvaluated,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// A short, fixed name.
    pub name: &'static str,
    /// How it ended.
    pub result: CheckResult,
    /// What was found, for people.
    pub detail: String,
}

impl Check {
    /// A check that holds.
    #[must_use]
    pub fn verified(name: &'static str, detail: impl Display) -> Self {
        Self { name, result: CheckResult::Verified, detail: detail.to_string() }
    }

    /// A check that does not hold.
    #[must_use]
    pub fn failed(name: &'static str, detail: impl Display) -> Self {
        Self { name, result: CheckResult::Failed, detail: detail.to_string() }
    }

    /// A check that was not made.
    #[must_use]
    pub fn not_evaluated(name: &'static str, detail: impl Display) -> Self {
        Self { name, result: CheckResult::NotEvaluated, detail: detail.to_string() }
    }

    fn that(name: &'static str, holds: bool, found: impl Display, expected: impl Display) -> Self {
        if holds {
            Self::verified(name, found)
        } else {
            Self::failed(name, format!("the record says {found}, the entries say {expected}"))
        }
    }
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Every check, made or not.
    pub checks: Vec<Check>,
    /// Whether form, key, signature and age hold and no check failed. What was not evaluated is not
    /// covered by this word.
    pub overall: bool,
}

/// What a verifier trusts and has.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// Keys that may sign claims.
    pub keys: &'a [PublicKey],
    /// The transcript, if it is at hand.
    pub transcript: Option<&'a [u8]>,
    /// Checkpoints whose signatures were verified.
    pub checkpoints: &'a [Checkpoint],
    /// The greatest age in seconds; `None` where an old claim is examined for the record.
    pub max_age_s: Option<u64>,
    /// Now.
    pub now: UnixMillis,
}

impl Trust<'_> {
    /// The profile's default: a day.
    pub const MAX_AGE_S: u64 = 86_400;
    /// How far ahead the issuer's clock may be.
    const SKEW_S: u64 = 300;
}

/// Verifies a record.
#[must_use]
pub fn verify(record: &[u8], trust: &Trust<'_>) -> Verified {
    let record = match TrustRecord::from_bytes(record) {
        Ok(record) => record,
        Err(e) => return Verified { checks: vec![Check::failed("form", e)], overall: false },
    };
    let mut checks = vec![Check::verified("form", "a TRACE v0.2 trust record in its canonical spelling")];
    checks.extend(key_and_signature(&record, trust.keys));
    checks.push(age(&record, trust));
    checks.extend(session(&record, trust.transcript));
    checks.push(checkpoint(&record, trust.checkpoints));
    checks.extend(never_evaluated(&record));
    let holds = |name| checks.iter().any(|c| c.name == name && c.result == CheckResult::Verified);
    let aged = trust.max_age_s.is_none() || holds("age");
    let failed = checks.iter().any(|c| c.result == CheckResult::Failed);
    Verified { overall: holds("key") && holds("signature") && aged && !failed, checks }
}

fn key_and_signature(record: &TrustRecord, trusted: &[PublicKey]) -> [Check; 2] {
    let thumbprint = record.cnf.jwk.thumbprint();
    let key = trusted.iter().find(|k| crate::record::Jwk::of(k).thumbprint() == thumbprint);
    let Some(key) = key else {
        let why = if trusted.is_empty() { "no key to trust was given" } else { "not signed by a key you trust" };
        return [
            Check::failed("key", format!("{why}; the record's own key is {thumbprint}")),
            Check::not_evaluated("signature", "a record's own key proves nothing"),
        ];
    };
    let signature = match record.signature() {
        Ok(s) if key.verify_raw(&record.preimage(), &s).is_ok() => Check::verified("signature", "Ed25519"),
        _ => Check::failed("signature", "the signature does not verify: the record was changed or made up"),
    };
    [Check::verified("key", format!("trusted, {thumbprint}")), signature]
}

fn age(record: &TrustRecord, trust: &Trust<'_>) -> Check {
    let now = trust.now.0 / 1000;
    if record.iat > now.saturating_add(Trust::SKEW_S) {
        return Check::failed("age", format!("issued {} seconds in the future", record.iat - now));
    }
    let age = now.saturating_sub(record.iat);
    match trust.max_age_s {
        None => Check::not_evaluated("age", format!("issued {age} seconds ago; no limit was set")),
        Some(max) if age > max => Check::failed("age", format!("issued {age} seconds ago, the limit is {max}")),
        Some(_) => Check::verified("age", format!("issued {age} seconds ago")),
    }
}

/// Everything that the transcript tells.
fn session(record: &TrustRecord, transcript: Option<&[u8]>) -> Vec<Check> {
    const NAMES: [&str; 6] = ["calls", "subject", "policy", "mode", "data class", "software commitment"];
    let unmade = |first: Check, why: &str| {
        std::iter::once(first).chain(NAMES.map(|name| Check::not_evaluated(name, why))).collect()
    };
    let Some(bytes) = transcript else {
        let why = "no transcript was given";
        return unmade(Check::not_evaluated("transcript", why), why);
    };
    let broken = "the transcript is not the one that was signed";
    let hash = interlock_model::Digest::of(bytes);
    let referenced = record.references.iter().filter(|r| r.rel == TRANSCRIPT).all(|r| r.digest == hash);
    if hash != record.tool_transcript.hash || !referenced {
        return unmade(Check::failed("transcript", format!("{broken}: its digest is {hash}")), broken);
    }
    let summary = match SessionSummary::from_transcript(bytes) {
        Ok(summary) => summary,
        Err(e) => return unmade(Check::failed("transcript", &e), "the transcript cannot be read"),
    };
    let named = record.references.iter().filter(|r| r.rel == TRANSCRIPT).all(|r| r.id == summary.session.to_string());
    let whole = format!("{} entries of {}", summary.entries, summary.session);
    let first = if named {
        Check::verified("transcript", whole)
    } else {
        Check::failed("transcript", format!("it is of {}, the record refers to another session", summary.session))
    };
    let agent = TrustDomain::read_subject(&record.subject).map(|(_, agent)| agent);
    let policy = summary.policy.as_ref();
    let version = policy_version(&summary);
    let mode = enforcement_mode(&summary);
    let class = summary.sensitivity.as_str();
    let commitment = policy.zip(summary.build.as_deref()).map(|(policy, build)| {
        software_commitment(build, &record.build_provenance.digest, &policy.digest, summary.catalog.as_ref())
    });
    vec![
        first,
        Check::that(
            "calls",
            record.tool_transcript.call_count == summary.calls(),
            format!("{} calls", record.tool_transcript.call_count),
            format!(
                "{}: {} forwarded, {} answered, {} denied",
                summary.calls(),
                summary.forwarded,
                summary.answered,
                summary.denied
            ),
        ),
        Check::that("subject", agent.as_ref() == Some(&summary.agent), &record.subject, &summary.agent),
        Check::that(
            "policy",
            policy.is_some_and(|p| p.digest == record.policy.bundle_hash) && record.policy.version == version,
            format!("version {}", record.policy.version),
            format!("version {version}"),
        ),
        Check::that("mode", record.policy.enforcement_mode == mode, &record.policy.enforcement_mode, mode),
        Check::that("data class", record.data_class == class, &record.data_class, class),
        Check::that(
            "software commitment",
            commitment == Some(record.runtime.measurement),
            "a digest over build, policy and catalog; it measures nothing",
            "another one",
        ),
    ]
}

fn checkpoint(record: &TrustRecord, given: &[Checkpoint]) -> Check {
    const NAME: &str = "checkpoint";
    let Some(reference) = record.references.iter().find(|r| r.rel == CHECKPOINT) else {
        return Check::failed(NAME, "the record refers to no checkpoint of the log");
    };
    let named = format!("size {} of {}", reference.id, reference.resolver);
    let same_size = |c: &&Checkpoint| c.origin.as_str() == reference.resolver && c.size.to_string() == reference.id;
    if given.iter().any(|c| checkpoint_digest(c) == reference.digest) {
        Check::verified(NAME, named)
    } else if given.iter().any(|c| same_size(&c)) {
        Check::failed(NAME, format!("{named}: the log has signed another root for this size"))
    } else {
        Check::not_evaluated(NAME, format!("{named}: no such checkpoint was given"))
    }
}

/// What no file handed to this verifier could settle.
fn never_evaluated(record: &TrustRecord) -> [Check; 5] {
    let platform = &record.runtime.platform;
    let hardware = if platform == "software-only" {
        "software-only: the record claims no hardware protection and has none".to_owned()
    } else {
        format!("{platform}: the record carries no evidence, so its platform and measurement are the issuer's words")
    };
    let provenance = format!(
        "SLSA level {}: the binary's digest is the issuer's word, nobody compared it",
        record.build_provenance.slsa_level
    );
    let appraisal = format!("status `{}`, by {}", record.appraisal.status, record.appraisal.verifier);
    [
        Check::not_evaluated("log", "whether the log holds the transcript's entries: their receipts or the log say"),
        Check::not_evaluated("hardware", hardware),
        Check::not_evaluated("build", provenance),
        Check::not_evaluated("appraisal", appraisal),
        Check::not_evaluated("revocation", "whether the key was revoked was not looked up"),
    ]
}
