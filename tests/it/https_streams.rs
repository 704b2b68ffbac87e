//! Streams of HTTP/2 whose client takes little or nothing of what it asked for.

use std::time::Duration;

use serde_json::json;

use crate::support::folder::TempFolder;
use crate::support::frames::{DATA, Frames, HEADERS, PING, RESET, WINDOW};
use crate::support::https_door::HttpsDoor;
use crate::support::wait::wait_for;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_stream_that_nobody_takes_is_ended_and_the_others_go_on() {
    let door = HttpsDoor::up_with(&[("STALL_TIME", "2s")]);
    door.put("/few", "0123456789", &[]);
    large(&door, 1 << 20);
    let mut client = Frames::to(&door, 0);
    // One of which nothing is taken, one of which all but a byte is, and one that is longer than what is
    // read at a time.
    for (stream, path) in [(1, "/few"), (3, "/few"), (5, "/many")] {
        client.get(stream, path, "bytes=0-");
        client.wait(HEADERS, stream);
    }
    client.send(WINDOW, 0, 3, &9_u32.to_be_bytes());
    client.send(WINDOW, 0, 5, &100_000_u32.to_be_bytes());
    client.wait(DATA, 3);
    client.wait(DATA, 5);
    for stream in [1, 3, 5] {
        client.wait(RESET, stream);
    }
    client.get(7, "/few", "bytes=0-");
    client.send(WINDOW, 0, 7, &1000_u32.to_be_bytes());
    assert_eq!(client.wait(DATA, 7).3, b"0123456789");
}

#[test]
fn a_stream_that_moves_is_not_ended() {
    let door = HttpsDoor::up_with(&[("STALL_TIME", "2s")]);
    door.put("/few", &"x".repeat(20_000), &[]);
    let mut client = Frames::to(&door, 1);
    client.get(1, "/few", "bytes=0-");
    // Some bytes every few milliseconds, for longer than it may stand still.
    wait_for("the end of the file", SOON, || {
        client.send(WINDOW, 0, 1, &32_u32.to_be_bytes());
        assert_eq!(client.count(RESET), 0);
        client.has_ended(1).then_some(())
    });
    assert_eq!(client.count(RESET), 0);
}

#[test]
fn a_stream_of_which_single_bytes_are_taken_is_ended() {
    let door = HttpsDoor::up_with(&[("STALL_TIME", "2s")]);
    door.put("/few", &"x".repeat(20_000), &[]);
    let mut client = Frames::to(&door, 1);
    client.get(1, "/few", "bytes=0-");
    client.get(3, "/few", "bytes=0-0");
    wait_for("the end of the stream", SOON, || {
        client.send(WINDOW, 0, 1, &1_u32.to_be_bytes());
        (client.count(RESET) == 1).then_some(())
    });
    client.wait(RESET, 1);
    assert!(client.has_ended(3), "a single byte was all that there was");
}

#[test]
fn whoever_takes_nothing_keeps_nobody_else_from_downloads() {
    let settings = [("MEMORY__BUDGET", "16MiB"), ("HTTPS__STALL_TIME", "10m")];
    let door = HttpsDoor::up_set(settings);
    large(&door, 1 << 20);
    let link = door.link(&json!({"path": "/many"}));
    let account = || door.get("/many", &[]).status;
    let outsider = || link.get("/file").status;
    let by_link = format!("{}/file", link.url);
    // First the account takes nothing, then somebody who has a link.
    for (address, own, other) in [
        (
            "/api/v1/files/many",
            &account as &dyn Fn() -> u16,
            &outsider as &dyn Fn() -> u16,
        ),
        (&by_link, &outsider, &account),
    ] {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let mut client = Frames::to(&door, 1);
                for stream in (0..100).map(|index| 2 * index + 1) {
                    client.ask(stream, address, "bytes=0-");
                }
                wait_for("the answers", SOON, || {
                    (client.count(HEADERS) == 100).then_some(())
                });
                client
            })
            .collect();
        assert_eq!((own(), other()), (503, 200), "{address}");
        drop(clients);
        wait_for("memory for more", SOON, || (own() == 200).then_some(()));
    }
}

#[test]
fn stalled_downloads_hold_no_more_memory_than_the_budget() {
    const BUDGET: u64 = 32 << 20;
    let settings = [("MEMORY__BUDGET", "32MiB"), ("HTTPS__STALL_TIME", "30s")];
    let door = HttpsDoor::up_set(settings);
    large(&door, 8 << 20);
    let before = door.resident();
    // Few bytes of large chunks, and all of the file.
    let clients: Vec<_> = ["bytes=0-1", "bytes=0-"]
        .iter()
        .flat_map(|range| [range; 4])
        .map(|range| {
            let mut client = Frames::to(&door, 1);
            for stream in (0..100).map(|index| 2 * index + 1) {
                client.get(stream, "/many", range);
            }
            wait_for("the answers", SOON, || {
                (client.count(HEADERS) == 100).then_some(())
            });
            client
        })
        .collect();
    // So that all has been read that is going to be.
    for mut client in clients.into_iter().rev() {
        client.send(PING, 0, 0, &[7; 8]);
        client.wait(PING, 0);
        let grown = door.resident().saturating_sub(before);
        assert!(grown < 3 * BUDGET, "{grown}");
    }
    assert_eq!(door.get("/many", &[]).status, 200);
}

#[test]
fn downloads_are_refused_for_a_while_when_there_is_no_memory_for_them() {
    let settings = [("MEMORY__BUDGET", "16MiB"), ("HTTPS__STALL_TIME", "5s")];
    let door = HttpsDoor::up_set(settings);
    large(&door, 4 << 20);
    let mut clients = Vec::new();
    let refused = wait_for("a download to be refused", SOON, || {
        let mut client = Frames::to(&door, 1);
        for stream in (0..100).map(|index| 2 * index + 1) {
            client.get(stream, "/many", "bytes=0-");
        }
        client.send(PING, 0, 0, &[7; 8]);
        client.wait(PING, 0);
        clients.push(client);
        let answer = door.get("/many", &[]);
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(
        (refused.status, refused.problem()),
        (503, "unavailable".into())
    );
    assert_eq!(refused.header("retry-after"), Some("5"));
    // Those who take nothing are ended.
    wait_for("room for a download", SOON, || {
        (door.get("/many", &[]).status == 200).then_some(())
    });
}

#[test]
fn an_archive_by_a_link_for_which_there_is_no_memory_is_not_counted() {
    let settings = [("MEMORY__BUDGET", "16MiB"), ("HTTPS__STALL_TIME", "30s")];
    let door = HttpsDoor::up_set(settings);
    large(&door, 4 << 20);
    let link = door.link(&json!({ "path": "/many", "max_downloads": 1 }));
    let other = door.link(&json!({ "path": "/many" }));
    let address = format!("{}/file", other.url);
    let mut clients = Vec::new();
    wait_for("the memory to be taken", SOON, || {
        let mut client = Frames::to(&door, 1);
        for stream in (0..100).map(|index| 2 * index + 1) {
            client.ask(stream, &address, "bytes=0-");
        }
        client.send(PING, 0, 0, &[7; 8]);
        client.wait(PING, 0);
        clients.push(client);
        (other.get("/file").status == 503).then_some(())
    });
    assert_eq!(link.get("/archive").status, 503);
    assert_eq!(link.shown()["downloads"], 0);
    drop(clients);
    wait_for("room for an archive", SOON, || {
        (link.get("/archive").status == 200).then_some(())
    });
    assert_eq!(link.shown()["downloads"], 1);
}

#[test]
fn listings_that_nobody_takes_hold_no_more_memory_than_the_budget() {
    const BUDGET: u64 = 16 << 20;
    const LISTED: usize = 100;
    let settings = [("MEMORY__BUDGET", "16MiB"), ("HTTPS__STALL_TIME", "30s")];
    let door = HttpsDoor::up_set(settings);
    // JSON takes six bytes for each of a name's.
    let name = "%01".repeat(250);
    for index in 100..100 + LISTED {
        door.put(&format!("/{name}{index}"), "", &[]);
    }
    let before = door.resident();
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let mut client = Frames::to(&door, 1);
            for stream in (0..100).map(|index| 2 * index + 1) {
                client.ask(stream, "/api/v1/folders", "bytes=0-");
            }
            wait_for("the answers", SOON, || {
                (client.count(HEADERS) == 100).then_some(())
            });
            client
        })
        .collect();
    let grown = door.resident().saturating_sub(before);
    assert!(grown < 3 * BUDGET, "{grown}");
    let refused = door.demo(&[], "/api/v1/folders");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.header("retry-after"), Some("5"));
    drop(clients);
    wait_for("memory for a listing", SOON, || {
        let listed = door.demo(&[], "/api/v1/folders");
        (listed.status == 200).then(|| assert!(listed.text().len() > LISTED * 6 * 250))
    });
}

/// Stores the file `many`.
fn large(door: &HttpsDoor, size: usize) {
    let folder = TempFolder::new();
    let local = folder.join("many");
    std::fs::write(&local, vec![7; size]).unwrap();
    let put = door.demo(&["-T", local.to_str().unwrap()], "/api/v1/files/many");
    assert_eq!(put.status, 201, "{}", put.text());
}
