//! Lists of revoked certificates (X.509): whose are taken, and which of two.

use std::fs;
use std::process::Command;

use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;
use sealift::accounts::attempt::Step;
use sealift::accounts::x509::CertificateRule;
use sealift::db::x509::{X509Crl, crls, set_crl};
use sealift::domain::error::{ErrorKind, Result};

use crate::logins::{admitted, refused};
use crate::support::dialects::on_both_databases;
use crate::support::folder::TempFolder;
use crate::support::installation::Installation;
use crate::x509::{ANN, Authority, EMAIL, Leaf};

on_both_databases! {
    revoked_certificates_open_nothing_and_end_sessions,
    lists_are_taken_of_authorities_of_the_tenant_only,
    a_list_of_a_time_to_come_or_with_a_lower_number_is_refused,
    an_authority_right_below_a_trusted_one_vouches_for_its_list_by_its_certificate,
    a_list_that_nobody_signed_is_replaced_and_takes_nothing_back,
    all_lists_of_a_file_are_taken_or_none,
    what_is_wrong_with_a_list_is_said,
}

async fn revoked_certificates_open_nothing_and_end_sessions(world: Installation) {
    let authority = Authority::new("Acme CA");
    world.trust("acme", &authority).await;
    world.map(ANN, EMAIL).await;
    let one = authority.issue(Leaf::default());
    let other = authority.issue(Leaf {
        serial: 8,
        ..Leaf::default()
    });
    let set = async |crl: String| world.directory.set_x509_crls("acme", crl.as_bytes()).await;
    set(authority.revoke(&[], (2022, 2030))).await.unwrap();
    let Step::Admitted(session) = world.show(ANN, &one).await.unwrap() else {
        panic!("not let in");
    };
    let shown = set(authority.revoke(&[7], (2023, 2030))).await.unwrap();
    assert_eq!(shown[0].revoked, 1);
    world.assert_ends(&session).await;
    refused(world.show(ANN, &one).await);
    assert!(world.why().await.ends_with("is revoked"));
    admitted(world.show(ANN, &other).await);
    // An older list does not bring it back.
    let older = set(authority.revoke(&[], (2022, 2030))).await;
    assert_eq!(older.unwrap_err().kind(), ErrorKind::Invalid);
    // A list that is over closes what it is about.
    world
        .clock
        .advance(std::time::Duration::from_secs(10 * 365 * 86_400));
    refused(world.show(ANN, &other).await);
    assert!(world.why().await.ends_with("is over; add a newer one"));
    set(authority.revoke(&[7], (2033, 2039))).await.unwrap();
    admitted(world.show(ANN, &other).await);
    refused(world.show(ANN, &one).await);
    // One that somebody else signed in its name.
    let forged = Authority::new("Acme CA").revoke(&[], (2033, 2039));
    assert_eq!(set(forged).await.unwrap_err().kind(), ErrorKind::Invalid);
    refused(world.show(ANN, &one).await);
    admitted(world.show(ANN, &other).await);
}

#[track_caller]
fn not_taken(set: Result<()>, says: &str) {
    let error = set.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.context().contains(says), "{error}");
}

async fn lists_are_taken_of_authorities_of_the_tenant_only(world: Installation) {
    let authority = Authority::new("Acme CA");
    let chain = authority.issue(Leaf::default());
    world
        .map(ANN, &CertificateRule::pinned(&chain[0]).to_string())
        .await;
    let real = authority.revoke(&[7], (2022, 2030));
    not_taken(world.revoke(&real).await, "add its certificate first");
    admitted(world.show(ANN, &chain).await);
    world.trust("bolt", &authority).await;
    not_taken(world.revoke(&real).await, "add its certificate first");
    world.trust("acme", &authority).await;
    world.revoke(&real).await.unwrap();
    refused(world.show(ANN, &chain).await);
    // Newer ones by somebody else of the same name take nothing back.
    let namesake = Authority::new("Acme CA");
    let forged = namesake.revoke(&[], (2023, 2030));
    not_taken(world.revoke(&forged).await, "add its certificate first");
    let shown = namesake.0.pem();
    not_taken(
        world.revoke(&format!("{forged}{shown}")).await,
        "add its certificate first",
    );
    // Nor if the tenant trusts both: there is one list by each name.
    world.trust("acme", &namesake).await;
    not_taken(
        world.revoke(&forged).await,
        "take the authority that is over away first",
    );
    refused(world.show(ANN, &chain).await);
    world.revoke(&real).await.unwrap();
    world
        .revoke(&authority.revoke(&[], (2023, 2030)))
        .await
        .unwrap();
    admitted(world.show(ANN, &chain).await);
}

async fn a_list_of_a_time_to_come_or_with_a_lower_number_is_refused(world: Installation) {
    let authority = Authority::new("Acme CA");
    world.trust("acme", &authority).await;
    let by = |number| authority.revoke_by(&[7], (2023, 2030), number);
    not_taken(
        world.revoke(&authority.revoke(&[], (2039, 2040))).await,
        "clocks",
    );
    world.revoke(&by(9)).await.unwrap();
    not_taken(world.revoke(&by(3)).await, "newer list");
    world.revoke(&by(9)).await.unwrap();
    world.revoke(&by(10)).await.unwrap();
}

async fn an_authority_right_below_a_trusted_one_vouches_for_its_list_by_its_certificate(
    world: Installation,
) {
    let root = Authority::new("Acme Root");
    let below = root.below("Acme Laptops");
    world.trust("acme", &root).await;
    world.map(ANN, EMAIL).await;
    let mut chain = below.issue(Leaf::default());
    chain.push(below.0.der().to_vec());
    admitted(world.show(ANN, &chain).await);
    let list = below.revoke(&[7], (2023, 2030));
    not_taken(world.revoke(&list).await, "Acme Laptops");
    let stranger = Authority::new("Elsewhere").below("Acme Laptops");
    let by_stranger = stranger.revoke(&[], (2023, 2030));
    for other in [&stranger, &below] {
        let file = format!("{by_stranger}{}", other.0.pem());
        not_taken(world.revoke(&file).await, "Acme Laptops");
    }
    // Nor does one below speak in the name of one that is trusted itself.
    world
        .trust("acme", &Authority::without_lists("Acme Silent"))
        .await;
    for name in ["Acme Root", "Acme Silent"] {
        let double = root.below(name);
        let file = format!("{}{}", double.revoke(&[], (2023, 2030)), double.0.pem());
        not_taken(world.revoke(&file).await, name);
    }
    let file = format!("{list}{}", below.0.pem());
    world.revoke(&file).await.unwrap();
    refused(world.show(ANN, &chain).await);
    assert!(world.why().await.ends_with("is revoked"));
}

async fn all_lists_of_a_file_are_taken_or_none(world: Installation) {
    let (one, other) = (Authority::new("Acme CA"), Authority::new("Acme Phones"));
    world.trust("acme", &one).await;
    world.trust("acme", &other).await;
    let revoked = async || {
        let mut all: Vec<_> = world.directory.x509_crls("acme").await.unwrap();
        all.sort_by(|one, other| one.issuer.cmp(&other.issuer));
        let named = all.into_iter().map(|list| (list.issuer, list.revoked));
        named.collect::<Vec<_>>()
    };
    let stranger = Authority::new("Elsewhere").revoke(&[], (2023, 2030));
    let (first, second) = (
        one.revoke(&[7], (2021, 2030)),
        other.revoke(&[8, 9], (2022, 2030)),
    );
    not_taken(
        world.revoke(&format!("{first}{second}{stranger}")).await,
        "Elsewhere",
    );
    let broken = first.replacen("MI", "AA", 1);
    not_taken(
        world.revoke(&format!("{second}{broken}")).await,
        "list 2 of the file",
    );
    assert_eq!(revoked().await, []);
    let file = format!("{first}{second}");
    let taken = world.directory.set_x509_crls("acme", file.as_bytes()).await;
    assert_eq!(taken.unwrap().len(), 2);
    let both = [
        ("CN=Acme CA".to_owned(), 1),
        ("CN=Acme Phones".to_owned(), 2),
    ];
    assert_eq!(revoked().await, both);
    // Of two of one authority the later counts, wherever it stands.
    let (old, new) = (
        one.revoke(&[], (2022, 2030)),
        one.revoke(&[7, 8], (2023, 2030)),
    );
    world.revoke(&format!("{new}{old}")).await.unwrap();
    assert_eq!(revoked().await[0].1, 2);
    let chain = other.issue(Leaf {
        serial: 9,
        ..Leaf::default()
    });
    world.map(ANN, EMAIL).await;
    refused(world.show(ANN, &chain).await);
    assert!(world.why().await.ends_with("is revoked"));
}

async fn what_is_wrong_with_a_list_is_said(world: Installation) {
    let folder = TempFolder::new();
    let at = |name: &str| folder.join(name).display().to_string();
    let openssl = |words: &[&str]| {
        let ran = Command::new("openssl").args(words).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{words:?}: {said}");
    };
    let (key, ca, list, config) = (at("key"), at("ca"), at("list"), at("config"));
    let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=Acme";
    let words: Vec<_> = words.split(' ').collect();
    openssl(&[&words[..], &["-keyout", &key, "-out", &ca]].concat());
    fs::write(at("index"), "").unwrap();
    fs::write(at("number"), "01").unwrap();
    for (extension, says) in [
        ("", "it is of version 1"),
        ("1.2.3.4=critical,ASN1:NULL", "critical extension 1.2.3.4"),
        ("2.5.29.27=critical,DER:02:01:01", "a delta list"),
    ] {
        let numbered = format!(
            "crlnumber={}\ncrl_extensions=e\n[e]\n{extension}\n",
            at("number")
        );
        let more = if extension.is_empty() { "" } else { &numbered };
        let database = at("index");
        let text =
            format!("[ca]\ndefault_ca=d\n[d]\ndatabase={database}\ndefault_md=sha256\n{more}");
        fs::write(&config, text).unwrap();
        let words = [
            "ca", "-config", &config, "-gencrl", "-crldays", "30", "-keyfile", &key,
        ];
        openssl(&[&words[..], &["-cert", &ca, "-out", &list]].concat());
        let file = fs::read_to_string(&list).unwrap();
        not_taken(world.revoke(&file).await, says);
    }
}

/// Such lists were taken once.
async fn a_list_that_nobody_signed_is_replaced_and_takes_nothing_back(world: Installation) {
    let authority = Authority::new("Acme CA");
    let chain = authority.issue(Leaf::default());
    world
        .map(ANN, &CertificateRule::pinned(&chain[0]).to_string())
        .await;
    world.trust("acme", &authority).await;
    let real = authority.revoke(&[], (2022, 2030));
    world.revoke(&real).await.unwrap();
    let forged = Authority::new("Acme CA").revoke(&[7], (2039, 2040));
    let forged = CertificateRevocationListDer::from_pem_slice(forged.as_bytes()).unwrap();
    let tenant = world.tenant("acme").await;
    let mut tx = world.committer.database().write(tenant).await.unwrap();
    let before = crls(&mut tx).await.unwrap();
    let stored = X509Crl {
        crl: forged.to_vec(),
        ..before[0].clone()
    };
    set_crl(&mut tx, &stored).await.unwrap();
    tx.commit().await.unwrap();
    refused(world.show(ANN, &chain).await);
    world.revoke(&real).await.unwrap();
    admitted(world.show(ANN, &chain).await);
}
