//! The start-up check of a bucket: one sentence for each mistake.

use std::net::TcpListener;

use aws_credential_types::provider::SharedCredentialsProvider;
use sealift::domain::error::ErrorKind;
use sealift::domain::secret::Secret;
use sealift::net::cloud::CloudSettings;
use sealift::storage::s3::S3Store;
use sealift::storage::s3_settings::S3Settings;
use sealift::storage::store::BlobStore;

use crate::support::meddler::{Request, answer, refusal};
use crate::support::nobody::Nobody;
use crate::support::s3::{behind_meddler, hurried};
use crate::support::seaweed::{Seaweed, s3_settings};

async fn sentence(cloud: &CloudSettings, settings: &S3Settings) -> String {
    let config = hurried(cloud).await;
    refused(&S3Store::new(&config, settings.clone())).await
}

async fn refused(store: &S3Store) -> String {
    let error = store.probe().await.unwrap_err();
    // A start goes on without what merely does not answer, if there is another region.
    let silent = error.context().contains("does not answer");
    assert_eq!(error.kind() == ErrorKind::Unavailable, silent, "{error:?}");
    let sentence = error.context().to_owned();
    assert!(!sentence.ends_with('.') && !sentence.contains('\n'));
    sentence
}

#[track_caller]
fn says(sentence: &str, words: &[&str]) {
    for word in words {
        assert!(sentence.contains(word), "'{word}' is not in: {sentence}");
    }
}

#[tokio::test]
async fn a_missing_bucket_is_named() {
    let server = Seaweed::shared();
    let cloud = server.cloud(&server.http());
    let sentence = sentence(&cloud, &s3_settings("nobody-made-this")).await;
    says(&sentence, &["no bucket 'nobody-made-this'", &server.http()]);
}

#[tokio::test]
async fn a_wrong_key_or_secret_is_told_apart() {
    let server = Seaweed::shared();
    let settings = s3_settings(&server.fresh_bucket());
    let mut cloud = server.cloud(&server.http());
    let mut key = server.admin();
    key.id = "NOBODYSKEYID".to_owned();
    cloud.access_key = Some(key);
    let told = sentence(&cloud, &settings).await;
    says(&told, &["does not know the access key id"]);

    let mut key = server.admin();
    key.secret = Secret::new("wrong");
    cloud.access_key = Some(key);
    let told = sentence(&cloud, &settings).await;
    says(&told, &["secret access key"]);
    assert!(!told.contains("wrong"));
}

#[tokio::test]
async fn a_login_that_may_only_read_lacks_put_object() {
    let server = Seaweed::shared();
    let mut cloud = server.cloud(&server.http());
    cloud.access_key = Some(server.reader());
    let sentence = sentence(&cloud, &s3_settings(&server.fresh_bucket())).await;
    says(&sentence, &["lacks s3:PutObject on bucket 'test-"]);
}

/// Whether a request is a call that takes a permission.
type Call = fn(&Request) -> bool;

#[tokio::test]
async fn each_missing_permission_is_named() {
    let (meddler, store, direct) = behind_meddler().await;
    let cases: [(&str, Call); 6] = [
        ("s3:ListBucket ", |request| {
            request.target.contains("list-type=2")
        }),
        ("s3:PutObject ", |request| request.method == "PUT"),
        ("s3:GetObject ", |request| {
            request.method == "GET" && request.target.contains("x-id=GetObject")
        }),
        ("s3:AbortMultipartUpload ", |request| {
            request.method == "DELETE" && request.target.contains("uploadId")
        }),
        ("s3:ListBucketMultipartUploads ", |request| {
            request.method == "GET" && request.target.contains("uploads")
        }),
        ("s3:DeleteObject ", |request| {
            request.method == "DELETE" && !request.target.contains("uploadId")
        }),
    ];
    for (permission, call) in cases {
        meddler
            .meddle(move |request| call(request).then(|| refusal("403 Forbidden", "AccessDenied")));
        says(&refused(&store).await, &["lacks", permission]);
    }
    meddler.meddle(|_| None);
    store.probe().await.unwrap();
    assert_eq!(direct.list(None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn an_endpoint_where_nobody_listens_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://127.0.0.1:{}", free.local_addr().unwrap().port());
    drop(free);
    let cloud = Seaweed::shared().cloud(&endpoint);
    let told = sentence(&cloud, &s3_settings("any")).await;
    says(&told, &[&endpoint, "does not answer", "endpoint"]);
    let cloud = Seaweed::shared().cloud(&Seaweed::shared().https().replace("https", "http"));
    let told = sentence(&cloud, &s3_settings("any")).await;
    says(&told, &["endpoint"]);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_told() {
    let server = Seaweed::shared();
    let cloud = CloudSettings {
        ca_file: None,
        ..server.cloud(&server.https())
    };
    let told = sentence(&cloud, &s3_settings(&server.fresh_bucket())).await;
    says(&told, &["certificate", "not trusted", "ca_file"]);
}

#[tokio::test]
async fn clocks_that_differ_are_told() {
    let (meddler, store, _) = behind_meddler().await;
    meddler.meddle(|_| Some(refusal("403 Forbidden", "RequestTimeTooSkewed")));
    says(&refused(&store).await, &["clock"]);
}

#[tokio::test]
async fn the_right_aws_region_is_named() {
    let (meddler, store, _) = behind_meddler().await;
    for status in ["301 Moved Permanently", "400 Bad Request"] {
        let code = match status.starts_with("301") {
            true => "PermanentRedirect",
            false => "AuthorizationHeaderMalformed",
        };
        let body = format!("<Error><Code>{code}</Code><Message>as told</Message></Error>");
        let told = answer(status, &["x-amz-bucket-region: eu-west-1"], &body);
        meddler.meddle(move |_| Some(told.clone()));
        says(
            &refused(&store).await,
            &["eu-west-1", "us-east-1", "aws_region"],
        );
    }
}

#[tokio::test]
async fn missing_credentials_are_told() {
    let server = Seaweed::shared();
    let config = hurried(&server.cloud(&server.http())).await;
    let nobody = SharedCredentialsProvider::new(Nobody);
    let config = config.into_builder().credentials_provider(nobody).build();
    let store = S3Store::new(&config, s3_settings("any"));
    says(&refused(&store).await, &["no access key was found"]);
}

#[tokio::test]
async fn a_store_that_overwrites_is_refused() {
    let (meddler, store, _) = behind_meddler().await;
    let mut puts = 0;
    meddler.meddle(move |request| {
        puts += i32::from(request.method == "PUT");
        (request.method == "PUT" && puts == 2).then(|| answer("200 OK", &[], ""))
    });
    says(&refused(&store).await, &["If-None-Match"]);

    meddler.meddle(|request| {
        let completes = request.method == "POST" && request.target.contains("uploadId");
        completes.then(|| {
            let body =
                "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>";
            answer("200 OK", &["content-type: application/xml"], body)
        })
    });
    says(&refused(&store).await, &["If-None-Match", "parts"]);
}

#[tokio::test]
async fn a_service_that_has_too_much_to_do_for_a_moment_is_waited_for() {
    let (meddler, store, _) = behind_meddler().await;
    let mut requests = 0;
    meddler.meddle(move |_| {
        requests += 1;
        (requests <= 2).then(|| refusal("503 Slow Down", "SlowDown"))
    });
    store.probe().await.unwrap();

    meddler.meddle(|_| Some(refusal("500 Internal Server Error", "InternalError")));
    let error = store.probe().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    says(error.context(), &["too much to do or fails"]);
    assert!(!error.context().contains("check endpoint"));
}

#[tokio::test]
async fn a_public_bucket_is_refused() {
    let server = Seaweed::shared();
    let config = hurried(&server.cloud(&server.http())).await;
    let settings = s3_settings(&server.fresh_bucket());
    let store = S3Store::new(&config, settings.clone());
    store.probe().await.unwrap();
    let bucket = &settings.bucket;
    let client = server.client().await;
    for (action, below) in [
        ("s3:GetObject", "/*"),
        ("s3:ListBucket", ""),
        ("s3:PutObject", "/*"),
        ("s3:DeleteObject", "/*"),
    ] {
        let policy = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": "*",
                "Action": action,
                "Resource": format!("arn:aws:s3:::{bucket}{below}"),
            }],
        });
        let put = client.put_bucket_policy().bucket(bucket);
        put.policy(policy.to_string()).send().await.unwrap();
        says(&refused(&store).await, &[bucket, "is public"]);
    }
    let deleted = client.delete_bucket_policy().bucket(bucket);
    deleted.send().await.unwrap();
    store.probe().await.unwrap();
    assert_eq!(store.list(None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn whether_the_store_compares_checksums_is_tried() {
    let (meddler, store, _) = behind_meddler().await;
    store.probe().await.unwrap();
    let of_sum = |line: &String| line.contains("-sum");
    let asked = |method: &str| {
        let seen = meddler.seen();
        let of_it = seen.iter().filter(|line| of_sum(line));
        of_it.filter(|line| line.starts_with(method)).count()
    };
    assert_eq!((asked("PUT"), asked("DELETE")), (1, 0));
    // One that takes what is damaged has it removed again.
    meddler.meddle(|request| {
        let is_it = request.method == "PUT" && request.target.contains("-sum");
        is_it.then(|| answer("200 OK", &[], ""))
    });
    store.probe().await.unwrap();
    assert_eq!((asked("PUT"), asked("DELETE")), (2, 1));
}
