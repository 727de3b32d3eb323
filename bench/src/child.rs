//! A process under test: started, asked where it listens, stopped for certain.

use crate::Failure;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A child process, killed when dropped.
pub(crate) struct Process {
    child: Child,
    name: &'static str,
}

impl Process {
    /// Starts `command`; its standard error stays ours.
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Result<Self, Failure> {
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start {name} ({}): {error}", command.get_program().display()))?;
        Ok(Self { child, name })
    }

    /// Starts another command of this very program, which prints where it listens.
    pub(crate) fn listening(name: &'static str, arguments: &[String]) -> Result<(Self, SocketAddr), Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut this = Self::start(name, command.args(arguments).stdout(Stdio::piped()))?;
        let stdout = this.child.stdout.take().ok_or("no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening ").ok_or_else(|| format!("{name} did not start"))?;
        Ok((this, address.parse()?))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until something answers at `address`.
    pub(crate) fn wait_for(&mut self, address: SocketAddr, limit: Duration) -> Result<(), Failure> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{} stopped at its start: {status}", self.name).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("{} does not listen on {address} after {limit:?}", self.name).into())
    }

    /// Asks it to stop and waits: a clean stop writes what is written only then.
    pub(crate) fn stop(mut self, limit: Duration) -> Result<(), Failure> {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(id.ok_or("the process has no id")?, rustix::process::Signal::TERM)?;
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(format!("{} ended with {status}", self.name).into())
                };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!("{} does not stop within {limit:?}", self.name).into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already; there is nobody to tell otherwise.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A loopback port that was free a moment ago.
pub(crate) fn free_port() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
