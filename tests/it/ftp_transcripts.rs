//! The same words to vsftpd, ProFTPD, Pure-FTPd and Sealift: what each answers is written down in
//! `transcripts`, and what is written down is true of all of them.
//!
//! With `TRANSCRIPTS=write` the peers' answers and docs/ftp-differences.md are written anew; ours are
//! written by hand, and begin as what most peers say. `TRANSCRIPTS=ours` writes ours too: read each line
//! that changes.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::folder::TempFolder;
use crate::support::ftp_peer::{FtpKind, FtpPeer, PEER_PASSWORD, PEER_USER};
use crate::support::server::{DEMO, Server};
use crate::support::transcript::{COLUMNS, Exchange, Stage, Story, Topic, class, play};

#[test]
fn every_server_answers_as_the_transcripts_say() {
    let folder = TempFolder::new();
    let mut topics = Topic::read_all(&here("tests/it/transcripts"));
    let write = std::env::var_os("TRANSCRIPTS");
    let server = Server::up(&folder.join("data"));
    let peers = FtpKind::ALL.map(|kind| FtpPeer::start(kind, folder.path()));
    let mut stages = Vec::new();
    if let Some(address) = server.ready.listeners.ftp {
        stages.push((0, stage(address, DEMO, &server.password())));
    }
    for (index, peer) in peers.iter().enumerate() {
        stages.push((index + 1, stage(peer.address, PEER_USER, PEER_PASSWORD)));
    }
    let played: Vec<_> = std::thread::scope(|scope| {
        let topics = &topics;
        let runs: Vec<_> = stages
            .iter()
            .map(|(column, stage)| scope.spawn(move || (*column, play_all(stage, topics))))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let mut wrong = Vec::new();
    for (column, answers) in played {
        let mut answers = answers.into_iter();
        for topic in &mut topics {
            for story in &mut topic.stories {
                let again = story.clone();
                for (number, exchange) in story.exchanges.iter_mut().enumerate() {
                    let answer = answers.next().unwrap();
                    let recorded = &mut exchange.answers[column];
                    if recorded == "*" || *recorded == answer {
                        continue;
                    }
                    let stage = || stages.iter().find(|(other, _)| *other == column).unwrap();
                    if write.is_none()
                        && column > 0
                        && answers_again(&stage().1, &again, number, recorded)
                    {
                        continue;
                    }
                    if write.is_some() && column > 0
                        || write.as_ref().is_some_and(|what| what == "ours")
                    {
                        *recorded = answer;
                        continue;
                    }
                    wrong.push(format!(
                        "{}, {}: {}\n    is written to answer: {recorded}\n    answered: {answer}",
                        COLUMNS[column], story.title, exchange.step
                    ));
                }
            }
        }
    }
    if write.is_some() {
        topics.iter_mut().for_each(propose);
        topics.iter().for_each(Topic::write);
        fs::write(here(TABLE), table(&topics)).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.stop();
}

#[test]
fn the_table_of_differences_is_current_and_gives_a_reason_for_each() {
    let topics = Topic::read_all(&here("tests/it/transcripts"));
    for (topic, story, exchange) in exchanges(&topics) {
        let told = exchange.why.starts_with("better: ") || exchange.why.starts_with("deliberate: ");
        let usual = exchange.agreeing() >= 2 || exchange.answers.iter().any(|a| a == "*");
        assert!(
            told || usual && exchange.why.is_empty(),
            "{topic}, {story}: {} wants a reason that begins with better: or deliberate:",
            exchange.step
        );
    }
    assert_eq!(
        fs::read_to_string(here(TABLE)).unwrap(),
        table(&topics),
        "run this test binary with TRANSCRIPTS=write"
    );
}

/// Whether a peer answers so when it is asked again: on a busy machine some of what they say about
/// connections that end is a matter of who is first. Of us, once is enough.
fn answers_again(stage: &Stage, story: &Story, number: usize, recorded: &str) -> bool {
    static ROUND: AtomicUsize = AtomicUsize::new(0);
    (0..5).any(|_| {
        let round = ROUND.fetch_add(1, Ordering::Relaxed);
        let answers = play(stage, story, &format!("/again{round}"));
        answers.get(number).is_some_and(|answer| answer == recorded)
    })
}

/// Stories played with one server.
const AT_ONCE: usize = 6;

const TABLE: &str = "docs/ftp-differences.md";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn stage(address: std::net::SocketAddr, user: &str, password: &str) -> Stage {
    Stage {
        address,
        user: user.to_owned(),
        password: password.to_owned(),
    }
}

/// Some stories at a time: much of them is waiting.
fn play_all(stage: &Stage, topics: &[Topic]) -> Vec<String> {
    let stories = topics.iter().flat_map(|topic| &topic.stories);
    let stories: Vec<_> = stories.enumerate().collect();
    let next = AtomicUsize::new(0);
    let mut answers = std::thread::scope(|scope| {
        let (stories, next) = (&stories, &next);
        let play_some = move || {
            let mut played = Vec::new();
            while let Some((number, story)) = stories.get(next.fetch_add(1, Ordering::Relaxed)) {
                played.push((*number, play(stage, story, &format!("/s{number}"))));
            }
            played
        };
        let runs: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(play_some)).collect();
        let ended = runs.into_iter().flat_map(|run| run.join().unwrap());
        ended.collect::<Vec<_>>()
    });
    answers.sort();
    answers
        .into_iter()
        .flat_map(|(_, answers)| answers)
        .collect()
}

/// Where nothing is written for us yet: what most peers say.
fn propose(topic: &mut Topic) {
    let exchanges = topic.stories.iter_mut().flat_map(|s| &mut s.exchanges);
    for exchange in exchanges.filter(|exchange| exchange.answers[0].is_empty()) {
        let peers = &exchange.answers[1..];
        let votes = |answer: &&String| peers.iter().filter(|p| class(p) == class(answer)).count();
        let most = peers.iter().rev().max_by_key(votes).unwrap().clone();
        exchange.answers[0] = most;
    }
}

fn exchanges(topics: &[Topic]) -> impl Iterator<Item = (&str, &str, &Exchange)> {
    topics.iter().flat_map(|topic| {
        topic.stories.iter().flat_map(|story| {
            let (topic, story_title) = (topic.title.as_str(), story.title.as_str());
            let exchanges = story.exchanges.iter();
            exchanges.map(move |exchange| (topic, story_title, exchange))
        })
    })
}

fn table(topics: &[Topic]) -> String {
    let mut text = String::from(
        "# FTP: where Sealift answers as other servers do, and where not\n\n\
         Written by tests/it/ftp_transcripts.rs, which plays the exchanges of tests/it/transcripts to \
         vsftpd 3.0.3,\nProFTPD 1.3.8, Pure-FTPd 1.0.50 and Sealift, and proves each answer below.\n\n\
         | topic | exchanges | as all three | as two | better | deliberate |\n|---|---|---|---|---|---|\n",
    );
    let mut sum = [0; 5];
    for topic in topics {
        let mut row = [0; 5];
        for exchange in topic.stories.iter().flat_map(|story| &story.exchanges) {
            let kind = match (exchange.agreeing(), exchange.why.split(':').next()) {
                (_, Some("better")) => 3,
                (_, Some("deliberate")) => 4,
                (3, _) => 1,
                _ => 2,
            };
            for column in [0, kind] {
                row[column] += 1;
                sum[column] += 1;
            }
        }
        let _ = writeln!(
            text,
            "| {} | {} |",
            topic.title,
            row.map(|n| n.to_string()).join(" | ")
        );
    }
    let _ = writeln!(text, "| all | {} |", sum.map(|n| n.to_string()).join(" | "));
    for kind in ["better", "deliberate"] {
        let title = match kind {
            "better" => "Better",
            _ => "Different on purpose",
        };
        let _ = write!(
            text,
            "\n## {title}\n\n| said | {} | why |\n|---|---|---|---|---|---|\n",
            COLUMNS.join(" | ")
        );
        for (_, story, exchange) in exchanges(topics) {
            let Some(why) = exchange.why.strip_prefix(&format!("{kind}: ")) else {
                continue;
            };
            let answers = exchange.answers.join(" | ");
            let step = exchange.step.replace('|', "\\|");
            let _ = writeln!(text, "| {story}: `{step}` | {answers} | {why} |");
        }
    }
    text
}
