//! Where operators put a tenant by HTTPS: its region, its replica and its KMS key, in one change.

use std::fs;
use std::sync::Barrier;

use serde_json::{Value, json};

use crate::support::admin_door;
use crate::support::cloud::block_on;
use crate::support::https_door::{Answer, ask};
use crate::support::kms::{Kind, Kms};
use crate::support::serving::Serving;
use crate::support::two::Two;

/// A server with the region `main`, which has no key service, and `b`, which has one, and an operator.
struct Regions {
    two: Two,
    serving: Serving,
    token: String,
    /// A key of the key service that no region has.
    own_key: String,
}

impl Regions {
    fn up() -> Self {
        let two = Two::without_servers();
        let kms = Kms::shared(Kind::Moto);
        let (key, own_key) = block_on(async { (kms.fresh_key().await, kms.fresh_key().await) });
        let more = format!(
            "[tls]\n{}\n[admin]\nlisten = [\"127.0.0.1:0\"]\n[region.main]\nkind = \"local\"\n\
             [region.b]\nkind = \"local\"\npath = \"{}\"\naws_region = \"eu-west-1\"\n\
             access_key = \"test\"\nsecret_key = \"test\"\nkms_key = \"{key}\"\n\
             kms_endpoint = \"http://127.0.0.1:{}\"\n",
            two.own_certificate(),
            two.folder.join("b").display(),
            kms.port,
        );
        two.write("one", &more);
        let config = two.config("one");
        let settings = fs::read_to_string(&config).unwrap();
        let settings = settings.replace("[storage]\n", "[storage]\nregion = \"main\"\n");
        fs::write(&config, settings).unwrap();
        two.run(&["migrate"]);
        let serving = two.start("one");
        two.run(&["tenant", "add", "acme"]);
        let words = ["admin", "token", "create", "--name", "root"];
        let made = two.run(&[&words[..], &["--role", "operator", "--json"]].concat());
        let made: Value = serde_json::from_str(&made).unwrap();
        Self {
            token: made["token"].as_str().unwrap().to_owned(),
            two,
            serving,
            own_key,
        }
    }

    fn ask(&self, words: &[&str]) -> Answer {
        let bearer = format!("Authorization: Bearer {}", self.token);
        let address = self.serving.admin.unwrap();
        let words = [&["-H", &bearer], words].concat();
        ask(&words, &format!("https://{address}/api/v1/tenants/acme"))
    }

    fn alter(&self, body: &Value) -> Answer {
        self.ask(&admin_door::json("PATCH", &body.to_string()))
    }

    /// Its region, its replica and its KMS key.
    fn place(&self) -> Value {
        let shown = self.ask(&[]).json();
        json!([shown["region"], shown["replica"], shown["kms_key"]])
    }
}

#[test]
fn a_kms_key_is_tried_where_the_tenant_will_be() {
    let regions = Regions::up();
    let key = regions.own_key.as_str();
    let before = json!(["main", null, null]);
    assert_eq!(regions.place(), before);
    for refused in [
        json!({ "kms_key": key, "sessions": 3 }),
        json!({ "region": "b", "kms_key": "alias/nobody-made-this", "sessions": 3 }),
    ] {
        let answer = regions.alter(&refused);
        let told = answer.text();
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid"));
        assert!(told.contains("kms_key"), "{told}");
        assert_eq!(regions.place(), before, "{refused}");
        assert_eq!(regions.ask(&[]).json()["sessions"], Value::Null);
    }
    let moved = regions.alter(&json!({ "region": "b", "kms_key": key }));
    assert_eq!(moved.status, 200, "{}", moved.text());
    assert_eq!(regions.place(), json!(["b", null, key]));
    let rotated = regions.two.run(&["keys", "rotate", "acme", "--json"]);
    assert!(rotated.contains(key), "{rotated}");
    // It would be of no use where there is no key service, whether it is named or not.
    let kept = regions.alter(&json!({ "region": "main" }));
    assert_eq!((kept.status, kept.problem().as_str()), (400, "invalid"));
    assert!(kept.text().contains("kms_key none"), "{}", kept.text());
    let told = regions
        .two
        .refused(&["tenant", "move", "acme", "--region", "main"]);
    assert!(told.contains("kms_key none"), "{told}");
    let back = regions.alter(&json!({ "region": "main", "kms_key": key }));
    assert_eq!(back.status, 400, "{}", back.text());
    let back = json!({ "region": "main", "kms_key": null, "replica": "b" });
    assert_eq!(regions.alter(&back).status, 200);
    assert_eq!(regions.place(), json!(["main", "b", null]));
    let log = regions.two.run(&["audit", "list", "acme"]);
    for kind in ["tenant-move", "tenant-replica", "tenant-kms-key"] {
        assert!(log.contains(kind), "{log}");
    }
    regions.serving.stop();
}

#[test]
fn of_two_who_know_the_same_version_one_moves_the_tenant() {
    let regions = Regions::up();
    let (mut replica, mut done) = (Value::Null, 0);
    for _ in 0..10 {
        let tag = regions.ask(&[]).header("etag").unwrap().to_owned();
        let known = format!("If-Match: {tag}");
        replica = match replica {
            Value::Null => json!("b"),
            _ => Value::Null,
        };
        let body = json!({ "replica": replica }).to_string();
        let start = Barrier::new(2);
        let codes: Vec<_> = std::thread::scope(|scope| {
            let each = [0, 1].map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let words = [&["-H", &known][..], &admin_door::json("PATCH", &body)].concat();
                    regions.ask(&words).status
                })
            });
            each.into_iter().map(|one| one.join().unwrap()).collect()
        });
        done += codes.iter().filter(|code| **code == 200).count();
        assert!(
            codes.iter().all(|code| [200, 412].contains(code)),
            "{codes:?}"
        );
        assert_eq!(regions.place()[1], replica);
    }
    assert_eq!(done, 10);
    regions.serving.stop();
}
