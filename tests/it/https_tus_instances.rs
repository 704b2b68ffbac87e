//! A tus upload that goes on at another server, which runs beside the first on the same PostgreSQL and the
//! same store; and one whose server dies.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};

use crate::support::folder::TempFolder;
use crate::support::postgres::Postgres;
use crate::support::server::sealift;
use crate::support::serving::Serving;
use crate::support::tus::{Tus, noise};
use crate::support::wait::wait_for;

const SECRET: &str = "right horse";

struct Two {
    folder: TempFolder,
}

impl Two {
    fn new() -> Self {
        let two = Self {
            folder: TempFolder::new(),
        };
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let pem = params.self_signed(&key).unwrap().pem() + &key.serialize_pem();
        fs::write(two.folder.join("server.pem"), pem).unwrap();
        let urls = Postgres::shared().fresh_database();
        let at = |name: &str| two.folder.join(name).display().to_string();
        for name in ["one", "other"] {
            let settings = format!(
                "[database]\nurl = \"{}\"\nowner_url = \"{}\"\nconnections = 8\n\
                 [storage]\npath = \"{}\"\n[keys]\nfile = \"{}\"\n\
                 [tls]\ncertificates = [\"{}\"]\n[https]\nlisten = [\"127.0.0.1:0\"]\n\
                 [sftp]\nlisten = [\"127.0.0.1:0\"]\nhost_keys = \"{}\"\n\
                 [server]\nready_file = \"{}\"\n",
                urls.server,
                urls.owner,
                at("store"),
                at("local.key"),
                at("server.pem"),
                at("ssh"),
                two.folder.join(&format!("{name}.json")).display(),
            );
            fs::write(two.config(name), settings).unwrap();
        }
        two.run(&["migrate"]);
        two.run(&["tenant", "add", "acme"]);
        two.run(&["account", "add", "ann@acme", "--password-stdin"]);
        two
    }

    fn config(&self, name: &str) -> PathBuf {
        self.folder.join(&format!("{name}.toml"))
    }

    #[track_caller]
    fn run(&self, words: &[&str]) {
        let config = self.config("one");
        let config = ["--config", config.to_str().unwrap()];
        let ran = sealift(&[words, &config].concat(), &format!("{SECRET}\n"));
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{words:?}: {errors}");
    }

    fn start(&self, name: &str) -> Serving {
        let ready = self.folder.join(&format!("{name}.json"));
        Serving::start(&self.config(name), &ready)
    }

    fn is_there(&self, serving: &Serving, name: &str, bytes: &[u8]) {
        let got = self.folder.join("got");
        serving.sftp(
            "ann@acme",
            SECRET,
            &format!("get {name} {}\n", got.display()),
        );
        assert!(fs::read(&got).unwrap() == bytes);
    }
}

fn client(serving: &Serving) -> Tus {
    Tus::at(
        &serving.https.unwrap().to_string(),
        &format!("ann@acme:{SECRET}"),
    )
}

#[test]
fn a_tus_upload_goes_on_at_another_server_and_survives_the_first() {
    let two = Two::new();
    let (one, other) = (two.start("one"), two.start("other"));
    let (here, there) = (client(&one), client(&other));
    let bytes = noise(8, 3_000_001);
    let at = here.begin("turns", bytes.len());
    let mut sent = 0;
    for (index, piece) in bytes.chunks(400_000).enumerate() {
        let tus = [&here, &there][index % 2];
        assert_eq!(tus.offset(&at), sent);
        let stored = tus.patch(&at, sent, piece, &[]);
        assert_eq!(stored.status, 204, "{}", stored.text());
        sent += piece.len();
    }
    two.is_there(&other, "turns", &bytes);
    // The one that writes dies: another goes on as soon as that is certain.
    let at = here.begin("orphan", bytes.len());
    assert_eq!(here.patch(&at, 0, &bytes[..1_000_000], &[]).status, 204);
    let mut cut = here.hold(&at, 1_000_000, &bytes[1_000_000..1_500_000]);
    one.kill();
    drop(cut.pipe);
    cut.client.wait().unwrap();
    wait_for("the lease to be over", Duration::from_secs(90), || {
        let offset = there.offset(&at);
        assert!(offset >= 1_000_000);
        let last = there.patch(&at, offset, &bytes[offset..], &[]);
        assert!(matches!(last.status, 204 | 423), "{}", last.text());
        (last.status == 204).then_some(())
    });
    two.is_there(&other, "orphan", &bytes);
    two.run(&["fsck"]);
    other.stop();
}
