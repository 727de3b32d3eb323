//! Checks of the data directory and of what in it must stay private.

use super::{
    Check,
    facts::{Facts, FileFacts, FileSystem, Probe},
};
use crate::config::Config;

/// Below this the ledger may soon take no more entries, and then no call goes through.
const LOW_BYTES: u64 = 1 << 30;
/// Below this it takes none soon.
const NO_BYTES: u64 = 64 << 20;

pub(super) fn checks(config: &Config, facts: &Facts) -> Vec<Check> {
    let dir = config.data_dir.display();
    let Some(data) = facts.data_dir else {
        let absent = Check::fail("data.present", format!("there is no data directory `{dir}`"), "run `interlock init`");
        return vec![absent, file_system(config, facts)];
    };
    let mut out = vec![
        private("data.mode", &format!("`{dir}`"), data, 0o700),
        owner(config, facts, data),
        same_user(facts, data),
        file_system(config, facts),
        space(facts),
    ];
    out.push(match facts.operator_key {
        Some(key) => {
            let id = facts.operator_id.as_deref().unwrap_or("of unknown id");
            another_operator(facts)
                .unwrap_or_else(|| private("keys.operator", &format!("the sealed operator's key {id}"), key, 0o600))
        }
        None => Check::fail(
            "keys.operator",
            "there is no operator's key: nothing can be approved or signed",
            "run `interlock init`, or restore `keys/operator.key` from a backup",
        ),
    });
    out.push(match facts.secrets {
        Some(secrets) => private("data.secrets", "secrets.toml", secrets, 0o600),
        None => Check::ok("data.secrets", "there is no secrets file"),
    });
    out
}

/// The gateway does not start then: somebody may have put a key of their own there.
fn another_operator(facts: &Facts) -> Option<Check> {
    let Probe::Found(ledger) = &facts.gateway.ledger else { return None };
    let (pinned, found) = (ledger.operator.as_deref()?, facts.operator_id.as_deref()?);
    (pinned != found).then(|| {
        Check::fail(
            "keys.operator",
            format!("the operator's key {found} is not the one that the ledger was last started with, {pinned}"),
            "restore `keys/operator.pub` and `keys/operator.key` from a backup, and find out who replaced them",
        )
    })
}

fn private(id: &str, what: &str, file: FileFacts, want: u32) -> Check {
    match file.mode {
        Some(mode) if mode & 0o077 != 0 => Check::fail(
            id,
            format!("{what} is open to others (mode {mode:03o})"),
            format!("run `chmod {want:o}` on it; what others may have read is known to them"),
        ),
        Some(mode) => Check::ok(id, format!("{what} is private (mode {mode:03o})")),
        None => Check::skipped(id, format!("{what}: access lists of this system are not read")),
    }
}

fn owner(config: &Config, facts: &Facts, data: FileFacts) -> Check {
    match (data.uid, facts.machine.uid) {
        (Some(owner), Some(uid)) if owner == uid => Check::ok("data.owner", "it belongs to the user who asks"),
        (Some(owner), Some(0)) => {
            Check::ok("data.owner", format!("it belongs to user {owner}, and the user who asks is root"))
        }
        (Some(owner), Some(uid)) => Check::skipped(
            "data.owner",
            format!(
                "`{}` belongs to user {owner}, not to user {uid} who asks: what is in it was not checked",
                config.data_dir.display()
            ),
        ),
        _ => Check::skipped("data.owner", "this system has no numbered users"),
    }
}

/// What it costs that an agent's shell and the gateway are the same user (design 4.10).
fn same_user(facts: &Facts, data: FileFacts) -> Check {
    match (data.uid, facts.machine.uid) {
        (Some(owner), Some(uid)) if owner == uid => Check::warn(
            "data.same-user",
            "the gateway runs as you do, and so do agents that you start with a shell. Such an agent can read secrets.toml and so \
             use the servers' credentials without the gateway, stop it, or delete the ledger. It cannot sign with the operator's \
             key: that takes the passphrase. With a key of its own in the place of operator.pub the gateway does not start, \
             unless it also signs a false start entry with the log's key, and that entry stays. A ledger that was replaced, \
             shortened or rewritten is recognised by anyone who kept an earlier checkpoint",
            "give the gateway a user of its own, or run agents in a container without this directory; note the operator's key id \
             and keep checkpoints elsewhere (SECURITY.md)",
        ),
        (Some(_), Some(_)) => {
            Check::ok("data.same-user", "the data directory belongs to another user than the one who asks")
        }
        _ => Check::skipped("data.same-user", "this system has no numbered users"),
    }
}

fn file_system(config: &Config, facts: &Facts) -> Check {
    let dir = config.data_dir.display();
    let under_mnt = facts.machine.wsl && config.data_dir.to_string_lossy().starts_with("/mnt/");
    match facts.file_system {
        FileSystem::WindowsDrive => windows_drive(&dir),
        _ if under_mnt => windows_drive(&dir),
        FileSystem::Network => Check::fail(
            "data.file-system",
            format!("`{dir}` lies on another machine: locks and synced writes are not reliable there"),
            "put the data directory on a local disk (`[data] dir`)",
        ),
        FileSystem::Memory => Check::warn(
            "data.file-system",
            format!("`{dir}` lies in memory: the ledger is gone after a restart"),
            "put the data directory on a disk (`[data] dir`)",
        ),
        FileSystem::Local => Check::ok("data.file-system", "a local disk"),
    }
}

fn windows_drive(dir: &dyn std::fmt::Display) -> Check {
    Check::fail(
        "data.file-system",
        format!(
            "`{dir}` lies on a Windows drive seen from Linux: slow, without reliable locks, and file modes mean nothing there"
        ),
        "put the data directory on the Linux disk, for example under your home directory (`[data] dir`)",
    )
}

fn space(facts: &Facts) -> Check {
    match facts.free_bytes {
        None => Check::skipped("data.space", "the system does not say how much is free"),
        Some(free) if free < NO_BYTES => Check::fail(
            "data.space",
            format!("{} MiB are free: on a full disk nothing is recorded, and so nothing is forwarded", free >> 20),
            "make room, or move the data directory",
        ),
        Some(free) if free < LOW_BYTES => {
            Check::warn("data.space", format!("{} MiB are free", free >> 20), "make room before the ledger has none")
        }
        Some(free) => Check::ok("data.space", format!("{} GiB are free", free >> 30)),
    }
}
