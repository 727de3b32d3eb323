//! Benchmarks of the gateway, always beside a floor measured in the same run: the upstream called directly, and a proxy
//! that only forwards. Absolute figures on a shared machine mean nothing; ratios within a run do.
//!
//! `all` runs everything and writes `docs/performance.md`; the other commands are its parts, to be run by hand.

mod call;
mod child;
mod cost;
mod floor;
mod gateway;
mod load;
mod machine;
mod report;
mod rounds;
mod upstream;

use clap::{Parser, Subcommand};
use std::error::Error;
use std::process::ExitCode;

/// The gateway's allocator, so that the floor has the same one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whatever ended a benchmark: it is shown to a person and nothing else depends on it.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

#[derive(Parser)]
#[command(name = "interlock-bench", about = "Benchmarks of the gateway beside a floor")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure direct, floor and gateway in interleaved rounds and write the report
    All(rounds::Options),
    /// Serve the MCP server that is called, until killed
    Upstream(upstream::Options),
    /// Serve a proxy that only forwards, until killed
    Floor(floor::Options),
    /// Call one URL and print what was measured
    Load(load::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::All(options) => rounds::run(&options),
        Command::Upstream(options) => upstream::run(&options).map(|()| true),
        Command::Floor(options) => floor::run(&options).map(|()| true),
        Command::Load(options) => load::run(&options).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("interlock-bench: {error}");
            ExitCode::from(3)
        }
    }
}
