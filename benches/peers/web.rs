//! Files of a gigabyte over HTTPS, against nginx that receives (by its dav module) and serves the same.

use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::measure::{Cost, measure};
use crate::report::{Outcome, Report, Row, median};
use crate::support::client::cached;
use crate::support::folder::write_random;
use crate::support::server::{DEMO, Server};
use crate::support::wait::wait_for;
use crate::{Case, Settings};

const GIB: u64 = 1 << 30;
const PIECE: u64 = 16 << 20;
/// What both are spoken to with.
const TLS: [&str; 4] = [
    "--tlsv1.3",
    "--tls13-ciphers",
    "TLS_AES_128_GCM_SHA256",
    "--insecure",
];

/// The cases of this file.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("web-put-1g", |settings| {
            let about = "1 GiB sent by curl, TLS 1.3 AES-128-GCM, HTTP/1.1, tmpfs; tus in pieces of 16 MiB; only Sealift seals and hashes";
            compare(settings, about, &[("put", put), ("tus", tus)])
        }),
        Case::new("web-get-1g", |settings| {
            let about =
                "1 GiB fetched by curl, TLS 1.3 AES-128-GCM, HTTP/1.1, tmpfs; only Sealift seals";
            compare(settings, about, &[("get", get)])
        }),
    ]
}

type Step = fn(&Subject, &Path) -> Outcome<()>;

/// A server and how to ask it; stopped when dropped.
struct Subject {
    pid: u32,
    address: SocketAddr,
    /// What comes before a file's name.
    files: &'static str,
    login: Option<String>,
    _server: Held,
}

#[expect(dead_code, reason = "held until the measurement is over")]
enum Held {
    Ours(Server),
    Theirs(Nginx),
}

const NAMES: [&str; 2] = ["nginx", "sealift"];

impl Subject {
    fn start(which: usize, place: &Path) -> Outcome<Self> {
        if which == 0 {
            let nginx = Nginx::start(place)?;
            return Ok(Self {
                pid: nginx.child.id(),
                address: nginx.address,
                files: "",
                login: None,
                _server: Held::Theirs(nginx),
            });
        }
        let server = Server::up(&place.join("data"));
        let subject = Self {
            pid: server.ready.pid,
            address: server.ready.listeners.https.ok_or("it has no HTTPS")?,
            files: "/api/v1/files",
            login: Some(format!("{DEMO}:{}", server.password())),
            _server: Held::Ours(server),
        };
        // nginx asks for no password; requests after the first go on with its session.
        said(subject.curl().arg(subject.url("/api/v1/me")))?;
        Ok(subject)
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    fn file(&self) -> String {
        self.url(&format!("{}/large", self.files))
    }

    fn curl(&self) -> Command {
        let mut command = Command::new("curl");
        command
            .args([
                "--disable",
                "--silent",
                "--show-error",
                "--fail",
                "--http1.1",
            ])
            .args(["-H", "Expect:"])
            .args(TLS);
        if let Some(login) = &self.login {
            command.args(["--user", login]);
        }
        command
    }
}

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn compare(settings: &Settings, about: &str, steps: &[(&str, Step)]) -> Outcome<Report> {
    let name = format!("/dev/shm/sealift-web-{}", std::process::id());
    let place = Place(PathBuf::from(name));
    fs::create_dir_all(&place.0)?;
    write_random(&place.0.join("large"), GIB);
    cut(&place.0)?;
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); steps.len() * NAMES.len()];
    for _ in 0..settings.rounds {
        for which in 0..NAMES.len() {
            let folder = Place(place.0.join("round"));
            fs::create_dir_all(&folder.0)?;
            let subject = Subject::start(which, &folder.0)?;
            if steps.iter().any(|(name, _)| *name == "get") {
                put(&subject, &place.0)?;
            }
            for (number, (name, step)) in steps.iter().enumerate() {
                // nginx speaks no tus: what is compared is its PUT.
                let step = if which == 0 && *name == "tus" {
                    &(put as Step)
                } else {
                    step
                };
                let cost = measure(subject.pid, || step(&subject, &place.0))?;
                if let Some(costs) = costs.get_mut(number * NAMES.len() + which) {
                    costs.push(cost);
                }
            }
        }
    }
    Ok(report(about, steps, &costs))
}

fn report(about: &str, steps: &[(&str, Step)], costs: &[Vec<Cost>]) -> Report {
    let mut rows = Vec::new();
    for ((step, _), of_step) in steps.iter().zip(costs.chunks(NAMES.len())) {
        let seconds = |costs: &Vec<Cost>| median(costs.iter().map(|cost| cost.seconds));
        let theirs = of_step.first().map_or(f64::NAN, seconds);
        for (name, costs) in NAMES.iter().zip(of_step) {
            let seconds = seconds(costs);
            rows.push(Row {
                subject: format!("{step} {name}"),
                values: vec![
                    seconds,
                    1024.0 / seconds,
                    theirs / seconds,
                    median(costs.iter().map(|cost| cost.cpu_seconds)),
                    median(costs.iter().map(|cost| cost.machine_seconds)),
                    median(costs.iter().map(|cost| cost.peak_mib)),
                ],
            });
        }
    }
    Report {
        about: about.to_owned(),
        columns: vec![
            "seconds",
            "MiB/s",
            "times nginx",
            "CPU s/GiB",
            "all CPU s",
            "peak MiB",
        ],
        rows,
    }
}

fn get(subject: &Subject, _: &Path) -> Outcome<()> {
    let mut command = subject.curl();
    command.args(["--output", "/dev/null"]).arg(subject.file());
    said(&mut command).map(drop)
}

fn put(subject: &Subject, place: &Path) -> Outcome<()> {
    let mut command = subject.curl();
    command.args(["--output", "/dev/null", "--upload-file"]);
    command.arg(place.join("large")).arg(subject.file());
    said(&mut command).map(drop)
}

/// Begins an upload, and sends its pieces on one connection.
fn tus(subject: &Subject, place: &Path) -> Outcome<()> {
    let mut begin = subject.curl();
    begin.args(["--request", "POST", "--dump-header", "-"]);
    let path = data_encoding::BASE64.encode(b"/by-tus");
    for header in [
        "Tus-Resumable: 1.0.0".to_owned(),
        format!("Upload-Length: {GIB}"),
        format!("Upload-Metadata: path {path}"),
    ] {
        begin.args(["-H", &header]);
    }
    let head = said(begin.arg(subject.url("/api/v1/uploads")))?;
    let location = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("location")
            .then(|| value.trim().to_owned())
    });
    let location = location.ok_or_else(|| format!("no Location in {head}"))?;
    let url = match location.starts_with('/') {
        true => subject.url(&location),
        false => location,
    };
    let mut send = subject.curl();
    for number in 0..GIB / PIECE {
        if number > 0 {
            send.arg("--next").args(subject.curl().get_args());
        }
        send.args(["--request", "PATCH", "-H", "Tus-Resumable: 1.0.0"])
            .args(["-H", "Content-Type: application/offset+octet-stream"])
            .args(["-H", &format!("Upload-Offset: {}", number * PIECE)])
            .args(["--output", "/dev/null", "--upload-file"])
            .arg(piece(place, number))
            .arg(&url);
    }
    said(&mut send).map(drop)
}

fn piece(place: &Path, number: u64) -> PathBuf {
    place.join(format!("piece-{number}"))
}

/// The large file, in the pieces that tus sends.
fn cut(place: &Path) -> Outcome<()> {
    let mut large = File::open(place.join("large"))?;
    for number in 0..GIB / PIECE {
        let mut file = File::create(piece(place, number))?;
        std::io::copy(&mut (&mut large).take(PIECE), &mut file)?;
    }
    Ok(())
}

fn said(command: &mut Command) -> Outcome<String> {
    let output = command.output()?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into()),
    }
}

/// nginx as Debian builds it, with two workers; killed when dropped.
struct Nginx {
    child: Child,
    address: SocketAddr,
}

impl Nginx {
    fn start(place: &Path) -> Outcome<Self> {
        let root = place.join("root");
        fs::create_dir_all(&root)?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        said(
            Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
                .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"])
                .args(["-subj", "/CN=localhost", "-keyout"])
                .arg(place.join("key.pem"))
                .arg("-out")
                .arg(place.join("cert.pem")),
        )?;
        let at = place.display();
        let settings = format!(
            "user root;\nworker_processes 2;\ndaemon off;\npid {at}/pid;\nerror_log {at}/log;\n\
             events {{ worker_connections 1024; }}\nhttp {{\n  access_log off;\n  sendfile on;\n\
             client_body_temp_path {at}/body;\n  proxy_temp_path {at}/t1;\n  fastcgi_temp_path {at}/t2;\n\
             uwsgi_temp_path {at}/t3;\n  scgi_temp_path {at}/t4;\n  server {{\n    listen {address} ssl;\n\
             ssl_certificate {at}/cert.pem;\n    ssl_certificate_key {at}/key.pem;\n\
             ssl_protocols TLSv1.3;\n    root {at}/root;\n    client_max_body_size 0;\n\
             dav_methods PUT;\n  }}\n}}\n"
        );
        let config = place.join("nginx.conf");
        fs::write(&config, settings)?;
        let mut child = Command::new(cached("web-servers/usr/sbin/nginx"))
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(File::create(place.join("output"))?)
            .spawn()?;
        wait_for("nginx", Duration::from_secs(20), || {
            assert!(
                matches!(child.try_wait(), Ok(None)),
                "nginx ended: see {at}"
            );
            TcpStream::connect(address).ok()
        });
        Ok(Self { child, address })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Asked, it ends its workers; killed, it leaves them.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}
