//! The `interlock` command.

#[cfg(feature = "count-allocations")]
mod allocations;
mod cli;
mod commands;
mod daemon;
mod demo;

use clap::Parser;
use commands::{Done, Failed};
use interlock_bin::term::{Term, Tone};
use std::process::ExitCode;

#[cfg(not(feature = "count-allocations"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let exit = run();
    #[cfg(feature = "count-allocations")]
    if let Err(e) = allocations::report() {
        eprintln!("interlock: cannot write the allocation report: {e}");
    }
    exit
}

fn run() -> ExitCode {
    let cli = cli::Cli::parse();
    let json = cli.json;
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("interlock: cannot start: {e}");
            return ExitCode::from(3);
        }
    };
    let outcome = runtime.block_on(commands::run(cli));
    // Standard input may be read by a thread that never comes back; it is not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(Done::Yes) => ExitCode::SUCCESS,
        Ok(Done::No) => ExitCode::from(1),
        Err(failed) => {
            let (code, why) = match failed {
                Failed::Refused(why) => (1, why),
                Failed::Usage(why) => (2, why),
                Failed::Unanswered(why) => (3, why),
            };
            if json {
                eprintln!("{}", serde_json::json!({ "error": why, "exit": code }));
            } else {
                eprintln!("{} {why}", Term::stderr(false).paint(Tone::Bad, "interlock:"));
            }
            ExitCode::from(code)
        }
    }
}

/// Stack of a worker. A call within a call (a server asks while it works) is some hundred frames deep, and unoptimised
/// builds keep every state of a call on it; only what is touched takes memory.
const STACK: usize = 8 << 20;

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().thread_stack_size(STACK).enable_all().build()
}
