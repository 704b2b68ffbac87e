//! curl over FTP, AUTH TLS and implicit TLS.

use std::fs;

use crate::support::client::succeed;
use crate::support::folder::{TempFolder, sha256, write_random};
use crate::support::ftp_client::{Way, curl, curl_ok, on_ipv6, text};
use crate::support::listeners::free_port;
use crate::support::server::{DEMO, Server};

const LARGE: u64 = 20_000_000;

#[test]
fn curl_sends_and_fetches_in_every_way_over_ipv4() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    there_and_back(&folder, &server);
    server.stop();
}

#[test]
fn curl_sends_and_fetches_in_every_way_over_ipv6() {
    let folder = TempFolder::new();
    let server = Server::up_with(&folder.join("data"), &on_ipv6());
    assert!(server.ready.listeners.ftp.unwrap().is_ipv6());
    there_and_back(&folder, &server);
    server.stop();
}

fn there_and_back(folder: &TempFolder, server: &Server) {
    let (large, back) = (folder.join("large"), folder.join("back"));
    write_random(&large, LARGE);
    for way in Way::ALL {
        let here = way.address(server).ip().to_string();
        let modes = [
            &[][..],
            &["--disable-epsv"],
            &["--ftp-port", &here],
            &["--ftp-port", &here, "--disable-eprt"],
        ];
        for mode in modes {
            // PASV and PORT know no IPv6.
            let is_old = mode.iter().any(|word| word.starts_with("--disable"));
            // And this curl (7.88) forgets its own address under TLS: "sa_addr inet_ntop() failed".
            let is_active = mode.contains(&"--ftp-port");
            if is_old && way.address(server).is_ipv6() || is_active && way != Way::Clear {
                continue;
            }
            let url = way.url(server, "deep/er/large");
            let mut words = vec!["--ftp-create-dirs", "-T", text(&large), &url];
            words.extend(mode);
            curl_ok(server, way, &words);
            let mut words = vec!["-o", text(&back), &url];
            words.extend(mode);
            curl_ok(server, way, &words);
            assert_eq!(sha256(&back), sha256(&large), "{way:?} {mode:?}");
            let listed = curl_ok(server, way, &[&way.url(server, "deep/er/")]);
            assert!(
                listed.contains(" 20000000 ") && listed.contains(" large"),
                "{listed}"
            );
        }
    }
}

#[test]
fn curl_speaks_each_version_of_tls() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let small = folder.join("small");
    fs::write(&small, "hello").unwrap();
    for way in [Way::Explicit, Way::Implicit] {
        for version in [
            &["--tls-max", "1.2"][..],
            &["--tls-max", "1.3"],
            &["--tlsv1.3"],
        ] {
            let url = way.url(&server, "small");
            let mut words = vec!["-T", text(&small), &url];
            words.extend(version);
            curl_ok(&server, way, &words);
            let mut words = vec![url.as_str()];
            words.extend(version);
            assert_eq!(curl_ok(&server, way, &words), "hello");
        }
        let old = curl(
            &server,
            way,
            &["--tls-max", "1.1", &way.url(&server, "small")],
        );
        assert!(!old.status.success());
    }
    server.stop();
}

#[test]
fn curl_goes_on_where_an_upload_or_download_broke_off() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let (large, back) = (folder.join("large"), folder.join("back"));
    write_random(&large, LARGE);
    let content = fs::read(&large).unwrap();
    for way in Way::ALL {
        let url = way.url(&server, &format!("large-{way:?}"));
        let part = folder.join("part");
        fs::write(&part, &content[..7_000_001]).unwrap();
        curl_ok(&server, way, &["-T", text(&part), &url]);
        curl_ok(&server, way, &["-C", "-", "-T", text(&large), &url]);
        fs::write(&back, &content[..9_000_001]).unwrap();
        curl_ok(&server, way, &["-C", "-", "-o", text(&back), &url]);
        assert_eq!(sha256(&back), sha256(&large), "{way:?}");
        curl_ok(&server, way, &["--append", "-T", text(&part), &url]);
        let head = curl_ok(&server, way, &["--head", &url]);
        assert!(head.contains("Content-Length: 27000001"), "{head}");
        let range = curl(&server, way, &["--range", "100-199", &url]);
        assert!(range.status.success());
        assert_eq!(range.stdout, &content[100..200]);
    }
    server.stop();
}

#[test]
fn curl_shows_why_an_upload_is_refused() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let small = folder.join("small");
    write_random(&small, 1_000);
    for way in Way::ALL {
        let words = ["--ftp-create-dirs", "-T", text(&small)];
        curl_ok(
            &server,
            way,
            &[&words[..], &[&way.url(&server, "box/small")]].concat(),
        );
        let refused = curl(
            &server,
            way,
            &["-T", text(&small), &way.url(&server, "box")],
        );
        let said = String::from_utf8_lossy(&refused.stderr);
        // Not 13, a strange answer to PASV.
        assert_eq!(refused.status.code(), Some(25), "{way:?}: {said}");
        assert!(said.contains("550"), "{way:?}: {said}");
    }
    server.stop();
}

#[test]
fn curl_sends_commands_before_and_after() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let small = folder.join("small");
    fs::write(&small, "hello").unwrap();
    for way in Way::ALL {
        let top = way.url(&server, "");
        let words = [
            "-Q",
            "MKD made",
            "-Q",
            "-RNFR made/new",
            "-Q",
            "-RNTO made/renamed",
            "-T",
            text(&small),
            &way.url(&server, "made/new"),
        ];
        // curl enters the folder of the file: names in commands after it are relative to there.
        let ran = curl(&server, way, &words);
        assert!(!ran.status.success());
        let words = [
            "-Q",
            "-RNFR new",
            "-Q",
            "-RNTO renamed",
            "-T",
            text(&small),
            &way.url(&server, "made/new"),
        ];
        curl_ok(&server, way, &words);
        assert_eq!(
            curl_ok(&server, way, &[&way.url(&server, "made/renamed")]),
            "hello"
        );
        let words = ["--list-only", &way.url(&server, "made/")];
        assert_eq!(curl_ok(&server, way, &words).trim(), "renamed");
        succeed(&curl(
            &server,
            way,
            &["-Q", "DELE made/renamed", "-Q", "RMD made", &top],
        ));
        assert!(!curl_ok(&server, way, &[&top]).contains("made"));
    }
    server.stop();
}

#[test]
fn curl_goes_back_to_clear_text_where_it_may() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let (small, back) = (folder.join("small"), folder.join("back"));
    fs::write(&small, "hello").unwrap();
    server.admin(&["account", "ftp", DEMO, "ccc=allowed"], "");
    // Passive, which is what it does unless told otherwise, it leaves our end of TLS unanswered.
    for mode in [
        &[][..],
        &["--ftp-ssl-ccc-mode", "active"],
        &["--ftp-ssl-ccc-mode", "passive"],
    ] {
        for way in [Way::Explicit, Way::Implicit] {
            let url = way.url(&server, "small");
            let ccc = [&["--ftp-ssl-ccc"][..], mode].concat();
            curl_ok(
                &server,
                way,
                &[&ccc[..], &["-T", text(&small), &url]].concat(),
            );
            curl_ok(
                &server,
                way,
                &[&ccc[..], &["-o", text(&back), &url]].concat(),
            );
            assert_eq!(fs::read(&back).unwrap(), b"hello", "{way:?} {mode:?}");
        }
    }
    server.stop();
}

#[test]
fn curl_lists_folders_and_files_whose_names_are_patterns() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let small = folder.join("small");
    fs::write(&small, "hello").unwrap();
    for way in Way::ALL {
        for name in ["%5Bb%5D/inner", "%5Bz%5D", "z"] {
            let url = way.url(&server, name);
            curl_ok(
                &server,
                way,
                &["--ftp-create-dirs", "-T", text(&small), &url],
            );
        }
        for method in ["multicwd", "nocwd", "singlecwd"] {
            let words = ["--ftp-method", method, "-l"];
            let names = |path| {
                let url = way.url(&server, path);
                curl_ok(&server, way, &[&words[..], &[&url]].concat())
            };
            let listed = names("%5Bb%5D/");
            assert!(listed.trim_end().ends_with("inner"), "{method}: {listed}");
        }
        let words = ["-X", "NLST [z]", "-l", &way.url(&server, "")];
        assert_eq!(curl_ok(&server, way, &words).trim_end(), "[z]");
    }
    server.stop();
}

#[test]
fn curl_fetches_many_files_over_one_connection() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let out = folder.folder("out");
    for number in 0..50 {
        write_random(&out.join(format!("f{number}")), 1_000 + number);
    }
    for way in Way::ALL {
        let sources = format!("{}/f[0-49]", text(&out));
        let there = way.url(&server, &format!("many-{way:?}/"));
        let mut command = std::process::Command::new("curl");
        command
            .args([
                "--disable",
                "--silent",
                "--show-error",
                "--ftp-create-dirs",
                "--user",
            ])
            .arg(format!("{}:{}", DEMO, server.password()))
            .arg("--cacert")
            .arg(crate::support::ftp_client::certificate(&server))
            .args((way == Way::Explicit).then_some("--ssl-reqd"))
            .args(["-T", &sources, &there]);
        succeed(&crate::support::client::run(command, ""));
        for number in [0, 25, 49] {
            let url = way.url(&server, &format!("many-{way:?}/f{number}"));
            let back = folder.join("back");
            curl_ok(&server, way, &["-o", text(&back), &url]);
            assert_eq!(sha256(&back), sha256(&out.join(format!("f{number}"))));
        }
    }
    server.stop();
}

#[test]
fn curl_is_told_ports_of_the_range_alone() {
    const COUNT: u16 = 8;
    let folder = TempFolder::new();
    let first = free_port();
    let range = format!("{first}-{}", first + COUNT - 1);
    let ports = ("SEALIFT__FTP__PASSIVE_PORTS".to_owned(), range.clone());
    let server = Server::up_with(&folder.join("data"), &[ports]);
    let file = folder.join("file");
    write_random(&file, 100_000);
    let mut told = Vec::new();
    for number in 0..2 * COUNT {
        let url = Way::Explicit.url(&server, &format!("file-{number}"));
        let mut words = vec!["--verbose", "-T", text(&file), &url];
        if number % 2 == 0 {
            words.push("--disable-epsv");
        }
        let ran = curl(&server, Way::Explicit, &words);
        succeed(&ran);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        let line = said.lines().find(|line| line.contains("Passive Mode ("));
        let (_, address) = line.unwrap().split_once('(').unwrap();
        let numbers: Vec<u16> = address
            .split(|letter: char| !letter.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect();
        told.push(match numbers[..] {
            [port] => port,
            [_, _, _, _, high, low] => high * 256 + low,
            _ => panic!("{said}"),
        });
    }
    let range = first..first + COUNT;
    assert!(told.iter().all(|port| range.contains(port)), "{told:?}");
    server.stop();
}
