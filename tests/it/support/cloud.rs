//! The same tests on other ground: with `TESTS_ON=cloud` worlds and servers keep their blobs in S3 and
//! their keys in a key service.

use std::sync::OnceLock;

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

/// One bucket for all, as making one takes its time.
fn bucket() -> &'static str {
    static BUCKET: OnceLock<String> = OnceLock::new();
    BUCKET.get_or_init(|| Seaweed::shared().fresh_bucket())
}
