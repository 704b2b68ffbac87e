//! MODE Z: packed both ways, cut short, damaged, and made to be far more than it looks.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;

use data_encoding::HEXLOWER;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use sha2::{Digest, Sha256};

use crate::support::ftp_door::{FtpDoor, SECRET, ask, code, get, next, noise, put, size};
use crate::support::ftp_raw::FtpRaw;

fn packed(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    let mut decoder = ZlibDecoder::new(packed);
    decoder.read_to_end(&mut content).unwrap();
    assert_eq!(decoder.total_in(), packed.len() as u64);
    content
}

fn lines() -> Vec<u8> {
    let line = |number| format!("line {number} of a log that says much the same again and again\n");
    (0..100_000).map(line).collect::<String>().into()
}

#[test]
fn files_and_names_travel_packed_both_ways() {
    let door = FtpDoor::up();
    let content = lines();
    for mut client in [door.clear(), door.sealed()] {
        assert!(ask(&mut client, "FEAT").text.contains(" MODE Z\n"));
        assert_eq!(code(&mut client, "OPTS MODE Z ENGINE ZLIB LEVEL 9"), 200);
        for wrong in ["OPTS MODE Z LEVEL 0", "OPTS MODE Z LEVEL", "OPTS MODE S"] {
            assert_eq!(code(&mut client, wrong), 501, "{wrong}");
        }
        assert_eq!(code(&mut client, "MODE Z"), 200);
        assert!(ask(&mut client, "STAT").text.contains("MODE Z"));
        assert_eq!(put(&mut client, "STOR a", &packed(&content)), 226);
        assert_eq!(size(&mut client, "a"), Some(content.len()));
        let sent = get(&mut client, "RETR a");
        assert!(sent.len() < content.len() / 5, "{}", sent.len());
        assert!(unpacked(&sent) == content);
        // Offsets are those of files.
        assert_eq!(code(&mut client, "REST 1000"), 350);
        assert!(unpacked(&get(&mut client, "RETR a")) == content[1000..]);
        assert_eq!(code(&mut client, "REST 5"), 350);
        assert_eq!(put(&mut client, "STOR a", &packed(b"|behind")), 226);
        assert_eq!(put(&mut client, "APPE a", &packed(b"|more")), 226);
        for empty in [packed(b""), Vec::new()] {
            assert_eq!(put(&mut client, "STOR empty", &empty), 226);
            assert_eq!(size(&mut client, "empty"), Some(0));
        }
        assert_eq!(unpacked(&get(&mut client, "RETR empty")), b"");
        let names = String::from_utf8(unpacked(&get(&mut client, "NLST"))).unwrap();
        assert!(names.contains("empty\r\n"), "{names}");
        assert_eq!(code(&mut client, "TYPE A"), 200);
        assert_eq!(put(&mut client, "STOR text", &packed(b"a\r\nb\r")), 226);
        assert_eq!(unpacked(&get(&mut client, "RETR text")), b"a\r\nb\r");
        assert_eq!(code(&mut client, "TYPE I"), 200);
        assert_eq!(code(&mut client, "MODE S"), 200);
        assert_eq!(get(&mut client, "RETR a"), b"line |behind|more");
        assert_eq!(get(&mut client, "RETR text"), b"a\nb\r");
    }
}

#[test]
fn a_stream_that_is_cut_short_is_gone_on_with_and_a_damaged_one_is_not_kept() {
    let door = FtpDoor::up();
    let content = noise(900_001);
    for mut client in [door.clear(), door.sealed()] {
        assert_eq!(code(&mut client, "MODE Z"), 200);
        let whole = packed(&content);
        assert_eq!(put(&mut client, "STOR a", &whole[..whole.len() - 3]), 426);
        let kept = size(&mut client, "a").unwrap();
        assert!(kept > 500_000 && kept < content.len(), "{kept}");
        assert_eq!(code(&mut client, &format!("REST {kept}")), 350);
        assert_eq!(put(&mut client, "STOR a", &packed(&content[kept..])), 226);
        assert!(unpacked(&get(&mut client, "RETR a")) == content);
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        let more = [&whole[..], b"more"].concat();
        for wrong in [&damaged, &more, &content] {
            assert_eq!(put(&mut client, "STOR b", wrong), 451);
            assert_eq!(size(&mut client, "b"), None);
        }
        assert_eq!(code(&mut client, "DELE a"), 250);
    }
}

#[test]
fn a_damaged_stream_leaves_what_another_brought_before() {
    let door = FtpDoor::up();
    let content = noise(24_000_000);
    let mut client = door.sealed();
    let mut data = begin(&mut client, "STOR a");
    data.write_all(&content[..3_000_000]).unwrap();
    data.flush().unwrap();
    // Without close_notify.
    drop(data);
    assert_eq!(next(&mut client), 426);
    let kept = size(&mut client, "a").unwrap();
    assert_eq!(code(&mut client, "MODE Z"), 200);
    let mut damaged = packed(&content[kept..]);
    *damaged.last_mut().unwrap() ^= 1;
    // So much that it was noted in between what had come of it, and nothing.
    for wrong in [&damaged[..], &content[..1000]] {
        assert_eq!(put(&mut client, "APPE a", wrong), 451);
        assert_eq!(size(&mut client, "a"), Some(kept));
        for from in [kept, kept / 2] {
            assert_eq!(code(&mut client, &format!("REST {from}")), 350);
            assert_eq!(put(&mut client, "STOR a", wrong), 451);
            assert_eq!(size(&mut client, "a"), Some(kept));
        }
    }
    assert_eq!(put(&mut client, "APPE a", &packed(&content[kept..])), 226);
    assert!(unpacked(&get(&mut client, "RETR a")) == content);
    let sum = ask(&mut client, "HASH a").text;
    let whole = HEXLOWER.encode(&Sha256::digest(&content));
    assert!(sum.contains(&whole), "{sum}");
    let checked = door.server.admin(&["fsck", "--json"], "");
    assert!(checked.contains("\"clean\":true"), "{checked}");
}

#[test]
fn what_comes_out_of_a_bomb_goes_through_quotas_and_costs_no_memory() {
    let door = FtpDoor::up();
    let ann = door.account("ann", &["--quota", "64MiB"]);
    let zeros = vec![0; 1 << 20];
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    (0..512).for_each(|_| encoder.write_all(&zeros).unwrap());
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let before = memory_kib(&door);
    let mut client = door.sealed_as(&ann, SECRET);
    assert_eq!(code(&mut client, "MODE Z"), 200);
    assert_eq!(put(&mut client, "STOR bomb", &bomb), 552);
    assert_eq!(size(&mut client, "bomb"), None);
    let grown = memory_kib(&door).saturating_sub(before);
    assert!(grown < 48 * 1024, "{grown} KiB");
    assert_eq!(put(&mut client, "STOR a", &packed(b"small")), 226);
    // It is given up like any other while it unpacks.
    let mut client = door.clear();
    assert_eq!(code(&mut client, "MODE Z"), 200);
    let mut data = begin(&mut client, "STOR bomb");
    data.write_all(&bomb[..bomb.len() / 2]).unwrap();
    data.flush().unwrap();
    assert_eq!(code(&mut client, "ABOR"), 426);
    assert_eq!(next(&mut client), 226);
}

fn begin(client: &mut FtpRaw, line: &str) -> crate::support::ftp_raw::Stream {
    let port = client.prepare_data(&mut Vec::new()).unwrap().unwrap();
    assert_eq!(code(client, line), 150);
    client.open(port).unwrap()
}

fn memory_kib(door: &FtpDoor) -> u64 {
    let path = format!("/proc/{}/status", door.server.ready.pid);
    let status = fs::read_to_string(path).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let mut words = line.unwrap().split_ascii_whitespace();
    words.nth(1).unwrap().parse().unwrap()
}

#[test]
fn an_upload_over_tls_that_is_not_whole_ends_in_good_order() {
    let door = FtpDoor::up();
    let ann = door.account("ann", &[]);
    door.options(&ann, &["stall=2s"]);
    let whole = packed(&noise(100_000));
    let cut = &whole[..whole.len() - 3];
    for (mode, way) in [("Z", 0), ("Z", 1), ("Z", 2), ("S", 1), ("S", 2)] {
        let mut client = door.sealed_as(&ann, SECRET);
        assert_eq!(code(&mut client, &format!("MODE {mode}")), 200);
        let mut codes = Vec::new();
        let port = client.prepare_data(&mut codes).unwrap().unwrap();
        assert_eq!(code(&mut client, "STOR a"), 150);
        let mut data = client.open(port).unwrap();
        data.write_all(cut).unwrap();
        data.flush().unwrap();
        match way {
            0 => data.close().unwrap(),
            1 => data.socket().shutdown(Shutdown::Write).unwrap(),
            // Nothing more comes.
            _ => {}
        }
        assert_eq!(next(&mut client), 426, "{mode} {way}");
        // Without close_notify this is an error.
        assert_eq!(data.read(&mut [0]).unwrap(), 0, "{mode} {way}");
    }
}
