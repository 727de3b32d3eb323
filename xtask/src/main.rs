//! Checks of the tree that cargo does not do: `cargo run -q -p xtask -- lint` runs all of them.
//!
//! Each check is a function from text to a list of complaints; reading the tree is done here and in `tree`.

mod codes;
mod layers;
mod links;
mod pure;
mod tree;
mod words;

use std::error::Error;
use std::process::ExitCode;

/// Whatever kept a check from running.
pub(crate) type Failure = Box<dyn Error>;

const USAGE: &str = "\
usage: cargo run -q -p xtask -- CHECK

  layers          no crate uses one of a floor above its own
  pure            pure crates pull in nothing that does input or output; no second TLS stack
  codes           write docs/codes.md from the enum
  codes --check   compare it instead
  links           links between Markdown files lead somewhere
  words           no file names what has no business here
  lint            all of them, comparing";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let checks: &[(&str, Check)] = match arguments.as_slice() {
        ["layers"] => &[("layers", layers::run)],
        ["pure"] => &[("pure", pure::run)],
        ["codes"] => &[("codes", codes::write)],
        ["codes", "--check"] => &[("codes", codes::compare)],
        ["links"] => &[("links", links::run)],
        ["words"] => &[("words", words::run)],
        ["lint"] => &[
            ("layers", layers::run),
            ("pure", pure::run),
            ("codes", codes::compare),
            ("links", links::run),
            ("words", words::run),
        ],
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut exit = ExitCode::SUCCESS;
    for (name, check) in checks {
        match check() {
            Ok(complaints) if complaints.is_empty() => println!("xtask {name}: ok"),
            Ok(complaints) => {
                for complaint in &complaints {
                    println!("xtask {name}: {complaint}");
                }
                exit = ExitCode::from(1);
            }
            Err(error) => {
                println!("xtask {name}: could not check: {error}");
                return ExitCode::from(3);
            }
        }
    }
    exit
}

/// What is wrong, one line each; nothing if all is well.
type Check = fn() -> Result<Vec<String>, Failure>;
