//! The same tests on other ground: with `TESTS_ON=cloud` worlds and servers keep their blobs in S3 and
//! their keys in a key service.

use std::sync::OnceLock;

use sealift::net::cloud::CloudSettings;
use sealift::storage::s3::S3Store;
use sealift::storage::s3_settings::S3Settings;

use crate::support::seaweed::{Seaweed, s3_settings};

/// Whether the tests run on S3 and KMS.
pub(crate) fn wanted() -> bool {
    std::env::var_os("TESTS_ON").is_some_and(|ground| ground == "cloud")
}

/// A store nobody else uses.
pub(crate) async fn store() -> S3Store {
    let seaweed = Seaweed::shared();
    let cloud = seaweed.cloud(&seaweed.http());
    let config = sealift::net::cloud::sdk_config(&cloud).await.unwrap();
    let name = sealift::domain::id::BlobId::random().to_string();
    let settings = S3Settings {
        prefix: format!("{name}/"),
        ..s3_settings(bucket())
    };
    S3Store::new(&config, settings)
}

/// What the environment of a server says so that it keeps its blobs in a bucket.
pub(crate) fn variables(cloud: &CloudSettings, s3: &S3Settings) -> Vec<(String, String)> {
    let key = cloud.access_key.clone().unwrap();
    let secret = String::from_utf8_lossy(key.secret.expose()).into_owned();
    let ca_file = cloud.ca_file.clone().unwrap_or_default();
    let settings = [
        ("KIND", "s3".to_owned()),
        ("BUCKET", s3.bucket.clone()),
        ("PREFIX", s3.prefix.clone()),
        ("ENDPOINT", cloud.endpoint.clone().unwrap_or_default()),
        ("AWS_REGION", cloud.aws_region.clone()),
        ("PATH_STYLE", s3.path_style.to_string()),
        ("CA_FILE", ca_file.display().to_string()),
        ("ACCESS_KEY", key.id),
        ("SECRET_KEY", secret),
    ];
    let settings = settings.into_iter();
    settings
        .map(|(key, value)| (format!("SEALIFT__REGION__CLOUD__{key}"), value))
        .collect()
}

/// One bucket for all, as making one takes its time.
fn bucket() -> &'static str {
    static BUCKET: OnceLock<String> = OnceLock::new();
    BUCKET.get_or_init(|| Seaweed::shared().fresh_bucket())
}
