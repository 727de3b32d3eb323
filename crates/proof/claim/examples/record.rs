//! Writes a freshly issued claim for other implementations to judge: `record.json`, `transcript.ndjson`
//! and `key.txt` (the public key, base64) in the directory given.

#![allow(clippy::unwrap_used, reason = "development only")]

use interlock_claim::{Facts, SessionFold};
use interlock_ledger::checkpoint::Checkpoint;
use interlock_ledger::samples::{self, SoftSigner};
use interlock_ledger::tree::{Frontier, Hash};
use interlock_model::{Digest, UnixMillis};
use interlock_signature::Signer as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    let dir = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| ".".into()));
    let entries =
        [samples::start(), samples::session_opened(), samples::intent(2), samples::outcome(2), samples::denial(3)];
    let mut fold = SessionFold::new(samples::session(1));
    let mut transcript = fold.header().to_vec();
    let mut frontier = Frontier::default();
    for (index, entry) in (0..).zip(&entries) {
        frontier.push(Hash::leaf(&entry.to_bytes().unwrap()));
        transcript.extend(fold.add(index, entry).unwrap());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let facts = Facts {
        trust_domain: "example.org".parse().unwrap(),
        binary: Digest::of(b"the binary"),
        checkpoint: Checkpoint::of("interlock.example/log".parse().unwrap(), &frontier),
        issued_at: UnixMillis(u64::try_from(now).unwrap()),
    };
    let signer = SoftSigner::new(1);
    let record = facts.issue(&fold.finish().unwrap(), &signer).unwrap();
    std::fs::write(dir.join("record.json"), record.to_bytes()).unwrap();
    std::fs::write(dir.join("transcript.ndjson"), transcript).unwrap();
    std::fs::write(dir.join("key.txt"), format!("{}\n", signer.public_key())).unwrap();
}
