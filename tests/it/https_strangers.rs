//! What those may have of the server over HTTP/2 who have not logged in.

use std::thread;
use std::time::Duration;

use data_encoding::BASE64;

use crate::support::frames::{DATA, Frames, GO_AWAY, HEADERS, PING, WINDOW};
use crate::support::https_door::HttpsDoor;
use crate::support::wait::wait_for;

const SOON: Duration = Duration::from_secs(120);
const CLIENTS: u64 = 40;

#[test]
fn bodies_wait_in_their_lines_while_passwords_are_looked_at() {
    const AHEAD: u64 = 3 << 20;
    let door = HttpsDoor::up();
    let before = door.resident();
    let piece = vec![b'z'; 16 * 1024];
    let clients = thread::scope(|scope| {
        let sending: Vec<_> = (0..CLIENTS)
            .map(|index| {
                let (door, piece) = (&door, &piece);
                scope.spawn(move || {
                    let mut client = Frames::to(door, 65_535);
                    let user = BASE64.encode(format!("nobody{index}@demo:wrong").as_bytes());
                    let user = format!("Basic {user}");
                    let more = [("authorization", user.as_str())];
                    client.begin(1, 4, "PUT", "/api/v1/files/x", &more);
                    // Who reads the answer may stop.
                    let mut left = AHEAD / piece.len() as u64;
                    while left > 0 && client.try_send(DATA, 0, 1, piece) {
                        left -= 1;
                    }
                    client
                })
            })
            .collect();
        let sent = sending.into_iter().map(|client| client.join().unwrap());
        sent.collect::<Vec<_>>()
    });
    // Whoever has waited for too long has lost the connection.
    for client in &clients {
        wait_for("an answer", SOON, || {
            (client.count(HEADERS) > 0 || client.is_over()).then_some(())
        });
    }
    let grown = door.peak().saturating_sub(before);
    assert!(grown < CLIENTS * AHEAD / 2, "{grown}");
}

#[test]
fn heads_wait_in_their_lines_while_others_are_answered() {
    const STREAMS: u32 = 64;
    const HEAD: usize = 15_000;
    let door = HttpsDoor::up_set([("LIMITS__LOGIN_TIME", "1s")]);
    let before = door.resident();
    let long = "y".repeat(HEAD / 5);
    let names = ["x-a", "x-b", "x-c", "x-d", "x-e"];
    let mut more: Vec<_> = names.iter().map(|name| (*name, long.as_str())).collect();
    more.push(("content-type", "application/json"));
    let clients = thread::scope(|scope| {
        let sending: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Frames::to(&door, 65_535);
                    for stream in (0..STREAMS).map(|index| 2 * index + 1) {
                        // What they would say never comes.
                        client.begin(stream, 4, "POST", "/api/v1/sessions", &more);
                    }
                    client
                })
            })
            .collect();
        let sent = sending.into_iter().map(|client| client.join().unwrap());
        sent.collect::<Vec<_>>()
    });
    // All are answered after a while.
    for client in &clients {
        wait_for("the answers", SOON, || {
            (client.count(HEADERS) == STREAMS as usize).then_some(())
        });
    }
    let grown = door.peak().saturating_sub(before);
    let all = CLIENTS * u64::from(STREAMS) * HEAD as u64;
    assert!(grown < all, "{grown} of {all}");
}

#[test]
fn a_connection_without_requests_is_ended() {
    let door = HttpsDoor::up_with(&[("HEAD_TIME", "2s"), ("STALL_TIME", "1h")]);
    door.put("/few", "0123456789", &[]);
    let mut busy = Frames::to(&door, 0);
    busy.get(1, "/few", "bytes=0-");
    busy.wait(HEADERS, 1);
    let mut idle = Frames::to(&door, 0);
    says_good_bye(&mut idle);
    assert_eq!(busy.count(GO_AWAY), 0);
    busy.send(WINDOW, 0, 1, &10_u32.to_be_bytes());
    assert_eq!(busy.wait(DATA, 1).3, b"0123456789");
    says_good_bye(&mut busy);
}

/// Waits for the server to end a connection, as one may to which requests could still be on their way.
#[track_caller]
fn says_good_bye(client: &mut Frames) {
    client.wait(GO_AWAY, 0);
    let asked = client.wait(PING, 0).3;
    client.send(PING, 1, 0, &asked);
    wait_for("the end of the connection", SOON, || {
        client.is_over().then_some(())
    });
}

#[test]
fn a_connection_whose_client_does_not_answer_is_ended_too() {
    let door = HttpsDoor::up_with(&[("HEAD_TIME", "1s")]);
    let client = Frames::to(&door, 0);
    wait_for("the end of the connection", SOON, || {
        client.is_over().then_some(())
    });
    assert_eq!(client.count(GO_AWAY), 1);
}
