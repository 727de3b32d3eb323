//! Offline verification of what Interlock issues: claims, receipts, checkpoints.
//!
//! In scope: telling what a file is, judging it under the keys one trusts, saying what was checked and
//! what was not. Out of scope: files and the clock (only the binary has them), and whole ledgers, which
//! `interlock ledger verify` reads.
//!
//! A new kind of file is one arm in [`Kind::of`] and one in [`verify_with`].

mod keys;
mod report;

use interlock_claim::record::PROFILE;
use interlock_claim::{SessionSummary, Trust, TrustRecord};
use interlock_ledger::checkpoint::{Checkpoint, CheckpointError};
use interlock_ledger::entry::Entry;
use interlock_ledger::note::Note;
use interlock_ledger::receipt::{Receipt, ReceiptError};
use interlock_model::UnixMillis;
use interlock_model::json::{Json, Limits};

pub use interlock_claim::verify::{Check, CheckResult};
pub use keys::{InvalidKey, Keys};
pub use report::{Report, printable};

/// What a file is, by what it says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TRACE trust record.
    Claim,
    /// An entry with its inclusion proof.
    Receipt,
    /// A log's signed size and root.
    Checkpoint,
    /// The entries of a session, which prove nothing without the claim that names them.
    Transcript,
}

impl Kind {
    /// What `bytes` are; `None` if they carry no mark of anything this verifier reads.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(b"{") {
            let note = Note::parse(bytes).ok()?;
            return Checkpoint::parse(note.text()).is_ok().then_some(Self::Checkpoint);
        }
        // A transcript is many lines, of which the first says what it is; everything else is one value.
        let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
        let json = [bytes, first].into_iter().find_map(|text| Json::parse(text, Limits::REQUEST).ok())?;
        let format = json.root().get("format");
        let is = |name| format.is_some_and(|f| f.is_str(name));
        if json.root().get("eat_profile").is_some() {
            Some(Self::Claim)
        } else if is(Receipt::FORMAT) {
            Some(Self::Receipt)
        } else {
            is(SessionSummary::FORMAT).then_some(Self::Transcript)
        }
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Receipt => "receipt",
            Self::Checkpoint => "checkpoint",
            Self::Transcript => "transcript",
        }
    }
}

/// What is at hand beside the file that is judged.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The keys one trusts.
    pub keys: &'a Keys,
    /// The transcript that a claim commits to.
    pub transcript: Option<&'a [u8]>,
    /// Checkpoints from other files, their signatures verified ([`checkpoint_in`]).
    pub checkpoints: &'a [Checkpoint],
    /// The greatest age of a claim in seconds; `None` for no limit.
    pub max_age_s: Option<u64>,
    /// Now.
    pub now: UnixMillis,
}

/// Judges one file with nothing but keys and a clock.
#[must_use]
pub fn verify_file(bytes: &[u8], keys: &Keys, now: UnixMillis) -> Report {
    let max_age_s = Some(Trust::MAX_AGE_S);
    verify_with(bytes, &Given { keys, transcript: None, checkpoints: &[], max_age_s, now })
}

/// Judges one file with all that is at hand.
#[must_use]
pub fn verify_with(bytes: &[u8], given: &Given<'_>) -> Report {
    match Kind::of(bytes) {
        Some(Kind::Claim) => claim(bytes, given),
        Some(Kind::Receipt) => receipt(bytes, given.keys),
        Some(Kind::Checkpoint) => checkpoint(bytes, given.keys),
        Some(Kind::Transcript) => {
            let why = "a transcript is signed by nobody: give it beside the claim that names it (--transcript)";
            Report::new(Some(Kind::Transcript), "", vec![Check::failed("signature", why)])
        }
        None => {
            let why = "not a claim, receipt or checkpoint: it was damaged, or is of a kind this verifier does not read";
            Report::new(None, "", vec![Check::failed("form", why)])
        }
    }
}

/// The checkpoint in a checkpoint or receipt, if a trusted key signed it.
#[must_use]
pub fn checkpoint_in(bytes: &[u8], keys: &Keys) -> Option<Checkpoint> {
    match Kind::of(bytes)? {
        Kind::Checkpoint => open(bytes, keys).ok(),
        Kind::Receipt => open(Receipt::from_bytes(bytes).ok()?.checkpoint.as_bytes(), keys).ok(),
        Kind::Claim | Kind::Transcript => None,
    }
}

fn claim(bytes: &[u8], given: &Given<'_>) -> Report {
    let trust = Trust {
        keys: given.keys.claims(),
        transcript: given.transcript,
        checkpoints: given.checkpoints,
        max_age_s: given.max_age_s,
        now: given.now,
    };
    let verdict = interlock_claim::verify(bytes, &trust);
    let about = TrustRecord::from_bytes(bytes).map(|r| format!("of {}, {PROFILE}", r.subject)).unwrap_or_default();
    let mut report = Report::new(Some(Kind::Claim), &about, verdict.checks);
    report.verified &= verdict.overall;
    report
}

fn receipt(bytes: &[u8], keys: &Keys) -> Report {
    let report = |about: &str, checks| Report::new(Some(Kind::Receipt), about, checks);
    let receipt = match Receipt::from_bytes(bytes) {
        Ok(receipt) => receipt,
        Err(e) => return report("", vec![Check::failed("form", e)]),
    };
    let form = Check::verified("form", "a receipt in its canonical spelling");
    let about = format!("for entry {}", receipt.index);
    let checkpoint = match open(receipt.checkpoint.as_bytes(), keys) {
        Ok(checkpoint) => checkpoint,
        Err(e) => {
            let unmade = Check::not_evaluated("inclusion", "there is no checkpoint to prove it against");
            return report(&about, vec![form, Check::failed("checkpoint", e), unmade]);
        }
    };
    let signed = Check::verified("checkpoint", describe(&checkpoint));
    let judged = keys
        .logs()
        .iter()
        .filter(|key| *key.name() == checkpoint.origin)
        .map(|key| receipt.verify(key))
        .find(|result| !matches!(result, Err(ReceiptError::Checkpoint(_))));
    let last = match judged {
        Some(Ok(entry)) => vec![
            Check::verified("inclusion", format!("entry {} is in the log", receipt.index)),
            Check::verified("entry", describe_entry(&entry)),
        ],
        Some(Err(ReceiptError::Entry(e))) => {
            vec![
                Check::verified("inclusion", format!("leaf {} is in the log", receipt.index)),
                Check::failed("entry", e),
            ]
        }
        Some(Err(e)) => vec![Check::failed("inclusion", e)],
        None => vec![Check::failed("inclusion", "no trusted key verifies the checkpoint")],
    };
    report(&about, [vec![form, signed], last, vec![not_the_log(), witnesses()]].concat())
}

fn checkpoint(bytes: &[u8], keys: &Keys) -> Report {
    let (about, first) = match open(bytes, keys) {
        Ok(checkpoint) => (describe(&checkpoint), Check::verified("signature", "the log's own, Ed25519")),
        Err(e) => (String::new(), Check::failed("signature", e)),
    };
    let form = Check::verified("form", "a checkpoint in its one spelling");
    Report::new(Some(Kind::Checkpoint), &about, vec![form, first, not_the_log(), witnesses()])
}

fn not_the_log() -> Check {
    Check::not_evaluated("other entries", "only a reading of the whole log settles them (`interlock ledger verify`)")
}

fn witnesses() -> Check {
    Check::not_evaluated("witnesses", "whether the log shows everyone the same entries was not asked of anyone")
}

fn describe(checkpoint: &Checkpoint) -> String {
    format!("of {} with {} entries, root {}", checkpoint.origin, checkpoint.size, checkpoint.root)
}

fn describe_entry(entry: &Entry) -> String {
    let kind = format!("{:?}", entry.event.kind()).to_lowercase();
    let call = entry.call().map(|call| format!(" of {call}")).unwrap_or_default();
    format!("{kind}{call} at {}", entry.at.to_rfc3339())
}

/// Why no trusted key speaks for a checkpoint.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("no key of the log `{0}` was given")]
    NoKey(String),
}

/// A log may have had several keys under one name; one that verifies is enough.
fn open(note: &[u8], keys: &Keys) -> Result<Checkpoint, OpenError> {
    let claimed = Checkpoint::parse(Note::parse(note).map_err(CheckpointError::from)?.text())?;
    let mut last = OpenError::NoKey(claimed.origin.to_string());
    for key in keys.logs().iter().filter(|key| *key.name() == claimed.origin) {
        match Checkpoint::open(note, key) {
            Ok(checkpoint) => return Ok(checkpoint),
            Err(e) => last = e.into(),
        }
    }
    Err(last)
}
