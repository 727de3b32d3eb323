//! The one change in a host's configuration: its servers become Interlock, everything else stays as it was.

use super::{
    InitError,
    hosts::{Entry, Host, listings},
    jsonc,
    write::backup_of,
};
use interlock_model::UnixMillis;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Replaces the servers in `bytes`: the first list of them becomes Interlock alone, further ones (of projects) become
/// empty, so that none is left beside it. Comments and everything outside those lists keep their bytes.
///
/// # Errors
///
/// A sentence for people: the file is in another encoding, is not JSON or lists no servers, or there is no key.
pub fn changed(bytes: &[u8], host: Host, entry: &Entry<'_>) -> Result<Vec<u8>, String> {
    if entry.agent_key.is_none() {
        return Err("there is no key to put there".to_owned());
    }
    let mark = bytes.starts_with(b"\xef\xbb\xbf");
    let body = if mark { bytes.get(3..).unwrap_or_default() } else { bytes };
    let text = std::str::from_utf8(body).map_err(|_| "it is not UTF-8: make the change by hand".to_owned())?;
    let root = jsonc::parse(text).map_err(|e| e.to_string())?;
    let mut spans: Vec<_> = listings(&root).into_iter().map(|l| l.servers.at.clone()).collect();
    spans.sort_by_key(|s| s.start);
    if spans.is_empty() {
        return Err("it lists no servers".to_owned());
    }
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (i, span) in spans.iter().enumerate() {
        out.push_str(text.get(at..span.start).unwrap_or_default());
        if i == 0 {
            let line = text.get(..span.start).and_then(|before| before.rsplit('\n').next()).unwrap_or_default();
            let indent: String = line.chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
            let value = serde_json::json!({ "interlock": entry.to_json(host) });
            let pretty = serde_json::to_string_pretty(&value).map_err(|e| e.to_string())?;
            out.push_str(&pretty.replace('\n', &format!("{newline}{indent}")));
        } else {
            out.push_str("{}");
        }
        at = span.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    jsonc::parse(&out).map_err(|e| format!("the change would not be JSON: {e}"))?;
    let mut bytes = if mark { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
    bytes.extend_from_slice(out.as_bytes());
    Ok(bytes)
}

/// Makes the change in `file` and returns the backup's path. A link stays a link: its target is changed.
///
/// # Errors
///
/// [`InitError::Host`] or [`InitError::Io`].
pub fn apply(file: &Path, host: Host, entry: &Entry<'_>, now: UnixMillis) -> Result<PathBuf, InitError> {
    let io = |source| InitError::Io { path: file.to_owned(), source };
    let target = fs::canonicalize(file).map_err(io)?;
    let before = fs::read(&target).map_err(io)?;
    let after = changed(&before, host, entry).map_err(|reason| InitError::Host { file: file.to_owned(), reason })?;
    let permissions = fs::metadata(&target).map_err(io)?.permissions();
    let backup = backup_of(&target, now);
    crate::private_file::create_new(&backup, &before).map_err(io)?;
    crate::private_file::replace(&target, &after).map_err(io)?;
    fs::set_permissions(&target, permissions).map_err(io)?;
    Ok(backup)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_servers_change() {
        let entry = Entry {
            program: Path::new("/usr/bin/interlock"),
            config: Path::new("/p/interlock.toml"),
            agent_key: Some("ilk_0"),
        };
        let text = "{\n  // mine\n  \"theme\": \"dark\",\n  \"mcpServers\": {\n    \"a\": { \"command\": \"x\" }, // gone\n  },\n  \"projects\": { \"/p\": { \"mcpServers\": {\"b\": {\"command\": \"y\"}}, \"history\": [1, 2] } },\n}\n";
        let out = String::from_utf8(changed(text.as_bytes(), Host::ClaudeCode, &entry).unwrap()).unwrap();
        assert!(
            out.starts_with("{\n  // mine\n  \"theme\": \"dark\",\n  \"mcpServers\": {\n    \"interlock\": {\n"),
            "{out}"
        );
        assert!(
            out.ends_with("  },\n  \"projects\": { \"/p\": { \"mcpServers\": {}, \"history\": [1, 2] } },\n}\n"),
            "{out}"
        );
        let root = jsonc::parse(&out).unwrap();
        let servers = root.get("mcpServers").unwrap();
        assert_eq!(servers.members().len(), 1);
        let interlock = servers.get("interlock").unwrap();
        assert_eq!(interlock.get("command").unwrap().as_str(), Some("/usr/bin/interlock"));
        assert_eq!(interlock.get("env").unwrap().get("INTERLOCK_AGENT_KEY").unwrap().as_str(), Some("ilk_0"));
    }

    #[test]
    fn marks_and_line_ends_stay_and_other_files_are_refused() {
        let entry = Entry { program: Path::new("i"), config: Path::new("c"), agent_key: Some("ilk_0") };
        let crlf = b"\xef\xbb\xbf{\r\n\t\"servers\": {}\r\n}\r\n";
        let out = changed(crlf, Host::VsCode, &entry).unwrap();
        assert!(out.starts_with(b"\xef\xbb\xbf{\r\n\t\"servers\": {\r\n\t"));
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
        assert!(text.contains("\"type\": \"stdio\""));
        for bytes in [&b"{}"[..], b"{\"mcpServers\": [", b"\xff\xfe{\x00"] {
            assert!(changed(bytes, Host::File, &entry).is_err());
        }
        let without = Entry { agent_key: None, ..entry };
        assert!(changed(crlf, Host::VsCode, &without).unwrap_err().contains("no key"), "words are no key");
    }

    #[test]
    fn the_file_before_stays_as_a_backup() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mcp.json");
        let before = "{\"mcpServers\": {\"a\": {\"command\": \"x\"}}}";
        fs::write(&file, before).unwrap();
        let entry = Entry { program: Path::new("i"), config: Path::new("c"), agent_key: Some("ilk_0") };
        let backup = apply(&file, Host::Cursor, &entry, UnixMillis(1_795_167_938_120)).unwrap();
        assert_eq!(backup.file_name().unwrap(), "mcp.json.20261120T094538Z.bak");
        assert_eq!(fs::read_to_string(&backup).unwrap(), before);
        assert!(fs::read_to_string(&file).unwrap().contains("interlock"));
        let again = apply(&file, Host::Cursor, &entry, UnixMillis(1_795_167_938_120)).unwrap();
        assert_ne!(again, backup);
    }
}
