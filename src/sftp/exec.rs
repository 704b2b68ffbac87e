//! Commands that clients start by exec: those that file transfer clients send, done here. There is no
//! shell and no other process.

use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::domain::error::Result;
use crate::domain::sum::SumKind;
use crate::sftp::context::Context;
use crate::sftp::environment::{Environment, after_dashes, reason};
use crate::sftp::exec_sums::{self, Form};
use crate::sftp::pipe::{Feeder, Output};
use crate::sftp::scp;
use crate::sftp::scp_line::message;
use crate::sftp::words::{self, Command, When, Word};

/// What there is, for those who ask for something else.
const OFFERED: &str = "offered are scp, sha256sum, sha1sum, md5sum, crc32, df, pwd, cd, echo, uname, \
                       and sftp as a subsystem";

/// Exit statuses, as shells and these programs use them.
const FAILED: u32 = 1;
const USAGE: u32 = 2;
const NOT_OFFERED: u32 = 127;

/// The reading end of a channel with a command. Dropped when the client is gone.
pub struct ExecSession {
    // Dropped first, so that the input is not taken for one that ended.
    broken: DropGuard,
    feeder: Feeder,
}

impl ExecSession {
    /// Starts a line of commands as a task of `tasks`; what it says goes to `output`.
    pub fn start(context: &Context, output: Output, line: &[u8], tasks: &TaskTracker) -> Self {
        let broken = context.broken.clone();
        let (gate, ledger) = (context.gate.clone(), context.ledger.clone());
        let (feeder, input) = Feeder::new(gate, ledger, broken.clone());
        let place = Environment {
            files: context.files.clone(),
            folder: context.files.principal().home.clone(),
            input,
            output,
            ledger: context.ledger.clone(),
        };
        // While it runs the session is not ended for being quiet.
        let open = context.ledger.file();
        let (commands, broken_too) = (words::parse(line), broken.clone());
        tasks.spawn(async move {
            let _open = open;
            run(place, commands, broken_too).await;
        });
        Self {
            broken: broken.drop_guard(),
            feeder,
        }
    }

    /// Takes what came.
    ///
    /// # Errors
    /// Busy when the session has to end, with the sentence for the client.
    pub fn feed(&self, bytes: &[u8]) -> Result<()> {
        self.feeder.put(bytes)
    }

    /// The client sends no more but still listens.
    pub fn finish(self) {
        drop(self.broken.disarm());
    }
}

async fn run(mut place: Environment, commands: Result<Vec<Command>>, broken: CancellationToken) {
    let output = place.output.clone();
    let status = match commands {
        Ok(commands) => run_all(&mut place, &commands, &broken).await,
        Err(error) => {
            let line = format!("sealift: {}; {OFFERED}", error.context());
            complained(&output, &line, NOT_OFFERED)
        }
    };
    output.exit(status);
}

async fn run_all(place: &mut Environment, commands: &[Command], broken: &CancellationToken) -> u32 {
    let mut status = 0;
    for command in commands {
        if command.when == When::Success && status != 0 {
            continue;
        }
        status = match command.words.split_first() {
            Some((name, words)) => Box::pin(run_one(place, name, words, broken)).await,
            None => 0,
        };
        if place.input.is_broken() {
            break;
        }
    }
    status
}

async fn run_one(
    place: &mut Environment,
    name: &Word,
    words: &[Word],
    broken: &CancellationToken,
) -> u32 {
    let name = String::from_utf8_lossy(&name.bytes).into_owned();
    // The path to a program, which some clients add, means the program.
    let plain = name.strip_prefix("/usr").unwrap_or(&name);
    let plain = plain.strip_prefix("/bin/").unwrap_or(&name);
    // Ends itself when the client is gone, since a broken upload is put in order first.
    if plain == "scp" {
        return scp::run(place, words).await;
    }
    let done = async {
        match plain {
            "sha256sum" => exec_sums::run(place, plain, Form::Gnu(SumKind::Sha256), words).await,
            "sha1sum" => exec_sums::run(place, plain, Form::Gnu(SumKind::Sha1), words).await,
            "md5sum" => exec_sums::run(place, plain, Form::Gnu(SumKind::Md5), words).await,
            "sha256" => exec_sums::run(place, plain, Form::Bsd(SumKind::Sha256), words).await,
            "sha1" => exec_sums::run(place, plain, Form::Bsd(SumKind::Sha1), words).await,
            "md5" => exec_sums::run(place, plain, Form::Bsd(SumKind::Md5), words).await,
            "crc32" => exec_sums::run(place, plain, Form::Bare(SumKind::Crc32), words).await,
            "rclone" => rclone(place, words).await,
            "pwd" => place.output.say(format!("{}\n", place.folder)).map(|()| 0),
            "cd" => change_folder(place, words).await,
            "df" => free_space(place, words).await,
            "echo" => echo(place, words),
            "uname" => place.output.say("Sealift\n").map(|()| 0),
            "true" | ":" => Ok(0),
            _ => {
                let shown: String = message(name.as_bytes()).chars().take(64).collect();
                let line = format!("sealift: '{shown}' is not offered here; {OFFERED}");
                place.output.complain(&line).map(|()| NOT_OFFERED)
            }
        }
    };
    tokio::select! {
        status = done => status.unwrap_or(FAILED),
        () = broken.cancelled() => FAILED,
    }
}

/// As rclone asks another rclone for checksums that no other program offers.
async fn rclone(place: &mut Environment, words: &[Word]) -> Result<u32> {
    let (form, files) = match words {
        [first, files @ ..] if first.bytes == b"md5sum" => (Some(SumKind::Md5), files),
        [first, files @ ..] if first.bytes == b"sha1sum" => (Some(SumKind::Sha1), files),
        [first, kind, files @ ..] if first.bytes == b"hashsum" => {
            (SumKind::named(&String::from_utf8_lossy(&kind.bytes)), files)
        }
        _ => (None, words),
    };
    match form {
        Some(kind) => exec_sums::run(place, "rclone", Form::Gnu(kind), files).await,
        None => {
            let line = "rclone: only hashsum with md5, sha1, sha256 or crc32 is offered here";
            place.output.complain(line)?;
            Ok(NOT_OFFERED)
        }
    }
}

async fn change_folder(place: &mut Environment, words: &[Word]) -> Result<u32> {
    let words = after_dashes(words);
    let to = match words {
        [] => Ok(place.files.principal().home.clone()),
        [word] => place.resolve(word),
        _ => return usage(place, "cd: too many folders"),
    };
    let found = match to {
        Ok(path) => match place.files.list(&path).await {
            Ok(_) => Ok(path),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    match found {
        Ok(path) => {
            place.folder = path;
            Ok(0)
        }
        Err(error) => {
            let named = words.first().map_or(&b"~"[..], |word| &word.bytes);
            let line = format!("cd: {}: {}", message(named), reason(&error));
            place.output.complain(&line)?;
            Ok(FAILED)
        }
    }
}

/// In KiB, as `df -k`, which is what clients ask for and read.
async fn free_space(place: &mut Environment, words: &[Word]) -> Result<u32> {
    let is_option = |word: &&Word| word.bytes.first() == Some(&b'-') && word.bytes.len() > 1;
    let paths: Vec<_> = words.iter().filter(|word| !is_option(word)).collect();
    let known = |option: &Word| matches!(&*option.bytes, b"-k" | b"-P" | b"-Pk" | b"-kP" | b"--");
    if let Some(other) = words.iter().filter(is_option).find(|word| !known(word)) {
        let line = format!(
            "df: '{}': only -k and -P are offered",
            message(&other.bytes)
        );
        return usage(place, &line);
    }
    for word in &paths {
        let found = match place.resolve(word) {
            Ok(path) => place.files.stat(&path).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = found {
            let line = format!("df: {}: {}", message(&word.bytes), reason(&error));
            place.output.complain(&line)?;
            return Ok(FAILED);
        }
    }
    let space = match place.files.space().await {
        Ok(space) => space,
        Err(error) => {
            place.output.complain(&format!("df: {}", error.context()))?;
            return Ok(FAILED);
        }
    };
    let (total, used) = (space.total_bytes / 1024, space.used_bytes.div_ceil(1024));
    let free = total.saturating_sub(used);
    let share = u128::from(used) * 100 / u128::from(total.max(1));
    let mut table = "Filesystem 1024-blocks Used Available Capacity Mounted on\n".to_owned();
    for _ in 0..paths.len().max(1) {
        table += &format!("sealift {total} {used} {free} {}% /\n", share.min(100));
    }
    place.output.say(table)?;
    Ok(0)
}

fn echo(place: &Environment, words: &[Word]) -> Result<u32> {
    let (end, words) = match words {
        [first, rest @ ..] if first.bytes == b"-n" => ("", rest),
        _ => ("\n", words),
    };
    let words: Vec<&[u8]> = words.iter().map(|word| &*word.bytes).collect();
    let line = [&words.join(&b' '), end.as_bytes()].concat();
    place.output.say(line)?;
    Ok(0)
}

fn usage(place: &Environment, line: &str) -> Result<u32> {
    place.output.complain(line)?;
    Ok(USAGE)
}

fn complained(output: &Output, line: &str, status: u32) -> u32 {
    // The client that takes nothing is told nothing.
    let _ = output.complain(line);
    status
}
