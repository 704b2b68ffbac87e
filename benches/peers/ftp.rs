//! Files of a gigabyte and of a kilobyte over FTP, with and without TLS, against vsftpd, ProFTPD and
//! Pure-FTPd.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::measure::{Cost, measure};
use crate::report::{Outcome, Report, Row, median};
use crate::support::folder::write_random;
use crate::support::ftp_peer::{FtpKind, FtpPeer, PEER_PASSWORD, PEER_USER};
use crate::support::ftp_raw::FtpRaw;
use crate::support::server::{DEMO, Server};
use crate::{Case, Settings};

const GIB: u64 = 1 << 30;
const SMALL_FILES: usize = 2_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Get,
    Put,
    Small,
}

#[derive(Clone, Copy)]
struct Plan {
    work: Work,
    is_tls: bool,
    at_once: usize,
}

/// The cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (is_tls, suffix) in [(false, ""), (true, "-tls")] {
        for (work, at_once, name) in [
            (Work::Get, 1, "ftp-get-1g"),
            (Work::Put, 1, "ftp-put-1g"),
            (Work::Get, 4, "ftp-get-4x1g"),
            (Work::Put, 4, "ftp-put-4x1g"),
            (Work::Small, 1, "ftp-small"),
        ] {
            let plan = Plan {
                work,
                is_tls,
                at_once,
            };
            cases.push(Case::new(format!("{name}{suffix}"), move |settings| {
                run(settings, plan)
            }));
        }
    }
    cases
}

/// A server and how to log in; stopped when dropped.
struct Subject {
    name: &'static str,
    pid: u32,
    address: SocketAddr,
    user: String,
    password: String,
    _server: Held,
}

#[expect(dead_code, reason = "held until the measurement is over")]
enum Held {
    Ours(Server),
    Theirs(FtpPeer),
}

impl Subject {
    fn start(which: usize, place: &Path) -> Outcome<Self> {
        if let Some(kind) = FtpKind::ALL.get(which) {
            let peer = FtpPeer::start(*kind, place);
            return Ok(Self {
                name: kind.name(),
                pid: peer.pid,
                address: peer.address,
                user: PEER_USER.to_owned(),
                password: PEER_PASSWORD.to_owned(),
                _server: Held::Theirs(peer),
            });
        }
        let server = Server::up(&place.join("data"));
        Ok(Self {
            name: "sealift",
            pid: server.ready.pid,
            address: server.ready.listeners.ftp.ok_or("it does not listen")?,
            user: DEMO.to_owned(),
            password: server.password(),
            _server: Held::Ours(server),
        })
    }
}

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(settings: &Settings, plan: Plan) -> Outcome<Report> {
    let place = Place(PathBuf::from(format!(
        "/dev/shm/sealift-ftp-{}",
        std::process::id()
    )));
    fs::create_dir_all(&place.0)?;
    let large = place.0.join("large");
    if plan.work != Work::Small {
        write_random(&large, GIB);
    }
    let steps: &[&str] = match plan.work {
        Work::Get => &["get"],
        Work::Put => &["put"],
        Work::Small => &["put", "get"],
    };
    let count = FtpKind::ALL.len() + 1;
    let mut names = vec![""; count];
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); count * steps.len()];
    for _ in 0..settings.rounds {
        for which in 0..count {
            let folder = Place(place.0.join(format!("round-{which}")));
            fs::create_dir_all(&folder.0)?;
            let subject = Subject::start(which, &folder.0)?;
            if plan.work == Work::Get {
                curl(
                    &subject,
                    Plan {
                        work: Work::Put,
                        at_once: 1,
                        ..plan
                    },
                    &large,
                )?;
            }
            for (step, name) in steps.iter().enumerate() {
                let cost = measure(subject.pid, || match plan.work {
                    Work::Small => small(&subject, plan.is_tls, name),
                    _ => curl(&subject, plan, &large),
                })?;
                if let Some(costs) = costs.get_mut(step * count + which) {
                    costs.push(cost);
                }
            }
            if let Some(name) = names.get_mut(which) {
                *name = subject.name;
            }
        }
    }
    Ok(report(plan, steps, &names, &costs))
}

fn report(plan: Plan, steps: &[&str], names: &[&str], costs: &[Vec<Cost>]) -> Report {
    let mut rows = Vec::new();
    for (step, of_step) in steps.iter().zip(costs.chunks(names.len())) {
        let seconds: Vec<f64> = of_step
            .iter()
            .map(|c| median(c.iter().map(|c| c.seconds)))
            .collect();
        let theirs = seconds.iter().take(FtpKind::ALL.len());
        let best = theirs.copied().fold(f64::INFINITY, f64::min);
        for ((name, costs), seconds) in names.iter().zip(of_step).zip(&seconds) {
            let amount = match plan.work {
                Work::Small => SMALL_FILES as f64,
                _ => 1024.0 * plan.at_once as f64,
            };
            let cpu = median(costs.iter().map(|cost| cost.cpu_seconds));
            rows.push(Row {
                subject: format!("{step} {name}"),
                values: vec![
                    *seconds,
                    amount / seconds,
                    best / seconds,
                    cpu / plan.at_once as f64,
                    median(costs.iter().map(|cost| cost.machine_seconds)),
                    median(costs.iter().map(|cost| cost.peak_mib)),
                ],
            });
        }
    }
    let tls = if plan.is_tls {
        "TLS 1.2 AES-256-GCM"
    } else {
        "in clear"
    };
    let (about, rate, cpu) = match plan.work {
        Work::Small => (
            format!(
                "2,000 x 1 KiB on one control connection, {tls}, tmpfs; only Sealift syncs each file"
            ),
            "files/s",
            "CPU s",
        ),
        _ => (
            format!(
                "{} x 1 GiB by curl, {tls}, tmpfs; only Sealift seals",
                plan.at_once
            ),
            "MiB/s",
            "CPU s/GiB",
        ),
    };
    Report {
        about,
        columns: vec!["seconds", rate, "times best", cpu, "all CPU s", "peak MiB"],
        rows,
    }
}

/// As many curls as are wanted, each with one file.
fn curl(subject: &Subject, plan: Plan, large: &Path) -> Outcome<()> {
    let mut running = Vec::new();
    for number in 0..plan.at_once {
        let mut command = Command::new("curl");
        command
            .args(["--disable", "--silent", "--show-error", "--user"])
            .arg(format!("{}:{}", subject.user, subject.password));
        if plan.is_tls {
            command.args(["--ssl-reqd", "--insecure", "--tls-max", "1.2"]);
            command.args([
                "--ciphers",
                "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384",
            ]);
        }
        match plan.work {
            Work::Put => command
                .arg("--upload-file")
                .arg(large)
                .arg(format!("ftp://{}/large-{number}", subject.address)),
            _ => command
                .args(["--output", "/dev/null"])
                .arg(format!("ftp://{}/large-0", subject.address)),
        };
        running.push(
            command
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?,
        );
    }
    for child in running {
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
    }
    Ok(())
}

fn small(subject: &Subject, is_tls: bool, step: &str) -> Outcome<()> {
    let (mut client, _) = FtpRaw::connect(subject.address)?;
    if is_tls {
        client.versions(&[&rustls::version::TLS12]);
        client.secure();
    }
    client.login(&subject.user, &subject.password);
    client.command("TYPE I")?;
    let content = [b'x'; 1_024];
    for number in 0..SMALL_FILES {
        let done = match step {
            "put" => client.upload(&format!("STOR f{number}"), &content)?,
            _ => client.download(&format!("RETR f{number}"))?,
        };
        if done.codes.last() != Some(&226) {
            return Err(format!("f{number}: {:?}", done.codes).into());
        }
    }
    Ok(())
}
