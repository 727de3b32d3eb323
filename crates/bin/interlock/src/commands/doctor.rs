//! `interlock doctor`: looks at everything and says what to do. Starts no daemon and changes nothing; works
//! where the configuration is broken or missing, too.

mod probes;

use super::{Context, Done, Failed};
use crate::daemon::now;
use interlock_bin::config::Config;
use interlock_bin::doctor::{Facts, Gateway, examine};
use interlock_bin::init::Roots;
use std::path::Path;
use std::sync::Arc;

pub(super) async fn run(context: &Context) -> Result<Done, Failed> {
    let config = Config::load(&context.config_file).map(Arc::new);
    let progress = context.err.progress("looking at this machine");
    let gateway = match &config {
        Ok(config) => probes::gateway(config, &progress).await,
        Err(_) => Gateway::default(),
    };
    let environment = |name: &str| std::env::var(name).ok();
    let file = std::path::absolute(&context.config_file).unwrap_or_else(|_| context.config_file.clone());
    let project = file.parent().unwrap_or_else(|| Path::new(".")).to_owned();
    let roots = Roots::of_this_machine(project, &environment);
    let config = config.as_deref();
    let facts = Facts::gather(config.ok(), roots.as_ref(), &environment, now(), gateway);
    drop(progress);
    let report = examine(config, &facts);
    context.print(&report.to_json(), || report.render(&context.out));
    Ok(if report.is_sound() { Done::Yes } else { Done::No })
}
