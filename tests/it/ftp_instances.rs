//! An FTP upload that breaks off at one server and goes on at another, which runs beside it on the same
//! PostgreSQL and the same store.

use std::io::Write;
use std::time::Duration;

use crate::support::ftp_door::{code, get, next, noise, put, size};
use crate::support::ftp_raw::FtpRaw;
use crate::support::serving::Serving;
use crate::support::two::{SECRET, Two};
use crate::support::wait::wait_for;

fn client(serving: &Serving) -> FtpRaw {
    let (mut client, _) = FtpRaw::connect(serving.ftp.unwrap()).unwrap();
    client.secure();
    client.login("ann@acme", SECRET);
    assert_eq!(code(&mut client, "TYPE I"), 200);
    client
}

#[test]
fn an_upload_that_broke_off_at_one_server_goes_on_at_another() {
    let two = Two::new();
    let (one, other) = (two.start("one"), two.start("other"));
    let (mut here, mut there) = (client(&one), client(&other));
    let content = noise(3_000_001);
    for (name, append) in [("by REST", false), ("by APPE", true)] {
        let port = here.prepare_data(&mut Vec::new()).unwrap().unwrap();
        assert_eq!(code(&mut here, &format!("STOR {name}")), 150);
        let mut data = here.open(port).unwrap();
        data.write_all(&content[..2_000_000]).unwrap();
        data.flush().unwrap();
        // TLS that is cut: all that came is kept, but for a frame.
        drop(data);
        assert_eq!(next(&mut here), 426);
        let kept = size(&mut there, name).unwrap();
        assert!(kept > 1_900_000 - 65_536 && kept <= 2_000_000, "{kept}");
        let line = match append {
            true => format!("APPE {name}"),
            false => {
                assert_eq!(code(&mut there, &format!("REST {kept}")), 350);
                format!("STOR {name}")
            }
        };
        assert_eq!(put(&mut there, &line, &content[kept..]), 226);
        assert!(get(&mut here, &format!("RETR {name}")) == content);
    }
    // The one that has it under way dies: another takes it over as soon as that is certain.
    let port = here.prepare_data(&mut Vec::new()).unwrap().unwrap();
    assert_eq!(code(&mut here, "STOR orphan"), 150);
    let mut data = here.open(port).unwrap();
    data.write_all(&content[..1_000_000]).unwrap();
    data.flush().unwrap();
    one.kill();
    let done = wait_for(
        "the other server to take over",
        Duration::from_secs(90),
        || {
            let kept = size(&mut there, "orphan").unwrap_or(0);
            assert_eq!(code(&mut there, &format!("REST {kept}")), 350);
            let done = put(&mut there, "STOR orphan", &content[kept..]);
            (done != 450).then_some(done)
        },
    );
    assert_eq!(done, 226);
    assert!(get(&mut there, "RETR orphan") == content);
    two.run(&["fsck"]);
    other.stop();
}
