//! S3 when things go wrong: lost answers, cut connections, storms, wrong settings.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sealift::domain::error::{ErrorKind, Result};
use sealift::domain::id::BlobId;
use sealift::storage::s3::S3Store;
use sealift::storage::s3_settings::{Encryption, S3Settings};
use sealift::storage::store::{BlobStore, BlobWriter, Checkpoint};

use crate::support::meddler::{LOST, Meddler, answer, refusal};
use crate::support::proxy::{Harm, Proxy, Way};
use crate::support::s3::{behind_meddler, behind_proxy, hurried, impatient, stores};
use crate::support::seaweed::{Seaweed, s3_settings};

const PART: usize = 8 << 20;

fn bytes(length: usize, seed: u64) -> Bytes {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

async fn whole(store: &S3Store, id: BlobId) -> Bytes {
    let length = store.length(id).await.unwrap().unwrap();
    store.read(id, 0..length).await.unwrap().freeze()
}

async fn arrive(writer: &mut Box<dyn BlobWriter>) {
    while writer.relieve().await.unwrap() {}
}

mod lost_and_cut {
    use super::*;

    #[tokio::test]
    async fn a_put_whose_answer_is_lost_is_stored() {
        let (proxy, store, direct) = behind_proxy().await;
        let (id, sealed) = (BlobId::random(), bytes(300_000, 1));
        proxy.set(Harm::Cut {
            way: Way::Answers,
            after: 0,
            times: 1,
        });
        store.put(id, sealed.clone()).await.unwrap();
        assert_eq!(proxy.harmed(), 1);
        assert!(whole(&direct, id).await == sealed);
        let other = store.put(id, bytes(300_000, 2)).await;
        assert_eq!(kind(other), Some(ErrorKind::AlreadyExists));
    }

    #[tokio::test]
    async fn a_finish_whose_answer_is_lost_is_done() {
        let (proxy, store, direct) = behind_proxy().await;
        let (id, sealed) = (BlobId::random(), bytes(PART + 1000, 1));
        let mut writer = store.begin(id).await.unwrap();
        writer.write(sealed.slice(..PART)).await.unwrap();
        writer.write(sealed.slice(PART..)).await.unwrap();
        arrive(&mut writer).await;
        proxy.set(Harm::Cut {
            way: Way::Answers,
            after: 0,
            times: 1,
        });
        writer.finish().await.unwrap();
        assert_eq!(proxy.harmed(), 1);
        assert!(whole(&direct, id).await == sealed);
    }

    #[tokio::test]
    async fn a_salvage_whose_answer_is_lost_is_done() {
        let (meddler, store, direct) = behind_meddler().await;
        let (id, sealed) = (BlobId::random(), bytes(PART, 1));
        let mut writer = store.begin(id).await.unwrap();
        writer.write(sealed.clone()).await.unwrap();
        arrive(&mut writer).await;
        let checkpoint = writer.checkpoint().await.unwrap();
        drop(writer);
        let mut completions = 0;
        meddler.meddle(move |request| {
            completions += i32::from(request.method == "POST");
            (request.method == "POST" && completions == 1).then(|| LOST.to_owned())
        });
        store.salvage(id, &checkpoint).await.unwrap();
        let completions = meddler.seen().into_iter();
        let completions =
            completions.filter(|seen| seen.contains("POST") && seen.contains("uploadId"));
        assert_eq!(completions.count(), 2);
        assert!(whole(&direct, id).await == sealed);
    }

    #[tokio::test]
    async fn a_part_cut_in_the_middle_is_sent_again() {
        let (proxy, store, direct) = behind_proxy().await;
        let (id, sealed) = (BlobId::random(), bytes(2 * PART, 1));
        let mut writer = store.begin(id).await.unwrap();
        writer.write(sealed.slice(..PART)).await.unwrap();
        arrive(&mut writer).await;
        proxy.set(Harm::Cut {
            way: Way::Requests,
            after: 3 << 20,
            times: 2,
        });
        writer.write(sealed.slice(PART..)).await.unwrap();
        writer.finish().await.unwrap();
        assert_eq!(proxy.harmed(), 2);
        assert!(whole(&direct, id).await == sealed);
    }

    #[tokio::test]
    async fn a_read_cut_in_the_middle_goes_on_where_it_broke_off() {
        let (proxy, store, _) = behind_proxy().await;
        let (id, sealed) = (BlobId::random(), bytes(1 << 20, 1));
        store.put(id, sealed.clone()).await.unwrap();
        let cut = |times| Harm::Cut {
            way: Way::Answers,
            after: 200_000,
            times,
        };
        proxy.set(cut(3));
        let read = store.read(id, 1_000..1_000_000).await.unwrap();
        assert!(read == sealed[1_000..1_000_000]);
        assert_eq!(proxy.harmed(), 3);
        proxy.set(cut(u32::MAX));
        let read = store.read(id, 1_000..1_000_000).await;
        assert_eq!(kind(read), Some(ErrorKind::Unavailable));
        proxy.set(Harm::Off);
        assert!(whole(&store, id).await == sealed);
    }

    #[tokio::test]
    async fn a_part_damaged_on_the_way_is_refused_and_sent_again() {
        let (proxy, store, direct) = behind_proxy().await;
        let (id, sealed) = (BlobId::random(), bytes(PART, 1));
        let mut writer = store.begin(id).await.unwrap();
        writer.write(bytes(PART, 2)).await.unwrap();
        arrive(&mut writer).await;
        let way = Way::Requests;
        proxy.set(Harm::Corrupt { way, at: 1 << 20 });
        writer.write(sealed.clone()).await.unwrap();
        writer.finish().await.unwrap();
        assert_eq!(proxy.harmed(), 1);
        assert!(whole(&direct, id).await[PART..] == sealed);

        let id = BlobId::random();
        proxy.set(Harm::Corrupt { way, at: 1 << 20 });
        store.put(id, sealed.clone()).await.unwrap();
        assert_eq!(proxy.harmed(), 2);
        assert!(whole(&direct, id).await == sealed);
    }

    #[tokio::test]
    async fn bytes_damaged_within_tls_are_asked_for_again() {
        let proxy = Proxy::before(Seaweed::shared().https_port());
        let (store, _) = stores(&proxy.https()).await;
        let (id, sealed) = (BlobId::random(), bytes(1 << 20, 1));
        store.put(id, sealed.clone()).await.unwrap();
        let way = Way::Answers;
        proxy.set(Harm::Corrupt { way, at: 500_000 });
        assert!(store.read(id, 0..1 << 20).await.unwrap() == sealed);
        assert_eq!(proxy.harmed(), 1);
    }

    #[tokio::test]
    async fn a_server_that_refuses_connections_is_unavailable_until_it_does_not() {
        let (proxy, store, _) = behind_proxy().await;
        let (id, sealed) = (BlobId::random(), bytes(1000, 1));
        proxy.set(Harm::Refuse);
        let error = store.put(id, sealed.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.context().contains("does not answer"), "{error}");
        assert_eq!(kind(store.length(id).await), Some(ErrorKind::Unavailable));
        proxy.set(Harm::Off);
        store.put(id, sealed.clone()).await.unwrap();
        assert!(whole(&store, id).await == sealed);
    }

    #[tokio::test]
    async fn a_server_that_falls_silent_is_unavailable_until_it_speaks() {
        let server = Seaweed::shared();
        let proxy = Proxy::before(server.http_port());
        let settings = s3_settings(&server.fresh_bucket());
        let patient = hurried(&server.cloud(&server.http())).await;
        let patient = S3Store::new(&patient, settings.clone());
        patient.probe().await.unwrap();
        let config = impatient(&server.cloud(&proxy.http())).await;
        let store = S3Store::new(&config, settings);
        let (id, sealed) = (BlobId::random(), bytes(1 << 20, 1));
        proxy.set(Harm::BlackHole { after: 0 });
        let put = store.put(id, sealed.clone()).await;
        assert_eq!(kind(put), Some(ErrorKind::Unavailable));
        proxy.set(Harm::Off);
        store.put(id, sealed.clone()).await.unwrap();

        // In the middle of an answer's bytes, where the SDK's time limits do not reach.
        proxy.set(Harm::BlackHole { after: 100_000 });
        let read = store.read(id, 0..1 << 20).await;
        assert_eq!(kind(read), Some(ErrorKind::Unavailable));
        proxy.set(Harm::Off);
        assert!(whole(&store, id).await == sealed);
    }

    #[tokio::test]
    async fn late_answers_are_waited_for() {
        let (proxy, store, _) = behind_proxy().await;
        let late = Duration::from_millis(200);
        proxy.set(Harm::Delay(late));
        let (start, id) = (Instant::now(), BlobId::random());
        store.put(id, bytes(100_000, 1)).await.unwrap();
        assert!(start.elapsed() >= late);
        assert!(whole(&store, id).await == bytes(100_000, 1));
    }

    #[tokio::test]
    async fn of_very_many_objects_256_are_sent_at_a_time() {
        let (proxy, store, _) = behind_proxy().await;
        let late = Duration::from_secs(2);
        proxy.set(Harm::Delay(late));
        let start = Instant::now();
        let puts = (0..257).map(|seed| {
            let store = store.clone();
            async move { store.put(BlobId::random(), bytes(100, seed)).await }
        });
        let stored = futures_util::future::join_all(puts).await;
        assert!(stored.iter().all(Result::is_ok));
        assert!(start.elapsed() >= 2 * late);
    }

    #[tokio::test]
    async fn four_parts_are_on_their_way_and_a_checkpoint_does_not_wait() {
        let (proxy, store, _) = behind_proxy().await;
        let mut writer = store.begin(BlobId::random()).await.unwrap();
        writer.write(bytes(PART, 0)).await.unwrap();
        arrive(&mut writer).await;
        proxy.set(Harm::BlackHole { after: 0 });
        for seed in 0..4 {
            writer.write(bytes(PART, seed)).await.unwrap();
        }
        let checkpoint = writer.checkpoint().await.unwrap();
        assert_eq!(checkpoint.length, PART as u64);
        let mut fifth = writer.write(bytes(PART, 4));
        assert!(futures_util::poll!(&mut fifth).is_pending());
    }
}

mod gone {
    use super::*;

    #[tokio::test]
    async fn a_bucket_that_is_gone_is_not_one_without_blobs() {
        let server = Seaweed::shared();
        let config = hurried(&server.cloud(&server.http())).await;
        let settings = s3_settings(&server.fresh_bucket());
        let store = S3Store::new(&config, settings.clone());
        let id = BlobId::random();
        let client = server.client().await;
        let delete = client.delete_bucket().bucket(&settings.bucket);
        delete.send().await.unwrap();
        for failed in [
            kind(store.length(id).await),
            kind(store.read(id, 0..1).await),
            kind(store.read(id, 0..0).await),
            kind(store.put(id, bytes(1, 1)).await),
            kind(store.list(None, 1).await),
            kind(store.unfinished(None, 1).await),
            kind(store.delete(id).await),
            kind(store.discard(id).await),
            kind(store.salvage(id, &Checkpoint::default()).await),
            kind(store.begin(id).await.unwrap().write(bytes(1, 1)).await),
        ] {
            assert_eq!(failed, Some(ErrorKind::Unavailable));
        }
    }
}

mod answers {
    use super::*;

    #[tokio::test]
    async fn a_storm_of_503_is_outlasted_or_told() {
        let (meddler, store, _) = behind_meddler().await;
        let (id, sealed) = (BlobId::random(), bytes(1000, 1));
        let mut left = 3;
        meddler.meddle(move |_| {
            left -= 1;
            (left >= 0).then(|| refusal("503 Slow Down", "SlowDown"))
        });
        store.put(id, sealed.clone()).await.unwrap();

        meddler.meddle(|_| Some(refusal("503 Slow Down", "SlowDown")));
        let error = store.read(id, 0..1000).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.context().contains("try again"), "{error}");
        assert!(format!("{error:?}").contains("SlowDown"), "{error:?}");

        meddler.meddle(|_| None);
        assert!(whole(&store, id).await == sealed);
    }

    #[tokio::test]
    async fn a_meeting_of_two_writes_is_tried_again() {
        let (meddler, store, direct) = behind_meddler().await;
        let mut left = 2;
        meddler.meddle(move |request| {
            left -= i32::from(request.method == "PUT");
            (left >= 0).then(|| refusal("409 Conflict", "ConditionalRequestConflict"))
        });
        let id = BlobId::random();
        store.put(id, bytes(1000, 1)).await.unwrap();
        assert!(whole(&direct, id).await == bytes(1000, 1));
    }

    #[tokio::test]
    async fn a_completion_that_fails_after_its_first_line_is_tried_again() {
        let (meddler, store, direct) = behind_meddler().await;
        let (id, sealed) = (BlobId::random(), bytes(10_000, 1));
        let mut writer = store.begin(id).await.unwrap();
        writer.write(sealed.clone()).await.unwrap();
        arrive(&mut writer).await;
        let mut left = 1;
        meddler.meddle(move |request| {
            left -= i32::from(request.method == "POST");
            (left >= 0).then(|| refusal("200 OK", "InternalError"))
        });
        writer.finish().await.unwrap();
        assert!(whole(&direct, id).await == sealed);
    }

    #[tokio::test]
    async fn the_first_part_that_fails_ends_the_writer() {
        let (meddler, store, _) = behind_meddler().await;
        let mut writer = store.begin(BlobId::random()).await.unwrap();
        writer.write(bytes(PART, 1)).await.unwrap();
        arrive(&mut writer).await;
        meddler.meddle(|_| Some(refusal("403 Forbidden", "AccessDenied")));
        writer.write(bytes(PART, 2)).await.unwrap();
        let error = writer.relieve().await.unwrap_err();
        meddler.meddle(|_| None);
        for again in [
            writer.write(bytes(10, 3)).await.unwrap_err(),
            writer.relieve().await.unwrap_err(),
            writer.checkpoint().await.unwrap_err(),
            writer.finish().await.unwrap_err(),
        ] {
            assert_eq!(again.kind(), error.kind());
            assert_eq!(again.context(), error.context());
        }
    }

    fn partial(range: &str, body: &str) -> String {
        let range = format!("content-range: bytes {range}");
        answer("206 Partial Content", &[&range], body)
    }

    #[tokio::test]
    async fn bytes_that_were_not_asked_for_are_not_taken() {
        let (meddler, store, _) = behind_meddler().await;
        let id = BlobId::random();
        store.put(id, bytes(100, 1)).await.unwrap();
        for (odd, expected) in [
            (partial("10-14/100", "12345"), ErrorKind::Unavailable),
            (
                partial("10-30/100", &"1".repeat(21)),
                ErrorKind::Unavailable,
            ),
            (partial("0-9/100", "1234567890"), ErrorKind::Unavailable),
            (answer("200 OK", &[], "1234567890"), ErrorKind::Unavailable),
            (partial("10-14/15", "12345"), ErrorKind::Corrupt),
        ] {
            let before = meddler.seen().len();
            let given = odd.clone();
            meddler.meddle(move |_| Some(given.clone()));
            assert_eq!(kind(store.read(id, 10..20).await), Some(expected), "{odd}");
            let asked = meddler.seen().len() - before;
            assert_eq!(asked, 1 + usize::from(expected == ErrorKind::Unavailable));

            // Once is forgiven.
            let mut once = Some(odd.clone()).filter(|_| expected == ErrorKind::Unavailable);
            meddler.meddle(move |_| once.take());
            assert!(store.read(id, 10..20).await.unwrap() == bytes(100, 1)[10..20]);
        }
    }

    #[tokio::test]
    async fn requests_carry_what_protects_them() {
        let server = Seaweed::shared();
        let meddler = Meddler::before(server.http_port(), |_| None);
        let config = hurried(&server.cloud(&meddler.http())).await;
        let settings = S3Settings {
            encryption: Encryption::Kms(Some("alias/files".to_owned())),
            ..s3_settings(&server.fresh_bucket())
        };
        let store = S3Store::new(&config, settings);
        let headers = Arc::new(Mutex::new(String::new()));
        let seen = Arc::clone(&headers);
        meddler.meddle(move |request| {
            *seen.lock().unwrap() = request.headers.clone();
            Some(answer("200 OK", &[], ""))
        });
        store.put(BlobId::random(), bytes(10, 1)).await.unwrap();
        let headers = headers.lock().unwrap();
        for line in [
            "if-none-match: *",
            "x-amz-content-sha256: unsigned-payload",
            "x-amz-server-side-encryption: aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id: alias/files",
            "x-amz-server-side-encryption-bucket-key-enabled: true",
            "x-amz-checksum-crc64nvme: ",
            "x-amz-meta-attempt: ",
            "content-length: 10\r",
        ] {
            assert!(headers.contains(line), "{line} is missing in\n{headers}");
        }
    }

    #[tokio::test]
    async fn encryption_by_the_service_is_asked_for() {
        let server = Seaweed::shared();
        let config = hurried(&server.cloud(&server.http())).await;
        let settings = S3Settings {
            encryption: Encryption::S3,
            ..s3_settings(&server.fresh_bucket())
        };
        let store = S3Store::new(&config, settings.clone());
        let (put, written) = (BlobId::random(), BlobId::random());
        store.put(put, bytes(1000, 1)).await.unwrap();
        let mut writer = store.begin(written).await.unwrap();
        writer.write(bytes(1000, 1)).await.unwrap();
        writer.finish().await.unwrap();
        let client = server.client().await;
        for id in [put, written] {
            let key = format!("blobs/{}/{id}", &id.to_string()[..2]);
            let head = client.head_object().bucket(&settings.bucket).key(key);
            let head = head.send().await.unwrap();
            let by = head.server_side_encryption.unwrap();
            assert_eq!(by.as_str(), "AES256");
            assert!(whole(&store, id).await == bytes(1000, 1));
        }
    }
}

mod uploads {
    use super::*;

    async fn begun(store: &S3Store, id: BlobId, sealed: &Bytes) -> Checkpoint {
        let mut writer = store.begin(id).await.unwrap();
        writer.write(sealed.clone()).await.unwrap();
        arrive(&mut writer).await;
        writer.checkpoint().await.unwrap()
    }

    #[tokio::test]
    async fn another_process_completes_an_upload_from_its_checkpoint() {
        let (proxy, store, other) = behind_proxy().await;
        let (id, sealed) = (BlobId::random(), bytes(3 * PART, 1));
        let mut writer = store.begin(id).await.unwrap();
        for at in 0..2 {
            let piece = sealed.slice(at * PART..(at + 1) * PART);
            writer.write(piece).await.unwrap();
        }
        arrive(&mut writer).await;
        let first = writer.checkpoint().await.unwrap();
        assert_eq!(first.length, 2 * PART as u64);
        writer.write(sealed.slice(2 * PART..)).await.unwrap();
        arrive(&mut writer).await;
        // The process dies here, as far as anybody can tell.
        proxy.set(Harm::Refuse);
        other.salvage(id, &first).await.unwrap();
        assert!(whole(&other, id).await == sealed[..2 * PART]);
        assert_eq!(other.unfinished(None, 10).await.unwrap(), []);

        // It was only frozen, and changes nothing any more.
        proxy.set(Harm::Off);
        assert_eq!(kind(writer.finish().await), Some(ErrorKind::AlreadyExists));
        assert!(whole(&other, id).await == sealed[..2 * PART]);
    }

    #[tokio::test]
    async fn a_checkpoint_that_ends_within_a_part_is_refused() {
        let (_proxy, store, _) = behind_proxy().await;
        let id = BlobId::random();
        let mut checkpoint = begun(&store, id, &bytes(PART, 1)).await;
        checkpoint.length -= 1;
        let salvaged = store.salvage(id, &checkpoint).await;
        assert_eq!(kind(salvaged), Some(ErrorKind::Corrupt));
        checkpoint.state.truncate(10);
        let salvaged = store.salvage(id, &checkpoint).await;
        assert_eq!(kind(salvaged), Some(ErrorKind::Internal));
    }

    #[tokio::test]
    async fn all_uploads_of_a_blob_are_listed_once_and_discarded() {
        let (_proxy, store, direct) = behind_proxy().await;
        let (id, other) = (BlobId::random(), BlobId::random());
        let mut checkpoints = Vec::new();
        for _ in 0..3 {
            checkpoints.push(begun(&store, id, &bytes(10, 1)).await);
        }
        begun(&store, other, &bytes(10, 1)).await;
        let mut expected = [id, other];
        expected.sort_unstable();
        let list = direct.unfinished(None, 10).await.unwrap();
        assert!(list.iter().map(|blob| blob.id).eq(expected));
        let list = direct.unfinished(Some(expected[0]), 10).await.unwrap();
        assert!(list.iter().map(|blob| blob.id).eq([expected[1]]));

        direct.discard(id).await.unwrap();
        let list = direct.unfinished(None, 10).await.unwrap();
        assert!(list.iter().map(|blob| blob.id).eq([other]));
        for checkpoint in checkpoints {
            let salvaged = direct.salvage(id, &checkpoint).await;
            assert_eq!(kind(salvaged), Some(ErrorKind::NotFound));
        }
    }

    #[tokio::test]
    async fn many_uploads_come_in_pages() {
        let (meddler, store, _) = behind_meddler().await;
        let mut ids: Vec<BlobId> = (0..5).map(|_| BlobId::random()).collect();
        ids.sort_unstable();
        let (pages, mut asked) = (ids.clone(), 0);
        meddler.meddle(move |request| {
            let id = pages[asked];
            // One upload for each page, named by both markers, as AWS does.
            let marker = |id: BlobId| format!("{}%2F{id}", &id.to_string()[..2]);
            let expected = match asked {
                0 => "prefix=blobs%2F&uploads".to_owned(),
                _ => format!("upload-id-marker=u{}", asked - 1),
            };
            assert!(request.target.contains(&expected) || asked == 0, "{}", request.target);
            assert!(asked == 0 || request.target.contains(&marker(pages[asked - 1])));
            let key = format!("blobs/{}/{id}", &id.to_string()[..2]);
            let body = format!(
                "<ListMultipartUploadsResult><IsTruncated>{}</IsTruncated>\
                 <NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>u{asked}</NextUploadIdMarker>\
                 <Upload><Key>{key}</Key><UploadId>u{asked}</UploadId>\
                 <Initiated>2026-01-02T03:04:05.678Z</Initiated></Upload>\
                 </ListMultipartUploadsResult>",
                asked < 4
            );
            asked = (asked + 1) % 5;
            Some(answer("200 OK", &["content-type: application/xml"], &body))
        });
        let list = store.unfinished(None, 10).await.unwrap();
        assert!(list.iter().map(|blob| blob.id).eq(ids.iter().copied()));
        assert_eq!(list[0].modified.to_string(), "2026-01-02T03:04:05.678000Z");
        let list = store.unfinished(Some(ids[1]), 2).await.unwrap();
        assert!(
            list.iter()
                .map(|blob| blob.id)
                .eq(ids[2..4].iter().copied())
        );
    }

    #[tokio::test]
    async fn what_is_not_a_blob_is_not_listed() {
        let server = Seaweed::shared();
        let config = hurried(&server.cloud(&server.http())).await;
        let settings = s3_settings(&server.fresh_bucket());
        let store = S3Store::new(&config, settings.clone());
        let client = server.client().await;
        for key in [
            "blobs/aa/alien",
            "blobs/zz",
            "other/aa/bb",
            "blobs/probe-12",
        ] {
            let put = client.put_object().bucket(&settings.bucket).key(key);
            put.send().await.unwrap();
            let create = client.create_multipart_upload();
            let create = create.bucket(&settings.bucket).key(key);
            create.send().await.unwrap();
        }
        let id = BlobId::random();
        store.put(id, bytes(1, 1)).await.unwrap();
        for limit in [1, 2, 10] {
            let list = store.list(None, limit).await.unwrap();
            assert!(list.iter().map(|blob| blob.id).eq([id]));
        }
        assert_eq!(store.unfinished(None, 10).await.unwrap(), []);
    }
}
