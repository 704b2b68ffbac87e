//! Two servers on one PostgreSQL share the work of telling webhooks.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::support::receiver::Receiver;
use crate::support::serving::Serving;
use crate::support::two::{SECRET, Two};
use crate::support::wait::wait_for;

fn put(two: &Two, serving: &Serving, names: &[String]) {
    let file = two.folder.join("some");
    fs::write(&file, "some").unwrap();
    let puts = names
        .iter()
        .map(|name| format!("put {} {name}\n", file.display()));
    serving.sftp("ann@acme", SECRET, &puts.collect::<String>());
}

#[test]
fn two_servers_tell_each_thing_once_and_one_goes_on_for_the_other() {
    let two = Two::new();
    two.run(&["grant", "add", "ann@acme", "acme:/", "all"]);
    let (first, second) = (Receiver::start(), Receiver::start());
    two.run(&["webhook", "add", "acme", "first", &first.url("/")]);
    two.run(&["webhook", "add", "acme", "second", &second.url("/")]);
    let (one, other) = (two.start("one"), two.start("other"));
    let names = |who: &str| (0..20).map(|n| format!("/{who}-{n}")).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        scope.spawn(|| put(&two, &one, &names("one")));
        scope.spawn(|| put(&two, &other, &names("other")));
    });
    for receiver in [&first, &second] {
        receiver.wait_for(40);
    }
    wait_for("all to be noted", Duration::from_secs(60), || {
        let all = ["first", "second"].map(|name| {
            let said = two.run(&["webhook", "deliveries", "acme", name, "--json"]);
            serde_json::from_str::<Value>(&said).unwrap()
        });
        let is_done = |all: &Value| {
            let all = all.as_array().unwrap();
            all.len() == 40 && all.iter().all(|one| one["state"] == "delivered")
        };
        all.iter().all(is_done).then_some(())
    });
    for receiver in [&first, &second] {
        let mut ids: Vec<_> = receiver.received().iter().map(|one| one.id()).collect();
        assert_eq!(ids.len(), 40, "something was told twice");
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 40);
    }
    // Whichever of the two it is that tells a webhook: when it dies, the other goes on.
    one.kill();
    put(&two, &other, &names("later"));
    for receiver in [&first, &second] {
        let all = wait_for(
            "the other server to go on",
            Duration::from_secs(120),
            || {
                let all = receiver.received();
                let later = all.iter().filter(|one| one.what().1.starts_with("/later"));
                (later.count() >= 20).then_some(all)
            },
        );
        assert!(all.len() >= 60);
    }
    other.stop();
}
