//! The command line: names, arguments and help. What the commands do is in `commands`.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0  ok
  1  the answer is no: denied, not verified, tests failed
  2  usage or configuration
  3  could not answer";

/// The execution plane for AI agents: every tool call identified, decided, recorded before it happens, provable afterwards.
#[derive(Debug, Parser)]
#[command(name = "interlock", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "interlock.toml", env = "INTERLOCK_CONFIG")]
    pub(crate) config: PathBuf,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Read the operator's passphrase from this file (`-`: standard input) instead of asking for it.
    #[arg(long, global = true, value_name = "FILE", env = "INTERLOCK_PASSPHRASE_FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find MCP servers in client configurations and write the three files.
    Init(InitArgs),
    /// Run the gateway.
    Run(RunArgs),
    /// Serve a host that speaks stdio: a thin client of the daemon, started on demand.
    Stdio(StdioArgs),
    /// A real run with nothing configured: real servers, a scripted agent, decisions, approval, proof.
    Demo(DemoArgs),
    /// Check every part and say how to mend it.
    Doctor,
    /// The approved tool definitions.
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// The policy bundle.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Who may call.
    #[command(subcommand)]
    Agents(AgentsCommand),
    /// Calls that wait for a human.
    #[command(subcommand)]
    Approvals(ApprovalsCommand),
    /// What happened.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Trust records for others.
    #[command(subcommand)]
    Claim(ClaimCommand),
    /// What the daemon is doing.
    Status,
    /// Stop the daemon in order.
    Stop,
    /// Let a new daemon take over, with the program and the configuration as they are now; no call is lost and no
    /// connection refused.
    Restart,
}

/// `interlock init`
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Where to look: claude, cursor, vscode, or a JSON file with `mcpServers`. Default: wherever one is found.
    #[arg(long, value_name = "SOURCE")]
    pub(crate) from: Option<String>,
    /// The bundle to start with.
    #[arg(long, value_enum, default_value_t = StarterPolicy::Starter)]
    pub(crate) policy: StarterPolicy,
    /// Where to write. Default: the directory of `--config`.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Replace existing files, keeping backups.
    #[arg(long)]
    pub(crate) force: bool,
    /// Make the one change in each host's configuration too, keeping a backup: register an agent for the host, and
    /// put Interlock with that agent's key in the place of its servers.
    #[arg(long)]
    pub(crate) apply: bool,
    /// The accountable human of the agents that hosts become. Default: this user at `localhost`.
    #[arg(long, value_name = "WHO")]
    pub(crate) owner: Option<String>,
}

/// The bundle to start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StarterPolicy {
    /// Reads allowed, local writes allowed, destructive and external effects need a human.
    Starter,
    /// Everything that is approved is allowed.
    Open,
    /// Nothing is allowed until a policy says so.
    Closed,
}

/// `interlock run`
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Started by another command: say nothing on the terminal, log to the data directory.
    #[arg(long, hide = true)]
    pub(crate) background: bool,
    /// Started by the daemon of this data directory: its listening socket is the standard input.
    #[arg(long, hide = true, value_name = "DATA_DIR")]
    pub(crate) inherit: Option<std::path::PathBuf>,
}

/// `interlock stdio`
#[derive(Debug, Args)]
pub(crate) struct StdioArgs {
    /// Only this server, with nothing renamed.
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Option<String>,
    /// The agent's key; without one the caller is `unbound`.
    #[arg(long, env = "INTERLOCK_AGENT_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) key: Option<String>,
}

/// `interlock demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Ask nothing; the operator's part is played too.
    #[arg(long)]
    pub(crate) headless: bool,
    /// Where the files stay.
    #[arg(long, value_name = "DIR", default_value = "interlock-demo")]
    pub(crate) dir: PathBuf,
}

/// `interlock catalog`
#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// Install what is pinned, connect to the configured servers, list their tools, write candidates.
    Scan {
        /// Only these servers.
        #[arg(value_name = "SERVER")]
        servers: Vec<String>,
    },
    /// Pin candidates into catalog.lock.json, signed with the operator's key.
    Approve(ApproveArgs),
    /// How the candidates, or the live servers, differ from what is approved.
    Diff {
        /// Only this server or `server/tool`.
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// What is approved.
    Show {
        /// Only this server or `server/tool`.
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Check the catalog's signature, digests and serial.
    Verify,
}

/// `interlock catalog approve`
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// Servers or `server/tool`s.
    #[arg(value_name = "NAME", required_unless_present = "all")]
    pub(crate) names: Vec<String>,
    /// Everything that the last scan found.
    #[arg(long, requires = "yes")]
    pub(crate) all: bool,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Accept this concern, by the id that `scan` printed.
    #[arg(long = "accept", value_name = "CONCERN")]
    pub(crate) accept: Vec<String>,
    /// What the tool (or every tool of a server) does, instead of the proposal: `server/tool=read,write` (read, write, destructive, external, execute, sign).
    #[arg(long = "effects", value_name = "TOOL=EFFECTS")]
    pub(crate) effects: Vec<String>,
    /// Where it acts, instead of the proposal: `server/tool=local` or `server=local` (local, internal, internet, or a host).
    #[arg(long = "destination", value_name = "TOOL=DESTINATION")]
    pub(crate) destinations: Vec<String>,
    /// How sensitive its data is, instead of the proposal: `server/tool=internal` (public, internal, confidential, restricted).
    #[arg(long = "sensitivity", value_name = "TOOL=SENSITIVITY")]
    pub(crate) sensitivities: Vec<String>,
}

/// `interlock policy`
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Validate the bundle against the schema generated from the approved tools.
    Check,
    /// Run the bundle's own tests.
    Test,
    /// Sign the bundle as it stands, with the next version; the daemon takes it up at once.
    Sign,
    /// Which policies decided, and what would have allowed it.
    Explain(ExplainArgs),
}

/// `interlock policy explain`
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// A recorded call (its id or the start of it), or `server/tool` for a hypothetical one.
    #[arg(value_name = "CALL|SERVER/TOOL")]
    pub(crate) what: String,
    /// Arguments of a hypothetical call, as JSON (`-`: standard input).
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) arguments: String,
    /// Agent of a hypothetical call.
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<String>,
}

/// `interlock agents`
#[derive(Debug, Subcommand)]
pub(crate) enum AgentsCommand {
    /// Register an agent and print its key, once.
    Add {
        /// Its id.
        agent: String,
        /// The accountable human.
        #[arg(long)]
        owner: String,
        /// What it is for.
        #[arg(long, default_value = "")]
        purpose: String,
        /// A role that policy reads.
        #[arg(long = "role")]
        roles: Vec<String>,
    },
    /// All agents.
    List,
    /// One agent.
    Show {
        /// Its id.
        agent: String,
    },
    /// Stop an agent for now.
    Suspend {
        /// Its id.
        agent: String,
    },
    /// Let it act again.
    Resume {
        /// Its id.
        agent: String,
    },
    /// Stop it for good.
    Retire {
        /// Its id.
        agent: String,
    },
}

/// `interlock approvals`
#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// What waits.
    List {
        /// Those that were settled, too.
        #[arg(long)]
        all: bool,
    },
    /// What exactly is asked.
    Show {
        /// Its id, or the start of it.
        id: String,
    },
    /// Say yes to exactly this call.
    Approve {
        /// Its id, or the start of it.
        id: String,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Say no.
    Deny {
        /// Its id, or the start of it.
        id: String,
        /// Why; the agent is told.
        #[arg(long, default_value = "")]
        reason: String,
    },
}

/// `interlock ledger`
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Check every entry, tile and checkpoint; name the first bad one.
    Verify,
    /// The newest entries, and new ones as they come.
    Tail {
        /// How many.
        #[arg(short = 'n', long, default_value_t = 20)]
        lines: u64,
        /// Go on.
        #[arg(short, long)]
        follow: bool,
    },
    /// Entries that fit.
    Search(SearchArgs),
    /// Everything about one call: who, what, why, every parameter, every answer.
    Show {
        /// A call's id (or the start of it), or an entry's index.
        what: String,
    },
    /// A receipt for one entry, which `interlock-verify` checks offline.
    Prove {
        /// A call's id (or the start of it), or an entry's index.
        what: String,
        /// Where to write it (`-`: standard output).
        #[arg(long, short, value_name = "FILE", default_value = "-")]
        out: PathBuf,
    },
}

/// `interlock ledger search`
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// Only this agent's.
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Only about this tool: `server/tool` or a part of it.
    #[arg(long)]
    pub(crate) tool: Option<String>,
    /// Only with this decision: allow, deny, modify, step_up, defer.
    #[arg(long)]
    pub(crate) decision: Option<String>,
    /// Only of this kind: intent, outcome, denial, approval, catalog, policy, session, agent, start, stop.
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Only entries whose text contains this.
    #[arg(long)]
    pub(crate) text: Option<String>,
    /// Show what was passed, too, from the vault.
    #[arg(long)]
    pub(crate) arguments: bool,
    /// At most this many, newest first.
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
}

/// `interlock claim`
#[derive(Debug, Subcommand)]
pub(crate) enum ClaimCommand {
    /// Make a TRACE trust record of a governance session.
    Issue {
        /// The session, or the start of its id. Default: the newest.
        #[arg(long)]
        session: Option<String>,
        /// Every session.
        #[arg(long, conflicts_with = "session")]
        all: bool,
        /// Where the records and transcripts go.
        #[arg(long, value_name = "DIR", default_value = "claims")]
        out: PathBuf,
    },
    /// What a record says, for people.
    Show {
        /// The record (`-`: standard input).
        file: PathBuf,
    },
    /// Check a record; with its transcript, everything in it that can be recomputed.
    Verify {
        /// The record (`-`: standard input).
        file: PathBuf,
        /// The transcript it names. Default: beside the record.
        #[arg(long)]
        transcript: Option<PathBuf>,
        /// A key to trust, base64. Default: this ledger's own.
        #[arg(long = "key")]
        keys: Vec<String>,
    },
}
