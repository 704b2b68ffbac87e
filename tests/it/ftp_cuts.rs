//! FTP uploads that are cut off at random points: what was acknowledged is whole, what was not is shown
//! to nobody else, and can be gone on with.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use socket2::SockRef;

use crate::support::folder::TempFolder;
use crate::support::ftp_door::{FtpDoor, SECRET, code, get, next, put, size};
use crate::support::ftp_raw::FtpRaw;
use crate::support::server::{DEMO, Server};
use crate::support::wait::wait_for;

const MOST_BYTES: usize = 4 << 20;

/// What is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Both connections, as the system does it for a client that is killed.
    Client,
    Control,
    /// By a reset, or by an end that TLS was not told of.
    Data,
    Nothing,
    Server,
}

const CUTS: [Cut; 5] = [
    Cut::Client,
    Cut::Control,
    Cut::Data,
    Cut::Nothing,
    Cut::Server,
];

#[test]
#[expect(
    clippy::print_stdout,
    reason = "a failure is looked into with its seed"
)]
fn uploads_that_are_cut_off_anywhere_are_whole_or_gone_on_with() {
    let rounds = number_from("SEALIFT_FTP_CUTS_ROUNDS").unwrap_or(30);
    let seed = number_from("SEALIFT_FTP_CUTS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("SEALIFT_FTP_CUTS_SEED={seed} SEALIFT_FTP_CUTS_ROUNDS={rounds}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let folder = TempFolder::new();
    let data = folder.join("data");
    let mut door = FtpDoor::over(Server::up(&data));
    let bob = door.account("bob", &[]);
    let mut published: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for round in 0..rounds {
        let name = format!("file{}", dice.u8(0..6));
        // Odd, as no length is at which something breaks off.
        let mut content = vec![0; dice.usize(1..MOST_BYTES) | 1];
        dice.fill(&mut content);
        let cut = dice.choice(CUTS).unwrap();
        let at = dice.usize(0..=content.len());
        let is_sealed = dice.bool();
        println!(
            "round {round}: {name}, {cut:?} after {at} of {}, sealed {is_sealed}",
            content.len()
        );
        let client = connect(&door, is_sealed);
        let acknowledged = upload(client, &name, &content, cut, at);
        assert_eq!(acknowledged, cut == Cut::Nothing);
        if cut == Cut::Server {
            door.server.kill();
            door = FtpDoor::over(Server::up(&data));
        }
        let mut other = door.sealed_as(&bob, SECRET);
        if acknowledged {
            published.insert(name.clone(), content);
        } else {
            let old = published.get(&name);
            assert_eq!(size(&mut other, &name), old.map(Vec::len));
            if let Some(old) = old {
                assert!(get(&mut other, &format!("RETR {name}")) == *old);
            }
            if dice.bool() {
                let client = connect(&door, dice.bool());
                go_on(client, &name, &content, old.map(Vec::len), dice.bool());
                published.insert(name.clone(), content);
            }
        }
        if let Some(now) = published.get(&name) {
            assert!(get(&mut other, &format!("RETR {name}")) == *now);
        }
    }
    let mut other = door.sealed_as(&bob, SECRET);
    for (name, content) in &published {
        assert!(
            get(&mut other, &format!("RETR {name}")) == *content,
            "{name}"
        );
    }
    let checked = door.server.admin(&["fsck", "--json"], "");
    let checked: serde_json::Value = serde_json::from_str(&checked).unwrap();
    assert_eq!(checked["clean"], true, "{checked}");
}

/// Uploads and cuts it off; whether 226 came. What the server's end cuts is let go after it.
fn upload(mut client: FtpRaw, name: &str, content: &[u8], cut: Cut, at: usize) -> bool {
    let mut codes = Vec::new();
    let port = client.prepare_data(&mut codes).unwrap().unwrap();
    assert_eq!(code(&mut client, &format!("STOR {name}")), 150);
    let mut stream = client.open(port).unwrap();
    let at = if cut == Cut::Nothing {
        content.len()
    } else {
        at
    };
    stream.write_all(&content[..at]).unwrap();
    stream.flush().unwrap();
    match cut {
        Cut::Client => {
            drop(client);
            drop(stream);
            return false;
        }
        Cut::Control => {
            drop(client);
            return false;
        }
        Cut::Data => {
            if !client.protect {
                SockRef::from(stream.socket())
                    .set_linger(Some(Duration::ZERO))
                    .unwrap();
            }
        }
        Cut::Nothing => stream.close().unwrap(),
        Cut::Server => {
            // Both stay as they are until the server is gone.
            std::mem::forget((client, stream));
            return false;
        }
    }
    drop(stream);
    match next(&mut client) {
        226 => true,
        426 => false,
        code => panic!("{code}"),
    }
}

/// Goes on with an upload from where SIZE says.
fn go_on(mut client: FtpRaw, name: &str, content: &[u8], old: Option<usize>, append: bool) {
    // The connection of before may have to be noticed to be gone first.
    let (kept, done) = wait_for("the name to be free", Duration::from_secs(10), || {
        let kept = size(&mut client, name).filter(|size| Some(*size) != old);
        let from = kept.unwrap_or(0);
        assert!(from <= content.len());
        let line = match (kept, append) {
            (None, _) => format!("STOR {name}"),
            (Some(_), true) => format!("APPE {name}"),
            (Some(_), false) => {
                assert_eq!(code(&mut client, &format!("REST {from}")), 350);
                format!("STOR {name}")
            }
        };
        let done = put(&mut client, &line, &content[from..]);
        (done != 450).then_some((kept, done))
    });
    assert_eq!(done, 226, "from {kept:?}");
}

fn connect(door: &FtpDoor, is_sealed: bool) -> FtpRaw {
    match is_sealed {
        true => door.sealed_as(DEMO, &door.server.password()),
        false => door.clear(),
    }
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var_os(variable)?.to_str()?.parse().ok()
}
