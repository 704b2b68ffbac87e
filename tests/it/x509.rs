//! Certificates (X.509) of TLS clients as logins and as factors, on both databases.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SanType, SerialNumber, date_time_ymd,
};
use sealift::accounts::attempt::{Attempt, Question, Step};
use sealift::accounts::manage::Access;
use sealift::accounts::methods::Method;
use sealift::accounts::x509::CertificateRule;
use sealift::domain::error::{ErrorKind, Result};
use sealift::domain::secret::Secret;
use serde_json::Value;

use crate::logins::{admitted, asked, further, refused};
use crate::support::dialects::on_both_databases;
use crate::support::folder::TempFolder;
use crate::support::installation::{Installation, door, name};
use crate::support::server::{DEMO, Server, sealift};

on_both_databases! {
    a_certificate_that_an_authority_of_the_tenant_made_opens_the_account_it_is_mapped_to,
    what_a_certificate_lacks_refuses_it,
    a_certificate_may_be_one_factor_beside_the_password,
    certificates_are_kept_apart_by_account_and_tenant,
    a_pinned_certificate_needs_no_authority,
    an_authority_opens_nothing_when_its_own_certificate_is_over,
    a_certificate_of_an_authority_below_needs_its_chain,
    who_has_no_certificates_is_not_troubled_by_them,
    files_that_are_no_such_thing_are_refused_with_a_reason,
}

const HERE: &str = "192.0.2.1";
pub(crate) const ANN: &str = "ann@acme";
pub(crate) const EMAIL: &str = "email:ann@acme.example";

pub(crate) struct Authority(pub(crate) CertifiedIssuer<'static, KeyPair>);

/// What a certificate says; as it should be for Ann.
pub(crate) struct Leaf {
    pub(crate) names: Vec<SanType>,
    pub(crate) common: Option<&'static str>,
    pub(crate) usage: Vec<ExtendedKeyUsagePurpose>,
    pub(crate) years: (i32, i32),
    pub(crate) serial: u64,
}

impl Default for Leaf {
    fn default() -> Self {
        Self {
            names: vec![SanType::Rfc822Name(
                "ann@ACME.example".to_owned().try_into().unwrap(),
            )],
            common: None,
            usage: vec![ExtendedKeyUsagePurpose::ClientAuth],
            years: (2020, 2040),
            serial: 7,
        }
    }
}

impl Leaf {
    fn params(self) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = self.names;
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(common) = self.common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        params.extended_key_usages = self.usage;
        params.not_before = date_time_ymd(self.years.0, 1, 1);
        params.not_after = date_time_ymd(self.years.1, 1, 1);
        params.serial_number = Some(SerialNumber::from(self.serial));
        params
    }

    fn self_signed(self) -> Vec<Vec<u8>> {
        let key = KeyPair::generate().unwrap();
        let certificate = self.params().self_signed(&key).unwrap();
        vec![certificate.der().to_vec()]
    }
}

impl Authority {
    fn params(common: &str, years: (i32, i32)) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        params
    }

    pub(crate) fn new(common: &str) -> Self {
        Self::of(common, (2020, 2040))
    }

    /// One that makes certificates, and no lists of those that are revoked.
    pub(crate) fn without_lists(common: &str) -> Self {
        let mut params = Self::params(common, (2020, 2040));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn of(common: &str, years: (i32, i32)) -> Self {
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(Self::params(common, years), key).unwrap())
    }

    pub(crate) fn below(&self, common: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = Self::params(common, (2020, 2040));
        Self(CertifiedIssuer::signed_by(params, key, &self.0).unwrap())
    }

    pub(crate) fn issue(&self, leaf: Leaf) -> Vec<Vec<u8>> {
        let key = KeyPair::generate().unwrap();
        let certificate = leaf.params().signed_by(&key, &self.0).unwrap();
        vec![certificate.der().to_vec()]
    }

    /// The list of these serial numbers, made in one year and good until another.
    pub(crate) fn revoke(&self, serials: &[u64], years: (i32, i32)) -> String {
        self.revoke_by(serials, years, 1)
    }

    /// The same as the list with this number.
    pub(crate) fn revoke_by(&self, serials: &[u64], years: (i32, i32), number: u64) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2022, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(years.0, 1, 1),
            next_update: date_time_ymd(years.1, 1, 1),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

impl Installation {
    pub(crate) async fn trust(&self, tenant: &str, authority: &Authority) {
        let pem = authority.0.pem();
        let trusted = self.directory.add_x509_authority(tenant, pem.as_bytes());
        trusted.await.unwrap();
    }

    pub(crate) async fn map(&self, login: &str, rule: &str) {
        let rule: CertificateRule = rule.parse().unwrap();
        let login = name(login);
        let added = self.directory.add_certificate(&login, &rule).await;
        added.unwrap();
    }

    pub(crate) async fn revoke(&self, list: &str) -> Result<()> {
        let set = self.directory.set_x509_crls("acme", list.as_bytes());
        set.await.map(drop)
    }

    pub(crate) async fn show(&self, login: &str, chain: &[Vec<u8>]) -> Result<Step> {
        let mut attempt = Attempt::new(self.accounts.clone(), door(HERE));
        attempt.tls_certificate(login, chain).await
    }

    /// Why the last login failed.
    pub(crate) async fn why(&self) -> String {
        let log = self.log("acme").await;
        let last = log.iter().rfind(|record| record.kind == "login-failed");
        last.unwrap().detail.clone()
    }
}

fn secret() -> Secret {
    Secret::new("acme-secret")
}

async fn a_certificate_that_an_authority_of_the_tenant_made_opens_the_account_it_is_mapped_to(
    world: Installation,
) {
    let authority = Authority::new("Acme CA");
    world.trust("acme", &authority).await;
    let uri = || SanType::URI("spiffe://acme/ann".to_owned().try_into().unwrap());
    let dns = || SanType::DnsName("Laptop.acme.example".to_owned().try_into().unwrap());
    for (rule, leaf) in [
        (EMAIL, Leaf::default()),
        (
            "dns:laptop.acme.example",
            Leaf {
                names: vec![dns()],
                ..Leaf::default()
            },
        ),
        (
            "uri:spiffe://acme/ann",
            Leaf {
                names: vec![dns(), uri()],
                ..Leaf::default()
            },
        ),
        (
            "cn:Ann Bee",
            Leaf {
                common: Some("Ann Bee"),
                names: Vec::new(),
                usage: Vec::new(),
                ..Leaf::default()
            },
        ),
        (
            EMAIL,
            Leaf {
                usage: vec![ExtendedKeyUsagePurpose::Any],
                ..Leaf::default()
            },
        ),
    ] {
        let chain = authority.issue(leaf);
        refused(world.show(ANN, &chain).await);
        world.map(ANN, rule).await;
        assert_eq!(admitted(world.show(ANN, &chain).await), ANN);
        let log = world.log("acme").await;
        let login = log.iter().rfind(|record| record.kind == "login").unwrap();
        assert!(login.detail.contains("by certificate "), "{}", login.detail);
        assert!(login.detail.contains("SHA-256 "), "{}", login.detail);
        let rule: CertificateRule = rule.parse().unwrap();
        let ann = name(ANN);
        let removed = world.directory.remove_certificate(&ann, &rule).await;
        removed.unwrap();
        refused(world.show(ANN, &chain).await);
    }
}

async fn what_a_certificate_lacks_refuses_it(world: Installation) {
    let authority = Authority::new("Acme CA");
    world.trust("acme", &authority).await;
    world.map(ANN, EMAIL).await;
    let other = SanType::Rfc822Name("bob@acme.example".to_owned().try_into().unwrap());
    let host = SanType::DnsName("ann@acme.example".to_owned().try_into().unwrap());
    for (leaf, why) in [
        (
            Leaf {
                names: vec![other],
                ..Leaf::default()
            },
            "does not open the account",
        ),
        // The same text, as a name of another kind.
        (
            Leaf {
                names: vec![host],
                common: Some("ann@acme.example"),
                ..Leaf::default()
            },
            "does not open the account",
        ),
        (
            Leaf {
                years: (2020, 2021),
                ..Leaf::default()
            },
            "has expired",
        ),
        (
            Leaf {
                years: (2030, 2031),
                ..Leaf::default()
            },
            "is not valid yet",
        ),
        (
            Leaf {
                usage: vec![ExtendedKeyUsagePurpose::ServerAuth],
                ..Leaf::default()
            },
            "is not for clients",
        ),
    ] {
        refused(world.show(ANN, &authority.issue(leaf)).await);
        let said = world.why().await;
        assert!(said.ends_with(why), "{said}");
    }
    // Another authority by the same name, and nobody.
    let namesake = Authority::new("Acme CA");
    for chain in [
        namesake.issue(Leaf::default()),
        Leaf::default().self_signed(),
    ] {
        refused(world.show(ANN, &chain).await);
    }
    let stranger = Authority::new("Elsewhere CA");
    let mut chain = stranger.issue(Leaf::default());
    chain.push(authority.0.der().to_vec());
    refused(world.show(ANN, &chain).await);
    let said = world.why().await;
    assert!(said.contains("the tenant does not trust"), "{said}");
    for garbage in [vec![], vec![Vec::new()], vec![b"garbage".to_vec()]] {
        refused(world.show(ANN, &garbage).await);
    }
    // What is right opens still.
    let good = authority.issue(Leaf::default());
    admitted(world.show(ANN, &good).await);
    let ann = name(ANN);
    let access = world.directory.set_account_access(&ann, Access::Refuse);
    access.await.unwrap();
    refused(world.show(ANN, &good).await);
}

async fn a_certificate_may_be_one_factor_beside_the_password(world: Installation) {
    let authority = Authority::new("Acme CA");
    world.trust("acme", &authority).await;
    world.map(ANN, EMAIL).await;
    world.set_methods("certificate,password").await;
    let chain = authority.issue(Leaf::default());
    let mut attempt = Attempt::new(world.accounts.clone(), door(HERE));
    // Neither alone, nor in another order.
    refused(attempt.password_line(ANN, &secret()).await);
    further(
        attempt.tls_certificate(ANN, &chain).await,
        &[Method::Password],
    );
    refused(attempt.tls_certificate(ANN, &chain).await);
    refused(attempt.password_line(ANN, &Secret::new("wrong")).await);
    assert_eq!(admitted(attempt.password_line(ANN, &secret()).await), ANN);
    let log = world.log("acme").await;
    let login = log.iter().rfind(|record| record.kind == "login").unwrap();
    assert!(login.detail.ends_with(" and password"), "{}", login.detail);
    // What was proven of one account is nothing for another.
    let mut attempt = Attempt::new(world.accounts.clone(), door(HERE));
    further(
        attempt.tls_certificate(ANN, &chain).await,
        &[Method::Password],
    );
    admitted(
        attempt
            .password("ann@bolt", &Secret::new("bolt-secret"))
            .await,
    );
    refused(attempt.password(ANN, &secret()).await);
    // A certificate and a code.
    world.set_methods("certificate,keyboard-interactive").await;
    let totp = world.enrol().await;
    let mut attempt = Attempt::new(world.accounts.clone(), door(HERE));
    further(
        attempt.tls_certificate(ANN, &chain).await,
        &[Method::Interactive],
    );
    asked(attempt.password_line(ANN, &secret()).await, Question::Code);
    let code = Secret::new(world.code(&totp, 0));
    assert_eq!(admitted(attempt.answer(ANN, &code).await), ANN);
}

async fn certificates_are_kept_apart_by_account_and_tenant(world: Installation) {
    let (acme, bolt) = (Authority::new("Acme CA"), Authority::new("Bolt CA"));
    world.trust("acme", &acme).await;
    world.trust("bolt", &bolt).await;
    world.add("bob@acme", "bob-secret").await;
    for login in [ANN, "ann@bolt"] {
        world.map(login, EMAIL).await;
    }
    let (of_acme, of_bolt) = (acme.issue(Leaf::default()), bolt.issue(Leaf::default()));
    assert_eq!(admitted(world.show(ANN, &of_acme).await), ANN);
    assert_eq!(admitted(world.show("ann@bolt", &of_bolt).await), "ann@bolt");
    refused(world.show(ANN, &of_bolt).await);
    refused(world.show("ann@bolt", &of_acme).await);
    for login in ["bob@acme", "nobody@acme", "ann@nowhere", "ann", ""] {
        refused(world.show(login, &of_acme).await);
    }
    // The authority goes, and sessions with it.
    let Step::Admitted(session) = world.show(ANN, &of_acme).await.unwrap() else {
        panic!("not let in");
    };
    let shown = world.directory.x509_authorities("acme").await.unwrap();
    let fingerprint = shown[0].fingerprint.to_uppercase();
    let gone = world.directory.remove_x509_authority("acme", &fingerprint);
    gone.await.unwrap();
    world.assert_ends(&session).await;
    refused(world.show(ANN, &of_acme).await);
    admitted(world.show("ann@bolt", &of_bolt).await);
}

async fn a_pinned_certificate_needs_no_authority(world: Installation) {
    let own = Leaf::default().self_signed();
    let pinned = CertificateRule::pinned(&own[0]);
    world.map(ANN, &pinned.to_string()).await;
    admitted(world.show(ANN, &own).await);
    refused(world.show(ANN, &Leaf::default().self_signed()).await);
    let old = Leaf {
        years: (2020, 2021),
        ..Leaf::default()
    };
    let old = old.self_signed();
    world
        .map(ANN, &CertificateRule::pinned(&old[0]).to_string())
        .await;
    refused(world.show(ANN, &old).await);
    // What its maker revoked is closed all the same.
    let authority = Authority::new("Acme CA");
    let chain = authority.issue(Leaf::default());
    world
        .map(ANN, &CertificateRule::pinned(&chain[0]).to_string())
        .await;
    admitted(world.show(ANN, &chain).await);
    world.trust("acme", &authority).await;
    world
        .revoke(&authority.revoke(&[7], (2023, 2030)))
        .await
        .unwrap();
    refused(world.show(ANN, &chain).await);
    assert!(world.why().await.ends_with("is revoked"));
}

async fn an_authority_opens_nothing_when_its_own_certificate_is_over(world: Installation) {
    world.map(ANN, EMAIL).await;
    let over = Authority::of("Old CA", (2020, 2022)).0.pem();
    let refusal = world.directory.add_x509_authority("acme", over.as_bytes());
    let refusal = refusal.await.unwrap_err();
    assert!(refusal.context().contains("is over since"), "{refusal}");
    let authority = Authority::of("Acme CA", (2020, 2025));
    world.trust("acme", &authority).await;
    let chain = authority.issue(Leaf::default());
    admitted(world.show(ANN, &chain).await);
    world
        .clock
        .advance(std::time::Duration::from_secs(2 * 365 * 86_400));
    refused(world.show(ANN, &chain).await);
    let said = world.why().await;
    assert!(said.contains("not valid now"), "{said}");
}

async fn a_certificate_of_an_authority_below_needs_its_chain(world: Installation) {
    let root = Authority::new("Acme Root");
    let below = root.below("Acme Laptops");
    world.trust("acme", &root).await;
    world.map(ANN, EMAIL).await;
    let mut chain = below.issue(Leaf::default());
    refused(world.show(ANN, &chain).await);
    chain.push(below.0.der().to_vec());
    admitted(world.show(ANN, &chain).await);
    // An ordinary certificate makes no others.
    let key = KeyPair::generate().unwrap();
    let plain = Leaf {
        common: Some("Bob"),
        ..Leaf::default()
    };
    let bob = CertifiedIssuer::signed_by(plain.params(), key, &root.0).unwrap();
    let bob = Authority(bob);
    let mut chain = bob.issue(Leaf::default());
    chain.push(bob.0.der().to_vec());
    refused(world.show(ANN, &chain).await);
}

async fn who_has_no_certificates_is_not_troubled_by_them(world: Installation) {
    let chain = Authority::new("Any CA").issue(Leaf::default());
    let before = world.log("acme").await.len();
    let mut attempt = Attempt::new(world.accounts.clone(), door(HERE));
    refused(attempt.tls_certificate(ANN, &chain).await);
    assert_eq!(world.log("acme").await.len(), before);
    admitted(attempt.password_line(ANN, &secret()).await);
    // Nor are those for whom another certificate is: the password follows.
    world.map(ANN, EMAIL).await;
    let mut attempt = Attempt::new(world.accounts.clone(), door(HERE));
    refused(attempt.tls_certificate(ANN, &chain).await);
    admitted(attempt.password_line(ANN, &secret()).await);
}

async fn files_that_are_no_such_thing_are_refused_with_a_reason(world: Installation) {
    let directory = &world.directory;
    let authority = Authority::new("Acme CA");
    let leaf = authority.issue(Leaf::default());
    let two = authority.0.pem().repeat(2);
    for (file, says) in [
        (&b""[..], "no certificate"),
        (b"garbage", "no certificate"),
        (&[0x30, 0x03, 1, 2, 3], "no certificate"),
        (two.as_bytes(), "more than one"),
        (&leaf[0], "no authority's certificate"),
    ] {
        let error = directory
            .add_x509_authority("acme", file)
            .await
            .unwrap_err();
        assert!(error.context().contains(says), "{error}");
    }
    let pem = authority.0.pem();
    for file in [&b""[..], b"garbage", &[0x30, 0x03, 1, 2, 3], pem.as_bytes()] {
        let error = directory.set_x509_crls("acme", file).await.unwrap_err();
        assert!(error.context().contains("no list"), "{error}");
    }
    // DER is taken as well as PEM, and each but once.
    let der = authority.0.der().to_vec();
    directory.add_x509_authority("acme", &der).await.unwrap();
    let again = directory.add_x509_authority("acme", pem.as_bytes()).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
}

#[test]
fn the_commands_add_show_and_take_away_authorities_lists_and_certificates() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let run = |words: &[&str]| -> Value {
        let said = server.admin(&[words, &["--json"]].concat(), "");
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    };
    let authority = Authority::new("Demo CA");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let ca = file("ca.pem", authority.0.pem().as_bytes());
    let crl = file(
        "crl.pem",
        authority.revoke(&[7, 9], (2023, 2040)).as_bytes(),
    );
    let leaf = file("ann.der", &Leaf::default().self_signed()[0]);

    let added = run(&["tenant", "x509", "add", "demo", &ca]);
    let shown = run(&["tenant", "x509", "list", "demo"]);
    assert_eq!(shown[0]["fingerprint"], added["fingerprint"]);
    assert_eq!(shown[0]["subject"], "CN=Demo CA");
    let lists = run(&["tenant", "x509", "crl", "demo", &crl]);
    assert_eq!(
        (&lists[0]["revoked"], &lists[0]["issuer"]),
        (&2.into(), &"CN=Demo CA".into())
    );
    assert_eq!(run(&["tenant", "x509", "crl", "demo"]), lists);

    let certificate = ["account", "certificate"];
    let with = |words: &[&str]| run(&[&certificate[..], words].concat());
    with(&["add", DEMO, EMAIL]);
    let pinned = with(&["add", DEMO, &leaf])["certificate"].clone();
    assert_eq!(with(&["list", DEMO]).as_array().unwrap().len(), 2);
    with(&["remove", DEMO, EMAIL]);
    with(&["remove", DEMO, pinned.as_str().unwrap()]);
    assert_eq!(with(&["list", DEMO]), Value::Array(Vec::new()));
    let methods = "certificate,password password";
    run(&[
        "account",
        "methods",
        DEMO,
        "certificate,password",
        "password",
    ]);
    let said = server.admin(&["account", "methods", DEMO], "");
    assert!(said.contains(methods), "{said}");

    let fingerprint = added["fingerprint"].as_str().unwrap();
    run(&["tenant", "x509", "remove", "demo", fingerprint]);
    let data = server.data().to_str().unwrap().to_owned();
    for (words, says) in [
        (
            &["tenant", "x509", "remove", "demo", fingerprint][..],
            "does not trust",
        ),
        (
            &["tenant", "x509", "add", "demo", &leaf],
            "account certificate add",
        ),
        (
            &["account", "certificate", "add", DEMO, "/nowhere.pem"],
            "cannot be read",
        ),
        (
            &["account", "certificate", "remove", DEMO, EMAIL],
            "does not open",
        ),
    ] {
        let ran = sealift(&[words, &["--data", &data]].concat(), "");
        let errors = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(1), "{errors}");
        assert!(errors.contains(says), "{errors}");
    }
    server.stop();
}
