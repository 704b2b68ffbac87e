//! How webhooks are told: signed, again and again until it is taken, and only where it may lead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::careful::Careful;
use crate::support::hooked::Hooked;
use crate::support::receiver::{Receiver, Reply};
use crate::support::scraped::Scraped;
use crate::support::wait::wait_for;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn failures_are_tried_again_until_it_is_taken() {
    let hooked = Hooked::up_with(&[("TIMEOUT", "300ms")]);
    let receiver = Receiver::answering(|number, _| match number {
        0 => Reply::Status(500),
        1 => Reply::Hang,
        2 => Reply::HangUp,
        3 => Reply::Status(404),
        _ => Reply::Status(200),
    });
    hooked.hook(&receiver.url("/"), &[]);
    hooked.put("/a", "some");
    let all = receiver.wait_for(5);
    let ids: Vec<_> = all.iter().map(|one| one.id()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert!(all.iter().all(|one| one.text == all[0].text));
    let sent = hooked.settled("/a");
    assert_eq!(sent[0]["state"], "delivered");
    assert_eq!(sent[0]["attempts"], 5);
    assert_eq!(sent[0]["status"], 200);
    hooked.server.stop();
}

#[test]
fn what_nobody_takes_is_given_up_and_sent_again_when_asked() {
    let hooked = Hooked::up_with(&[("GIVE_UP_AFTER", "1s")]);
    let is_well = Arc::new(AtomicBool::new(false));
    let well = is_well.clone();
    let receiver = Receiver::answering(move |_, _| match well.load(Ordering::SeqCst) {
        true => Reply::Status(200),
        false => Reply::Status(503),
    });
    hooked.hook(&receiver.url("/"), &[]);
    hooked.put("/a", "some");
    hooked.put("/b", "some");
    let dead = wait_for("both to be given up", SOON, || {
        let dead = hooked.webhook(&["dead", "demo", "hook"]);
        let dead = dead.as_array().unwrap().clone();
        (dead.len() == 2).then_some(dead)
    });
    let said = dead[0]["said"].as_str().unwrap();
    assert!(said.starts_with("answered 503; given up after "), "{said}");
    is_well.store(true, Ordering::SeqCst);
    let before = receiver.received().len();
    let one = dead[0]["event"].as_str().unwrap();
    let replayed = hooked.webhook(&["replay", "demo", "hook", "--event", one]);
    assert_eq!(replayed["replayed"], 1);
    let again = receiver.wait_for(before + 1);
    assert_eq!(again[before].id(), one);
    let replayed = hooked.webhook(&["replay", "demo", "hook"]);
    assert_eq!(replayed["replayed"], 1);
    receiver.wait_for(before + 2);
    wait_for("both to be taken", SOON, || {
        let all = hooked.deliveries();
        all.iter()
            .all(|one| one["state"] == "delivered")
            .then_some(())
    });
    // What was taken may be sent again too.
    hooked.webhook(&["replay", "demo", "hook", "--event", one]);
    assert_eq!(receiver.wait_for(before + 3)[before + 2].id(), one);
    hooked.server.stop();
}

#[test]
fn a_receiver_that_is_well_again_is_told_within_the_longest_delay() {
    // Pauses would grow to far more after so many failures.
    let hooked = Hooked::up_with(&[("FIRST_DELAY", "500ms"), ("LONGEST_DELAY", "1s")]);
    let is_well = Arc::new(AtomicBool::new(false));
    let well = is_well.clone();
    let receiver = Receiver::answering(move |_, _| match well.load(Ordering::SeqCst) {
        true => Reply::Status(200),
        false => Reply::Status(503),
    });
    hooked.hook(&receiver.url("/"), &[]);
    for number in 0..12 {
        hooked.put(&format!("/{number}"), "some");
    }
    let before = receiver.wait_for(10).len();
    is_well.store(true, Ordering::SeqCst);
    let since = Instant::now();
    receiver.wait_for(before + 1);
    assert!(since.elapsed() < Duration::from_secs(4));
    hooked.settled("/11");
    hooked.server.stop();
}

#[test]
fn who_mends_a_webhook_or_asks_for_a_replay_is_not_kept_waiting() {
    let hooked = Hooked::up_with(&[
        ("FIRST_DELAY", "30s"),
        ("LONGEST_DELAY", "1h"),
        ("GIVE_UP_AFTER", "3d"),
    ]);
    let broken = Receiver::answering(|_, _| Reply::Status(500));
    let other = Receiver::start();
    hooked.hook(&broken.url("/"), &[]);
    // After three failures there is a pause of half a minute, in which nothing of this webhook is tried.
    for name in ["/a", "/b", "/c", "/d"] {
        hooked.put(name, "some");
    }
    broken.wait_for(3);
    let since = Instant::now();
    let url = other.url("/");
    hooked.webhook(&["alter", "demo", "hook", "--url", &url]);
    other.wait_for(4);
    assert!(since.elapsed() < Duration::from_secs(15));
    hooked.settled("/d");

    let gone = Receiver::answering(|_, _| Reply::Status(500));
    hooked.webhook(&["alter", "demo", "hook", "--url", &gone.url("/")]);
    for name in ["/e", "/f", "/g"] {
        hooked.put(name, "some");
    }
    gone.wait_for(3);
    let event = hooked.deliveries().pop().unwrap();
    let since = Instant::now();
    let event = event["event"].as_str().unwrap();
    hooked.webhook(&["replay", "demo", "hook", "--event", event]);
    let told = gone.wait_for(4);
    assert_eq!(told[3].id(), event);
    assert!(since.elapsed() < Duration::from_secs(15));
    hooked.server.stop();
}

#[test]
fn what_waited_too_long_is_counted_as_given_up() {
    let hooked = Hooked::up_with(&[("GIVE_UP_AFTER", "5s"), ("FIRST_DELAY", "4s")]);
    let receiver = Receiver::answering(|_, _| Reply::Status(500));
    hooked.hook(&receiver.url("/"), &[]);
    hooked.put("/a", "some");
    wait_for("it to be written down", SOON, || {
        (!hooked.deliveries().is_empty()).then_some(())
    });
    hooked.webhook(&["alter", "demo", "hook", "--disable"]);
    let given_up = || {
        let scraped = Scraped::open(&hooked.server);
        scraped.get("sealift_webhooks_attempts_total", &[("outcome", "dead")])
    };
    wait_for("it to be given up", 3 * SOON, || {
        given_up().filter(|count| *count >= 1.0)
    });
    assert_eq!(hooked.deliveries()[0]["state"], "dead");
    hooked.server.stop();
}

#[test]
fn a_receiver_that_hangs_up_after_each_answer_has_taken_it() {
    let hooked = Hooked::up();
    let receiver = Receiver::answering(|_, _| Reply::Old(204));
    hooked.hook(&receiver.url("/"), &["--events", "all"]);
    for name in ["/a", "/b", "/c"] {
        hooked.put(name, "some");
    }
    for delivery in hooked.settled("/c") {
        assert_eq!(
            (&delivery["state"], &delivery["attempts"]),
            (&"delivered".into(), &1.into()),
            "{delivery}"
        );
    }
    hooked.server.stop();
}

#[test]
fn redirects_are_not_followed() {
    let hooked = Hooked::up_with(&[("GIVE_UP_AFTER", "500ms")]);
    let other = Receiver::start();
    let to = other.url("/elsewhere");
    let receiver = Receiver::answering(move |_, _| Reply::To(to.clone()));
    hooked.hook(&receiver.url("/"), &[]);
    hooked.put("/a", "some");
    let sent = hooked.settled("/a");
    assert_eq!(sent[0]["state"], "dead");
    let said = sent[0]["said"].as_str().unwrap();
    assert!(
        said.starts_with("answered 302: redirects are not followed"),
        "{said}"
    );
    assert!(other.received().is_empty());
    assert!(receiver.received().iter().all(|one| one.path == "/"));
    hooked.server.stop();
}

#[test]
fn private_addresses_are_refused_unless_they_are_allowed() {
    let hooked = Hooked::up_exactly(&[("ALLOW", "127.0.0.2"), ("HTTP", "true")]);
    for url in [
        "http://127.0.0.1:9/",
        "http://localhost:9/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]:9/",
        "http://[::ffff:127.0.0.1]:9/",
        "http://10.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://127.1/",
    ] {
        let ran = hooked.try_webhook(&["add", "demo", "hook", url]);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(
            !ran.status.success() && said.contains("is not an address of the public internet"),
            "{url}: {said}"
        );
    }
    hooked.hook("http://127.0.0.2:9/", &[]);
    hooked.server.stop();
}

#[test]
fn an_address_that_was_allowed_once_is_refused_when_it_is_sent_to() {
    let mut hooked = Hooked::up_exactly(&[("FIRST_DELAY", "50ms"), ("GIVE_UP_AFTER", "500ms")]);
    let receiver = Receiver::start();
    // Commands may be told more than the server: so a name passes that the server refuses later, as one
    // does that leads elsewhere by then.
    hooked.set(&[("ALLOW", "127.0.0.0/8, ::1")]);
    let port = receiver.url("").rsplit_once(':').unwrap().1.to_owned();
    hooked.hook(&format!("https://localhost:{port}/"), &[]);
    hooked.put("/a", "some");
    let sent = hooked.settled("/a");
    assert_eq!(sent[0]["state"], "dead");
    let said = sent[0]["said"].as_str().unwrap();
    assert!(said.starts_with("refused: 'localhost' is "), "{said}");
    assert!(receiver.received().is_empty());
    hooked.server.stop();
}

#[test]
fn a_receiver_that_is_gone_is_told_nothing_more() {
    let hooked = Hooked::up();
    let receiver = Receiver::answering(|_, _| Reply::Status(410));
    hooked.hook(&receiver.url("/"), &[]);
    hooked.put("/a", "some");
    wait_for("the webhook to be turned off", SOON, || {
        let all = hooked.webhook(&["list", "demo"]);
        (all[0]["state"] == "gone").then_some(())
    });
    hooked.put("/b", "some");
    for words in [["test", "demo", "hook"], ["replay", "demo", "hook"]] {
        let ran = hooked.try_webhook(&words);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(
            !ran.status.success() && said.contains("enable it first"),
            "{said}"
        );
    }
    assert_eq!(hooked.deliveries().len(), 1);
    hooked.webhook(&["alter", "demo", "hook", "--enable"]);
    hooked.put("/c", "some");
    let all = receiver.wait_for(2);
    assert_eq!(all[1].what().1, "/c");
    hooked.server.stop();
}

#[test]
fn a_failing_webhook_holds_no_other_back() {
    let hooked = Hooked::up_with(&[("AT_ONCE", "4"), ("TIMEOUT", "2s")]);
    let (bad, good) = (Receiver::answering(|_, _| Reply::Hang), Receiver::start());
    hooked.hook(&bad.url("/"), &[]);
    hooked.webhook(&["add", "demo", "other", &good.url("/")]);
    for number in 0..12 {
        hooked.put(&format!("/{number}"), "some");
    }
    let all = good.wait_for(12);
    let mut paths: Vec<_> = all.iter().map(|one| one.what().1).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 12);
    let waiting = hooked.deliveries();
    assert!(waiting.iter().any(|one| one["state"] == "waiting"));
    hooked.server.stop();
}

#[test]
fn many_webhooks_that_hang_hold_no_other_back() {
    let hooked = Hooked::up_with(&[("TIMEOUT", "30s")]);
    let (bad, good) = (Receiver::answering(|_, _| Reply::Hang), Receiver::start());
    for number in 0..40 {
        let name = format!("hanging-{number}");
        hooked.webhook(&["add", "demo", &name, &bad.url("/")]);
    }
    hooked.hook(&good.url("/"), &[]);
    for number in 0..8 {
        hooked.put(&format!("/{number}"), "some");
    }
    // They are on their way by now, which takes longer than the other may have to wait.
    bad.wait_for(16);
    let put = Instant::now();
    hooked.put("/late", "some");
    good.wait_for(9);
    assert!(
        put.elapsed() < Duration::from_secs(15),
        "{:?}",
        put.elapsed()
    );
    hooked.server.stop();
}

#[test]
fn others_verify_the_signature_and_two_secrets_sign_for_a_while() {
    let hooked = Hooked::up();
    let log = hooked.folder.join("taken");
    // The port is told by a receiver that knows no secret yet.
    let mut probe = Careful::start(0, "whsec_AAAA", &log);
    let port = probe.port;
    probe.kill();
    let secret = hooked.hook(&format!("http://127.0.0.1:{port}/"), &[]);
    let mut receiver = Careful::start(port, &secret, &log);
    hooked.put("/a", "some");
    hooked.settled("/a");
    let renewed = hooked.webhook(&["secret", "demo", "hook", "--overlap", "1h"]);
    let newer = renewed["secret"].as_str().unwrap().to_owned();
    assert_ne!(newer, secret);
    hooked.put("/b", "some");
    hooked.settled("/b");
    receiver.kill();
    let receiver = Careful::start(port, &newer, &log);
    hooked.put("/c", "some");
    hooked.settled("/c");
    hooked.webhook(&["secret", "demo", "hook", "--overlap", "0s"]);
    hooked.put("/d", "some");
    wait_for("the old secret to sign no more", SOON, || {
        let all = hooked.deliveries();
        (all[0]["data"]["path"] == "/d" && all[0]["status"] == 401).then_some(())
    });
    let taken = receiver.taken();
    let paths: Vec<_> = taken
        .iter()
        .map(|(_, body)| body["data"]["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["/a", "/b", "/c"]);
    hooked.server.stop();
}
