//! A tus upload that goes on at another server, which runs beside the first on the same PostgreSQL and the
//! same store; and one whose server dies.

use std::time::Duration;

use crate::support::serving::Serving;
use crate::support::tus::{Tus, noise};
use crate::support::two::{SECRET, Two};
use crate::support::wait::wait_for;

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
