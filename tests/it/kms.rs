//! Keys kept by a key service, on two servers that each let something pass which they should not.

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_kms::primitives::Blob;
use sealift::crypto::keyring::{Keeper, KeyHome, KeyRing, WrappedKey};
use sealift::crypto::kms::KmsKeys;
use sealift::crypto::kms_envelope::Envelope;
use sealift::db::sql::Dialect;
use sealift::domain::error::{Error, ErrorKind};
use sealift::domain::id::{RegionId, TenantId};
use sealift::net::cloud::{CloudSettings, sdk_config};
use sealift::vfs::keys::{KEY_LIFE, TenantKeys};

use crate::support::kms::{Kind, Kms, on_each, ring, short};
use crate::support::line::Line;
use crate::support::nobody::Nobody;
use crate::support::seaweed::Seaweed;
use crate::support::wait::until;
use crate::support::world::{World, get, path, put};

on_each! {
    a_wrapped_key_unwraps_for_its_tenant_and_version_only,
    whatever_is_changed_in_an_envelope_is_noticed,
    a_key_that_is_disabled_or_awaits_its_deletion_is_not_used,
    a_probe_names_what_is_wrong_with_the_key,
}

const TENANT: TenantId = TenantId(7);

fn home(kms_key: Option<&str>) -> KeyHome {
    KeyHome {
        region: RegionId::MAIN,
        kms_key: kms_key.map(str::to_owned),
    }
}

/// A ring over a line that can be cut.
async fn ring_over(line: &Line, key: &str) -> KeyRing {
    let kms = KmsKeys::new(&Kms::config(line.port()).await, key.to_owned());
    KeyRing::empty().with_kms(RegionId::MAIN, kms)
}

fn kind_of<T>(result: Result<T, Error>) -> ErrorKind {
    result.err().expect("is refused").kind()
}

async fn a_wrapped_key_unwraps_for_its_tenant_and_version_only(kind: Kind) {
    let key = Kms::shared(kind).fresh_key().await;
    let ring = ring(kind, &key).await;
    let (made, wrapped) = ring.generate(TENANT, 3, &home(None)).await.unwrap();
    let again = ring.unwrap(TENANT, 3, &wrapped).await.unwrap();
    let anew = ring.wrap(TENANT, &again, &home(None)).await.unwrap();
    assert_ne!(anew.bytes, wrapped.bytes);
    for wrapped in [&wrapped, &anew] {
        ring.unwrap(TENANT, 3, wrapped).await.unwrap();
        for (tenant, version) in [(TenantId(8), 3), (TENANT, 4)] {
            let other = ring.unwrap(tenant, version, wrapped).await;
            assert_eq!(kind_of(other), ErrorKind::Corrupt);
        }
    }
    let keeper = Keeper::Kms {
        region: RegionId::MAIN,
        key_id: key,
    };
    assert_eq!(wrapped.keeper(), keeper);
    assert_eq!(format!("{made:?}"), "data key 3 <secret>");
    let shown = format!("{wrapped:?} {ring:?}");
    assert!(shown.starts_with("aws-kms key of ") && !shown.contains("test"));
}

async fn whatever_is_changed_in_an_envelope_is_noticed(kind: Kind) {
    let server = Kms::shared(kind);
    let (key, other_key) = (server.fresh_key().await, server.fresh_key().await);
    let ring = ring(kind, &key).await;
    let (_, wrapped) = ring.generate(TENANT, 1, &home(None)).await.unwrap();
    let envelope = Envelope::parse(&wrapped.bytes).unwrap();
    let corrupt = async |changed: &Envelope, what: &str| {
        let wrapped = WrappedKey {
            bytes: changed.to_bytes(),
            ..wrapped.clone()
        };
        let unwrapped = ring.unwrap(TENANT, 1, &wrapped).await;
        assert_eq!(kind_of(unwrapped), ErrorKind::Corrupt, "{what}");
    };

    for at in [envelope.ciphertext.len() / 2, envelope.ciphertext.len() - 1] {
        let mut changed = envelope.clone();
        changed.ciphertext[at] ^= 1;
        corrupt(&changed, &format!("byte {at} of the ciphertext")).await;
    }
    // Where moto notes the key's id: it answers that nobody may use that key.
    let mut changed = envelope.clone();
    changed.ciphertext[0] ^= 1;
    let wrapped_wrong = WrappedKey {
        bytes: changed.to_bytes(),
        ..wrapped.clone()
    };
    let expected = match kind {
        Kind::Ministack => ErrorKind::Corrupt,
        Kind::Moto => ErrorKind::Unavailable,
    };
    assert_eq!(
        kind_of(ring.unwrap(TENANT, 1, &wrapped_wrong).await),
        expected
    );

    let mut changed = envelope.clone();
    changed.key_id = other_key.clone();
    corrupt(&changed, "another key").await;
    changed.key_id = key.replace("key/", "key/0");
    corrupt(&changed, "a key that is not there").await;
    // What another tenant could write that knows the service and can read the database.
    let (_, theirs) = ring.generate(TenantId(8), 1, &home(None)).await.unwrap();
    corrupt(&Envelope::parse(&theirs.bytes).unwrap(), "another tenant's").await;
    for at in 0..wrapped.bytes.len() {
        let mut bytes = wrapped.bytes.clone();
        bytes.truncate(at);
        let cut = WrappedKey {
            bytes,
            ..wrapped.clone()
        };
        assert_eq!(
            kind_of(ring.unwrap(TENANT, 1, &cut).await),
            ErrorKind::Corrupt
        );
    }

    // Why the binding is needed: this server sees nothing wrong.
    if kind == Kind::Ministack {
        let mut ciphertext = envelope.ciphertext.clone();
        *ciphertext.last_mut().unwrap() ^= 1;
        for (key, ciphertext) in [(&key, &ciphertext), (&other_key, &envelope.ciphertext)] {
            let client = server.client().await;
            let request = client.decrypt().key_id(key);
            let request = request
                .encryption_context("sealift:tenant", "7")
                .encryption_context("sealift:version", "1")
                .ciphertext_blob(Blob::new(ciphertext.clone()));
            request.send().await.unwrap();
        }
    }
}

async fn a_key_that_is_disabled_or_awaits_its_deletion_is_not_used(kind: Kind) {
    let server = Kms::shared(kind);
    let client = server.client().await;
    let key = server.fresh_key().await;
    let ring = ring(kind, &key).await;
    let (made, wrapped) = ring.generate(TENANT, 1, &home(None)).await.unwrap();
    let refused = async || {
        for error in [
            ring.unwrap(TENANT, 1, &wrapped).await.err(),
            ring.generate(TENANT, 2, &home(None)).await.err(),
            ring.wrap(TENANT, &made, &home(None)).await.err(),
        ] {
            let error = error.expect("is refused");
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.context().contains("tell the operator"), "{error}");
        }
    };
    client
        .disable_key()
        .key_id(short(&key))
        .send()
        .await
        .unwrap();
    refused().await;
    if kind == Kind::Moto {
        // Why the state is looked at: this server uses it all the same.
        let ciphertext = Envelope::parse(&wrapped.bytes).unwrap().ciphertext;
        let request = client.decrypt().ciphertext_blob(Blob::new(ciphertext));
        let request = request
            .encryption_context("sealift:tenant", "7")
            .encryption_context("sealift:version", "1");
        request.send().await.unwrap();
    }
    client
        .enable_key()
        .key_id(short(&key))
        .send()
        .await
        .unwrap();
    ring.unwrap(TENANT, 1, &wrapped).await.unwrap();

    let delete = client.schedule_key_deletion().key_id(short(&key));
    delete.pending_window_in_days(7).send().await.unwrap();
    refused().await;
    client
        .cancel_key_deletion()
        .key_id(short(&key))
        .send()
        .await
        .unwrap();
    client
        .enable_key()
        .key_id(short(&key))
        .send()
        .await
        .unwrap();
    ring.unwrap(TENANT, 1, &wrapped).await.unwrap();
}

async fn a_probe_names_what_is_wrong_with_the_key(kind: Kind) {
    let server = Kms::shared(kind);
    let key = server.fresh_key().await;
    let keys = server.keys(&key).await;
    keys.probe("regions.eu").await.unwrap();
    let client = server.client().await;
    client
        .disable_key()
        .key_id(short(&key))
        .send()
        .await
        .unwrap();
    let error = keys.probe("regions.eu").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.context().starts_with("regions.eu.kms_key:"));
    assert!(error.context().contains("is disabled"), "{error}");
    let nowhere = server.keys("alias/nowhere").await;
    let error = nowhere.probe("regions.eu").await.unwrap_err();
    assert!(error.context().contains("does not exist"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_tells_silence_permissions_credentials_and_clocks_apart() {
    let server = Kms::shared(Kind::Moto);
    let key = server.fresh_key().await;
    let line = Line::to(server.port).await;
    let keys = KmsKeys::new(&Kms::config(line.port()).await, key);
    let says = async |kind: ErrorKind, words: &str| {
        let error = keys.probe("regions.eu").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.context().contains(words), "{error:?}");
    };
    line.answer("Encrypt", "AccessDeniedException", "not you");
    says(ErrorKind::Invalid, "allow kms:Encrypt").await;
    line.answer("Decrypt", "AccessDeniedException", "not you");
    says(ErrorKind::Invalid, "allow kms:Decrypt").await;
    line.answer("GenerateDataKey", "AccessDeniedException", "not you");
    says(ErrorKind::Invalid, "allow kms:GenerateDataKey").await;
    line.answer("GenerateDataKey", "UnrecognizedClientException", "who?");
    says(ErrorKind::Invalid, "credentials").await;
    let expired = "Signature expired: 1 is now earlier than 2";
    line.answer("GenerateDataKey", "InvalidSignatureException", expired);
    says(ErrorKind::Invalid, "clock").await;
    line.answer("GenerateDataKey", "ThrottlingException", "slow down");
    says(ErrorKind::Unavailable, "overloaded").await;
    line.answer_no_more();
    keys.probe("regions.eu").await.unwrap();
    line.cut().await;
    says(ErrorKind::Unavailable, "kms_endpoint").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_tells_bad_certificates_and_missing_credentials() {
    let probe = async |cloud: CloudSettings, words: &str| {
        let config = sdk_config(&cloud).await.unwrap();
        let keys = KmsKeys::new(&config, "alias/any".to_owned());
        let error = keys.probe("regions.eu").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
        assert!(error.context().contains(words), "{error:?}");
    };
    let mut cloud = Kms::cloud(0);
    // Any server whose certificate nobody here trusts.
    cloud.endpoint = Some(Seaweed::shared().https());
    probe(cloud, "certificate").await;
    let mut cloud = Kms::cloud(Kms::shared(Kind::Moto).port);
    cloud.access_key = None;
    let config = sdk_config(&cloud).await.unwrap().into_builder();
    let nobody = SharedCredentialsProvider::new(Nobody);
    let config = config.credentials_provider(nobody).build();
    let keys = KmsKeys::new(&config, "alias/any".to_owned());
    let error = keys.probe("regions.eu").await.unwrap_err();
    assert!(error.context().contains("credentials"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_hides_the_state_of_keys_is_trusted_with_it() {
    let server = Kms::shared(Kind::Moto);
    let line = Line::to(server.port).await;
    let ring = ring_over(&line, &server.fresh_key().await).await;
    line.answer("DescribeKey", "AccessDeniedException", "not you");
    let (_, wrapped) = ring.generate(TENANT, 1, &home(None)).await.unwrap();
    ring.unwrap(TENANT, 1, &wrapped).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_shorter_than_half_a_keys_life_is_not_noticed() {
    let server = Kms::shared(Kind::Moto);
    let line = Line::to(server.port).await;
    let world = World::with_ring(
        Dialect::Sqlite,
        ring_over(&line, &server.fresh_key().await).await,
    )
    .await;
    let ann = world.account("ann").await;
    put(&ann, &path("/file"), b"kept").await.unwrap();
    let keys = world.vfs.keys();
    world.clock.advance(KEY_LIFE / 2);
    let before = (line.answered("Decrypt"), line.answered("DescribeKey"));
    keys.version(world.tenant.id, 1).await.unwrap();
    until("the renewal", async || {
        let after = (line.answered("Decrypt"), line.answered("DescribeKey"));
        after.0 > before.0 && after.1 > before.1
    })
    .await;

    line.cut().await;
    world.clock.advance(KEY_LIFE - Duration::from_secs(61));
    assert_eq!(get(&ann, &path("/file")).await.unwrap(), b"kept");
    put(&ann, &path("/more"), b"too").await.unwrap();
    world.clock.advance(KEY_LIFE);
    let error = get(&ann, &path("/file")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.context().contains("try again in a moment"), "{error}");

    line.mend();
    until("the service to be found again", async || {
        get(&ann, &path("/file")).await.is_ok()
    })
    .await;
    assert_eq!(get(&ann, &path("/more")).await.unwrap(), b"too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_whose_renewal_is_refused_leaves_memory_at_once() {
    let server = Kms::shared(Kind::Moto);
    let line = Line::to(server.port).await;
    let key = server.fresh_key().await;
    let world = World::with_ring(Dialect::Sqlite, ring_over(&line, &key).await).await;
    let ann = world.account("ann").await;
    put(&ann, &path("/file"), b"kept").await.unwrap();
    let read = async || get(&ann, &path("/file")).await;

    // Throttled: an outage, though a speaking one.
    line.answer("Decrypt", "ThrottlingException", "slow down");
    let before = line.asked("Decrypt");
    world.clock.advance(KEY_LIFE / 2);
    until("an attempt at a renewal", async || {
        read().await.unwrap();
        line.asked("Decrypt") > before
    })
    .await;
    read().await.unwrap();

    line.answer("Decrypt", "AccessDeniedException", "not any more");
    world.clock.advance(Duration::from_secs(61));
    until("the key to be forgotten", async || read().await.is_err()).await;
    assert_eq!(kind_of(read().await), ErrorKind::Unavailable);
    line.answer_no_more();
    // What was asked before, by whatever read ahead, may still bring its refusal.
    until("the key to be given again", async || read().await.is_ok()).await;
    assert_eq!(read().await.unwrap(), b"kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_ask_for_one_key_make_one_call() {
    let server = Kms::shared(Kind::Moto);
    let line = Line::to(server.port).await;
    let ring = ring_over(&line, &server.fresh_key().await).await;
    let world = World::with_ring(Dialect::Sqlite, ring.clone()).await;
    let first = world.vfs.keys().current(world.tenant.id).await.unwrap();
    let before = line.asked("Decrypt");
    let committer = world.vfs.committer().clone();
    let keys = Arc::new(TenantKeys::new(committer, ring, KEY_LIFE));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (keys, tenant) = (keys.clone(), world.tenant.id);
        asking.spawn(async move { keys.version(tenant, 1).await.unwrap().version });
    }
    let versions = asking.join_all().await;
    assert!(versions.iter().all(|version| *version == first.version));
    assert_eq!(line.asked("Decrypt") - before, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_never_answers_keeps_nobody_waiting_for_long() {
    let server = Kms::shared(Kind::Moto);
    let line = Line::to(server.port).await;
    let ring = ring_over(&line, &server.fresh_key().await).await;
    let (_, wrapped) = ring.generate(TENANT, 1, &home(None)).await.unwrap();
    line.swallow(true);
    let started = std::time::Instant::now();
    let error = ring.unwrap(TENANT, 1, &wrapped).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.context().contains("try again in a moment"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20));
    line.swallow(false);
    ring.unwrap(TENANT, 1, &wrapped).await.unwrap();
}
