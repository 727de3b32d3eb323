//! Finding the facts: files, ports and programs of this machine.

use super::facts::{Facts, FileFacts, FileSystem, Found, Gateway, HostFile, Machine, Port, Probe, References};
use crate::{
    config::{Config, Launch, Registry, Secrets, Server},
    init::{Host, Roots, launcher},
    operator::{self, KEY_FILE, KEYS_DIR},
};
use interlock_gateway::{Tls, TlsError, TlsFiles};
use interlock_model::{ServerName, UnixMillis};
use interlock_upstream::adapted::{self, Described, DocumentError};
use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    net::TcpListener,
    path::{Path, PathBuf},
};

/// Most bytes of a host's configuration.
const MAX_BYTES: u64 = 32 << 20;

impl Facts {
    /// Looks at everything that needs no daemon. `config` is `None` where there is no valid one.
    #[must_use]
    pub fn gather(
        config: Option<&Config>,
        roots: Option<&Roots>,
        environment: &dyn Fn(&str) -> Option<String>,
        now: UnixMillis,
        gateway: Gateway,
    ) -> Self {
        let data_dir = config.map(|c| c.data_dir.clone()).unwrap_or_default();
        let machine = Machine { windows: cfg!(windows), wsl: is_wsl(), uid: uid(), now };
        let search = environment("PATH").unwrap_or_default();
        Self {
            data_dir: file_facts(&data_dir),
            file_system: file_system(&data_dir, machine.wsl),
            free_bytes: free_bytes(&data_dir),
            operator_key: file_facts(&data_dir.join(KEYS_DIR).join(KEY_FILE)),
            operator_id: operator::public_key(&data_dir).ok().map(|key| key.id()),
            secrets: config.and_then(|c| file_facts(&c.secrets_file())),
            references: config.map_or(Ok(()), |c| references(c, environment)),
            port: config.map_or(Port::Free, |c| port(c.listen.mcp)),
            tls: config.and_then(|c| c.listen.tls.clone()).map(tls).unwrap_or_default(),
            programs: config.map(|c| programs(c, &search)).unwrap_or_default(),
            documents: config.map(documents).unwrap_or_default(),
            docker: config.and_then(|c| docker(c, environment)),
            hosts: roots.map(hosts).unwrap_or_default(),
            machine,
            gateway,
        }
    }
}

fn references(config: &Config, environment: &dyn Fn(&str) -> Option<String>) -> Result<(), References> {
    let secrets = Secrets::load(&config.secrets_file()).map_err(|e| References::Unreadable(e.to_string()))?;
    config.resolve(&secrets, environment).map(drop).map_err(References::Missing)
}

fn port(address: std::net::SocketAddr) -> Port {
    match TcpListener::bind(address) {
        Ok(_) => Port::Free,
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => Port::Taken,
        Err(e) => Port::Refused(e.to_string()),
    }
}

fn tls(files: TlsFiles) -> Probe<()> {
    match Tls::load(files) {
        Err(TlsError::Unreadable { source, file }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
            Probe::NotTried(format!("`{}` cannot be read by the user who asks", file.display()))
        }
        read => Probe::of(read.map(drop)),
    }
}

fn programs(config: &Config, search: &str) -> BTreeMap<ServerName, Found> {
    let needed = |server: &Server| {
        let program = match &server.launch {
            Launch::Package(package) if package.package.registry() == Registry::Npm => "node",
            Launch::Package(_) => "python3",
            Launch::Command { program, .. } => program.as_str(),
            Launch::Remote { .. } => return None,
        };
        Some((server.name.clone(), find_program(program, search)))
    };
    config.servers.values().filter_map(needed).collect()
}

fn documents(config: &Config) -> BTreeMap<ServerName, Probe<Described>> {
    let documents = config.servers.values().filter_map(|server| Some((server, server.launch.document()?)));
    let described = |file: &Path, found: Result<Described, DocumentError>| {
        Probe::of(found.map_err(|e| format!("{e} (the file is `{}`)", file.display())))
    };
    documents
        .map(|(server, of)| (server.name.clone(), described(&of.file, adapted::examine(of.kind, &of.file))))
        .collect()
}

/// Looks for `program`: a path as it is, a name in the directories of `search` (the value of `PATH`).
#[must_use]
pub fn find_program(program: &str, search: &str) -> Found {
    let candidates: Vec<PathBuf> = if program.contains(['/', '\\']) {
        vec![program.into()]
    } else {
        let extensions: &[&str] = if cfg!(windows) { &["", ".exe", ".cmd", ".bat"] } else { &[""] };
        std::env::split_paths(search)
            .flat_map(|dir| extensions.iter().map(move |e| dir.join(format!("{program}{e}"))))
            .collect()
    };
    let mut not_executable = None;
    for candidate in candidates {
        match fs::metadata(&candidate) {
            Ok(meta) if meta.is_file() && is_executable(&meta) => return Found::At(candidate),
            Ok(meta) if meta.is_file() => not_executable = not_executable.or(Some(candidate)),
            _ => {}
        }
    }
    not_executable.map_or_else(|| Found::Nowhere(program.to_owned()), Found::NotExecutable)
}

/// `None` where no server needs it, or where it is elsewhere (`DOCKER_HOST`).
fn docker(config: &Config, environment: &dyn Fn(&str) -> Option<String>) -> Option<bool> {
    let needs = |s: &Server| matches!(&s.launch, Launch::Command { program, .. } if launcher::program_name(program) == "docker");
    if !config.servers.values().any(needs) || environment("DOCKER_HOST").is_some_and(|h| !h.is_empty()) {
        return None;
    }
    docker_answers()
}

fn hosts(roots: &Roots) -> Vec<HostFile> {
    let files = Host::ALL.iter().flat_map(|host| host.locations(roots).into_iter().map(|file| (*host, file)));
    files
        .filter(|(_, file)| file.is_file())
        .map(|(host, file)| {
            let mut bytes = Vec::new();
            let read = fs::File::open(&file).and_then(|f| f.take(MAX_BYTES).read_to_end(&mut bytes));
            HostFile { host, file, bytes: read.map(|_| bytes).map_err(|e| e.to_string()) }
        })
        .collect()
}

/// Linux inside Windows says so in its kernel's name.
fn is_wsl() -> bool {
    fs::read_to_string("/proc/sys/kernel/osrelease").is_ok_and(|r| r.to_ascii_lowercase().contains("microsoft"))
}

/// The nearest directory above `path` that exists.
fn nearest_existing(path: &Path) -> Option<&Path> {
    path.ancestors().find(|p| !p.as_os_str().is_empty() && p.exists())
}

#[cfg(unix)]
mod system {
    use super::{FileFacts, FileSystem, Path, fs, nearest_existing};
    use std::os::unix::fs::MetadataExt as _;

    pub(super) fn uid() -> Option<u32> {
        Some(rustix::process::getuid().as_raw())
    }

    pub(super) fn file_facts(path: &Path) -> Option<FileFacts> {
        fs::metadata(path).ok().map(|m| FileFacts { mode: Some(m.mode() & 0o777), uid: Some(m.uid()) })
    }

    pub(super) fn is_executable(meta: &fs::Metadata) -> bool {
        meta.mode() & 0o111 != 0
    }

    pub(super) fn free_bytes(path: &Path) -> Option<u64> {
        let stat = rustix::fs::statvfs(nearest_existing(path)?).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    #[cfg(target_os = "linux")]
    pub(super) fn file_system(path: &Path, wsl: bool) -> FileSystem {
        let Some(stat) = nearest_existing(path).and_then(|p| rustix::fs::statfs(p).ok()) else {
            return FileSystem::Local;
        };
        // Numbers of linux/magic.h; the type is signed on some machines and cut to 32 bits there.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the low 32 bits are the number")]
        match stat.f_type as u32 {
            0x0102_1997 if wsl => FileSystem::WindowsDrive,
            0x0102_1997 | 0x6969 | 0xff53_4d42 | 0xfe53_4d42 | 0x517b => FileSystem::Network,
            0x0102_1994 => FileSystem::Memory,
            _ => FileSystem::Local,
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn file_system(_: &Path, _: bool) -> FileSystem {
        FileSystem::Local
    }

    pub(super) fn docker_answers() -> Option<bool> {
        Some(std::os::unix::net::UnixStream::connect("/var/run/docker.sock").is_ok())
    }
}

#[cfg(not(unix))]
mod system {
    use super::{FileFacts, FileSystem, Path, fs};

    pub(super) fn uid() -> Option<u32> {
        None
    }

    pub(super) fn file_facts(path: &Path) -> Option<FileFacts> {
        fs::metadata(path).ok().map(|_| FileFacts { mode: None, uid: None })
    }

    pub(super) fn is_executable(_: &fs::Metadata) -> bool {
        true
    }

    pub(super) fn free_bytes(_: &Path) -> Option<u64> {
        None
    }

    pub(super) fn file_system(_: &Path, _: bool) -> FileSystem {
        FileSystem::Local
    }

    pub(super) fn docker_answers() -> Option<bool> {
        None
    }
}

use system::{docker_answers, file_facts, file_system, free_bytes, is_executable, uid};

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, mode: u32| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let (plain, second) = (put("a/tool", 0o644), put("b/tool", 0o755));
        fs::create_dir(dir.path().join("a/dir")).unwrap();
        let search = format!("{0}/none:{0}/a:{0}/b", dir.path().display());
        assert_eq!(find_program("tool", &search), Found::At(second.clone()));
        assert_eq!(find_program("tool", &format!("{}/a", dir.path().display())), Found::NotExecutable(plain));
        assert_eq!(find_program("dir", &search), Found::Nowhere("dir".into()));
        assert_eq!(find_program("other", &search), Found::Nowhere("other".into()));
        assert_eq!(find_program(second.to_str().unwrap(), ""), Found::At(second));
    }

    #[test]
    fn a_port_that_is_taken_is_seen() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        assert_eq!(port(address), Port::Taken);
        drop(held);
        assert_eq!(port(address), Port::Free);
        assert!(matches!(port("192.0.2.1:7420".parse().unwrap()), Port::Refused(_)));
    }

    #[test]
    fn a_new_data_directory_is_judged_by_what_it_will_lie_on() {
        let dir = tempfile::tempdir().unwrap();
        let absent = dir.path().join("x/y");
        assert_eq!(file_facts(&absent), None);
        assert!(free_bytes(&absent).is_some());
        assert_eq!(file_facts(dir.path()).unwrap().uid, uid());
    }
}
