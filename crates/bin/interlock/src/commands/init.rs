//! `interlock init`.

use super::{Context, Done, Failed};
use crate::cli::{InitArgs, StarterPolicy};
use crate::daemon::now;
use interlock_bin::config::FILE_NAME;
use interlock_bin::init::{self, Entry, From, Options, Roots};
use interlock_bin::term::Tone;
use interlock_policy::Preset;

pub(super) fn run(context: &Context, args: &InitArgs) -> Result<Done, Failed> {
    let config = std::path::absolute(&context.config_file).map_err(Failed::usage)?;
    let dir = args.dir.clone().or_else(|| config.parent().map(std::path::Path::to_owned)).unwrap_or_else(|| ".".into());
    let dir = std::path::absolute(dir).map_err(Failed::usage)?;
    let environment = |name: &str| std::env::var(name).ok();
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
    let report = init::run(&options, &roots, &environment, now()).map_err(|e| match e {
        init::InitError::Unsound(_) | init::InitError::Io { .. } => Failed::unanswered(e),
        e => Failed::usage(e),
    })?;
    let program = std::env::current_exe().map_err(Failed::unanswered)?;
    let config = dir.join(FILE_NAME);
    let entry = Entry { program: &program, config: &config, agent_key: None };
    let mut changed = Vec::new();
    if args.apply {
        for (host, file) in report.hosts() {
            let backup = init::apply(file, host, &entry, now()).map_err(Failed::usage)?;
            changed.push((file.to_owned(), backup));
        }
    }
    context.print(&report.to_json(&entry), || {
        let mut out = report.render(&context.out);
        if changed.is_empty() {
            out.push_str(&report.render_change(&context.out, &entry));
        }
        for (file, backup) in &changed {
            let done = context.out.paint(Tone::Good, "changed");
            out.push_str(&format!("{done}  {}; what it was is in {}\n", file.display(), backup.display()));
        }
        out
    });
    Ok(Done::Yes)
}
