//! lftp mirrors a folder to the server and back over FTP, with and without TLS, and fetches a file in
//! parts at once.

use std::process::Command;

use crate::support::client::{quote, run, succeed, write_odd_files};
use crate::support::folder::{TempFolder, sha256, sums, write_random};
use crate::support::ftp_client::{Way, certificate, curl_ok, on_ipv6};
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

#[test]
fn lftp_transfers_packed() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let text = "the same again and again\n".repeat(200_000);
    std::fs::write(folder.join("text"), text).unwrap();
    write_random(&folder.join("noise"), 5_000_000);
    for way in [Way::Clear, Way::Explicit] {
        let login = login(&server, way, true);
        let at = |name: &str| quote(folder.join(name));
        let script = format!(
            "debug 9\nset ftp:use-mode-z yes\nset ftp:mode-z-level 5\n{login}\
             put {} {}\nls\nget text -o {}\npget -n 3 noise -o {}\nput -c {} -o text\nrm text noise\n",
            at("text"),
            at("noise"),
            at("text back"),
            at("noise back"),
            at("text"),
        );
        let said = lftp(&folder, &script);
        assert!(said.contains("---> MODE Z"), "{said}");
        for name in ["text", "noise"] {
            let back = folder.join(&format!("{name} back"));
            assert_eq!(sha256(&back), sha256(&folder.join(name)), "{name}");
            std::fs::remove_file(back).unwrap();
        }
    }
    server.stop();
}

#[test]
fn lftp_sends_names_in_utf8_also_for_accounts_with_another_character_set() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let name = "\u{8868}\u{793a}.txt";
    std::fs::write(folder.join(name), "a table").unwrap();
    server.admin(&["account", "ftp", DEMO, "charset=shift_jis"], "");
    for way in Way::ALL {
        let back = folder.join(&format!("back-{way:?}"));
        let script = format!(
            "{}put {}\nls\nget {name} -o {}\n",
            login(&server, way, true),
            quote(folder.join(name)),
            quote(&back),
        );
        lftp(&folder, &script);
        assert_eq!(std::fs::read_to_string(back).unwrap(), "a table");
        // As everybody else sees it.
        let listed = server.admin(&["account", "ftp", DEMO, "--clear"], "");
        assert!(listed.contains("as set for all"), "{listed}");
        let stored = way.url(&server, &format!("{}.txt", "%E8%A1%A8%E7%A4%BA"));
        assert_eq!(curl_ok(&server, way, &[&stored]), "a table");
        curl_ok(
            &server,
            way,
            &["-Q", &format!("DELE {name}"), &way.url(&server, "")],
        );
        server.admin(&["account", "ftp", DEMO, "charset=shift_jis"], "");
    }
    server.stop();
}

/// The settings and the login that all scripts begin with.
fn login(server: &Server, way: Way, passive: bool) -> String {
    format!(
        "set cmd:fail-exit yes\nset net:max-retries 1\nset net:timeout 60\n\
         set ftp:passive-mode {passive}\nset ftp:ssl-force {}\nset ftp:ssl-allow {}\n\
         set ftp:ssl-protect-data yes\nset ssl:ca-file {}\nset ssl:check-hostname no\n\
         open -u {DEMO},{} {}\n",
        way != Way::Clear,
        way != Way::Clear,
        certificate(server).display(),
        server.password(),
        way.url(server, "").trim_end_matches('/'),
    )
}

/// Runs a script, which must succeed; returns what lftp said of it.
fn lftp(folder: &TempFolder, script: &str) -> String {
    let path = folder.join("script");
    std::fs::write(&path, script).unwrap();
    let mut command = Command::new("lftp");
    command
        .args(["--norc", "-f"])
        .arg(path)
        .env("LFTP_HOME", folder.path())
        .env("LC_ALL", "C.UTF-8");
    let output = run(command, "");
    succeed(&output);
    String::from_utf8_lossy(&output.stderr).into_owned()
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
        "set mirror:parallel-transfer-count 3\n{}\
         mkdir {name}\ncd {name}\n\
         mirror -R {} there\nmirror there {}\nmirror -R --delete {} there\n\
         pget -n 4 \"there/file 4\" -o {}\n\
         rm -r there\n",
        login(server, way, passive),
        quote(&out),
        quote(&back),
        quote(&out),
        quote(&part),
    );
    lftp(folder, &script);
    assert_eq!(sums(&out), sums(&back), "{name}");
    assert_eq!(sha256(&part), sha256(&out.join("file 4")), "{name}");
}
