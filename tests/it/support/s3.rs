//! S3 stores for tests: in a hurry, and behind what harms or meddles.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use sealift::net::cloud::{CloudSettings, sdk_config};
use sealift::storage::s3::S3Store;

use crate::support::meddler::Meddler;
use crate::support::proxy::Proxy;
use crate::support::seaweed::{Seaweed, s3_settings};

/// As a server would have it, but in a hurry.
pub(crate) async fn hurried(cloud: &CloudSettings) -> SdkConfig {
    let config = sdk_config(cloud).await.unwrap();
    let retry = RetryConfig::standard()
        .with_max_attempts(4)
        .with_initial_backoff(Duration::from_millis(20));
    config.into_builder().retry_config(retry).build()
}

/// The same with so little patience that a black hole is given up soon.
pub(crate) async fn impatient(cloud: &CloudSettings) -> SdkConfig {
    let limits = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(3))
        .build();
    let config = hurried(cloud).await.into_builder();
    config.timeout_config(limits).build()
}

/// A store in a bucket of its own behind `endpoint`, and the same one without anything between.
pub(crate) async fn stores(endpoint: &str) -> (S3Store, S3Store) {
    let server = Seaweed::shared();
    let settings = s3_settings(&server.fresh_bucket());
    let through = hurried(&server.cloud(endpoint)).await;
    let direct = hurried(&server.cloud(&server.http())).await;
    (
        S3Store::new(&through, settings.clone()),
        S3Store::new(&direct, settings),
    )
}

pub(crate) async fn behind_proxy() -> (Proxy, S3Store, S3Store) {
    let proxy = Proxy::before(Seaweed::shared().http_port());
    let (store, direct) = stores(&proxy.http()).await;
    (proxy, store, direct)
}

pub(crate) async fn behind_meddler() -> (Meddler, S3Store, S3Store) {
    let meddler = Meddler::before(Seaweed::shared().http_port(), |_| None);
    let (store, direct) = stores(&meddler.http()).await;
    (meddler, store, direct)
}
