//! The judge behind `interlock ledger verify`: reads a whole log once, in order, and names the first
//! entry that is not as it must be.
//!
//! In scope: numbering, spelling, search columns, published tiles, signed checkpoints, and what may follow
//! what in a log. Out of scope: reading any of it. Memory is bounded by the calls and approvals that are
//! open at one time, one tile, and the tree's right edge.

mod files;
mod story;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::entry::{Entry, EntryError, Event};
use crate::note::VerifierKey;
use crate::tile::{TilePath, Tiles};
use crate::tree::{Frontier, Hash};
use files::{Files, Suspicion};
use std::collections::BTreeMap;
use story::Story;
pub use story::StoryFault;

/// One stored entry. The columns are as SQL has them, so that reading them cannot fail before they are judged.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Its index.
    pub index: i64,
    /// The search columns; `None` where only entries are kept, as in an archive.
    pub columns: Option<Columns<'a>>,
    /// The entry's bytes.
    pub entry: &'a [u8],
}

/// What is stored beside an entry for searching. It must repeat what the entry says.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// [`crate::entry::EventKind`] as a number.
    pub kind: i64,
    /// The entry's time, milliseconds since the Unix epoch.
    pub at: i64,
    /// The call's 16 bytes, for entries about a call.
    pub call: Option<&'a [u8]>,
}

/// What is wrong, and with which entry.
#[derive(Debug, thiserror::Error)]
#[error("entry {index}: {reason}")]
pub struct Finding {
    /// The first bad entry. Where a checkpoint is at fault and no entry is known to be: how many entries
    /// had been read.
    pub index: u64,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What can be wrong.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// Entries before this one are missing.
    #[error("it is missing: entry {found} follows directly")]
    Gap {
        /// The index that came instead.
        found: i64,
    },
    /// An index came again, or out of order.
    #[error("it was read before: index {found} came again")]
    Duplicate {
        /// The index that came.
        found: i64,
    },
    /// The bytes are not an entry in its one spelling.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// A search column says something else than the entry.
    #[error("the column `{0}` says something else than the entry")]
    Column(&'static str),
    /// A published file is not there.
    #[error("`{0}` is missing")]
    FileMissing(TilePath),
    /// A published file is not what the signed log gives.
    #[error("`{0}` is not what the signed log gives: the file was changed, the entries were not")]
    File(TilePath),
    /// The stored entry is not the one that was published and signed.
    #[error("the stored entry is not the one published in `{path}` and signed in the checkpoint of size {size}")]
    Altered {
        /// The file that still has it.
        path: TilePath,
        /// The size of the checkpoint that the stored entries do not lead to.
        size: u64,
    },
    /// The stored entry and a published file disagree, and no checkpoint could be reached that says which is right.
    #[error("the stored entry and `{0}` disagree")]
    Disagree(TilePath),
    /// The entries do not lead to a signed root. Without published files, any of them may be the bad one.
    #[error("an entry from here up to {last} was changed: the checkpoint of size {size} has another root", last = .size.saturating_sub(1))]
    Root {
        /// The checkpoint's size; the finding's index is the first entry after the last checkpoint that held.
        size: u64,
    },
    /// The log ends before a size that was signed.
    #[error("it is missing: a checkpoint of size {size} was signed, the log ends here")]
    CutOff {
        /// The signed size.
        size: u64,
    },
    /// A checkpoint is not a signed one of this log.
    #[error("a checkpoint does not hold: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The log's key signed two different roots for one size: it has shown different logs to different people.
    #[error("two checkpoints of size {size} with different roots were signed")]
    Fork {
        /// The size.
        size: u64,
    },
    /// A checkpoint was handed over after more entries than it has: nothing can be said about it any more.
    #[error("the checkpoint of size {size} came after more entries than that")]
    Late {
        /// The checkpoint's size.
        size: u64,
    },
    /// It is a well-formed entry that cannot stand here.
    #[error(transparent)]
    Story(#[from] StoryFault),
}

/// A log in which nothing bad was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Entries read.
    pub entries: u64,
    /// The root over them.
    pub root: Hash,
    /// Checkpoints that held.
    pub checkpoints: u64,
    /// The largest signed size: entries from there on are well-formed, and nobody has signed them yet.
    pub signed: u64,
    /// The size up to which published files were compared; zero if none were.
    pub published: u64,
    /// Calls without an outcome: under way, or to be closed by recovery.
    pub open_calls: usize,
    /// Approvals asked for or given, and not yet used, refused or lapsed.
    pub open_approvals: usize,
}

/// Reads a log from its first entry.
///
/// Hand over each signed checkpoint before the entry whose index is its size, or all of them at the
/// start; each is held until its size is reached. After the first [`Finding`] the audit is over.
#[derive(Debug)]
pub struct Audit<T> {
    key: VerifierKey,
    frontier: Frontier,
    story: Story,
    files: Option<Files<T>>,
    suspicion: Option<Suspicion>,
    /// Signed, and not reached yet.
    ahead: BTreeMap<u64, Vec<Checkpoint>>,
    checkpoints: u64,
    signed: u64,
}

/// For logs without published files.
#[derive(Clone, Copy, Debug)]
pub struct NoTiles;

impl Tiles for NoTiles {
    fn tile(&self, _: &TilePath) -> Option<Vec<u8>> {
        None
    }
}

impl Audit<NoTiles> {
    /// An audit of entries and checkpoints alone. A change shows, but the entry may not be named.
    #[must_use]
    pub fn of_entries(key: VerifierKey) -> Self {
        Self::start(key, None)
    }
}

impl<T: Tiles> Audit<T> {
    /// An audit that also compares the files that were published when the log had `published` entries.
    pub fn with_files(key: VerifierKey, tiles: T, published: u64) -> Self {
        Self::start(key, Some(Files::new(tiles, published)))
    }

    fn start(key: VerifierKey, files: Option<Files<T>>) -> Self {
        Self {
            key,
            frontier: Frontier::default(),
            story: Story::default(),
            files,
            suspicion: None,
            ahead: BTreeMap::new(),
            checkpoints: 0,
            signed: 0,
        }
    }

    /// Entries read so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Takes a signed checkpoint.
    ///
    /// # Errors
    ///
    /// [`Finding`] if it is not signed by the log, comes too late, or has another root.
    pub fn checkpoint(&mut self, note: &[u8]) -> Result<(), Finding> {
        let here = self.size();
        let finding = |reason| Finding { index: here, reason };
        let checkpoint = Checkpoint::open(note, &self.key).map_err(|e| finding(e.into()))?;
        let size = checkpoint.size;
        if size < here {
            return Err(finding(Reason::Late { size }));
        }
        self.ahead.entry(size).or_default().push(checkpoint);
        self.reached()
    }

    /// Takes the next entry.
    ///
    /// # Errors
    ///
    /// [`Finding`] about the first bad entry, which need not be this one.
    pub fn row(&mut self, row: &Row<'_>) -> Result<(), Finding> {
        let index = self.size();
        match self.judge(index, row) {
            Ok(()) => self.reached(),
            Err(reason) => Err(self.earliest(Finding { index, reason })),
        }
    }

    /// Ends the audit.
    ///
    /// # Errors
    ///
    /// [`Finding`] if the log should have gone on, or a published file could not be settled.
    pub fn finish(mut self) -> Result<Summary, Finding> {
        let entries = self.size();
        let promised = self.ahead.keys().next_back().copied().max(self.files.as_ref().map(Files::size));
        if let Some(size) = promised.filter(|size| *size > entries) {
            return Err(self.earliest(Finding { index: entries, reason: Reason::CutOff { size } }));
        }
        if let Some(suspicion) = self.suspicion.take() {
            return Err(suspicion.unsettled());
        }
        Ok(Summary {
            entries,
            root: self.frontier.root(),
            checkpoints: self.checkpoints,
            signed: self.signed,
            published: self.files.as_ref().map_or(0, Files::size),
            open_calls: self.story.open_calls(),
            open_approvals: self.story.open_approvals(),
        })
    }

    fn judge(&mut self, index: u64, row: &Row<'_>) -> Result<(), Reason> {
        match u64::try_from(row.index) {
            Ok(found) if found == index => {}
            Ok(found) if found > index => return Err(Reason::Gap { found: row.index }),
            _ => return Err(Reason::Duplicate { found: row.index }),
        }
        let entry = Entry::from_bytes(row.entry)?;
        if let Some(columns) = &row.columns {
            compare_columns(columns, &entry)?;
        }
        let leaf = Hash::leaf(row.entry);
        self.frontier.push(leaf);
        if let Some(files) = &mut self.files
            && let Some(suspicion) = files.compare(index, leaf)
        {
            self.suspicion = Some(suspicion.or_known(self.suspicion.take()));
        }
        Ok(self.story.tell(index, &entry)?)
    }

    /// Compares the root with the checkpoints of this size, and settles who is right where an entry and
    /// a file disagreed: what the log's key signed is.
    fn reached(&mut self) -> Result<(), Finding> {
        let size = self.size();
        let checkpoints = self.ahead.remove(&size).unwrap_or_default();
        if checkpoints.windows(2).any(|pair| matches!(pair, [a, b] if a.root != b.root)) {
            return Err(Finding { index: size, reason: Reason::Fork { size } });
        }
        for checkpoint in checkpoints {
            let holds = checkpoint.root == self.frontier.root();
            match (holds, self.suspicion.take()) {
                (true, None) => {}
                (true, Some(s)) => return Err(s.the_file_is_wrong()),
                (false, Some(s)) => return Err(s.the_entry_is_wrong(size)),
                (false, None) => return Err(Finding { index: self.signed, reason: Reason::Root { size } }),
            }
            self.checkpoints += 1;
            self.signed = size;
        }
        Ok(())
    }

    /// A file may have made an earlier entry suspect; then that one is the first.
    fn earliest(&mut self, found: Finding) -> Finding {
        match self.suspicion.take() {
            Some(s) if s.index < found.index => s.unsettled(),
            _ => found,
        }
    }
}

fn compare_columns(columns: &Columns<'_>, entry: &Entry) -> Result<(), Reason> {
    if columns.kind != i64::from(entry.event.kind() as u8) {
        return Err(Reason::Column("kind"));
    }
    if u64::try_from(columns.at) != Ok(entry.at.0) {
        return Err(Reason::Column("at"));
    }
    if columns.call != entry.call().as_ref().map(|c| c.as_bytes().as_slice()) {
        return Err(Reason::Column("call"));
    }
    Ok(())
}

impl Reason {
    /// A short name for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Gap { .. } => "gap",
            Self::Duplicate { .. } => "duplicate",
            Self::Entry(_) => "not_canonical",
            Self::Column(_) => "column",
            Self::FileMissing(_) => "file_missing",
            Self::File(_) => "file_changed",
            Self::Altered { .. } => "entry_changed",
            Self::Disagree(_) => "entry_and_file_disagree",
            Self::Root { .. } => "root",
            Self::CutOff { .. } => "cut_off",
            Self::Checkpoint(_) => "checkpoint",
            Self::Fork { .. } => "fork",
            Self::Late { .. } => "checkpoint_late",
            Self::Story(fault) => fault.code(),
        }
    }
}

/// Whether an entry must be the first of a log, and may not be missing there.
const fn opens(event: &Event) -> bool {
    matches!(event, Event::Start(_))
}
