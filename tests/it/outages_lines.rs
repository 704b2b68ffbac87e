//! What a real client meets while S3 or the key service is slow, overloaded, or what they say is changed; and a
//! server that may write nowhere but where it keeps its database.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::client::{SshOptions, quote, sftp, sftp_ok, succeed};
use crate::support::folder::{sha256, sums, write_random};
use crate::support::ground::{Ground, put, until_it_works};
use crate::support::meddler::{Meddler, refusal};
use crate::support::proxy::{Harm, Way};
use crate::support::seaweed::Seaweed;
use crate::support::server::{DEMO, Server};

/// Makes all that a process sees read-only, but for one folder, for what it runs then.
const READ_ONLY: &str = "mount --bind \"$0\" \"$0\" && for place in / /tmp /dev/shm; do \
     if mountpoint -q $place; then mount -o remount,bind,ro $place || exit 9; fi; done; exec \"$@\"";

#[test]
fn a_store_that_takes_ten_seconds_for_each_call_is_waited_for() {
    let ground = Ground::new();
    let (server, options) = ground.start();
    let files = ground.files("files");
    ground.s3.set(Harm::Delay(Duration::from_secs(10)));
    let back = ground.folder.folder("back");
    // In one session: nobody else may be let in meanwhile.
    let batch = format!("{}get * {}/\n", put(&files), quote(&back));
    sftp_ok(&server, &options, &batch);
    assert_eq!(sums(&files), sums(&back));
    ground.s3.set(Harm::Off);
    until_it_works(&server, &options, "ls\n");
    server.stop();
}

#[test]
fn a_storm_of_503_is_told_to_clients_and_what_was_there_stays() {
    let meddler = Meddler::before(Seaweed::shared().http_port(), |_| None);
    let ground = Ground::over(meddler.port());
    let (server, options) = ground.start();
    let (old, new) = (ground.files("old"), ground.files("new"));
    sftp_ok(&server, &options, &put(&old));

    let slow_down = || Some(refusal("503 Slow Down", "SlowDown"));
    meddler.meddle(move |_| slow_down());
    let batch = format!("-put {} .\nls -l\n", quote(new.join("0")));
    let told = sftp(&server, &options, &[], &batch);
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(said.contains("try again"), "{said}");
    let listing = succeed(&told);
    assert!(listing.contains("1000"), "{listing}");

    // Every third request is refused, as by a bucket that is being split up.
    let mut number = 0;
    meddler.meddle(move |_| {
        number += 1;
        (number % 3 == 0).then(slow_down).flatten()
    });
    until_it_works(&server, &options, "ls\n");
    let back = ground.fetch(&server, &options, "old back");
    assert_eq!(sums(&old), sums(&back));
    sftp_ok(&server, &options, &put(&new));
    let back = ground.fetch(&server, &options, "new back");
    assert_eq!(sums(&new), sums(&back));
    server.stop();
}

#[test]
fn a_line_to_the_key_service_that_is_slow_cut_or_changed_costs_no_file() {
    let ground = Ground::new();
    let files = ground.files("files");
    let (server, options) = ground.start();
    sftp_ok(&server, &options, &put(&files));
    server.stop();
    let passes = [
        Harm::Delay(Duration::from_secs(2)),
        Harm::Cut {
            way: Way::Answers,
            after: 200,
            times: 2,
        },
        Harm::Cut {
            way: Way::Requests,
            after: 200,
            times: 2,
        },
    ];
    // Some bytes are of the line of status, some of a length, some of the wrapped or the plain key.
    let changes = [5, 150, 300, 420, 500, 560].map(|at| Harm::Corrupt {
        way: Way::Answers,
        at,
    });
    for harm in passes.into_iter().chain(changes) {
        let name = format!("{harm:?}");
        // Each start knows no key yet. It asks whether the service returns what it wraps, and ends when it does not.
        let begins_harmed = !matches!(harm, Harm::Corrupt { .. });
        ground
            .keys
            .set(if begins_harmed { harm } else { Harm::Off });
        let (server, options) = ground.start();
        ground.keys.set(harm);
        match begins_harmed {
            true => drop(sftp_ok(&server, &options, &put(&files))),
            // What is changed is noticed, and asked for again.
            false => until_it_works(&server, &options, &put(&files)),
        }
        let back = ground.fetch(&server, &options, &name);
        assert_eq!(sums(&files), sums(&back), "{name}");
        server.stop();
    }
    assert!(ground.keys.harmed() >= 6, "{}", ground.keys.harmed());

    ground.keys.set(Harm::BlackHole { after: 0 });
    let (server, options) = ground.start();
    let told = sftp(&server, &options, &[], &put(&files));
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(!told.status.success());
    assert!(said.contains("try again"), "{said}");
    ground.keys.set(Harm::Off);
    until_it_works(&server, &options, &put(&files));
    let back = ground.fetch(&server, &options, "after the silence");
    assert_eq!(sums(&files), sums(&back));
    server.stop();
}

#[test]
fn uploads_need_no_temporary_files() {
    let ground = Ground::new();
    let data = ground.folder.folder("data");
    let budget = [("SEALIFT__MEMORY__BUDGET".to_owned(), "24MiB".to_owned())];
    let mut wrapper: Vec<OsString> = vec!["env".into()];
    for (name, value) in ground.variables.iter().chain(&budget) {
        wrapper.push(format!("{name}={value}").into());
    }
    let alone = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
    ];
    wrapper.extend(alone.map(OsString::from));
    wrapper.extend([READ_ONLY.into(), data.clone().into_os_string()]);
    let words: Vec<_> = wrapper.iter().map(OsString::as_os_str).collect();
    let server = Server::up_under(&words, &data);
    let options = SshOptions::with_new_key(&server, &ground.folder.folder("client"));

    let file = ground.folder.join("file");
    write_random(&file, 12 << 20);
    let listeners = &server.ready.listeners;
    let user = format!("{DEMO}:{}", server.password());
    let curl = |url: String| {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--fail",
            "--insecure",
            "--ssl-reqd",
        ]);
        curl.args(["--limit-rate", "4M", "--user", &user, "-T"]);
        curl.arg(&file).arg(url);
        curl
    };
    let https = format!("https://{}/api/v1/files", listeners.https.unwrap());
    let ftp = format!("ftp://{}", listeners.ftp.unwrap());
    let mut sending: Vec<_> = (0..24)
        .map(|number| match number % 2 {
            0 => curl(format!("{https}/{number}")),
            _ => curl(format!("{ftp}/{number}")),
        })
        .map(|mut curl| curl.stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    let upload = |name: &str| format!("put {} {name}\n", quote(&file));
    sftp_ok(&server, &options, &(upload("sftp-1") + &upload("sftp-2")));
    for child in sending.drain(..) {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
    }
    let back = ground.fetch(&server, &options, "back");
    let (sum, got) = (sha256(&file), sums(&back));
    assert_eq!(got.len(), 26);
    assert!(got.values().all(|came| *came == sum), "{got:?}");
    server.stop();
}
