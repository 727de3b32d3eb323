//! A model of a disk and its cache, fed with a trace of system calls.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, unreachable_pub, reason = "tests")]

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

/// The calls that change files, or make changes durable.
pub const CALLS: &str = "openat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,fallocate,fsync,fdatasync,\
                         sync_file_range,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat";

/// One change, or one sync. Paths are relative to the traced root.
#[derive(Clone, Debug)]
pub enum Event {
    Open {
        path: PathBuf,
        create: bool,
        truncate: bool,
    },
    Write {
        path: PathBuf,
        offset: usize,
        data: Vec<u8>,
    },
    Truncate {
        path: PathBuf,
        len: usize,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    /// What was written before this is what the sync with the same number covers.
    SyncStart {
        id: u64,
        path: PathBuf,
    },
    SyncEnd {
        id: u64,
    },
}

/// What of the unsynced writes survives.
#[derive(Clone, Copy, Debug)]
pub enum Survivors {
    /// Nothing.
    Synced,
    /// All of it.
    Written,
    /// Each with even odds, from this seed; names too.
    Some(u64),
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    durable: Vec<u8>,
    /// Since the last sync, oldest first.
    pending: Vec<Change>,
    written: Vec<u8>,
}

/// The disk.
#[derive(Debug, Default)]
pub struct Disk {
    inodes: Vec<Inode>,
    /// Names as programs see them, and as they are on the medium.
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Syncs under way: the file and how many of its changes they cover, or the directory and its names.
    syncing: HashMap<u64, Syncing>,
}

#[derive(Debug)]
enum Syncing {
    File(usize, usize),
    Directory(PathBuf, BTreeMap<PathBuf, usize>),
}

impl Disk {
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Open { path, create, truncate } => {
                if *create && !self.names.contains_key(path) {
                    self.inodes.push(Inode::default());
                    self.names.insert(path.clone(), self.inodes.len() - 1);
                }
                if *truncate {
                    self.change(path, Change::Truncate(0));
                }
            }
            Event::Write { path, offset, data } => self.change(path, Change::Write(*offset, data.clone())),
            Event::Truncate { path, len } => self.change(path, Change::Truncate(*len)),
            Event::Rename { from, to } => {
                if let Some(inode) = self.names.remove(from) {
                    self.names.insert(to.clone(), inode);
                }
            }
            Event::Unlink { path } => drop(self.names.remove(path)),
            Event::SyncStart { id, path } => {
                let syncing = match self.names.get(path) {
                    Some(inode) => Syncing::File(*inode, self.inodes[*inode].pending.len()),
                    None => Syncing::Directory(path.clone(), self.in_directory(&self.names, path)),
                };
                self.syncing.insert(*id, syncing);
            }
            Event::SyncEnd { id } => match self.syncing.remove(id) {
                Some(Syncing::File(inode, covered)) => {
                    let inode = &mut self.inodes[inode];
                    // An overlapping sync may have covered some of them already.
                    let covered = covered.min(inode.pending.len());
                    for change in inode.pending.drain(..covered) {
                        change.apply(&mut inode.durable);
                    }
                }
                Some(Syncing::Directory(path, names)) => {
                    self.durable_names.retain(|name, _| name.parent() != Some(&path));
                    self.durable_names.extend(names);
                }
                None => panic!("a sync ended that had not begun"),
            },
        }
    }

    fn change(&mut self, path: &Path, change: Change) {
        // A file that was unlinked while open is nobody's.
        let Some(inode) = self.names.get(path) else { return };
        let inode = &mut self.inodes[*inode];
        change.apply(&mut inode.written);
        inode.pending.push(change);
    }

    fn in_directory(&self, names: &BTreeMap<PathBuf, usize>, directory: &Path) -> BTreeMap<PathBuf, usize> {
        names.iter().filter(|(name, _)| name.parent() == Some(directory)).map(|(n, i)| (n.clone(), *i)).collect()
    }

    /// The files that are there when the power comes back.
    pub fn after_power_loss(&self, survivors: Survivors) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut coin = Coin(match survivors {
            Survivors::Some(seed) => seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            _ => 1,
        });
        let names = match survivors {
            Survivors::Synced => self.durable_names.clone(),
            Survivors::Written => self.names.clone(),
            Survivors::Some(_) => {
                // A directory's names go to the medium together, in the order they were made: all or none.
                let mut chosen = BTreeMap::new();
                let directories: std::collections::BTreeSet<_> =
                    self.names.keys().chain(self.durable_names.keys()).filter_map(|n| n.parent()).collect();
                for directory in directories {
                    let from = if coin.toss() { &self.names } else { &self.durable_names };
                    chosen.extend(self.in_directory(from, directory));
                }
                chosen
            }
        };
        names
            .into_iter()
            .map(|(name, inode)| {
                let inode = &self.inodes[inode];
                let bytes = match survivors {
                    Survivors::Synced => inode.durable.clone(),
                    Survivors::Written => inode.written.clone(),
                    Survivors::Some(_) => {
                        let mut bytes = inode.durable.clone();
                        inode.pending.iter().filter(|_| coin.toss()).for_each(|change| change.apply(&mut bytes));
                        bytes
                    }
                };
                (name, bytes)
            })
            .collect()
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                let end = offset + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(data);
            }
            Self::Truncate(len) => bytes.resize(*len, 0),
        }
    }
}

struct Coin(u64);

impl Coin {
    fn toss(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 & 64 != 0
    }
}

pub fn fingerprint(files: &BTreeMap<PathBuf, Vec<u8>>) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    files.iter().filter(|(name, _)| !is_not_kept(name)).for_each(|file| file.hash(&mut hasher));
    hasher.finish()
}

/// Puts the files into `root`, directories for their owner alone.
pub fn lay_out(files: &BTreeMap<PathBuf, Vec<u8>>, root: &Path) {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    for (name, bytes) in files.iter().filter(|(name, _)| !is_not_kept(name)) {
        let path = root.join(name);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// The WAL's index is shared memory; the child's own notes are not the ledger's.
fn is_not_kept(name: &Path) -> bool {
    !name.starts_with("data") || name.ends_with("ledger.db-shm")
}

/// Reads what `strace -f -y -xx` wrote.
pub fn parse(trace: &str, root: &Path) -> Vec<Event> {
    let mut parser = Parser { root, events: Vec::new(), offsets: HashMap::new(), unfinished: HashMap::new(), syncs: 0 };
    for line in trace.lines() {
        // `PID call(arguments) = result`, or in two halves where another thread came between.
        let (pid, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            let state = parser.begin(begun);
            parser.unfinished.insert(pid.to_owned(), (begun.to_owned(), state));
        } else if rest.starts_with("<... ") {
            let (begun, state) = parser.unfinished.remove(pid).unwrap();
            let result = rest.rsplit_once(" = ").map_or("?", |(_, result)| result);
            let tail = rest.split_once(" resumed>").map_or("", |(_, tail)| tail);
            let tail = tail.rsplit_once(" = ").map_or("", |(tail, _)| tail);
            parser.end(&format!("{begun}{tail}"), result, state);
        } else if let Some((call, result)) = rest.rsplit_once(" = ") {
            let state = parser.begin(call);
            parser.end(call, result, state);
        }
    }
    parser.events
}

struct Parser<'a> {
    root: &'a Path,
    events: Vec<Event>,
    /// Where the next plain `write` to a file goes. Each file is written through one descriptor at a time.
    offsets: HashMap<PathBuf, usize>,
    unfinished: HashMap<String, (String, Option<u64>)>,
    syncs: u64,
}

impl Parser<'_> {
    /// A call begins. Syncs cover what was written before they began.
    fn begin(&mut self, call: &str) -> Option<u64> {
        let (name, arguments) = call.split_once('(')?;
        if !matches!(name, "fsync" | "fdatasync") {
            return None;
        }
        let path = self.relative(descriptor(arguments)?)?;
        self.syncs += 1;
        self.events.push(Event::SyncStart { id: self.syncs, path });
        Some(self.syncs)
    }

    /// A call ended.
    fn end(&mut self, call: &str, result: &str, sync: Option<u64>) {
        let Some((name, arguments)) = call.split_once('(') else { return };
        let arguments = arguments.trim_end().trim_end_matches(')');
        if result.starts_with("-1") || result.starts_with('?') {
            return;
        }
        let event = match name {
            "fsync" | "fdatasync" => sync.map(|id| Event::SyncEnd { id }),
            "openat" => self.open(arguments, result),
            "write" => self.write(arguments, false),
            "pwrite64" => self.write(arguments, true),
            "ftruncate" => {
                let path = descriptor(arguments).and_then(|p| self.relative(p));
                let len = arguments.rsplit_once(", ").unwrap().1.parse().unwrap();
                path.map(|path| Event::Truncate { path, len })
            }
            "rename" | "renameat" | "renameat2" => {
                let mut paths = strings(arguments).into_iter().map(into_path);
                let (from, to) = (paths.next().unwrap(), paths.next().unwrap());
                self.relative(from).zip(self.relative(to)).map(|(from, to)| Event::Rename { from, to })
            }
            "unlink" | "unlinkat" if arguments.contains("AT_REMOVEDIR") => None,
            "unlink" | "unlinkat" => {
                // `remove_dir_all` names a file by its directory's descriptor.
                let name = into_path(strings(arguments).remove(0));
                let path = if name.is_absolute() { name } else { descriptor(arguments).unwrap_or_default().join(name) };
                self.relative(path).map(|path| Event::Unlink { path })
            }
            "rmdir" | "mkdir" | "mkdirat" => None,
            // Whatever else changes files must be understood before this test means anything.
            other => {
                let inside = descriptor(arguments).and_then(|p| self.relative(p));
                assert!(inside.is_none(), "{other} on {inside:?} is not modelled");
                None
            }
        };
        self.events.extend(event);
    }

    fn open(&mut self, arguments: &str, result: &str) -> Option<Event> {
        let path = self.relative(descriptor_path(result)?)?;
        if arguments.contains("O_DIRECTORY") {
            return None;
        }
        assert!(!arguments.contains("O_APPEND"), "appending is not modelled");
        self.offsets.insert(path.clone(), 0);
        let (create, truncate) = (arguments.contains("O_CREAT"), arguments.contains("O_TRUNC"));
        Some(Event::Open { path, create, truncate })
    }

    fn write(&mut self, arguments: &str, positioned: bool) -> Option<Event> {
        let path = self.relative(descriptor(arguments)?)?;
        let data = strings(arguments).remove(0);
        let offset = if positioned {
            arguments.rsplit_once(", ").unwrap().1.parse().unwrap()
        } else {
            let next = self.offsets.entry(path.clone()).or_default();
            let offset = *next;
            *next += data.len();
            offset
        };
        Some(Event::Write { path, offset, data })
    }

    fn relative(&self, path: PathBuf) -> Option<PathBuf> {
        path.strip_prefix(self.root).ok().map(Path::to_owned)
    }
}

/// The path in `3<\x2f\x74...>` at the beginning of arguments.
fn descriptor(arguments: &str) -> Option<PathBuf> {
    let first = arguments.split(['"', ',']).next()?;
    descriptor_path(first)
}

fn descriptor_path(text: &str) -> Option<PathBuf> {
    let (_, rest) = text.split_once('<')?;
    let (path, _) = rest.split_once('>')?;
    Some(into_path(unescape(path)))
}

/// The quoted strings in arguments.
fn strings(arguments: &str) -> Vec<Vec<u8>> {
    arguments.split('"').skip(1).step_by(2).map(unescape).collect()
}

fn into_path(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(bytes).into()
}

fn unescape(text: &str) -> Vec<u8> {
    if !text.starts_with("\\x") {
        return text.as_bytes().to_vec();
    }
    text.as_bytes().chunks(4).map(|c| u8::from_str_radix(std::str::from_utf8(&c[2..]).unwrap(), 16).unwrap()).collect()
}
