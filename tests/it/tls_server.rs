//! TLS for servers: versions, names, resumption, certificates of clients, and what is not TLS.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use sealift::domain::clock::{Clock, SystemClock};
use sealift::net::certificates::{Certificates, PemFiles};
use sealift::net::tickets::{Mark, TicketKey, TicketKeys};
use sealift::net::tls_server::{ClientCertificates, HANDSHAKE, Secured, TlsServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::support::folder::TempFolder;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// A certificate and its key, in PEM.
    fn issue(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn files(&self, folder: &Path, stem: &str, names: &[&str]) -> PemFiles {
        let files = PemFiles {
            chain: folder.join(format!("{stem}.pem")),
            key: folder.join(format!("{stem}-key.pem")),
        };
        let (chain, key) = self.issue(names);
        fs::write(&files.chain, chain).unwrap();
        fs::write(&files.key, key).unwrap();
        files
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    /// What a client is set up with; sessions are resumed among connections that share it.
    fn client(
        &self,
        version: &'static SupportedProtocolVersion,
        certificate: Option<(String, String)>,
    ) -> Arc<ClientConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(self.roots());
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                let chain = chain.collect::<Result<_, _>>().unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.resumption = Resumption::in_memory_sessions(16);
        Arc::new(config)
    }
}

struct World {
    folder: TempFolder,
    authority: Authority,
    certificates: Certificates,
}

impl World {
    fn new() -> Self {
        let folder = TempFolder::new();
        let authority = Authority::new();
        let first = authority.files(folder.path(), "first", &["first.test"]);
        let second = authority.files(folder.path(), "second", &["second.test", "*.wild.test"]);
        let certificates = Certificates::load(vec![first, second], SystemClock.now()).unwrap();
        Self {
            folder,
            authority,
            certificates,
        }
    }

    fn server(&self, keys: &TicketKeys) -> TlsServer {
        let certificates = self.certificates.clone();
        TlsServer::new(certificates, keys.clone(), ClientCertificates::Ask)
    }
}

/// Both ends of a connection after its handshake, and a byte each way: tickets have arrived.
async fn connect(
    server: &TlsServer,
    client: &Arc<ClientConfig>,
    name: &str,
    mark: Mark,
) -> io::Result<(
    Secured<DuplexStream>,
    tokio_rustls::client::TlsStream<DuplexStream>,
)> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connector = TlsConnector::from(client.clone());
    let (secured, connected) =
        tokio::join!(server.accept(far, mark), connector.connect(name, near));
    let (mut secured, mut connected) = (secured?, connected?);
    secured.stream.write_all(b"!").await?;
    secured.stream.flush().await?;
    assert_eq!(connected.read_u8().await?, b'!');
    Ok((secured, connected))
}

fn keys() -> TicketKeys {
    TicketKeys::new(vec![TicketKey::random()])
}

#[tokio::test]
async fn a_client_gets_the_certificate_of_the_name_that_it_asks_for() {
    let world = World::new();
    let server = world.server(&keys());
    for version in [&TLS12, &TLS13] {
        for name in ["first.test", "second.test", "any.wild.test"] {
            let client = world.authority.client(version, None);
            let (secured, _client) = connect(&server, &client, name, Mark::random())
                .await
                .unwrap();
            assert_eq!(secured.server_name.as_deref(), Some(name));
            assert!(secured.resumed.is_none());
            assert!(secured.certificates.is_empty());
        }
        // Another name gets the first certificate, which its client refuses.
        for name in ["a.b.wild.test", "wild.test", "third.test"] {
            let client = world.authority.client(version, None);
            let refused = connect(&server, &client, name, Mark::random()).await;
            assert!(refused.is_err(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_resumed_session_tells_the_mark_also_on_another_instance() {
    let world = World::new();
    for version in [&TLS12, &TLS13] {
        let secret = [9; 32];
        let here = world.server(&TicketKeys::new(vec![TicketKey::new(&secret)]));
        let there = world.server(&TicketKeys::new(vec![
            TicketKey::random(),
            TicketKey::new(&secret),
        ]));
        let client = world.authority.client(version, None);
        let mark = Mark::random();
        let (first, _client) = connect(&here, &client, "first.test", mark).await.unwrap();
        assert!(first.resumed.is_none());
        for _ in 0..6 {
            let (again, _client) = connect(&there, &client, "first.test", mark).await.unwrap();
            assert!(again.resumed == Some(mark), "{version:?}");
            assert_eq!(again.server_name.as_deref(), Some("first.test"));
        }
        let other = Mark::random();
        let (again, _client) = connect(&there, &client, "first.test", other).await.unwrap();
        assert!(again.resumed == Some(mark));
        let (again, _client) = connect(&there, &client, "first.test", mark).await.unwrap();
        assert!(again.resumed == Some(other));
    }
}

#[tokio::test]
async fn a_ticket_of_strange_keys_leads_to_a_full_handshake() {
    let world = World::new();
    for version in [&TLS12, &TLS13] {
        let (here, there) = (world.server(&keys()), world.server(&keys()));
        let client = world.authority.client(version, None);
        let (_, _client) = connect(&here, &client, "first.test", Mark::random())
            .await
            .unwrap();
        let (secured, _client) = connect(&there, &client, "first.test", Mark::random())
            .await
            .unwrap();
        assert!(secured.resumed.is_none());
    }
}

#[tokio::test]
async fn a_session_is_not_resumed_for_another_name() {
    let world = World::new();
    let server = world.server(&keys());
    for version in [&TLS12, &TLS13] {
        let client = world.authority.client(version, None);
        let mark = Mark::random();
        for name in ["first.test", "second.test"] {
            let (secured, _client) = connect(&server, &client, name, mark).await.unwrap();
            assert!(secured.resumed.is_none());
        }
    }
}

#[tokio::test]
async fn a_clients_certificate_is_told_also_when_its_session_is_resumed() {
    let world = World::new();
    let server = world.server(&keys());
    let stranger = Authority::new();
    for version in [&TLS12, &TLS13] {
        let (chain, key) = stranger.issue(&["client.test"]);
        let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
        let client = world.authority.client(version, Some((chain, key)));
        let mark = Mark::random();
        for resumed in [None, Some(mark), Some(mark)] {
            let (secured, _client) = connect(&server, &client, "first.test", mark).await.unwrap();
            assert!(secured.resumed == resumed);
            assert_eq!(secured.certificates, [leaf.to_vec()]);
        }
    }
}

#[tokio::test]
async fn clients_are_not_asked_for_certificates_where_that_is_not_wanted() {
    let world = World::new();
    let certificates = world.certificates.clone();
    let server = TlsServer::new(certificates, keys(), ClientCertificates::Ignore);
    let certificate = Authority::new().issue(&["client.test"]);
    let client = world.authority.client(&TLS13, Some(certificate));
    let (secured, _client) = connect(&server, &client, "first.test", Mark::random())
        .await
        .unwrap();
    assert!(secured.certificates.is_empty());
}

#[tokio::test]
async fn an_overlong_chain_is_refused() {
    let world = World::new();
    let server = world.server(&keys());
    let stranger = Authority::new();
    let (leaf, key) = stranger.issue(&["client.test"]);
    let above = stranger.0.pem().repeat(100);
    for version in [&TLS12, &TLS13] {
        let chain = format!("{leaf}{above}");
        let client = world.authority.client(version, Some((chain, key.clone())));
        let refused = connect(&server, &client, "first.test", Mark::random()).await;
        assert!(refused.is_err());
    }
}

#[tokio::test]
async fn a_writer_gets_no_tickets_to_leave_unread() {
    let world = World::new();
    let server = world.server(&keys());
    let client = world.authority.client(&TLS13, None);
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from("first.test").unwrap();
    let connector = TlsConnector::from(client.clone());
    let (secured, connected) = tokio::join!(
        server.accept_writer(far, Mark::random()),
        connector.connect(name, near)
    );
    let (mut secured, mut connected) = (secured.unwrap(), connected.unwrap());
    connected.write_all(b"all").await.unwrap();
    connected.shutdown().await.unwrap();
    let mut got = Vec::new();
    secured.stream.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"all");
    let (mut raw, _) = connected.into_inner();
    drop(secured);
    let mut unread = Vec::new();
    raw.read_to_end(&mut unread).await.unwrap();
    assert!(unread.is_empty(), "{} bytes were left unread", unread.len());
}

/// A ClientHello of TLS 1.0 to 1.2 that offers suites of TLS 1.0 and 1.2.
fn hello(minor: u8) -> Vec<u8> {
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    body.push(0);
    body.extend([0, 4, 0xc0, 0x2b, 0xc0, 0x13]);
    body.extend([1, 0]);
    let length = u8::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    record
}

#[tokio::test]
async fn older_versions_and_garbage_are_refused() {
    let world = World::new();
    let server = world.server(&keys());
    let alert = [21, 3, 3, 0, 2, 2];
    for (sent, told) in [
        (hello(1), Some(alert)),
        (hello(2), Some(alert)),
        (b"USER demo\r\nPASS demo\r\n".to_vec(), None),
        (vec![0; 4096], None),
        (vec![0xff; 65536], None),
        (Vec::new(), None),
    ] {
        let (mut near, far) = tokio::io::duplex(128 * 1024);
        near.write_all(&sent).await.unwrap();
        near.shutdown().await.unwrap();
        let refused = server.accept(far, Mark::random()).await;
        assert!(refused.is_err());
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).await.unwrap();
        if let Some(told) = told {
            assert!(answer.starts_with(&told), "{answer:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_after_a_while_wherever_it_falls() {
    let world = World::new();
    let server = world.server(&keys());
    let whole = hello(3);
    for sent in [&[][..], &whole[..3], &whole[..20]] {
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        near.write_all(sent).await.unwrap();
        let began = tokio::time::Instant::now();
        let error = server.accept(far, Mark::random()).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(
            began.elapsed() >= HANDSHAKE && began.elapsed() < HANDSHAKE + Duration::from_secs(1)
        );
    }
}

async fn served(world: &World, name: &str) -> bool {
    let client = world.authority.client(&TLS13, None);
    let connected = connect(&world.server(&keys()), &client, name, Mark::random()).await;
    connected.is_ok()
}

#[tokio::test]
async fn changed_files_are_read_again_and_broken_ones_leave_the_old_certificate() {
    let world = World::new();
    let now = SystemClock.now();
    let folder = world.folder.path();
    assert!(served(&world, "first.test").await);
    // The new certificate is there, its key is not yet.
    let (chain, key) = world.authority.issue(&["new.test"]);
    fs::write(folder.join("first.pem"), chain).unwrap();
    world.certificates.look(now);
    assert!(served(&world, "first.test").await);
    fs::write(folder.join("first-key.pem"), key).unwrap();
    world.certificates.look(now);
    assert!(served(&world, "new.test").await);
    assert!(!served(&world, "first.test").await);
    for broken in [
        "",
        "garbage",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        fs::write(folder.join("first.pem"), broken).unwrap();
        for _ in 0..3 {
            world.certificates.look(now);
            assert!(served(&world, "new.test").await, "{broken}");
        }
    }
    fs::remove_file(folder.join("first.pem")).unwrap();
    world.certificates.look(now);
    world.certificates.look(now);
    assert!(served(&world, "new.test").await);
    assert!(served(&world, "second.test").await);
    let _files = world.authority.files(folder, "first", &["third.test"]);
    world.certificates.look(now);
    assert!(served(&world, "third.test").await);
}

#[test]
fn what_is_wrong_with_the_files_is_said_with_their_names() {
    let world = World::new();
    let folder = world.folder.path();
    let refused = |files: PemFiles| {
        let error = Certificates::load(vec![files], SystemClock.now()).unwrap_err();
        error.context().to_owned()
    };
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let good = world.authority.files(folder, "good", &["good.test"]);
    let with_key = |key| PemFiles {
        key,
        ..good.clone()
    };
    let with_chain = |chain| PemFiles {
        chain,
        ..good.clone()
    };
    let empty = file("empty", "");
    for (files, says) in [
        (
            with_key(folder.join("first-key.pem")),
            "first-key.pem' is not the one of the certificate",
        ),
        (with_key(folder.join("missing")), "missing' cannot be read"),
        (with_key(empty.clone()), "empty' holds no private key"),
        (
            with_key(file(
                "locked",
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            )),
            "locked' is encrypted",
        ),
        (
            with_key(file(
                "strange",
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            )),
            "strange' is a key of an unknown kind",
        ),
        (with_chain(empty), "empty' holds no certificate"),
        (
            with_chain(folder.join("missing")),
            "missing' cannot be read",
        ),
        (
            with_chain(file(
                "short",
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            )),
            "short' holds no certificate",
        ),
        (
            with_chain(file("torn", "-----BEGIN CERTIFICATE-----\nAAAA")),
            "torn' ",
        ),
    ] {
        let said = refused(files);
        assert!(said.contains(says), "{said}");
    }
}

/// OpenSSL against a port: what it prints.
async fn s_client(port: u16, words: &[&str]) -> String {
    let mut command = std::process::Command::new("openssl");
    command.args(["s_client", "-ign_eof", "-servername", "first.test"]);
    command.args(["-connect", &format!("127.0.0.1:{port}")]);
    command.args(words).stdin(std::process::Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    format!("{out}{}", String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_resumes_its_sessions_and_speaks_no_older_version() {
    let world = World::new();
    let server = world.server(&keys());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mark = Mark::random();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut secured) = server.accept(stream, mark).await else {
                continue;
            };
            let resumed = secured.resumed == Some(mark);
            let line = format!("the mark came back: {resumed}\n");
            secured.stream.write_all(line.as_bytes()).await.unwrap();
            secured.stream.shutdown().await.unwrap();
        }
    });
    for version in ["-tls1_2", "-tls1_3"] {
        let session = world.folder.join(version);
        let session = session.to_str().unwrap();
        let first = s_client(port, &[version, "-sess_out", session]).await;
        assert!(first.contains("the mark came back: false"), "{first}");
        let again = s_client(port, &[version, "-sess_in", session]).await;
        assert!(again.contains("Reused, "), "{again}");
        assert!(again.contains("the mark came back: true"), "{again}");
    }
    for version in ["-tls1", "-tls1_1"] {
        let refused = s_client(port, &[version, "-cipher", "DEFAULT:@SECLEVEL=0"]).await;
        assert!(!refused.contains("the mark"), "{refused}");
        assert!(refused.contains("alert"), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn files_are_followed_until_the_server_ends() {
    let world = World::new();
    let stop = CancellationToken::new();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut following = tokio::task::JoinSet::new();
    following.spawn(world.certificates.clone().follow(clock, stop.clone()));
    let _files = world
        .authority
        .files(world.folder.path(), "first", &["new.test"]);
    let mut looks = 0;
    while !served(&world, "new.test").await {
        looks += 1;
        assert!(looks < 100, "the new certificate was not read");
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    stop.cancel();
    following.join_next().await.unwrap().unwrap();
}
