//! The old scp protocol, as OpenSSH's `scp -O` and others speak it: this end of it.

use crate::domain::error::Result;
use crate::sftp::environment::Environment;
use crate::sftp::scp_options::{self, Direction};
use crate::sftp::words::Word;
use crate::sftp::{scp_sink, scp_source};

/// Sends or receives; returns the exit status.
pub async fn run(environment: &mut Environment, words: &[Word]) -> u32 {
    match scp_options::parse(words) {
        Ok((Direction::From, options, paths)) => {
            scp_source::send(environment, options, &paths).await
        }
        Ok((Direction::To, options, paths)) => match paths.as_slice() {
            [path] => scp_sink::receive(environment, options, path).await,
            _ => refuse(environment, "one target has to be named"),
        },
        Err(why) => refuse(environment, &why),
    }
}

fn refuse(environment: &Environment, why: &str) -> u32 {
    let told: Result<()> = environment.output.complain(&format!("scp: {why}"));
    // The client that takes nothing is told nothing.
    let _ = told;
    1
}
