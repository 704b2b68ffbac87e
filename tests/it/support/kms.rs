//! Two servers that speak the protocol of AWS KMS, for the whole test run: moto and ministack, each
//! from a Python environment of its own, on free ports of 127.0.0.1.
//!
//! Each accepts what the other refuses and what AWS would: moto decrypts with keys that are disabled
//! or awaiting deletion, ministack decrypts changed ciphertexts and under other keys than were named.
//! As with PostgreSQL, a small shell owns the server and ends it when this process ends.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_kms::Client;
use sealift::crypto::keyring::KeyRing;
use sealift::crypto::kms::KmsKeys;
use sealift::domain::id::RegionId;
use sealift::domain::secret::Secret;
use sealift::net::cloud::{AccessKey, CloudSettings, sdk_config};

use crate::support::client::cached;
use crate::support::wait::wait_for;

/// The folder arrives as `$1`; what follows is the command.
const GUARD: &str = r#"
cd "$1"
shift
"$@" >log 2>&1 &
server=$!
cat >/dev/null
kill -KILL "$server"
wait "$server" 2>/dev/null
rm -rf "$PWD"
"#;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ministack,
    Moto,
}

/// Runs each test, an `async fn(Kind)`, on both servers.
macro_rules! on_each {
    ($($name:ident),* $(,)?) => {
        mod moto {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::support::kms::Kind::Moto).await;
            })*
        }
        mod ministack {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::support::kms::Kind::Ministack).await;
            })*
        }
    };
}
pub(crate) use on_each;

/// A running key service.
pub(crate) struct Kms {
    pub(crate) port: u16,
    /// Held for its pipe: the server stops when this process ends.
    _guard: Child,
}

impl Kms {
    /// Returns the running server, starting it on the first call.
    pub(crate) fn shared(kind: Kind) -> &'static Self {
        static MINISTACK: OnceLock<Kms> = OnceLock::new();
        static MOTO: OnceLock<Kms> = OnceLock::new();
        match kind {
            Kind::Ministack => MINISTACK.get_or_init(|| Self::start(kind)),
            Kind::Moto => MOTO.get_or_init(|| Self::start(kind)),
        }
    }

    /// How to reach it, or a proxy before it.
    pub(crate) async fn config(port: u16) -> SdkConfig {
        sdk_config(&Self::cloud(port)).await.unwrap()
    }

    /// The same as settings.
    pub(crate) fn cloud(port: u16) -> CloudSettings {
        CloudSettings {
            aws_region: "eu-west-1".to_owned(),
            endpoint: Some(format!("http://127.0.0.1:{port}")),
            access_key: Some(AccessKey {
                id: "test".to_owned(),
                secret: Secret::new(b"test".as_slice()),
            }),
            ..CloudSettings::default()
        }
    }

    /// What the owner of its keys has.
    pub(crate) async fn client(&self) -> Client {
        Client::new(&Self::config(self.port).await)
    }

    /// Makes a key that nobody else uses; its ARN.
    pub(crate) async fn fresh_key(&self) -> String {
        let made = self.client().await.create_key().send().await.unwrap();
        made.key_metadata.unwrap().arn.unwrap()
    }

    /// Our side of it, with `key` as the default.
    pub(crate) async fn keys(&self, key: &str) -> KmsKeys {
        KmsKeys::new(&Self::config(self.port).await, key.to_owned())
    }

    fn start(kind: Kind) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let (program, words): (PathBuf, Vec<String>) = match kind {
            Kind::Ministack => (cached("ministack/bin/ministack"), Vec::new()),
            Kind::Moto => (
                cached("moto/bin/moto_server"),
                ["-H", "127.0.0.1", "-p"]
                    .map(str::to_owned)
                    .into_iter()
                    .chain([port.to_string()])
                    .collect(),
            ),
        };
        let name = format!("sealift-{kind:?}-{}", std::process::id()).to_lowercase();
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "guard"])
            .arg(&folder)
            .arg(program)
            .args(words)
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("TMPDIR", &folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        wait_for("the key service to answer", Duration::from_secs(60), || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self {
            port,
            _guard: guard,
        }
    }
}

/// A ring with nothing but a key of a server.
pub(crate) async fn ring(kind: Kind, key: &str) -> KeyRing {
    KeyRing::empty().with_kms(RegionId::MAIN, Kms::shared(kind).keys(key).await)
}

/// The id of a key without its ARN, which is all that moto understands in some places.
pub(crate) fn short(arn: &str) -> &str {
    arn.rsplit_once('/').unwrap().1
}
