//! A child process and everything it started.

use super::env;
use crate::secret::SecretString;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// A running child. Dropping it kills it and its descendants.
pub(crate) struct Process {
    // Before the child in order, so that the group is killed while its leader still holds the number.
    group: Group,
    child: Child,
}

/// The child's three streams.
pub(crate) struct Streams {
    pub(crate) input: ChildStdin,
    pub(crate) output: ChildStdout,
    pub(crate) errors: ChildStderr,
}

/// What to start.
#[derive(Clone, Copy)]
pub(crate) struct Program<'a> {
    pub(crate) path: &'a Path,
    pub(crate) args: &'a [String],
    pub(crate) env: &'a [(String, SecretString)],
    pub(crate) cwd: Option<&'a Path>,
}

/// Starts `program`.
pub(crate) fn start(Program { path, args, env, cwd }: Program<'_>) -> io::Result<(Process, Streams)> {
    let program = env::resolve(path, env, cwd)?;
    let mut command = Command::new(&program);
    command
        .args(args)
        .env_clear()
        .envs(env::of_child(env))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(cwd) = cwd {
        command.current_dir(cwd);
    }
    // A group of its own: signals to our terminal do not reach it, and ours reach its children.
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn().map_err(|e| io::Error::new(e.kind(), format!("`{}`: {e}", program.display())))?;
    let group = Group::of(&child);
    let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(input), Some(output), Some(errors)) = streams else {
        return Err(io::Error::other("the child has no standard streams"));
    };
    Ok((Process { group, child }, Streams { input, output, errors }))
}

impl Process {
    /// Gives the child `grace` to end by itself, then ends it and all it started. What became of it,
    /// for people.
    pub(crate) async fn end(mut self, grace: Duration) -> String {
        let status = tokio::time::timeout(grace, self.child.wait()).await;
        self.group.kill();
        match status {
            Ok(Ok(status)) => format!("ended with {status}"),
            Ok(Err(error)) => format!("ended ({error})"),
            Err(_) => {
                drop(self.child.kill().await);
                "was ended".to_owned()
            }
        }
    }
}

/// The process group that a child leads.
struct Group(#[cfg(unix)] Option<rustix::process::Pid>);

#[cfg(unix)]
impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw))
    }

    /// Once: afterwards the number may belong to others.
    fn kill(&mut self) {
        if let Some(leader) = self.0.take() {
            // Fails only if nobody of the group is left.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(not(unix))]
impl Group {
    fn of(_: &Child) -> Self {
        Self()
    }

    fn kill(&mut self) {}
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
