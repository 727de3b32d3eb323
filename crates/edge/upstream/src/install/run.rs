//! Running the registries' own tools.

use super::InstallError;
use crate::stdio::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// The longest one step may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// The absolute path of a tool.
pub(super) fn find(tool: &'static str) -> Result<PathBuf, InstallError> {
    env::resolve(Path::new(tool), &[], None).map_err(|source| InstallError::Tool { tool, source })
}

/// Runs a tool in `dir` to its end. It has our environment: registries, mirrors and their credentials
/// are the operator's settings, and this is the operator's act.
pub(super) async fn run(tool: &'static str, program: &Path, args: &[&str], dir: &Path) -> Result<(), InstallError> {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).stdin(Stdio::null()).kill_on_drop(true);
    command.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("NPM_CONFIG_UPDATE_NOTIFIER", "false");
    let failed = |status: String, said: String| InstallError::Failed { tool, status, said };
    let output = match tokio::time::timeout(PATIENCE, command.output()).await {
        Err(_) => return Err(failed("no end".into(), format!("it took more than {} s", PATIENCE.as_secs()))),
        Ok(Err(source)) => return Err(InstallError::Tool { tool, source }),
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(());
    }
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    let lines: Vec<String> =
        String::from_utf8_lossy(said).lines().map(|l| hide_credentials(l.trim())).filter(|l| !l.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join(" | ");
    Err(failed(output.status.to_string(), last.chars().take(2000).collect()))
}

/// Registry URLs may hold a user and password.
fn hide_credentials(line: &str) -> String {
    line.split(' ')
        .map(|word| match (word.split_once("://"), word.find('@')) {
            (Some((scheme, rest)), Some(_)) => match rest.split_once('@') {
                Some((user, host)) if !user.contains('/') => format!("{scheme}://***@{host}"),
                _ => word.to_owned(),
            },
            _ => word.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_7_no_credentials_in_what_tools_say() {
        for (line, expected) in [
            ("get https://user:pass@host/x failed", "get https://***@host/x failed"),
            ("get https://host/@scope/x failed", "get https://host/@scope/x failed"),
        ] {
            assert_eq!(hide_credentials(line), expected);
        }
    }

    #[tokio::test]
    async fn failures_say_what_the_tool_said() {
        let dir = tempfile::tempdir().unwrap();
        let error = run("sh", Path::new("/bin/sh"), &["-c", "echo no such thing >&2; exit 3"], dir.path()).await;
        assert!(error.unwrap_err().to_string().contains("no such thing"));
    }
}
