//! The same tests on other ground: with `TESTS_ON=cloud` worlds and servers keep their blobs in S3 and
//! their keys in a key service.

use std::path::Path;
use std::sync::OnceLock;

use sealift::crypto::keyring::KeyRing;
use sealift::crypto::kms::KmsKeys;
use sealift::domain::id::RegionId;
use sealift::net::cloud::{CloudSettings, sdk_config};
use sealift::storage::s3::S3Store;
use sealift::storage::s3_settings::S3Settings;

use crate::support::kms::{Kind, Kms};
use crate::support::seaweed::{AWS_REGION, Seaweed, s3_settings};

/// Whether the tests run on S3 and KMS.
pub(crate) fn wanted() -> bool {
    std::env::var_os("TESTS_ON").is_some_and(|ground| ground == "cloud")
}

/// A store nobody else uses.
pub(crate) async fn store() -> S3Store {
    let seaweed = Seaweed::shared();
    let cloud = seaweed.cloud(&seaweed.http());
    let config = sdk_config(&cloud).await.unwrap();
    let name = sealift::domain::id::BlobId::random().to_string();
    let settings = S3Settings {
        prefix: format!("{name}/"),
        ..s3_settings(bucket())
    };
    S3Store::new(&config, settings)
}

/// What the environment of a server on `data` says: the fewest rounds for passwords that a server
/// takes (at its default they cost a sixth of all tests' CPU), and on this ground where its blobs
/// and keys are.
pub(crate) fn ground(data: &Path) -> Vec<(String, String)> {
    let rounds = "SEALIFT__PASSWORDS__ROUNDS".to_owned();
    let mut variables = vec![(rounds, "100000".to_owned())];
    if !wanted() {
        return variables;
    }
    let seaweed = Seaweed::shared();
    let name = data.display().to_string();
    let settings = S3Settings {
        prefix: format!(
            "{}/",
            name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
        ),
        ..s3_settings(bucket())
    };
    variables.extend(self::variables(&seaweed.cloud(&seaweed.http()), &settings));
    variables.extend(keys(&key_service().0, Kms::shared(Kind::Moto).port));
    variables
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

/// And its keys in a key service at a port of this machine.
pub(crate) fn keys(key: &str, port: u16) -> Vec<(String, String)> {
    [
        ("SEALIFT__KEYS__KIND", "aws-kms".to_owned()),
        ("SEALIFT__REGION__CLOUD__KMS_KEY", key.to_owned()),
        (
            "SEALIFT__REGION__CLOUD__KMS_ENDPOINT",
            format!("http://127.0.0.1:{port}"),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// One key for all of this ground, where a server of [`variables`] finds it.
pub(crate) fn key_service() -> &'static (String, CloudSettings) {
    static KEY: OnceLock<(String, CloudSettings)> = OnceLock::new();
    KEY.get_or_init(|| {
        let cloud = CloudSettings {
            aws_region: AWS_REGION.to_owned(),
            ..Kms::cloud(Kms::shared(Kind::Moto).port)
        };
        let key = block_on(fresh_key(cloud.clone()));
        (key, cloud)
    })
}

/// Makes a key that nobody else uses; its ARN.
pub(crate) async fn fresh_key(cloud: CloudSettings) -> String {
    let config = sdk_config(&cloud).await.unwrap();
    let client = aws_sdk_kms::Client::new(&config);
    let made = client.create_key().send().await.unwrap();
    made.key_metadata.unwrap().arn.unwrap()
}

/// A ring without a key file.
pub(crate) async fn ring() -> KeyRing {
    let (key, cloud) = key_service();
    let config = sdk_config(cloud).await.unwrap();
    KeyRing::empty().with_kms(RegionId::MAIN, KmsKeys::new(&config, key.clone()))
}

/// On a thread and runtime of its own, for callers with and without a runtime.
pub(crate) fn block_on<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let run = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap().block_on(work)
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

/// One bucket for all, as making one takes its time.
fn bucket() -> &'static str {
    static BUCKET: OnceLock<String> = OnceLock::new();
    BUCKET.get_or_init(|| Seaweed::shared().fresh_bucket())
}
