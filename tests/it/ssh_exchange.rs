//! Key exchanges: replayed, with packets between that an attacker put there (Terrapin), and by clients that may
//! only use what FIPS 140 knows.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::client::{SshOptions, paramiko, run, sftp_aloud, succeed};
use crate::support::folder::TempFolder;
use crate::support::server::Server;

const IGNORE: u8 = 2;
const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;
const ECDH_INIT: u8 = 30;
const ECDH_REPLY: u8 = 31;

/// A packet without encryption (RFC 4253, section 6).
fn packet(payload: &[u8]) -> Vec<u8> {
    let padding = 4 + (8 - (4 + 1 + payload.len() + 4) % 8) % 8;
    let length = u32::try_from(1 + payload.len() + padding).unwrap();
    let mut packet = length.to_be_bytes().to_vec();
    packet.push(u8::try_from(padding).unwrap());
    packet.extend_from_slice(payload);
    packet.resize(4 + length as usize, 0);
    packet
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend_from_slice(bytes);
}

/// `marker` stands behind the client's one way to exchange keys.
fn kexinit(marker: &str) -> Vec<u8> {
    let mut payload = vec![KEXINIT];
    payload.extend_from_slice(&[7; 16]);
    string(
        &mut payload,
        format!("curve25519-sha256{marker}").as_bytes(),
    );
    let twice = [
        "aes128-gcm@openssh.com",
        "hmac-sha2-256-etm@openssh.com",
        "none",
        "",
    ];
    string(&mut payload, b"ssh-ed25519");
    for list in twice.iter().flat_map(|list| [list, list]) {
        string(&mut payload, list.as_bytes());
    }
    payload.extend_from_slice(&[0; 5]);
    packet(&payload)
}

fn ecdh_init() -> Vec<u8> {
    let mut payload = vec![ECDH_INIT];
    // The base point of curve25519 is as good as any other.
    let mut point = [0; 32];
    point[0] = 9;
    string(&mut payload, &point);
    packet(&payload)
}

/// What kinds of messages the server sends, until it has new keys or hangs up.
fn answers(server: &Server, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream.write_all(b"SSH-2.0-Test\r\n").unwrap();
    let mut byte = [0];
    while byte != *b"\n" {
        stream.read_exact(&mut byte).unwrap();
    }
    for packet in packets {
        // The server may have hung up.
        let _ = stream.write_all(packet);
    }
    let mut kinds = Vec::new();
    while kinds.last() != Some(&NEWKEYS) {
        let mut length = [0; 4];
        if stream.read_exact(&mut length).is_err() {
            break;
        }
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut body).unwrap();
        kinds.push(body[1]);
    }
    kinds
}

/// Whatever was tried, others are served, and nothing was worth waking an operator for.
fn others_are_served(server: Server) {
    succeed(&run(paramiko("exchange.py", &server, &["attributes"]), ""));
    let log = server.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    server.stop();
}

#[test]
fn an_exchange_that_somebody_meddled_with_gets_no_keys() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let [strict, plain] = [",kex-strict-c-v00@openssh.com", ""].map(kexinit);
    let ignored = packet(&[IGNORE, 0, 0, 0, 1, b'x']);
    let whole = [KEXINIT, ECDH_REPLY, NEWKEYS];
    let heard = |packets: &[&Vec<u8>]| {
        let packets: Vec<_> = packets.iter().map(|packet| (*packet).clone()).collect();
        answers(&server, &packets)
    };
    let init = &ecdh_init();
    // What is right, also for clients of before Terrapin, who may be sent anything between.
    assert_eq!(heard(&[&strict, init]), whole);
    assert_eq!(heard(&[&plain, init]), whole);
    assert_eq!(heard(&[&plain, &ignored, init]), whole);
    // Terrapin puts packets there by which it shifts the numbers of later ones.
    let new_keys = packet(&[NEWKEYS]);
    for wrong in [
        &[&ignored, &strict, init][..],
        &[&strict, &ignored, init],
        &[&strict, &strict, init],
        &[&plain, &plain, init],
        &[&plain, &new_keys, init],
        &[init, &strict],
        &[&new_keys],
    ] {
        let kinds = heard(wrong);
        assert!(!kinds.contains(&NEWKEYS), "{wrong:?}: {kinds:?}");
    }
    others_are_served(server);
}

#[test]
fn an_exchange_out_of_turn_changes_no_keys_of_a_session() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    for case in [
        "out_of_turn",
        "begun_twice",
        "data_meanwhile",
        "new_keys_at_once",
    ] {
        succeed(&run(paramiko("replays.py", &server, &[case]), ""));
    }
    others_are_served(server);
}

#[test]
fn host_keys_are_proven_once_and_over_this_session() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    succeed(&run(paramiko("replays.py", &server, &["proofs"]), ""));
    server.stop();
}

/// What OpenSSH offers on a machine in FIPS mode.
const FIPS_EXCHANGES: &str = "ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,\
                              diffie-hellman-group-exchange-sha256,diffie-hellman-group14-sha256,\
                              diffie-hellman-group16-sha512,diffie-hellman-group18-sha512";

fn fips(options: &SshOptions, exchanges: &str) -> SshOptions {
    options
        .with(&format!("KexAlgorithms={exchanges}"))
        .with("Ciphers=aes256-gcm@openssh.com,aes256-ctr,aes128-gcm@openssh.com,aes128-ctr")
        .with("MACs=hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256")
        .with("HostKeyAlgorithms=rsa-sha2-512,rsa-sha2-256")
}

#[test]
fn clients_bound_to_fips_are_served_where_clients_of_old_are() {
    let folder = TempFolder::new();
    let data = folder.join("data");
    let server = Server::up(&data);
    let options = SshOptions::with_new_key(&server, folder.path());
    let refused = sftp_aloud(&server, &fips(&options, FIPS_EXCHANGES));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("no matching key exchange method"), "{said}");
    server.stop();

    let compatible = (
        "SEALIFT__SFTP__ALGORITHMS".to_owned(),
        "compatible".to_owned(),
    );
    let server = Server::up_with(&data, &[compatible]);
    for exchanges in [
        FIPS_EXCHANGES,
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
    ] {
        succeed(&sftp_aloud(&server, &fips(&options, exchanges)));
    }
    server.stop();
}
