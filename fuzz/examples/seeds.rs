//! Writes the seeds that only code can make (entries, notes, receipts, a lock, bundles) into `seeds/`; the others are files
//! written by hand. Run from this folder: `cargo run --example seeds`.

use interlock_catalog::Lock;
use interlock_ledger::samples::{SoftSigner, every_kind};
use interlock_ledger::checkpoint::Checkpoint;
use interlock_ledger::note::{Origin, VerifierKey};
use interlock_ledger::receipt::Receipt;
use interlock_ledger::tree::{Frontier, Hash};
use interlock_policy::{Preset, preset_files};
use interlock_signature::Signer as _;
use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let signer = SoftSigner::new(7);
    let origin: Origin = "example.org/log".parse()?;
    let mut leaves = Vec::new();
    for (number, entry) in every_kind().iter().enumerate() {
        let bytes = entry.to_bytes()?;
        put("entry", &format!("{number:02}"), &bytes)?;
        leaves.push(bytes);
    }
    let mut frontier = Frontier::default();
    for leaf in &leaves {
        frontier.push(Hash::leaf(leaf));
    }
    let note = Checkpoint::of(origin.clone(), &frontier).sign(&signer)?;
    put("checkpoint", "signed", note.to_string().as_bytes())?;
    put("checkpoint", "text", note.text().as_bytes())?;
    put("checkpoint", "key", VerifierKey::new(origin, signer.public_key()).to_string().as_bytes())?;
    let path = vec![Hash::leaf(b"a"), Hash::leaf(b"b")];
    put("receipt", "receipt", &Receipt::new(&note, leaves.swap_remove(0), 0, path).to_bytes())?;
    put("catalog_lock", "empty", Lock::empty().sign(&signer).to_text().as_bytes())?;
    for (name, preset) in [("starter", Preset::Starter), ("open", Preset::Open), ("closed", Preset::Closed)] {
        let mut text = Vec::new();
        for (file, contents) in preset_files(preset, None) {
            if file != interlock_policy::MANIFEST {
                text.extend_from_slice(format!("== {file}\n").as_bytes());
                text.extend_from_slice(&contents);
            }
        }
        put("bundle", name, &text)?;
    }
    Ok(())
}

fn put(target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}
