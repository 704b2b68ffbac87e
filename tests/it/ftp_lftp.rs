//! lftp mirrors a folder to the server and back over FTP, with and without TLS, and fetches a file in
//! parts at once.

use std::process::Command;

use crate::support::client::{quote, run, succeed, write_odd_files};
use crate::support::folder::{TempFolder, sha256, sums, write_random};
use crate::support::ftp_client::{Way, certificate, on_ipv6};
use crate::support::server::{DEMO, Server};

#[test]
fn lftp_mirrors_both_ways_in_every_way() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    for (way, passive) in [
        (Way::Clear, true),
        (Way::Clear, false),
        (Way::Explicit, true),
        (Way::Explicit, false),
        (Way::Implicit, true),
    ] {
        mirror(&folder, &server, way, passive);
    }
    server.stop();
}

#[test]
fn lftp_mirrors_both_ways_over_ipv6() {
    let folder = TempFolder::new();
    let server = Server::up_with(&folder.join("data"), &on_ipv6());
    mirror(&folder, &server, Way::Clear, true);
    mirror(&folder, &server, Way::Explicit, true);
    // This lftp (4.9.2) then names `::` as its address.
    mirror(&folder, &server, Way::Clear, false);
    mirror(&folder, &server, Way::Explicit, false);
    server.stop();
}

fn mirror(folder: &TempFolder, server: &Server, way: Way, passive: bool) {
    let name = format!("{way:?}-{passive}");
    let out = folder.folder(&format!("out-{name}"));
    let back = folder.folder(&format!("back-{name}"));
    // Lines of FTP end where lftp cannot send them.
    for odd in write_odd_files(&folder.folder(&format!("out-{name}/odd"))) {
        if odd.contains('\t') {
            std::fs::remove_file(out.join("odd").join(odd)).unwrap();
        }
    }
    for (index, size) in [0, 1, 65_536, 3_000_000, 20_000_000]
        .into_iter()
        .enumerate()
    {
        write_random(&out.join(format!("file {index}")), size);
    }
    let part = folder.join(&format!("part-{name}"));
    let script = format!(
        "set cmd:fail-exit yes\nset net:max-retries 1\nset net:timeout 60\n\
         set ftp:passive-mode {passive}\nset ftp:ssl-force {}\nset ftp:ssl-allow {}\n\
         set ftp:ssl-protect-data yes\nset ssl:ca-file {}\nset ssl:check-hostname no\n\
         set mirror:parallel-transfer-count 3\n\
         open -u {DEMO},{} {}\n\
         mkdir {name}\ncd {name}\n\
         mirror -R {} there\nmirror there {}\nmirror -R --delete {} there\n\
         pget -n 4 \"there/file 4\" -o {}\n\
         rm -r there\n",
        way != Way::Clear,
        way != Way::Clear,
        certificate(server).display(),
        server.password(),
        way.url(server, "").trim_end_matches('/'),
        quote(&out),
        quote(&back),
        quote(&out),
        quote(&part),
    );
    let path = folder.join("script");
    std::fs::write(&path, script).unwrap();
    let mut command = Command::new("lftp");
    command
        .args(["--norc", "-f"])
        .arg(path)
        .env("LFTP_HOME", folder.path())
        .env("LC_ALL", "C.UTF-8");
    succeed(&run(command, ""));
    assert_eq!(sums(&out), sums(&back), "{name}");
    assert_eq!(sha256(&part), sha256(&out.join("file 4")), "{name}");
}
