//! The published log: files derived from committed rows, in the layout of C2SP tlog-tiles.
//!
//! `log/checkpoint` (replaced), `log/tile/<L>/<N>` (full, immutable) and `log/tile/<L>/<N>.p/<W>`
//! (partial, immutable, removed once the full tile is there). Entry bundles are not files: the rows have the
//! same bytes, and who serves the log makes them from these ([`crate::Reader::log_file`]).
//!
//! A file that is there and is not what the rows say is damage: it is reported, and left as it is.

use crate::dir::{DataDir, StagedFile, make_private_dir, replace_file, sync_dir};
use crate::error::OpenError;
use crate::fault::{Faults, Write};
use crate::rows::{CheckpointRow, int, uint};
use interlock_ledger::checkpoint::Checkpoint;
use interlock_ledger::note::VerifierKey;
use interlock_ledger::tile::{TileFile, TileHashes, TileKind, TilePath, TileWriter, WIDTH, parse_hashes};
use interlock_ledger::tree::{Frontier, Hash, HashSource as _, root_of};
use rusqlite::Connection;
use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Full tiles whose hash is compared with the level above at every open; the rest is `verify`'s.
const COMPARED_AT_OPEN: u64 = 256;
/// Most tiles that are open at once, to be synced and named together.
const WRITTEN_TOGETHER: usize = 64;

/// The files, as a directory.
#[derive(Clone, Debug)]
pub(crate) struct LogFiles(PathBuf);

impl LogFiles {
    pub(crate) fn new(dir: &DataDir) -> Self {
        Self(dir.log())
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// The checkpoint file's bytes; no more than a note may have.
    pub(crate) fn checkpoint(&self) -> io::Result<Option<Vec<u8>>> {
        present(fs::read(self.0.join("checkpoint")))
    }

    pub(crate) fn tile(&self, path: &TilePath) -> io::Result<Option<Vec<u8>>> {
        present(fs::read(self.0.join(path.to_string())))
    }

    fn exists(&self, path: &TilePath) -> bool {
        self.0.join(path.to_string()).is_file()
    }

    /// Writes a tile that is not there yet beside its name, not yet synced.
    fn stage(&self, file: &TileFile) -> io::Result<Put> {
        if let Some(found) = self.tile(&file.path)? {
            return Ok(if found == file.bytes { Put::Same } else { Put::Other });
        }
        let path = self.0.join(file.path.to_string());
        if let Some(parent) = path.parent() {
            make_private_dir(parent)?;
        }
        StagedFile::write(path, &file.bytes).map(Put::Staged)
    }
}

/// What became of a tile that was to be written.
enum Put {
    /// It was not there, and has no name yet.
    Staged(StagedFile),
    /// It was there.
    Same,
    /// Another stands in its place, and stays.
    Other,
}

/// Leaf hashes of consecutive entries.
#[derive(Debug, Default)]
pub(crate) struct Leaves {
    first: u64,
    hashes: Vec<Hash>,
}

impl Leaves {
    /// Leaves kept for a publisher that is behind; it reads the rows of what was not kept.
    const MAX: usize = 1 << 20;

    /// Takes in those of the entries before `size`, and leaves nothing behind.
    pub(crate) fn append(&mut self, newer: &mut Vec<Hash>, size: u64) {
        if newer.is_empty() {
            return;
        }
        let first = size - newer.len() as u64;
        if first != self.end() || self.hashes.len() + newer.len() > Self::MAX {
            self.hashes.clear();
            self.first = first;
        }
        self.hashes.append(newer);
    }

    const fn end(&self) -> u64 {
        self.first + self.hashes.len() as u64
    }

    fn forget_until(&mut self, index: u64) {
        let gone = usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.hashes.len());
        self.hashes.drain(..gone);
        self.first += gone as u64;
    }

    /// Those of the entries `from..to`, if the first is among them.
    fn of(&self, from: u64, to: u64) -> Option<&[Hash]> {
        let at = |index: u64| usize::try_from(index.checked_sub(self.first)?).ok();
        let found = self.hashes.get(at(from)?..at(to.min(self.end()))?)?;
        (!found.is_empty()).then_some(found)
    }
}

/// Turns rows into files.
pub(crate) struct Publisher {
    files: LogFiles,
    connection: Connection,
    key: VerifierKey,
    tiles: TileWriter,
    /// Leaves that the writer handed over and no tile has yet.
    handed: Leaves,
    /// Derived and not written yet: what a failed write leaves for the next turn.
    pending: VecDeque<TileFile>,
    /// The size in the checkpoint file.
    published: u64,
    damage: Vec<String>,
    written: u64,
    faults: Faults,
}

/// Why nothing was published. Rows are not affected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    /// Rows and signature contradict each other.
    #[error("{0}")]
    Damaged(String),
    #[error("the database failed: {0}")]
    Database(#[from] rusqlite::Error),
    #[error("a log file could not be written: {0}")]
    Io(#[from] io::Error),
}

impl From<PublishError> for OpenError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Damaged(what) => Self::Damaged(what),
            PublishError::Database(source) => Self::Database(source),
            PublishError::Io(source) => Self::io(Path::new("log"), source),
        }
    }
}

impl Publisher {
    /// Goes on where the files end, and brings them up to the rows.
    ///
    /// The first open publishes the checkpoint of the empty log (`empty`), so that from then on a log without
    /// a checkpoint is one from which it was taken. The files' own checkpoint says how far they go. If they do not lead to its root, or one is missing,
    /// every row is read again and every file compared or made.
    ///
    /// # Errors
    ///
    /// [`OpenError::Damaged`] if the rows are fewer than what was published, or do not hash to what was signed.
    pub(crate) fn open(
        dir: &DataDir,
        connection: Connection,
        key: VerifierKey,
        empty: &str,
        faults: Faults,
    ) -> Result<Self, OpenError> {
        let files = LogFiles::new(dir);
        make_private_dir(files.root()).map_err(|source| OpenError::io(files.root(), source))?;
        let mut publisher = Self {
            files,
            connection,
            key,
            tiles: TileWriter::default(),
            handed: Leaves::default(),
            pending: VecDeque::new(),
            published: 0,
            damage: Vec::new(),
            written: 0,
            faults,
        };
        let stored = publisher.stored()?;
        let size = stored.as_ref().map_or(0, |c| c.size);
        let checkpoint = publisher.files.root().join("checkpoint");
        if size == 0 && !checkpoint.exists() {
            replace_file(&checkpoint, empty.as_bytes()).map_err(|source| OpenError::io(&checkpoint, source))?;
        }
        let shown = publisher.shown()?;
        if let Some(shown) = &shown {
            if shown.size > size {
                return Err(OpenError::Damaged(format!(
                    "a checkpoint over {} entries was published and the database has {size}: it was replaced by an \
                     older copy; restore the newer one",
                    shown.size
                )));
            }
            publisher.published = shown.size;
            if !publisher.resume(shown)? {
                publisher.rebuild(shown)?;
            }
        }
        publisher.catch_up(Leaves::default())?;
        Ok(publisher)
    }

    /// Publishes what was committed since the last time; of what `handed` holds, no row is read.
    ///
    /// Order: tiles, then the checkpoint that covers them. A crash between leaves tiles that no
    /// checkpoint covers yet; the next open finds them as they must be.
    pub(crate) fn catch_up(&mut self, mut handed: Leaves) -> Result<(), PublishError> {
        let end = handed.end();
        self.handed.append(&mut handed.hashes, end);
        // One read transaction: rows and checkpoint are of the same commit.
        self.connection.execute_batch("BEGIN")?;
        let pushed = self.push_rows();
        self.connection.execute_batch("COMMIT")?;
        let Some((row, signed)) = pushed? else { return Ok(()) };
        if self.tiles.frontier().root() != signed.root {
            return Err(PublishError::Damaged(format!(
                "the first {} entries do not hash to the root that was signed over them",
                signed.size
            )));
        }
        if self.published == signed.size {
            return Ok(());
        }
        let files = self.tiles.publish();
        self.write(files)?;
        if self.damage.is_empty() {
            let path = self.files.root().join("checkpoint");
            self.faults.around(
                Write::CheckpointFile,
                || replace_file(&path, row.note.as_bytes()),
                || io::Error::from(ErrorKind::StorageFull),
            )?;
        }
        self.published = signed.size;
        Ok(())
    }

    /// Copies the WAL into the database as far as readers allow, beside the writer.
    pub(crate) fn copy_wal(&self) -> rusqlite::Result<()> {
        self.faults.around(
            Write::WalCheckpoint,
            || self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())),
            || rusqlite::Error::InvalidQuery,
        )
    }

    /// The tree over all rows.
    pub(crate) fn frontier(&self) -> &Frontier {
        self.tiles.frontier()
    }

    /// What was found that is not as it was written. The checkpoint file is not replaced while there is some.
    pub(crate) fn damage(&self) -> &[String] {
        &self.damage
    }

    /// Tiles written so far.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// The signed checkpoint in the database, which must cover exactly the rows.
    pub(crate) fn stored(&self) -> Result<Option<CheckpointRow>, OpenError> {
        let next: i64 =
            self.connection.query_row("SELECT coalesce(max(idx) + 1, 0) FROM entries", [], |row| row.get(0))?;
        let row = CheckpointRow::read(&self.connection)?;
        if row.is_none() && next > 0 {
            return Err(OpenError::Damaged(format!(
                "entry {} is the last one and does not carry the checkpoint signed over it: newer ones were removed",
                next - 1
            )));
        }
        Ok(row)
    }

    /// The checkpoint file, if there is one and it is ours.
    fn shown(&mut self) -> Result<Option<Checkpoint>, OpenError> {
        let path = self.files.root().join("checkpoint");
        let Some(note) = self.files.checkpoint().map_err(|source| OpenError::io(&path, source))? else {
            return Ok(None);
        };
        match Checkpoint::open(&note, &self.key) {
            Ok(shown) => Ok(Some(shown)),
            Err(error) => {
                self.damage.push(format!("log/checkpoint: {error}"));
                Ok(None)
            }
        }
    }

    /// The quick way: trust the files as far as they lead to the signed root.
    fn resume(&mut self, shown: &Checkpoint) -> Result<bool, OpenError> {
        let size = shown.size;
        let files = self.files.clone();
        let source = TileHashes::new(|path: &TilePath| files.tile(path).ok().flatten(), size);
        let Ok(tiles) = TileWriter::resume(size, &source) else { return Ok(false) };
        let mut same = true;
        read_rows(&self.connection, size - size % u64::from(WIDTH), size, |index, bytes| {
            same &= source.hash(0, index) == Some(Hash::leaf(bytes));
            Ok(())
        })?;
        if !same {
            return Ok(false);
        }
        if tiles.frontier().root() != shown.root || !self.all_there(size) {
            return Ok(false);
        }
        // The newest full tiles, each against its hash one level up.
        let full = size / u64::from(WIDTH);
        for index in full.saturating_sub(COMPARED_AT_OPEN)..full {
            let path = TilePath::in_tree(TileKind::Hashes(0), index, size);
            let bytes = path.and_then(|p| files.tile(&p).ok().flatten()).unwrap_or_default();
            let root = parse_hashes(&bytes, WIDTH).ok().map(|hashes| root_of(&hashes));
            if root.is_none() || root != source.hash(8, index) {
                return Ok(false);
            }
        }
        self.tiles = tiles;
        Ok(true)
    }

    /// Whether every tile of the tree of `size` is there, by name.
    fn all_there(&self, size: u64) -> bool {
        (0..8).map(TileKind::Hashes).all(|kind| {
            (0..).map_while(|index| TilePath::in_tree(kind, index, size)).all(|path| self.files.exists(&path))
        })
    }

    /// The slow way: every row again, every file compared or made.
    fn rebuild(&mut self, shown: &Checkpoint) -> Result<(), OpenError> {
        self.tiles = TileWriter::default();
        self.push_until(shown.size)?;
        if self.tiles.frontier().root() != shown.root {
            return Err(OpenError::Damaged(format!(
                "the first {} entries do not hash to the root that was published: run `interlock ledger verify` to \
                 learn which",
                shown.size
            )));
        }
        let files = self.tiles.publish();
        Ok(self.write(files)?)
    }

    fn push_rows(&mut self) -> Result<Option<(CheckpointRow, Checkpoint)>, PublishError> {
        let Some(row) = CheckpointRow::read(&self.connection)? else { return Ok(None) };
        let damaged = |what: String| PublishError::Damaged(what);
        let signed = Checkpoint::open(row.note.as_bytes(), &self.key)
            .map_err(|e| damaged(format!("the checkpoint in the database: {e}")))?;
        if signed.size != row.size {
            return Err(damaged(format!("the checkpoint in the database says {} and {}", signed.size, row.size)));
        }
        self.push_until(signed.size)?;
        Ok(Some((row, signed)))
    }

    fn push_until(&mut self, size: u64) -> Result<(), PublishError> {
        // In stretches, so that full tiles leave memory while a long ledger is read.
        while self.tiles.size() < size {
            let from = self.tiles.size();
            let to = size.min(from + 16 * u64::from(WIDTH));
            let tiles = &mut self.tiles;
            match self.handed.of(from, to) {
                Some(leaves) => leaves.iter().for_each(|leaf| tiles.push(*leaf)),
                None => read_rows(&self.connection, from, to, |_, bytes| {
                    tiles.push(Hash::leaf(bytes));
                    Ok(())
                })?,
            }
            let files = self.tiles.take_full();
            self.write(files)?;
        }
        self.handed.forget_until(size);
        Ok(())
    }

    /// Writes `files`, after those that an earlier turn could not write.
    fn write(&mut self, files: Vec<TileFile>) -> Result<(), PublishError> {
        self.pending.extend(files);
        while !self.pending.is_empty() {
            let batch = self.pending.len().min(WRITTEN_TOGETHER);
            self.write_together(batch)?;
            self.pending.drain(..batch);
        }
        Ok(())
    }

    /// Writes the first `batch` of what is pending: all contents, each synced, then all names, then every
    /// directory synced once. A name is given only to what is durable, so no crash leaves half a tile under it.
    fn write_together(&mut self, batch: usize) -> Result<(), PublishError> {
        let full_disk = || io::Error::from(ErrorKind::StorageFull);
        let mut staged = Vec::with_capacity(batch);
        let mut directories = BTreeSet::new();
        for file in self.pending.iter().take(batch) {
            // Of a tile that is there, too: whoever gave it its name may not have come to sync the directory.
            directories.extend(self.files.root().join(file.path.to_string()).parent().map(Path::to_path_buf));
            match self.faults.around(Write::Tile, || self.files.stage(file), full_disk)? {
                Put::Staged(new) => staged.push((new, file.path.is_full())),
                Put::Same => {}
                Put::Other => {
                    let what = format!("log/{}: not what the entries hash to", file.path);
                    if !self.damage.contains(&what) {
                        self.damage.push(what);
                    }
                }
            }
        }
        for (new, _) in &staged {
            new.sync()?;
        }
        let mut complete = Vec::new();
        for (new, full) in staged {
            let path = self.faults.around(Write::TileName, || new.name(), full_disk)?;
            self.written += 1;
            complete.extend(full.then_some(path));
        }
        for directory in &directories {
            sync_dir(directory)?;
        }
        for path in complete {
            // What was partial is now in the full tile; leaving it there does no harm.
            let _ = fs::remove_dir_all(path.with_added_extension("p"));
        }
        Ok(())
    }
}

/// Calls `each` with every entry of `from..to`, which must all be there.
fn read_rows(
    connection: &Connection,
    from: u64,
    to: u64,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), PublishError>,
) -> Result<(), PublishError> {
    let mut statement =
        connection.prepare_cached("SELECT idx, bytes FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx")?;
    let mut rows = statement.query([int(from), int(to)])?;
    let mut expected = from;
    while let Some(row) = rows.next()? {
        let index = uint(row.get(0)?);
        if index != expected {
            break;
        }
        each(index, row.get_ref(1)?.as_blob().unwrap_or_default())?;
        expected += 1;
    }
    if expected == to {
        return Ok(());
    }
    Err(PublishError::Damaged(format!("entry {expected} is missing from the database")))
}

fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}
