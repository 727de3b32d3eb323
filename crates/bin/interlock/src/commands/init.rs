//! `interlock init`: the files, and with `--apply` the hosts' own configurations.

use super::agents::{self, NewAgent};
use super::{Context, Done, Failed, client};
use crate::cli::{InitArgs, StarterPolicy};
use crate::daemon::now;
use interlock_bin::config::{Config, FILE_NAME};
use interlock_bin::init::{self, Entry, From, Host, Options, Registering, Report, Roots};
use interlock_bin::operator::OperatorKey;
use interlock_bin::term::Tone;
use interlock_identity::BearerKey;
use interlock_model::{AgentId, OwnerId};
use interlock_policy::Preset;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::path::{Path, PathBuf};

pub(super) async fn run(context: &Context, args: &InitArgs) -> Result<Done, Failed> {
    let config = std::path::absolute(&context.config_file).map_err(Failed::usage)?;
    let dir = args.dir.clone().or_else(|| config.parent().map(Path::to_owned)).unwrap_or_else(|| ".".into());
    let dir = std::path::absolute(dir).map_err(Failed::usage)?;
    let environment = |name: &str| std::env::var(name).ok();
    let owner = match owner(args.owner.as_deref(), &environment) {
        // Nothing is registered without --apply: the name only stands in a command for the person to complete.
        Err(_) if !args.apply && args.owner.is_none() => OwnerId::new("you@localhost").map_err(Failed::unanswered)?,
        other => other?,
    };
    let roots = Roots::of_this_machine(dir.clone(), &environment)
        .ok_or_else(|| Failed::usage("there is no home directory to look for clients in; name a file with --from"))?;
    let options = Options {
        from: From::from_option(args.from.as_deref()),
        policy: match args.policy {
            StarterPolicy::Starter => Preset::Starter,
            StarterPolicy::Open => Preset::Open,
            StarterPolicy::Closed => Preset::Closed,
        },
        dir: dir.clone(),
        force: args.force,
        passphrase: context.passphrase.clone(),
    };
    let (report, operator) = init::run(&options, &roots, &environment, now()).map_err(|e| match e {
        init::InitError::Unsound(_) | init::InitError::Io { .. } => Failed::unanswered(e),
        e => Failed::usage(e),
    })?;
    let program = std::env::current_exe().map_err(Failed::unanswered)?;
    let config = dir.join(FILE_NAME);
    let entry = Entry { program: &program, config: &config, agent_key: None };
    let mut changes = Changes::default();
    let outcome = if args.apply { changes.make(context, &report, &operator, &owner, &entry).await } else { Ok(()) };

    let command = command_for(&config);
    let registering = Registering { command: &command, owner: &owner };
    let mut shown = report.to_json(&entry, &registering);
    if let Some(shown) = shown.as_object_mut() {
        if let Some(to_make) = shown.get_mut("changes").and_then(Value::as_array_mut) {
            to_make.retain(|change| !changes.made.iter().any(|m| change.get("file") == Some(&json!(m.file))));
        }
        shown.insert("applied".to_owned(), changes.to_json());
    }
    context.print(&shown, || {
        let left = changes.left(&report);
        let mut out = report.render(&context.out);
        for made in &changes.made {
            let done = context.out.paint(Tone::Good, "changed");
            let (file, backup) = (made.file.display(), made.backup.display());
            out.push_str(&format!(
                "{done}  {file}: it uses Interlock as agent `{}` of {owner}; what it was is in {backup}\n",
                made.agent
            ));
        }
        if changes.made.is_empty() || !left.is_empty() {
            out.push_str(&report.render_change(&context.out, &left, &entry, &registering));
        }
        if !report.plan.servers.is_empty() {
            let head = context.out.paint(Tone::Strong, "Next: look at what the servers offer, and approve it");
            out.push_str(&format!("\n{head}\n  {command} catalog scan\n  {command} catalog approve SERVER\n"));
            out.push_str("  Until then agents see no tools.\n");
        }
        out
    });
    outcome.map(|()| Done::Yes)
}

/// The accountable human: as said, else this user.
fn owner(said: Option<&str>, environment: &dyn Fn(&str) -> Option<String>) -> Result<OwnerId, Failed> {
    if let Some(said) = said {
        return said.parse().map_err(|e| Failed::usage(format!("--owner: {e}")));
    }
    let user = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| environment(name).filter(|v| !v.is_empty()));
    let user = user.ok_or_else(|| Failed::usage("this user has no name; say with --owner whose the agents are"))?;
    let owner = format!("{user}@localhost").parse();
    owner.map_err(|e| {
        Failed::usage(format!("`{user}@localhost` cannot be an owner ({e}); say with --owner whose the agents are"))
    })
}

/// What to type for this configuration, from here.
fn command_for(config: &Path) -> String {
    let here = std::path::absolute(FILE_NAME).is_ok_and(|here| here == config);
    if here {
        return "interlock".to_owned();
    }
    let path = config.display().to_string();
    let plain =
        path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-' | b'+' | b':' | b'\\'));
    if plain {
        format!("interlock --config {path}")
    } else {
        format!("interlock --config '{}'", path.replace('\'', r"'\''"))
    }
}

/// A host's file that was changed.
struct Made {
    host: Host,
    file: PathBuf,
    backup: PathBuf,
    agent: AgentId,
}

/// What `--apply` did.
#[derive(Default)]
struct Changes {
    made: Vec<Made>,
}

impl Changes {
    /// Registers an agent for each host, then puts its key into the host's file. Never the other way round: a host
    /// whose entry holds no valid key is locked out.
    async fn make(
        &mut self,
        context: &Context,
        report: &Report,
        operator: &OperatorKey,
        owner: &OwnerId,
        entry: &Entry<'_>,
    ) -> Result<(), Failed> {
        let hosts = report.hosts();
        if hosts.is_empty() {
            return Ok(());
        }
        let config = Config::load(entry.config)?;
        let mut keys: BTreeMap<Host, (AgentId, BearerKey)> = BTreeMap::new();
        for (host, file) in hosts {
            // A host may have several files; it is one agent.
            let (agent, key) = match keys.entry(host) {
                Slot::Occupied(known) => known.into_mut(),
                Slot::Vacant(free) => {
                    let made = agent_for(context, &config, operator, owner, host).await;
                    free.insert(made.map_err(|e| self.not_registered(e))?)
                }
            };
            let entry = Entry { agent_key: Some(key.danger_reveal()), ..entry.clone() };
            let backup = init::apply(file, host, &entry, now()).map_err(|e| {
                let retire = format!("`{} agents retire {agent}`", command_for(entry.config));
                Failed::unanswered(format!(
                    "{e}. Agent `{agent}` is registered, and its key is lost if it is in no other file: {retire}, then make the change as shown"
                ))
            })?;
            self.made.push(Made { host, file: file.to_owned(), backup, agent: agent.clone() });
        }
        Ok(())
    }

    fn not_registered(&self, why: Failed) -> Failed {
        let (Failed::Refused(why) | Failed::Usage(why) | Failed::Unanswered(why)) = why;
        let no_host = if self.made.is_empty() { "no host was changed" } else { "not every host was changed" };
        Failed::unanswered(format!(
            "Interlock's own files are written, but {no_host}, because its agent could not be registered: {why}\n\
             Mend that; then type the `agents add` command shown above and make the change by hand with the key that it prints."
        ))
    }

    /// The hosts whose files are as they were.
    fn left<'a>(&self, report: &'a Report) -> Vec<(Host, &'a Path)> {
        let is_made = |file: &Path| self.made.iter().any(|m| m.file == file);
        report.hosts().into_iter().filter(|(_, file)| !is_made(file)).collect()
    }

    fn to_json(&self) -> Value {
        let made = |m: &Made| json!({ "host": m.host.as_str(), "file": m.file, "backup": m.backup, "agent": m.agent });
        self.made.iter().map(made).collect()
    }
}

/// A new agent for `host`. An earlier one's key is nowhere to be had, so that one stays, and this one gets a number.
async fn agent_for(
    context: &Context,
    config: &Config,
    operator: &OperatorKey,
    owner: &OwnerId,
    host: Host,
) -> Result<(AgentId, BearerKey), Failed> {
    let agents = client::ask(context, config, "agents.list", json!({})).await?;
    let is_taken =
        |id: &str| agents.as_array().into_iter().flatten().any(|a| a.get("id").and_then(Value::as_str) == Some(id));
    let numbered = (2_u32..).map(|n| format!("{}-{n}", host.slug()));
    let free = std::iter::once(host.slug().to_owned()).chain(numbered).find(|id| !is_taken(id));
    let id: AgentId = free.unwrap_or_default().parse().map_err(Failed::unanswered)?;
    let purpose = format!("{} on this machine", host.as_str());
    let new = NewAgent { id: &id, owner, purpose: &purpose, roles: &[] };
    let (_, key) = agents::register(context, config, operator, &new).await?;
    Ok((id, key))
}
