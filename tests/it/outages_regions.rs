//! What becomes of the others when one of several regions is in trouble.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use sealift::net::cloud::CloudSettings;
use serde_json::Value;

use crate::support::client::quote;
use crate::support::cloud::{self, block_on};
use crate::support::folder::{TempFolder, sha256, write_random};
use crate::support::https_door;
use crate::support::kms::{Kind, Kms};
use crate::support::proxy::{Harm, Proxy};
use crate::support::seaweed::{AWS_REGION, Seaweed};
use crate::support::server::{host_keys, sealift};
use crate::support::serving::Serving;
use crate::support::wait::wait_for;

/// An installation with acme in region `a`, where new tenants are, and beta in `b`: two buckets, each behind
/// a line that can be harmed.
struct Two {
    folder: TempFolder,
    config: PathBuf,
    lines: [Proxy; 2],
    buckets: [String; 2],
    services: Option<[Service; 2]>,
}

/// What wraps a region's keys, behind a line that can be harmed.
struct Service {
    line: Proxy,
    key: String,
}

impl Service {
    fn new() -> Self {
        let server = Kms::shared(Kind::Moto);
        let cloud = CloudSettings {
            aws_region: AWS_REGION.to_owned(),
            ..Kms::cloud(server.port)
        };
        Self {
            line: Proxy::before(server.port),
            key: block_on(cloud::fresh_key(cloud)),
        }
    }
}

impl Two {
    /// With the keys of all tenants in one file.
    fn new() -> Self {
        Self::with(None)
    }

    fn with(services: Option<[Service; 2]>) -> Self {
        let seaweed = Seaweed::shared();
        let folder = TempFolder::new();
        let two = Self {
            config: folder.join("sealift.toml"),
            folder,
            lines: [(); 2].map(|()| Proxy::before(seaweed.http_port())),
            buckets: [(); 2].map(|()| seaweed.fresh_bucket()),
            services,
        };
        two.write();
        two.run(&["migrate"]);
        for (tenant, region) in [("acme", "a"), ("beta", "b")] {
            two.run(&["tenant", "add", tenant, "--region", region]);
            let account = format!("ann@{tenant}");
            two.run(&["account", "add", &account, "--password-stdin"]);
        }
        two
    }

    fn write(&self) {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let mut settings = format!(
            "[database]\npath = \"{}\"\n[keys]\nfile = \"{}\"\n[storage]\nregion = \"a\"\n\
             [sftp]\nlisten = [\"127.0.0.1:0\"]\nhost_keys = \"{}\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n\
             [retention]\ninterval = \"200ms\"\n[server]\nready_file = \"{}\"\n",
            at("sealift.db"),
            at("local.key"),
            host_keys(),
            at("ready.json"),
        );
        let key = Seaweed::shared().admin();
        let secret = String::from_utf8_lossy(key.secret.expose()).into_owned();
        for (number, name) in ["a", "b"].into_iter().enumerate() {
            settings += &format!(
                "[region.{name}]\nbucket = \"{}\"\nendpoint = \"{}\"\npath_style = true\n\
                 access_key = \"{}\"\nsecret_key = \"{secret}\"\n",
                self.buckets[number],
                self.lines[number].http(),
                key.id,
            );
            if let Some(services) = &self.services {
                let Service { line, key } = &services[number];
                settings += &format!(
                    "aws_region = \"{AWS_REGION}\"\nkms_key = \"{key}\"\nkms_endpoint = \"{}\"\n",
                    line.http()
                );
            }
        }
        fs::write(&self.config, settings).unwrap();
    }

    /// Runs a command; returns whether it succeeded, and all that it printed.
    fn try_run(&self, words: &[&str]) -> (bool, String) {
        let config = self.config.to_str().unwrap();
        let ran = sealift(&[words, &["--config", config]].concat(), "right horse\n");
        let printed = [ran.stdout, ran.stderr].concat();
        (ran.status.success(), String::from_utf8(printed).unwrap())
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> String {
        let (done, printed) = self.try_run(words);
        assert!(done, "{words:?}: {printed}");
        printed
    }

    fn serve(&self) -> Serving {
        Serving::start(&self.config, &self.folder.join("ready.json"))
    }

    /// Waits for an answer to whoever asks for readiness.
    fn readiness(&self, wanted: impl Fn(u16, &Value) -> bool) -> Value {
        let ready = fs::read(self.folder.join("ready.json")).unwrap();
        let ready: Value = serde_json::from_slice(&ready).unwrap();
        let clear = ready["listeners"]["http"].as_str().unwrap().to_owned();
        wait_for("readiness to change", Duration::from_secs(120), || {
            let answer = https_door::ask(&[], &format!("http://{clear}/readyz"));
            let json = answer.json();
            wanted(answer.status, &json).then_some(json)
        })
    }

    /// Waits until acme's copies are in `b`, with all that is needed to read them there.
    fn copied(&self) {
        // A lag of less than a second is told as none.
        let whole = self.objects(0).len();
        wait_for("the copies", Duration::from_secs(60), || {
            let acme = self.acme();
            let there = acme["replica_lag_seconds"] == 0 && acme["replica_keys_missing"] == 0;
            (there && self.objects(1).len() == whole).then_some(())
        });
    }

    fn acme(&self) -> Value {
        let acme = self.run(&["tenant", "show", "acme", "--json"]);
        serde_json::from_str(&acme).unwrap()
    }

    /// A file is put and fetched.
    #[track_caller]
    fn transfer(&self, serving: &Serving, tenant: &str) {
        let (file, back) = (self.folder.join(tenant), self.folder.join("back"));
        write_random(&file, 300_000);
        let (here, there) = (quote(&file), quote(&back));
        let commands = format!("put {here} file\nget file {there}\n");
        serving.sftp(&format!("ann@{tenant}"), "right horse", &commands);
        assert_eq!(sha256(&file), sha256(&back));
    }

    /// The names of the objects in a bucket.
    fn objects(&self, number: usize) -> Vec<String> {
        let bucket = &self.buckets[number];
        block_on(async {
            let client = Seaweed::shared().client().await;
            let listed = client.list_objects_v2().bucket(bucket).send().await;
            let objects = listed.unwrap().contents.unwrap_or_default().into_iter();
            objects.filter_map(|object| object.key).collect()
        })
    }

    /// Takes a bucket away, with all that is in it.
    fn destroy(&self, number: usize) {
        let (bucket, objects) = (&self.buckets[number], self.objects(number));
        block_on(async {
            let client = Seaweed::shared().client().await;
            for object in objects {
                let delete = client.delete_object().bucket(bucket).key(object);
                delete.send().await.unwrap();
            }
            client.delete_bucket().bucket(bucket).send().await.unwrap();
        });
    }
}

/// Whether a store is ready in a region, as an answer says.
fn store_is_ready(answer: &Value, region: &str) -> bool {
    let part = |list: &Value, key: &str, name: &str| {
        let mut all = list.as_array().unwrap().iter();
        all.find(|part| part[key] == name).unwrap().clone()
    };
    let store = part(&answer["parts"], "name", "store");
    let region = part(&store["regions"], "region", region);
    region["ready"].as_bool().unwrap()
}

#[test]
fn an_outage_of_one_region_keeps_nobody_out_of_the_others() {
    let two = Two::new();
    let serving = two.serve();
    for tenant in ["acme", "beta"] {
        two.transfer(&serving, tenant);
    }
    two.readiness(|status, _| status == 200);
    two.lines[0].set(Harm::BlackHole { after: 0 });
    let answer = two.readiness(|_, answer| !store_is_ready(answer, "a"));
    assert_eq!(answer["ready"], true, "{answer}");
    assert!(store_is_ready(&answer, "b"), "{answer}");
    two.transfer(&serving, "beta");

    two.lines[1].set(Harm::Refuse);
    let answer = two.readiness(|status, _| status == 503);
    assert_eq!(answer["ready"], false, "{answer}");
    let port = ("127.0.0.1", serving.port);
    wait_for("the port to refuse", Duration::from_secs(30), || {
        TcpStream::connect(port).err()
    });
    for line in &two.lines {
        line.set(Harm::Off);
    }
    two.readiness(|_, answer| store_is_ready(answer, "a") && store_is_ready(answer, "b"));
    wait_for("the port to be open", Duration::from_secs(30), || {
        TcpStream::connect(port).ok()
    });
    two.transfer(&serving, "acme");
    serving.stop();
}

#[test]
fn a_bucket_that_is_gone_stops_neither_start_nor_check_of_the_others() {
    let two = Two::new();
    let serving = two.serve();
    for tenant in ["acme", "beta"] {
        two.transfer(&serving, tenant);
    }
    serving.stop();
    two.destroy(0);

    let told = two.run(&["check-config"]);
    assert!(told.contains("region.a: there is no bucket"), "{told}");
    assert!(
        told.contains("not all regions can be used now: a"),
        "{told}"
    );
    let serving = two.serve();
    assert!(serving.log().contains("region.a: there is no bucket"));
    two.transfer(&serving, "beta");
    serving.stop();
    let (clean, told) = two.try_run(&["fsck"]);
    assert!(!clean, "{told}");
    assert_eq!(told.matches("region a").count(), 1, "{told}");
    assert!(!told.contains("beta"), "{told}");

    two.destroy(1);
    let (starts, told) = two.try_run(&["check-config"]);
    assert!(!starts, "{told}");
    for region in ["region.a", "region.b"] {
        assert!(
            told.contains(&format!("{region}: there is no bucket")),
            "{told}"
        );
    }
}

#[test]
fn copies_are_read_while_the_first_region_is_silent() {
    let two = Two::new();
    let serving = two.serve();
    two.transfer(&serving, "acme");
    two.run(&["tenant", "set", "acme", "--replica", "b"]);
    two.copied();
    two.lines[0].set(Harm::BlackHole { after: 0 });
    let back = two.folder.join("from the copy");
    let commands = format!("get file {}\n", quote(&back));
    serving.sftp("ann@acme", "right horse", &commands);
    assert_eq!(sha256(&two.folder.join("acme")), sha256(&back));
    two.lines[0].set(Harm::Off);
    serving.stop();
}

#[test]
fn a_replica_is_read_after_a_restart_without_store_and_key_service_of_the_first_region() {
    let two = Two::with(Some([(); 2].map(|()| Service::new())));
    let services = two.services.as_ref().unwrap();
    let serving = two.serve();
    two.transfer(&serving, "acme");
    two.run(&["tenant", "set", "acme", "--replica", "b"]);
    two.copied();
    let read = |serving: &Serving, name: &str| {
        let back = two.folder.join("from the copy");
        let commands = format!("get {name} {}\n", quote(&back));
        serving.sftp("ann@acme", "right horse", &commands);
        sha256(&back)
    };
    let first = sha256(&two.folder.join("acme"));
    serving.stop();

    two.lines[0].set(Harm::Refuse);
    for harm in [Harm::Refuse, Harm::BlackHole { after: 0 }] {
        services[0].line.set(harm);
        let serving = two.serve();
        assert_eq!(read(&serving, "file"), first);
        serving.stop();
    }

    // A new version is wrapped for the replica as well.
    for line in [&two.lines[0], &services[0].line] {
        line.set(Harm::Off);
    }
    two.run(&["keys", "rotate", "acme"]);
    let listed = two.run(&["keys", "list", "acme"]);
    assert_eq!(listed.matches(&services[0].key).count(), 2, "{listed}");
    assert!(listed.contains(&services[1].key), "{listed}");
    let serving = two.serve();
    let later = two.folder.join("later");
    write_random(&later, 300_000);
    let commands = format!("put {} later\n", quote(&later));
    serving.sftp("ann@acme", "right horse", &commands);
    two.copied();
    serving.stop();
    for line in [&two.lines[0], &services[0].line] {
        line.set(Harm::Refuse);
    }
    let serving = two.serve();
    assert_eq!(read(&serving, "file"), first);
    assert_eq!(read(&serving, "later"), sha256(&later));

    // And all of it is lost with the keys.
    let destroyed = two.run(&["keys", "destroy", "--yes-destroy", "acme"]);
    assert!(destroyed.contains("destroyed 2 versions"), "{destroyed}");
    assert!(two.acme()["replica_keys_missing"].is_null());
    serving.stop();
}

#[test]
fn a_store_that_answers_slowly_is_there() {
    let two = Two::new();
    let serving = two.serve();
    for line in &two.lines {
        line.set(Harm::Delay(Duration::from_secs(6)));
    }
    let slow = |answer: &Value| {
        let parts = answer["parts"].as_array()?;
        let store = parts.iter().find(|part| part["name"] == "store")?;
        store["latency_ms"]
            .as_f64()
            .filter(|taken| *taken > 5_500.0)
    };
    for _ in 0..4 {
        let answer = two.readiness(|_, answer| slow(answer).is_some());
        assert_eq!(answer["ready"], true, "{answer}");
    }
    let log = serving.log();
    assert!(!log.contains("does not answer"), "{log}");
    for line in &two.lines {
        line.set(Harm::Off);
    }
    serving.stop();
}
