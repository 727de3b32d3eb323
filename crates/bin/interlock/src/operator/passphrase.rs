//! Where the passphrase comes from: a terminal, without echo; a file; standard input.

use std::{
    fmt,
    io::{self, Read},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Fewest characters of a new passphrase.
pub(super) const MIN_CHARS: usize = 8;
/// Most bytes of one.
const MAX_BYTES: usize = 1024;

/// A passphrase. Not printed, wiped when dropped.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// Nobody can be asked.
    #[error(
        "there is no terminal to ask for the passphrase; name a file with --passphrase-file or INTERLOCK_PASSPHRASE_FILE"
    )]
    NoTerminal,
    /// Ctrl-C, or the end of input.
    #[error("no passphrase was given")]
    Cancelled,
    /// Too easily guessed.
    #[error("a passphrase has at least {MIN_CHARS} characters")]
    TooShort,
    /// No passphrase is that long.
    #[error("the passphrase is over {MAX_BYTES} bytes")]
    TooLong,
    /// Typed twice, differently.
    #[error("the two passphrases differ")]
    Differ,
    /// Not UTF-8.
    #[error("the passphrase is not UTF-8 text")]
    Encoding,
    /// The system refused.
    #[error("cannot read the passphrase from {from}: {source}")]
    Io {
        /// The file, or `standard input`.
        from: String,
        /// What happened.
        source: io::Error,
    },
}

/// Where to take a passphrase from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Ask on the controlling terminal.
    Terminal,
    /// The first line of a file.
    File(PathBuf),
    /// The first line of standard input.
    Stdin,
}

impl Source {
    /// What `--passphrase-file` (or its variable) says: a file, `-` for standard input, or nothing.
    #[must_use]
    pub fn from_option(file: Option<&Path>) -> Self {
        match file {
            None => Self::Terminal,
            Some(path) if path == Path::new("-") => Self::Stdin,
            Some(path) => Self::File(path.to_owned()),
        }
    }

    /// The passphrase of an existing key.
    ///
    /// # Errors
    ///
    /// [`PassphraseError`].
    pub fn existing(&self) -> Result<Passphrase, PassphraseError> {
        match self {
            Self::Terminal => ask("Operator's passphrase: "),
            Self::File(_) | Self::Stdin => self.first_line(),
        }
    }

    /// A passphrase for a new key: long enough, and typed twice on a terminal.
    ///
    /// # Errors
    ///
    /// [`PassphraseError`].
    pub fn new_one(&self) -> Result<Passphrase, PassphraseError> {
        let first = match self {
            Self::Terminal => ask("New passphrase for the operator's key: ")?,
            Self::File(_) | Self::Stdin => self.first_line()?,
        };
        if first.0.chars().count() < MIN_CHARS {
            return Err(PassphraseError::TooShort);
        }
        if *self == Self::Terminal && *ask("The same again: ")?.0 != *first.0 {
            return Err(PassphraseError::Differ);
        }
        Ok(first)
    }

    fn first_line(&self) -> Result<Passphrase, PassphraseError> {
        let (from, result) = match self {
            Self::File(path) => (
                format!("`{}`", path.display()),
                std::fs::File::open(path).and_then(|file| line_of(io::BufReader::new(file))),
            ),
            Self::Terminal | Self::Stdin => ("standard input".to_owned(), line_of(io::stdin().lock())),
        };
        from_line(&result.map_err(|source| PassphraseError::Io { from, source })?)
    }
}

impl Passphrase {
    /// A passphrase from elsewhere.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The passphrase itself, for key derivation.
    #[must_use]
    pub fn danger_reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Up to the first line break, which is not part of it; one byte over the limit at most.
fn line_of(mut from: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    let mut byte = Zeroizing::new([0]);
    while line.len() <= MAX_BYTES {
        let read = from.read(byte.as_mut())?;
        let [b] = *byte;
        if read == 0 || b == b'\n' {
            break;
        }
        line.push(b);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

fn from_line(line: &[u8]) -> Result<Passphrase, PassphraseError> {
    if line.len() > MAX_BYTES {
        return Err(PassphraseError::TooLong);
    }
    // Editors on Windows put a mark in front.
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| PassphraseError::Encoding)?;
    if text.is_empty() { Err(PassphraseError::Cancelled) } else { Ok(Passphrase::new(text.to_owned())) }
}

/// Reads a line as a person edits it, byte by byte, with the terminal in non-canonical mode: backspace,
/// Ctrl-U, Ctrl-C and Ctrl-D mean what they mean in a shell.
fn edited_line(mut from: impl Read) -> Result<Passphrase, PassphraseError> {
    let io = |source| PassphraseError::Io { from: "the terminal".to_owned(), source };
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    let mut byte = Zeroizing::new([0]);
    loop {
        if from.read(byte.as_mut()).map_err(io)? == 0 {
            return Err(PassphraseError::Cancelled);
        }
        let [b] = *byte;
        match b {
            b'\n' | b'\r' => return from_line(&line),
            0x03 => return Err(PassphraseError::Cancelled),
            0x04 if line.is_empty() => return Err(PassphraseError::Cancelled),
            0x08 | 0x7f => {
                // A character is its first byte and the continuation bytes after it.
                while line.pop().is_some_and(|b| b & 0xc0 == 0x80) {}
            }
            0x15 => line.clear(),
            0x00..=0x1f => {}
            b if line.len() <= MAX_BYTES => line.push(b),
            _ => return Err(PassphraseError::TooLong),
        }
    }
}

#[cfg(unix)]
fn ask(prompt: &str) -> Result<Passphrase, PassphraseError> {
    use io::Write as _;
    let tty =
        std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(|_| PassphraseError::NoTerminal)?;
    let silent = Silent::new(&tty).map_err(|_| PassphraseError::NoTerminal)?;
    let io = |source| PassphraseError::Io { from: "the terminal".to_owned(), source };
    (&tty).write_all(prompt.as_bytes()).map_err(io)?;
    let line = edited_line(&tty);
    drop(silent);
    (&tty).write_all(b"\n").map_err(io)?;
    line
}

#[cfg(not(unix))]
fn ask(_: &str) -> Result<Passphrase, PassphraseError> {
    Err(PassphraseError::NoTerminal)
}

/// A terminal that shows nothing of what is typed, and is put back when this is dropped. Signals from the
/// keyboard are off meanwhile: one that ended the process here would leave the terminal silent.
#[cfg(unix)]
struct Silent<'a> {
    tty: &'a std::fs::File,
    before: rustix::termios::Termios,
}

#[cfg(unix)]
impl<'a> Silent<'a> {
    fn new(tty: &'a std::fs::File) -> io::Result<Self> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(tty)?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(tty, OptionalActions::Flush, &silent)?;
        Ok(Self { tty, before })
    }
}

#[cfg(unix)]
impl Drop for Silent<'_> {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(self.tty, rustix::termios::OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed() {
        for (typed, expected) in [
            ("secret 1\n", Some("secret 1")),
            ("secret\r", Some("secret")),
            ("secre\u{e9}\u{7f}t\n", Some("secret")), // backspace takes a whole character
            ("wrong\u{15}right\n", Some("right")),
            ("\u{7f}\u{8}a\n", Some("a")),
            ("abc\u{3}def\n", None),
            ("\u{4}", None),
            ("abc", None), // the terminal went away
            ("\n", None),
        ] {
            let got = edited_line(typed.as_bytes()).ok();
            assert_eq!(got.as_ref().map(Passphrase::danger_reveal), expected, "{typed:?}");
        }
        let long = "x".repeat(MAX_BYTES + 2);
        assert!(matches!(edited_line(long.as_bytes()), Err(PassphraseError::TooLong)));
    }

    #[test]
    fn what_a_file_holds() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p");
        let source = Source::from_option(Some(&file));
        for (bytes, expected) in [
            (&b"correct horse\n"[..], Some("correct horse")),
            (b"correct horse", Some("correct horse")),
            (b"\xef\xbb\xbfcorrect horse\r\nsecond line", Some("correct horse")),
            (b" spaces stay ", Some(" spaces stay ")),
            (b"\n", None),
            (b"", None),
            (b"caf\xe9 caf\xe9\n", None),
            (&[b'x'; MAX_BYTES + 1], None),
        ] {
            std::fs::write(&file, bytes).unwrap();
            let got = source.existing().ok();
            assert_eq!(got.as_ref().map(Passphrase::danger_reveal), expected);
        }
        std::fs::write(&file, "1234567\n").unwrap();
        assert!(source.existing().is_ok());
        assert!(matches!(source.new_one(), Err(PassphraseError::TooShort)));
        assert!(Source::File(dir.path().join("absent")).existing().unwrap_err().to_string().contains("absent"));
        assert_eq!(Source::from_option(Some(Path::new("-"))), Source::Stdin);
        assert_eq!(Source::from_option(None), Source::Terminal);
    }
}
