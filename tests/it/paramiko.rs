//! paramiko, which most Python programs use, and what can be sent through it that no client would.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::support::client::{paramiko, run, succeed};
use crate::support::folder::TempFolder;
use crate::support::server::Server;

/// Far below what the requests of one client add up to, far above what a quiet server needs.
const MEMORY_LIMIT_KIB: u64 = 300 * 1024;

#[test]
fn pipelined_uploads_and_prefetched_downloads_survive_new_keys() {
    exchange("rekeying");
}

#[test]
fn put_and_get_keep_every_size() {
    exchange("put_and_get");
}

#[test]
fn any_part_of_a_file_can_be_read() {
    exchange("partial_reads");
}

#[test]
fn a_file_may_be_written_in_any_order() {
    exchange("offset_writes");
}

#[test]
fn many_handles_are_open_at_once() {
    exchange("many_handles");
}

#[test]
fn attributes_are_kept() {
    exchange("attributes");
}

#[test]
fn a_listing_of_thousands_shows_each_name_once() {
    exchange("wide_listing");
}

#[test]
fn channels_of_one_connection_do_not_block_each_other() {
    exchange("several_channels");
}

#[test]
fn checksums_come_by_extension_and_by_command() {
    exchange("checksums");
}

#[test]
fn a_session_sees_what_it_writes_as_on_a_disk() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    succeed(&run(paramiko("semantics.py", &server, &[]), ""));
    server.stop();
}

#[test]
fn nonsense_lengths_end_the_session_and_nothing_else() {
    hostile("fatal");
}

#[test]
fn malformed_requests_are_refused() {
    hostile("malformed");
}

#[test]
fn unknown_requests_are_answered_as_unsupported() {
    hostile("unknown");
}

#[test]
fn impossible_names_are_refused_with_a_reason() {
    hostile("names");
}

#[test]
fn a_client_that_never_reads_costs_bounded_memory() {
    memory_stays_bounded("never_reads");
}

#[test]
fn a_client_that_floods_costs_bounded_memory() {
    memory_stays_bounded("floods");
}

fn exchange(case: &str) {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let scratch = folder.folder("scratch");
    let words = [case, scratch.to_str().unwrap()];
    succeed(&run(paramiko("exchange.py", &server, &words), ""));
    server.stop();
}

/// Whatever was sent, the next client is served.
fn hostile(case: &str) {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    succeed(&run(paramiko("hostile.py", &server, &[case]), ""));
    succeed(&run(paramiko("exchange.py", &server, &["attributes"]), ""));
    server.stop();
}

fn memory_stays_bounded(case: &str) {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let mut client = paramiko("hostile.py", &server, &[case])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut output = BufReader::new(client.stdout.take().unwrap());
    output.read_line(&mut said).unwrap();
    assert_eq!(said, "asked\n");
    let peak = peak_memory_kib(&server);
    assert!(peak < MEMORY_LIMIT_KIB, "{peak} KiB");
    succeed(&run(paramiko("exchange.py", &server, &["attributes"]), ""));
    writeln!(client.stdin.take().unwrap()).unwrap();
    client.wait().unwrap();
    server.stop();
}

fn peak_memory_kib(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.ready.pid)).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}
