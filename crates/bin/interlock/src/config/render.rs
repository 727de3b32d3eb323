//! Writing configuration: strings and server tables in TOML.

use super::{Launch, Server, Setting};
use std::{collections::BTreeMap, fmt::Write as _};

/// `text` as a TOML string; backslashes give single quotes, so that Windows paths stay readable.
#[must_use]
pub fn quoted(text: &str) -> String {
    let literal = text.contains('\\') && !text.contains('\'') && !text.chars().any(char::is_control);
    if literal {
        return format!("'{text}'");
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `server` as a `[servers.NAME]` table, ending in a line break.
#[must_use]
pub fn render_server(server: &Server) -> String {
    let name = &server.name;
    let mut out = format!("[servers.{name}]\n");
    let mut line = |key: &str, value: String| {
        let _ = writeln!(out, "{key} = {value}");
    };
    match &server.launch {
        Launch::Package(package) => {
            line("package", quoted(&package.package.to_string()));
            if let Some(bin) = &package.bin {
                line("bin", quoted(bin));
            }
            if !package.with.is_empty() {
                line("with", list(package.with.iter().map(|w| quoted(w))));
            }
        }
        Launch::Command { program, .. } => line("command", quoted(program)),
        Launch::Remote { url, document, .. } => {
            if let Some(document) = document {
                line(document.key(), quoted(&document.file.to_string_lossy()));
            }
            line("url", quoted(&url.to_string()));
        }
    }
    if !server.launch.args().is_empty() {
        line("args", list(server.launch.args().iter().map(|a| quoted(&a.to_string()))));
    }
    if let Some(cwd) = &server.cwd {
        line("cwd", quoted(&cwd.to_string_lossy()));
    }
    if let Some(timeout) = server.timeout {
        line("timeout_seconds", timeout.as_secs().to_string());
    }
    if let Some(max) = server.max_in_flight {
        line("max_in_flight", max.to_string());
    }
    table(&mut out, &format!("servers.{name}.env"), &server.env);
    if let Launch::Remote { headers, .. } = &server.launch {
        table(&mut out, &format!("servers.{name}.headers"), headers);
    }
    out
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn table(out: &mut String, name: &str, values: &BTreeMap<String, Setting>) {
    if values.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n[{name}]");
    for (key, value) in values {
        let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        let key = if bare { key.clone() } else { quoted(key) };
        let _ = writeln!(out, "{key} = {}", quoted(&value.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_quoted_string_reads_back(text in ".*") {
            let read: BTreeMap<String, String> = toml::from_str(&format!("k = {}", quoted(&text))).unwrap();
            prop_assert_eq!(&read["k"], &text);
        }
    }
}
