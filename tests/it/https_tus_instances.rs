//! A tus upload that goes on at another server, which runs beside the first on the same PostgreSQL and the
//! same store; and one whose server dies.

use std::sync::Arc;
use std::time::Duration;

use sealift::db::database::{Database, Location};
use sealift::db::tenants;
use sealift::domain::clock::SystemClock;

use crate::support::frames::{Frames, HEADERS, RESET};
use crate::support::serving::Serving;
use crate::support::tus::{Tus, noise};
use crate::support::two::{SECRET, Two};
use crate::support::wait::{until, wait_for};

fn client(serving: &Serving) -> Tus {
    Tus::at(
        &serving.https.unwrap().to_string(),
        &format!("ann@acme:{SECRET}"),
    )
}

#[test]
fn a_tus_upload_goes_on_at_another_server_and_survives_the_first() {
    let two = Two::new();
    let (one, other) = (two.start("one"), two.start("other"));
    let (here, there) = (client(&one), client(&other));
    let bytes = noise(8, 3_000_001);
    let at = here.begin("turns", bytes.len());
    let mut sent = 0;
    for (index, piece) in bytes.chunks(400_000).enumerate() {
        let tus = [&here, &there][index % 2];
        assert_eq!(tus.offset(&at), sent);
        let stored = tus.patch(&at, sent, piece, &[]);
        assert_eq!(stored.status, 204, "{}", stored.text());
        sent += piece.len();
    }
    two.is_there(&other, "turns", &bytes);
    // The one that writes dies: another goes on as soon as that is certain.
    let at = here.begin("orphan", bytes.len());
    assert_eq!(here.patch(&at, 0, &bytes[..1_000_000], &[]).status, 204);
    let mut cut = here.hold(&at, 1_000_000, &bytes[1_000_000..1_500_000]);
    one.kill();
    drop(cut.pipe);
    cut.client.wait().unwrap();
    // A byte at a time: curl (7.88) ends a body that is refused while it is sent before its length, which
    // HTTP/2 does not allow.
    let sent = wait_for("the lease to be over", Duration::from_secs(90), || {
        let offset = there.offset(&at);
        assert!(offset >= 1_000_000);
        let next = there.patch(&at, offset, &bytes[offset..=offset], &[]);
        assert!(matches!(next.status, 204 | 423), "{}", next.text());
        (next.status == 204).then_some(offset + 1)
    });
    let last = there.patch(&at, sent, &bytes[sent..], &[]);
    assert_eq!(last.status, 204, "{}", last.text());
    two.is_there(&other, "orphan", &bytes);
    two.run(&["fsck"]);
    other.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_request_is_reset_while_it_is_taken_over_goes_on_at_another_server() {
    let two = Two::new();
    let (one, other) = (two.start("one"), two.start("other"));
    let there = client(&other);
    let bytes = noise(9, 200_000);
    let at = there.begin("reset", bytes.len());
    assert_eq!(there.patch(&at, 0, &bytes[..100_000], &[]).status, 204);
    let server = Location::Postgres(two.urls.server.clone());
    let db = Database::open(&server, 2, Arc::new(SystemClock)).await;
    let db = db.unwrap();
    let tenant = tenants::by_name(&db, "acme").await.unwrap().unwrap().id;
    let epoch = async || {
        let mut tx = db.read(tenant).await.unwrap();
        let epoch = "SELECT max(epoch) FROM uploads";
        let rows = tx.rows_without_tenant(epoch).await.unwrap();
        rows[0].int(0).unwrap()
    };
    let before = epoch().await;
    let user = format!("ann@acme:{SECRET}");
    let mut frames = Frames::at(one.https.unwrap(), &user, 1 << 20);
    let speaks = ("tus-resumable", "1.0.0");
    let piece = [
        speaks,
        ("content-type", "application/offset+octet-stream"),
        ("upload-offset", "100000"),
    ];
    frames.begin_as_user(1, 5, ("HEAD", &at), &[speaks]);
    frames.wait(HEADERS, 1);
    let mut stream = 3;
    while epoch().await == before {
        assert!(stream < 200, "none of the requests came so far");
        // Nobody gets on with a change.
        let mut holder = db.write(tenant).await.unwrap();
        let lock = "SELECT 1 FROM clocks FOR UPDATE";
        holder.rows_without_tenant(lock).await.unwrap();
        frames.begin_as_user(stream, 4, ("PATCH", &at), &piece);
        // By when these are answered, the one before waits, and has been reset.
        for look in [stream + 2, stream + 4] {
            frames.begin_as_user(look, 5, ("HEAD", &at), &[speaks]);
            frames.wait(HEADERS, look);
            if look == stream + 2 {
                frames.send(RESET, 0, stream, &8_u32.to_be_bytes());
            }
        }
        drop(holder);
        // A change behind all that wait.
        client(&one).begin(&format!("marker{stream}"), 1);
        stream += 6;
    }
    until("the upload to be let go", async || {
        let patched = there.patch(&at, 100_000, &bytes[100_000..=100_000], &[]);
        assert!(matches!(patched.status, 204 | 423), "{}", patched.text());
        patched.status == 204
    })
    .await;
    let last = there.patch(&at, 100_001, &bytes[100_001..], &[]);
    assert_eq!(last.status, 204, "{}", last.text());
    two.is_there(&other, "reset", &bytes);
    db.close().await;
    one.stop();
    other.stop();
}
