//! What clients meet when S3 or the key service is in trouble, and that nothing has to be restarted.

use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use crate::support::client::{quote, sftp, sftp_ok, succeed};
use crate::support::cloud;
use crate::support::folder::{TempFolder, sums};
use crate::support::ftp_door::{self, FtpDoor, noise};
use crate::support::ground::{Ground, put, until_it_works};
use crate::support::https_door;
use crate::support::proxy::{Harm, Way};
use crate::support::server::{Server, sealift};
use crate::support::wait::wait_for;

const MIB: u64 = 1 << 20;

/// Waits until the port without TLS gives this answer to whoever asks for readiness; returns it.
fn readiness(server: &Server, status: u16) -> serde_json::Value {
    let clear = server.ready.listeners.http.unwrap();
    wait_for("readiness to change", Duration::from_secs(120), || {
        let answer = https_door::ask(&[], &format!("http://{clear}/readyz"));
        (answer.status == status).then(|| answer.json())
    })
}

#[test]
fn transfers_survive_cuts_and_changed_bytes_on_the_line_to_s3() {
    let ground = Ground::new();
    let (server, options) = ground.start();
    let files = ground.files("files");
    let harms = [
        Harm::Cut {
            way: Way::Requests,
            after: 3 * MIB,
            times: 3,
        },
        Harm::Corrupt {
            way: Way::Requests,
            at: 5 * MIB,
        },
        Harm::Delay(Duration::from_millis(300)),
    ];
    for harm in harms {
        ground.s3.set(harm);
        sftp_ok(&server, &options, &put(&files));
        ground.s3.set(Harm::Off);
        let back = ground.fetch(&server, &options, &format!("back {harm:?}"));
        assert_eq!(sums(&files), sums(&back), "{harm:?}");
    }
    let harms = [
        Harm::Cut {
            way: Way::Answers,
            after: 3 * MIB,
            times: 3,
        },
        Harm::Corrupt {
            way: Way::Answers,
            at: 5 * MIB,
        },
    ];
    for harm in harms {
        ground.s3.set(harm);
        let back = ground.fetch(&server, &options, &format!("back {harm:?}"));
        ground.s3.set(Harm::Off);
        assert_eq!(sums(&files), sums(&back), "{harm:?}");
    }
    assert!(ground.s3.harmed() >= 4);
    server.stop();
}

#[test]
fn without_s3_clients_are_told_and_what_was_there_stays() {
    let ground = Ground::new();
    let (server, options) = ground.start();
    let (old, new) = (ground.files("old"), ground.files("new"));
    sftp_ok(&server, &options, &put(&old));
    for harm in [Harm::Refuse, Harm::BlackHole { after: 0 }] {
        ground.s3.set(harm);
        // Small enough that its only call is the one that fails. In one session: when it is over, the
        // server may have closed its ports.
        let batch = format!("-put {} .\nls -l\n", quote(new.join("0")));
        let told = sftp(&server, &options, &[], &batch);
        let said = String::from_utf8_lossy(&told.stderr);
        for part in ["Failure", "the server's storage does not answer; try again"] {
            assert!(said.contains(part), "{said}");
        }
        let listing = succeed(&told);
        assert!(listing.contains("1000"), "{listing}");
        ground.s3.set(Harm::Off);
        readiness(&server, 200);
        let back = ground.fetch(&server, &options, &format!("back {harm:?}"));
        assert_eq!(sums(&old), sums(&back));
    }
    until_it_works(&server, &options, &put(&new));
    let back = ground.fetch(&server, &options, "back");
    assert_eq!(sums(&new), sums(&back));
    server.stop();
}

#[test]
fn an_outage_of_the_key_service_is_not_noticed_while_keys_are_in_memory() {
    let ground = Ground::new();
    let (server, options) = ground.start();
    let files = ground.files("files");
    sftp_ok(&server, &options, &put(&files));
    ground.keys.set(Harm::Refuse);
    sftp_ok(&server, &options, &put(&files));
    let back = ground.fetch(&server, &options, "back");
    assert_eq!(sums(&files), sums(&back));
    server.stop();

    // A start goes on without it; transfers wait for it to come back, and need no restart then.
    let (server, options) = ground.start();
    let refused = sftp(&server, &options, &[], &put(&files));
    assert!(!refused.status.success());
    assert!(server.log().contains("key service"), "{}", server.log());
    sftp_ok(&server, &options, "ls -l\nmkdir folder\n");
    ground.keys.set(Harm::Off);
    until_it_works(&server, &options, &put(&files));
    server.stop();
}

#[test]
fn an_instance_whose_store_is_gone_takes_no_connections_until_it_is_back() {
    let ground = Ground::new();
    let (server, options) = ground.start();
    let ports = [
        server.ready.listeners.sftp,
        server.ready.listeners.ftp.unwrap(),
        server.ready.listeners.ftps.unwrap(),
        server.ready.listeners.https.unwrap(),
    ];
    readiness(&server, 200);
    ground.s3.set(Harm::Refuse);
    let answer = readiness(&server, 503);
    assert_eq!(answer["ready"], false);
    let store = answer["parts"].as_array().unwrap().iter();
    let store = store.clone().find(|part| part["name"] == "store").unwrap();
    assert_eq!(store["ready"], false, "{answer}");
    assert!(store["problem"].is_string(), "{answer}");
    for port in ports {
        wait_for("the port to refuse", Duration::from_secs(30), || {
            TcpStream::connect(port).err().map(|error| {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
            })
        });
    }
    ground.s3.set(Harm::Off);
    readiness(&server, 200);
    for port in ports {
        wait_for("the port to be open", Duration::from_secs(30), || {
            TcpStream::connect(port).ok()
        });
    }
    sftp_ok(&server, &options, "ls\n");
    server.stop();
}

#[test]
fn a_server_does_not_start_over_a_disk_that_is_not_mounted() {
    if cloud::wanted() {
        return;
    }
    let folder = TempFolder::new();
    let data = folder.join("data");
    let content = noise(400_000);
    let door = FtpDoor::over(Server::up(&data));
    assert_eq!(ftp_door::put(&mut door.clear(), "STOR a", &content), 226);
    door.server.stop();
    let (blobs, away) = (data.join("blobs"), data.join("blobs.away"));
    fs::rename(&blobs, &away).unwrap();
    let words = ["up", "--any-port", "--data", data.to_str().unwrap()];
    for is_mount_point in [false, true] {
        if is_mount_point {
            fs::create_dir_all(&blobs).unwrap();
        }
        let refused = sealift(&words, "");
        assert!(!refused.status.success());
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(told.contains("blobs' is empty"), "{told}");
        assert!(told.contains("mount its disk"), "{told}");
    }
    fs::remove_dir_all(&blobs).unwrap();
    fs::rename(&away, &blobs).unwrap();
    let door = FtpDoor::over(Server::up(&data));
    assert!(ftp_door::get(&mut door.clear(), "RETR a") == content);
}
