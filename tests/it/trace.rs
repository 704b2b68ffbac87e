//! A kill proves no fsync, since the kernel outlives it; the order of system calls does.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use crate::support::folder::TempFolder;
use crate::support::hold::HeldUpload;
use crate::support::server::Server;

const CALLS: &str = "trace=fsync,fdatasync,sync_file_range,rename,renameat,renameat2,link,linkat,\
                     write,writev,send,sendto,sendmsg,pwrite64";

/// One system call: the lines of the trace where it began and returned.
#[derive(Clone, Debug, Default)]
struct Call {
    name: String,
    arguments: String,
    at: f64,
    began: usize,
    returned: usize,
}

#[test]
fn a_close_is_answered_after_file_rename_folder_and_database_are_synced() {
    for size in [1_000, 300_000] {
        let folder = TempFolder::new();
        let data = folder.join("data");
        let trace = folder.join("trace");
        // Made without strace, which would only slow it down.
        Server::up(&data).stop();
        let words = ["strace", "-f", "-yy", "-ttt", "-s", "0", "-e", CALLS, "-o"];
        let mut wrapper: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        wrapper.push(trace.as_os_str());
        let server = Server::up_under(&wrapper, &data);
        let closed = HeldUpload::start(&server, size).finish();
        server.stop();
        let text = fs::read_to_string(&trace).unwrap();
        let window = closed.asked..=closed.answered;
        let mut calls = calls(&text);
        calls.retain(|call| window.contains(&call.at));
        check_order(&calls, &data);
    }
}

fn check_order(calls: &[Call], data: &Path) {
    let data = data.to_str().unwrap();
    let rename = calls
        .iter()
        .find(|call| call.name.starts_with("rename") || call.name.starts_with("link"))
        .unwrap_or_else(|| panic!("nothing was given its name: {calls:#?}"));
    let paths: Vec<&str> = rename.arguments.split('"').skip(1).step_by(2).collect();
    let [temporary, kept] = paths[..] else {
        panic!("{rename:?}")
    };
    assert!(
        temporary.starts_with(data) && kept.starts_with(data),
        "{rename:?}"
    );
    let parent = Path::new(kept).parent().unwrap().to_str().unwrap();

    let synced = |path: &str, after: usize| {
        let found = calls.iter().find(|call| {
            call.name.starts_with('f')
                && call.began > after
                && call.arguments.contains(&format!("<{path}>"))
        });
        found.unwrap_or_else(|| panic!("{path} was not synced after line {after}: {calls:#?}"))
    };
    let file = synced(temporary, 0);
    assert!(file.returned < rename.began, "{calls:#?}");
    let folder = synced(parent, rename.returned);
    let database = calls
        .iter()
        .find(|call| {
            call.name.starts_with('f')
                && call.began > folder.returned
                && call.arguments.contains("-wal>")
        })
        .unwrap_or_else(|| panic!("the database was not synced last: {calls:#?}"));
    let reply = calls
        .iter()
        .rfind(|call| call.arguments.contains("<TCP:["))
        .unwrap_or_else(|| panic!("no reply: {calls:#?}"));
    assert!(database.returned < reply.began, "{calls:#?}");
}

/// Reads `PID TIME NAME(ARGUMENTS) = RESULT`, also when another thread came between.
fn calls(trace: &str) -> Vec<Call> {
    let mut finished = Vec::new();
    let mut pending: BTreeMap<&str, Call> = BTreeMap::new();
    for (line_number, line) in trace.lines().enumerate() {
        let mut words = line.splitn(2, ' ');
        let (Some(thread), Some(rest)) = (words.next(), words.next()) else {
            continue;
        };
        let Some((time, text)) = rest.trim_start().split_once(' ') else {
            continue;
        };
        if text.starts_with("<... ") {
            if let Some(mut call) = pending.remove(thread) {
                call.returned = line_number;
                finished.push(call);
            }
            continue;
        }
        let Some((name, arguments)) = text.split_once('(') else {
            continue;
        };
        let call = Call {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            at: time.parse().unwrap(),
            began: line_number,
            returned: line_number,
        };
        if arguments.contains("<unfinished ...>") {
            pending.insert(thread, call);
        } else {
            finished.push(call);
        }
    }
    finished.sort_by_key(|call| call.began);
    finished
}
