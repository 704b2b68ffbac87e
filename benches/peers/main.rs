//! Compares Sealift with its peers, interleaved, so that a busy machine slows all alike.
//!
//! `make bench` runs all cases; `make bench CASES="a b" ROUNDS=3` some; `CASES=list` names them.
//! Prints tables and writes `bench.json` into the target folder.

mod bucket;
mod client;
mod content;
mod far_store;
mod ftp;
mod ftp_line;
mod ftp_sessions;
mod measure;
mod namespace;
mod part;
mod peer;
mod report;
mod sessions;
mod sink;
mod slow_lines;
#[expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the tests use the rest, and may fail loudly"
)]
mod support;
mod transfer;
mod web;
mod web_line;
mod web_load;

use std::path::Path;
use std::process::ExitCode;

use crate::report::{Outcome, Report};

const DEFAULT_ROUNDS: usize = 5;

/// What may differ from run to run.
pub(crate) struct Settings {
    /// How often everything is repeated; tables show medians.
    pub(crate) rounds: usize,
}

/// Something to measure, chosen by its name on the command line.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) run: Run,
}

type Run = Box<dyn Fn(&Settings) -> Outcome<Report>>;

impl Case {
    pub(crate) fn new(
        name: impl Into<String>,
        run: impl Fn(&Settings) -> Outcome<Report> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
        }
    }
}

/// Every case there is: a module offers some, in the order in which they run.
fn cases() -> Vec<Case> {
    transfer::cases()
        .into_iter()
        .chain(sessions::cases())
        .chain(far_store::cases())
        .chain(ftp::cases())
        .chain(ftp_sessions::cases())
        .chain(web::cases())
        .chain(web_load::cases())
        .chain(namespace::cases())
        .chain(content::cases())
        .chain(bucket::cases())
        .collect()
}

#[expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a report for people"
)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let part = match arguments.split_first() {
        Some((first, rest)) if first == sink::ARGUMENT => Some(sink::run(rest)),
        Some((first, rest)) if first == content::ARGUMENT => Some(content::run(rest)),
        Some((first, rest)) if first == far_store::ARGUMENT => Some(far_store::run(rest)),
        _ => None,
    };
    if let Some(ended) = part {
        return match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    // Cargo adds `--bench`.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|w| !w.starts_with("--"))
        .collect();
    let mut chosen = cases();
    if wanted.iter().any(|name| name == "list") {
        chosen.iter().for_each(|case| println!("{}", case.name));
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = wanted
        .iter()
        .find(|name| chosen.iter().all(|c| c.name != **name))
    {
        eprintln!("there is no case {unknown}: `make bench CASES=list` names them");
        return ExitCode::FAILURE;
    }
    chosen.retain(|case| wanted.is_empty() || wanted.contains(&case.name));
    let rounds = std::env::var_os("ROUNDS").and_then(|n| n.to_str()?.parse().ok());
    let settings = Settings {
        rounds: rounds.unwrap_or(DEFAULT_ROUNDS).max(1),
    };

    let mut reports = Vec::new();
    let mut failed = false;
    for case in chosen {
        match (case.run)(&settings) {
            Ok(report) => {
                println!("\n{}: {}\n{}", case.name, report.about, report.table());
                reports.push(report.json(&case.name));
            }
            Err(error) => {
                failed = true;
                eprintln!("\n{}: {error}", case.name);
            }
        }
    }
    let written = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench.json");
    match report::write_json(&written, &settings, reports) {
        Ok(()) => println!("\nwritten to {}", written.display()),
        Err(error) => {
            failed = true;
            eprintln!("{}: {error}", written.display());
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
