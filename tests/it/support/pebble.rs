//! Pebble, an authority that speaks ACME, and a DNS server by which every name leads to this machine.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};

use crate::support::client::cached;
use crate::support::https_door::is_answered;
use crate::support::wait::wait_for;

/// A running authority; killed when dropped.
pub(crate) struct Pebble {
    parts: Vec<Child>,
    /// The address of its directory.
    pub(crate) directory: String,
    /// The certificate by which it is known.
    pub(crate) ca: PathBuf,
}

impl Pebble {
    /// Starts one that issues certificates for `life`, and asks port `http` of each host.
    pub(crate) fn start(folder: &Path, http: u16, life: Duration) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let (ca, own_key) = (folder.join("pebble.pem"), folder.join("pebble-key.pem"));
        fs::write(&ca, params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&own_key, key.serialize_pem()).unwrap();
        let (listen, manage, names) = (free_port(), free_port(), free_port());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{listen}"),
            "managementListenAddress": format!("127.0.0.1:{manage}"),
            "certificate": ca,
            "privateKey": own_key,
            "httpPort": http,
            "tlsPort": free_port(),
            "ocspResponderURL": "",
            "certificateValidityPeriod": life.as_secs(),
        }});
        let file = folder.join("pebble.json");
        fs::write(&file, config.to_string()).unwrap();
        let program = |name: &str| {
            let mut command = Command::new(cached(&format!("pebble/usr/bin/{name}")));
            let log = fs::File::create(folder.join(format!("{name}.log"))).unwrap();
            command
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log);
            command
        };
        let dns = program("pebble-challtestsrv")
            .args(["-dns01", &format!("127.0.0.1:{names}"), "-defaultIPv6", ""])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-management", &format!("127.0.0.1:{}", free_port())])
            .spawn()
            .unwrap();
        let authority = program("pebble")
            .arg("-config")
            .arg(&file)
            .args(["-dnsserver", &format!("127.0.0.1:{names}")])
            // It waits for up to 15 seconds before each look otherwise.
            .env("PEBBLE_VA_NOSLEEP", "1")
            .spawn()
            .unwrap();
        let pebble = Self {
            parts: vec![dns, authority],
            directory: format!("https://127.0.0.1:{listen}/dir"),
            ca,
        };
        wait_for("the authority", Duration::from_secs(30), || {
            is_answered(&pebble.directory).then_some(())
        });
        pebble
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for part in &mut self.parts {
            let _ = part.kill();
            let _ = part.wait();
        }
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
