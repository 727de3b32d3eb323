//! What the daemon says about itself: one line per event, to the terminal or to a file. Never a payload,
//! never a secret.

use super::now;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The log file's name in the data directory.
pub(crate) const FILE: &str = "interlock.log";
/// A log longer than this starts anew, keeping one older file.
const MAX: u64 = 8 << 20;

pub(crate) struct Log(Option<Mutex<File>>);

impl Log {
    /// To standard error, or in the background to a file.
    pub(crate) fn open(data_dir: &Path, background: bool) -> io::Result<Self> {
        if !background {
            return Ok(Self(None));
        }
        let path = data_dir.join(FILE);
        if std::fs::metadata(&path).is_ok_and(|m| m.len() > MAX) {
            std::fs::rename(&path, data_dir.join("interlock.log.1"))?;
        }
        Ok(Self(Some(Mutex::new(OpenOptions::new().create(true).append(true).open(path)?))))
    }

    pub(crate) fn line(&self, text: &str) {
        // Text of servers and files is in here; a line stays a line.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line = format!("{} {text}\n", now().to_rfc3339());
        // A log that cannot be written stops nothing: the ledger is what counts.
        let _ = match &self.0 {
            None => io::stderr().write_all(line.as_bytes()),
            Some(file) => file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes()),
        };
    }
}
