//! A real S3 server for the whole test run: SeaweedFS in a temporary folder, on free ports of
//! 127.0.0.1, by HTTP and by HTTPS.
//!
//! As with PostgreSQL, a small shell owns the server and ends it when this process ends.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_config::SdkConfig;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sealift::domain::secret::Secret;
use sealift::net::cloud::{AccessKey, CloudSettings, sdk_config};
use sealift::storage::s3::S3Store;
use sealift::storage::s3_settings::{Encryption, S3Settings};
use serde_json::json;

use crate::support::client::cached;
use crate::support::wait::wait_for;

/// The region that signatures name; SeaweedFS takes any.
pub(crate) const AWS_REGION: &str = "us-east-1";

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

/// The one S3 server of a test run.
pub(crate) struct Seaweed {
    folder: PathBuf,
    ports: Ports,
    admin: AccessKey,
    reader: AccessKey,
    buckets: AtomicU32,
    /// Held for its pipe: the server stops when this process ends.
    _guard: Child,
}

struct Ports {
    http: u16,
    https: u16,
    /// Those that only the server's own parts use.
    inner: Vec<u16>,
}

impl Seaweed {
    /// Returns the running server, starting it on the first call.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Seaweed> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Where it answers by HTTP.
    pub(crate) fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.http)
    }

    /// Where it answers by HTTPS, with a certificate of [`Seaweed::ca_file`] for 127.0.0.1 and
    /// localhost.
    pub(crate) fn https(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.https)
    }

    /// The port by HTTP, for a proxy to stand before.
    pub(crate) fn http_port(&self) -> u16 {
        self.ports.http
    }

    /// The port by HTTPS, for a proxy to stand before.
    pub(crate) fn https_port(&self) -> u16 {
        self.ports.https
    }

    /// The authority to trust, in PEM.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A login that may do everything.
    pub(crate) fn admin(&self) -> AccessKey {
        self.admin.clone()
    }

    /// A login that may list and read, but not write.
    pub(crate) fn reader(&self) -> AccessKey {
        self.reader.clone()
    }

    /// How to reach it at `endpoint`, which may be a proxy, as the login that may do everything.
    pub(crate) fn cloud(&self, endpoint: &str) -> CloudSettings {
        CloudSettings {
            aws_region: AWS_REGION.to_owned(),
            endpoint: Some(endpoint.to_owned()),
            ca_file: endpoint.starts_with("https:").then(|| self.ca_file()),
            profile: None,
            access_key: Some(self.admin()),
        }
    }

    /// Makes an empty bucket that nobody else uses. Blocks for a moment.
    pub(crate) fn fresh_bucket(&self) -> String {
        let name = format!("test-{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        self.try_make_bucket(&name).unwrap();
        name
    }

    /// A store in a bucket of its own, reached at `endpoint`.
    pub(crate) async fn store(&self, endpoint: &str) -> S3Store {
        let config = sdk_config(&self.cloud(endpoint)).await.unwrap();
        S3Store::new(&config, s3_settings(&self.fresh_bucket()))
    }

    /// A client for what a store does not do.
    pub(crate) async fn client(&self) -> aws_sdk_s3::Client {
        let config = sdk_config(&self.cloud(&self.http())).await.unwrap();
        client(&config)
    }

    /// On a thread and runtime of its own, so that tests with and without a runtime can call it.
    fn try_make_bucket(&self, name: &str) -> Result<(), String> {
        let make = || async {
            let make = self
                .client()
                .await
                .create_bucket()
                .bucket(name)
                .send()
                .await;
            make.map(drop)
                .map_err(|error| aws_sdk_s3::error::DisplayErrorContext(error).to_string())
        };
        std::thread::scope(|scope| {
            let run = || {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap()
                    .block_on(make())
            };
            scope.spawn(run).join().unwrap()
        })
    }

    fn start() -> Self {
        // Another process may take a port before SeaweedFS does.
        (0..3)
            .find_map(|_| Self::try_start())
            .expect("three times SeaweedFS found its ports taken")
    }

    fn try_start() -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("sealift-s3-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let (admin, reader) = (random_key("admin"), random_key("reader"));
        let actions = |key: &AccessKey, actions: &[&str]| {
            let secret = String::from_utf8_lossy(key.secret.expose()).into_owned();
            json!({
                "name": key.id,
                "credentials": [{ "accessKey": key.id, "secretKey": secret }],
                "actions": actions,
            })
        };
        let identities = json!({ "identities": [
            actions(&admin, &["Admin", "Read", "Write", "List", "Tagging"]),
            actions(&reader, &["Read", "List"]),
        ]});
        fs::write(folder.join("s3.json"), identities.to_string()).unwrap();
        write_certificates(&folder);
        let ports = Ports::free();
        let guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "guard"])
            .arg(&folder)
            .arg(cached("seaweed/bin/weed"))
            .args(arguments(&folder, &ports))
            .env("WEED_S3_SSE_KEY", "5e".repeat(32))
            .env("WEED_MASTER_VOLUME_GROWTH_COPY_1", "1")
            .env_remove("AWS_ACCESS_KEY_ID")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let server = Self {
            folder,
            ports,
            admin,
            reader,
            buckets: AtomicU32::new(0),
            _guard: guard,
        };
        let ready = wait_for(
            "SeaweedFS to make a bucket",
            Duration::from_secs(90),
            || {
                let log = fs::read_to_string(server.folder.join("log")).unwrap_or_default();
                if log.contains("address already in use") {
                    return Some(false);
                }
                // The SDK's own patience is longer than this needs.
                std::net::TcpStream::connect(("127.0.0.1", server.ports.http)).ok()?;
                server.try_make_bucket("ready").ok().map(|()| true)
            },
        );
        ready.then_some(server)
    }
}

/// A store's settings for a bucket, as most servers but AWS want them.
pub(crate) fn s3_settings(bucket: &str) -> S3Settings {
    S3Settings {
        bucket: bucket.to_owned(),
        prefix: "blobs/".to_owned(),
        path_style: true,
        encryption: Encryption::None,
    }
}

/// A plain client.
pub(crate) fn client(config: &SdkConfig) -> aws_sdk_s3::Client {
    let builder = aws_sdk_s3::config::Builder::from(config).force_path_style(true);
    aws_sdk_s3::Client::from_conf(builder.build())
}

impl Ports {
    fn free() -> Self {
        // All are held until the last is found, so that they differ.
        let found: Vec<_> = (0..9)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let mut ports = found.iter().map(|port| port.local_addr().unwrap().port());
        Self {
            http: ports.next().unwrap(),
            https: ports.next().unwrap(),
            inner: ports.collect(),
        }
    }
}

fn arguments(folder: &std::path::Path, ports: &Ports) -> Vec<String> {
    const INNER: [&str; 7] = [
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "s3.port.grpc",
    ];
    let path = |name: &str| folder.join(name).display().to_string();
    let mut arguments = vec!["server".to_owned()];
    let mut add = |name: &str, value: String| arguments.push(format!("-{name}={value}"));
    for (name, port) in INNER.iter().zip(&ports.inner) {
        add(name, port.to_string());
    }
    add("s3.port", ports.http.to_string());
    add("s3.port.https", ports.https.to_string());
    for (name, value) in [
        ("dir", "."),
        ("ip", "127.0.0.1"),
        ("ip.bind", "127.0.0.1"),
        ("filer", "true"),
        ("s3", "true"),
        ("s3.autoCreateBucket", "false"),
        ("s3.port.iceberg", "0"),
        ("s3.port.lance", "0"),
        ("master.telemetry", "false"),
        ("master.volumeSizeLimitMB", "512"),
        // Each bucket takes volumes of its own, which hold nothing at first.
        ("volume.max", "5000"),
        ("volume.preStopSeconds", "0"),
    ] {
        add(name, value.to_owned());
    }
    for (name, file) in [
        ("s3.config", "s3.json"),
        ("s3.cert.file", "server.pem"),
        ("s3.key.file", "server.key"),
        ("s3.localSocket", "s3.sock"),
        ("filer.localSocket", "filer.sock"),
    ] {
        add(name, path(file));
    }
    arguments
}

fn write_certificates(folder: &std::path::Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let params = CertificateParams::new(names).unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap();
    fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
    fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
}

fn random_key(name: &str) -> AccessKey {
    let secret: String = std::iter::repeat_with(fastrand::alphanumeric)
        .take(40)
        .collect();
    AccessKey {
        id: format!("SEALIFT{}", name.to_uppercase()),
        secret: Secret::new(secret.into_bytes()),
    }
}
