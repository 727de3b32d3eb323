//! `interlock demo`: real servers, a real client, a scripted agent, and what comes of it. Everything is done by
//! the commands that a person would type; this only types them, in a directory of its own that stays.

mod peers;
mod screen;
mod steps;

use crate::cli::DemoArgs;
use crate::commands::{Context, Done, Failed};
use peers::Peers;
use screen::Screen;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use steps::Step;

const AGENT: &str = include_str!("agent.py");
const WORLD: &str = include_str!("world.py");
const POLICY: &str = include_str!("demo.cedar");
const POLICY_TESTS: &str = include_str!("demo_tests.json");

/// What a human confirms instead of the proposals: what these tools really do here.
const FACTS: [(&str, &str); 13] = [
    ("--destination", "db=local"),
    ("--destination", "files=local"),
    ("--effects", "db/read_query=read"),
    ("--effects", "db/list_tables=read"),
    ("--effects", "db/describe_table=read"),
    ("--effects", "db/write_query=write,destructive"),
    ("--effects", "db/create_table=write"),
    ("--effects", "db/append_insight=write"),
    ("--effects", "files/write_file=write"),
    ("--effects", "files/edit_file=write"),
    ("--effects", "files/create_directory=write"),
    ("--effects", "files/move_file=write"),
    ("--effects", "web/fetch=external"),
];

/// The demo's directory and the commands typed in it.
struct Stage {
    dir: PathBuf,
    interlock: PathBuf,
    peers: Peers,
}

pub(crate) async fn run(context: &Context, args: &DemoArgs) -> Result<Done, Failed> {
    let screen = Screen::new(context.out);
    let dir = std::path::absolute(&args.dir).map_err(Failed::usage)?;
    let headless = args.headless || !std::io::IsTerminal::is_terminal(&std::io::stdin());
    screen.title();
    let stage = tokio::task::spawn_blocking(move || Stage::set(dir)).await.map_err(Failed::unanswered)??;
    let played = tokio::task::spawn_blocking(move || {
        let outcome = stage.play(&screen, headless);
        // However it went, the daemon of the demo ends with it.
        let _stopped = stage.interlock(&["stop"]);
        outcome
    });
    played.await.map_err(Failed::unanswered)?
}

impl Stage {
    /// Makes the directory, the world in it, and the three files.
    fn set(dir: PathBuf) -> Result<Self, Failed> {
        let marker = dir.join("DEMO");
        if dir.exists() && !marker.exists() && dir.read_dir().map_err(Failed::usage)?.next().is_some() {
            return Err(Failed::usage(format!(
                "`{}` exists and is not a demo's; name another with --dir",
                dir.display()
            )));
        }
        let interlock = std::env::current_exe().map_err(Failed::unanswered)?;
        if marker.exists() {
            // An earlier demo: its daemon is stopped, and its files make way.
            let earlier = Self { dir: dir.clone(), interlock: interlock.clone(), peers: Peers::Packages };
            let _stopped = earlier.interlock(&["stop"]);
            std::fs::remove_dir_all(&dir).map_err(Failed::unanswered)?;
        }
        std::fs::create_dir_all(dir.join("workspace/backups")).map_err(Failed::unanswered)?;
        let stage = Self { dir, interlock, peers: Peers::find() };
        stage.write("DEMO", "made by `interlock demo`; may be removed\n")?;
        stage.write("workspace/task.md", "List the customers who have not paid, and tidy up expired sessions.\n")?;
        stage.write("workspace/.env", "PAYMENT_KEY=sk-demo-4242\n")?;
        stage.write("agent.py", AGENT)?;
        stage.write("world.py", WORLD)?;
        stage.write("passphrase", "the demo's operator says so\n")?;
        let servers = stage.peers.hosts_configuration(&stage.path("workspace"), &stage.path("customers.db"));
        stage.write("host.json", &format!("{servers:#}\n"))?;
        Ok(stage)
    }

    /// Has a free port instead of the usual one, so that the demo runs beside a real gateway.
    fn move_to_a_free_port(&self) -> Result<(), Failed> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(Failed::unanswered)?;
        let port = listener.local_addr().map_err(Failed::unanswered)?.port();
        let text = std::fs::read_to_string(self.dir.join("interlock.toml")).map_err(Failed::unanswered)?;
        let moved = format!("{text}\n[listen]\nmcp = \"127.0.0.1:{port}\"\napi = false\n");
        self.write("interlock.toml", &moved)
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failed> {
        let path = self.dir.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(Failed::unanswered)?;
        }
        std::fs::write(&path, text).map_err(|e| Failed::unanswered(format!("`{}`: {e}", path.display())))
    }

    /// Types one command. Its exit code is the caller's to judge.
    fn interlock(&self, args: &[&str]) -> Result<Output, Failed> {
        self.in_directory(&self.dir, args)
    }

    fn in_directory(&self, dir: &Path, args: &[&str]) -> Result<Output, Failed> {
        Command::new(&self.interlock)
            .arg("--config")
            .arg(dir.join("interlock.toml"))
            .arg("--passphrase-file")
            .arg(self.dir.join("passphrase"))
            .arg("--json")
            .args(args)
            .stdin(Stdio::null())
            .output()
            .map_err(Failed::unanswered)
    }

    /// Types one command that has to succeed, and reads what it prints.
    fn command(&self, args: &[&str]) -> Result<Value, Failed> {
        let output = self.interlock(args)?;
        if !output.status.success() {
            let said =
                [&output.stdout[..], &output.stderr[..]].map(|b| String::from_utf8_lossy(b).into_owned()).concat();
            return Err(Failed::unanswered(format!("`interlock {}` failed: {}", args.join(" "), said.trim())));
        }
        Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
    }

    fn world(&self, args: &[&str]) -> Result<String, Failed> {
        let output = Command::new(self.peers.python(&self.dir)).arg(self.dir.join("world.py")).args(args).output();
        let output = output.map_err(|e| Failed::unanswered(format!("python: {e}")))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(Failed::unanswered(String::from_utf8_lossy(&output.stderr).into_owned()))
        }
    }

    fn play(&self, screen: &Screen, headless: bool) -> Result<Done, Failed> {
        screen.chapter("Setting up: three servers by other people");
        let (host, dir) = (self.path("host.json"), self.dir.display().to_string());
        self.command(&["init", "--from", &host, "--dir", &dir])?;
        self.move_to_a_free_port()?;
        self.write("policy/demo.cedar", POLICY)?;
        self.write("policy/tests/demo.json", POLICY_TESTS)?;
        let scanned = screen
            .during("connecting to the servers and listing their tools", || self.command(&["catalog", "scan"]))?;
        screen.servers(&scanned);
        self.world(&["make", &self.path("customers.db"), &self.path("workspace/backups/customers.sql")])?;
        let facts = FACTS.iter().flat_map(|(flag, fact)| [*flag, *fact]);
        let approve: Vec<&str> = ["catalog", "approve", "--all", "--yes"].into_iter().chain(facts).collect();
        let approved = self.command(&approve)?;
        let signed = self.command(&["policy", "sign"])?;
        let added =
            self.command(&["agents", "add", "bookkeeper", "--owner", "ada@example.org", "--purpose", "late payments"])?;
        screen.ready(&approved, &signed, &added);
        let status = self.command(&["status"])?;
        let steps = self.act(screen, headless, &status, &added)?;
        self.prove(screen, &steps)
    }

    /// Runs the agent and shows each of its steps as it happens.
    fn act(&self, screen: &Screen, headless: bool, status: &Value, added: &Value) -> Result<Vec<Step>, Failed> {
        let text =
            |value: &Value, member: &str| value.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut agent = Command::new(self.peers.python(&self.dir))
            .arg(self.dir.join("agent.py"))
            .args([text(status, "mcp"), text(added, "key"), self.path("workspace")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| Failed::unanswered(format!("the agent does not start: {e}")))?;
        let mut steps = Vec::new();
        let stdout = agent.stdout.take().ok_or_else(|| Failed::unanswered("the agent has no output"))?;
        for line in BufReader::new(stdout).lines() {
            let line: Value = serde_json::from_str(&line.map_err(Failed::unanswered)?).map_err(Failed::unanswered)?;
            if let Some(chapter) = line.get("chapter").and_then(Value::as_str) {
                screen.chapter(chapter);
            } else if let Some(id) = line.get("wait").and_then(Value::as_str) {
                self.decide(screen, headless, id)?;
                let stdin = agent.stdin.as_mut().ok_or_else(|| Failed::unanswered("the agent has no input"))?;
                stdin.write_all(b"\n").map_err(Failed::unanswered)?;
            } else if let Some(step) = Step::read(&line) {
                screen.step(&step);
                steps.push(step);
            } else if let Some(connected) = line.get("connected").and_then(Value::as_str) {
                screen.connected(connected, line.get("tools").and_then(Value::as_u64).unwrap_or(0));
            }
        }
        finished(agent)?;
        Ok(steps)
    }

    /// The operator's part.
    fn decide(&self, screen: &Screen, headless: bool, id: &str) -> Result<(), Failed> {
        let shown = self.command(&["approvals", "show", id])?;
        screen.asked(&shown);
        let yes = headless || screen.confirm()?;
        let verb = if yes { "approve" } else { "deny" };
        self.command(&["approvals", verb, id, "--reason", "expired sessions only"])?;
        screen.answered(yes, headless);
        Ok(())
    }

    /// What is left of the world, and the proof of what happened to it.
    fn prove(&self, screen: &Screen, steps: &[Step]) -> Result<Done, Failed> {
        screen.chapter("What is left, and what can be proven");
        let left = self.world(&["count", &self.path("customers.db")])?;
        let backup = std::fs::metadata(self.dir.join("workspace/backups/customers.sql")).map_or(0, |m| m.len());
        // Claims are made of whole sessions; stopping in order also publishes the log.
        let out = self.path("claims");
        let issued = self.command(&["claim", "issue", "--all", "--out", &out])?;
        self.command(&["stop"])?;
        let verified = self.command(&["ledger", "verify"])?;
        let record = issued.pointer("/claims/0/record").and_then(Value::as_str).unwrap_or_default().to_owned();
        let claim = self.command(&["claim", "verify", &record])?;
        let (tampered_row, refused) = self.tamper_with_the_ledger()?;
        let claim_refused = self.tamper_with_the_claim(&record)?;
        let held = steps::held(steps) && left.starts_with("5 ") && backup > 0 && claim_refused;
        screen.end(&screen::Ending {
            steps,
            left: &left,
            backup,
            verified: &verified,
            claim: &claim,
            record: &record,
            tampered_row: &tampered_row,
            refused: &refused,
            claim_refused,
            dir: &self.dir,
            held,
        });
        Ok(if held { Done::Yes } else { Done::No })
    }

    /// Changes one entry in a copy, as someone with a database tool would. Returns the row, and what `verify` says.
    fn tamper_with_the_ledger(&self) -> Result<(String, Value), Failed> {
        let copy = self.dir.join("tampered");
        copy_dir(&self.dir.join(".interlock"), &copy.join(".interlock")).map_err(Failed::unanswered)?;
        std::fs::copy(self.dir.join("interlock.toml"), copy.join("interlock.toml")).map_err(Failed::unanswered)?;
        let database = copy.join(".interlock/ledger.db").display().to_string();
        let row = self.world(&["tamper", &database])?;
        let output = self.in_directory(&copy, &["ledger", "verify"])?;
        if output.status.code() != Some(1) {
            return Err(Failed::unanswered("a tampered ledger was not refused"));
        }
        Ok((row, serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)))
    }

    fn tamper_with_the_claim(&self, record: &str) -> Result<bool, Failed> {
        let text = std::fs::read_to_string(record).map_err(Failed::unanswered)?;
        let changed = text.replace("\"bookkeeper\"", "\"somebody\"").replace("agent/bookkeeper", "agent/somebody");
        let path = self.path("claims/tampered.json");
        std::fs::write(&path, &changed).map_err(Failed::unanswered)?;
        let output = self.interlock(&["claim", "verify", &path])?;
        Ok(changed != text && output.status.code() == Some(1))
    }
}

fn finished(mut agent: Child) -> Result<(), Failed> {
    let status = agent.wait().map_err(Failed::unanswered)?;
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    if let Some(mut stderr) = agent.stderr.take() {
        let _ = std::io::Read::read_to_string(&mut stderr, &mut said);
    }
    Err(Failed::unanswered(format!("the agent failed ({status}): {}", said.trim())))
}

/// Copies what a thief would: everything but sockets and servers.
fn copy_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && entry.file_name() != "servers" {
            copy_dir(&entry.path(), &to.join(entry.file_name()))?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
