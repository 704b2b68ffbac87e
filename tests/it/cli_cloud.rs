//! `sealift serve` on S3 and a key service: a transfer by a real client, and what a start refuses.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;

use aws_sdk_s3::primitives::ByteStream;
use sealift::domain::id::BlobId;
use sealift::net::cloud::CloudSettings;
use serde_json::Value;

use crate::support::client::quote;
use crate::support::cloud::{block_on, key_service};
use crate::support::folder::{TempFolder, sha256, write_random};
use crate::support::kms::{Kind, Kms};
use crate::support::seaweed::Seaweed;
use crate::support::server::{host_keys, program, sealift};
use crate::support::serving::Serving;

/// An installation whose one region, `eu`, is a bucket.
struct Cloud {
    folder: TempFolder,
    bucket: String,
    /// The region's settings, as a file has them.
    region: BTreeMap<&'static str, String>,
    /// Other sections.
    more: String,
}

impl Cloud {
    fn new() -> Self {
        let seaweed = Seaweed::shared();
        let bucket = seaweed.fresh_bucket();
        let mut cloud = Self {
            folder: TempFolder::new(),
            bucket: bucket.clone(),
            region: BTreeMap::new(),
            more: String::new(),
        };
        cloud.set("bucket", &bucket);
        cloud.set("prefix", "sealift/");
        cloud.region.insert("path_style", "true".to_owned());
        cloud.login(&seaweed.cloud(&seaweed.http()));
        cloud
    }

    fn set(&mut self, key: &'static str, text: &str) {
        self.region.insert(key, format!("\"{text}\""));
    }

    fn login(&mut self, to: &CloudSettings) {
        self.set("endpoint", to.endpoint.as_ref().unwrap());
        let key = to.access_key.as_ref().unwrap();
        self.set("access_key", &key.id);
        self.set(
            "secret_key",
            std::str::from_utf8(key.secret.expose()).unwrap(),
        );
    }

    fn key_service(&mut self, key: &str) {
        let port = Kms::shared(Kind::Moto).port;
        self.set("kms_key", key);
        self.set("kms_endpoint", &format!("http://127.0.0.1:{port}"));
    }

    /// Writes the settings file.
    fn config(&self) -> PathBuf {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let mut settings = format!(
            "[database]\npath = \"{}\"\n[keys]\nfile = \"{}\"\n{}\
             [sftp]\nlisten = [\"127.0.0.1:0\"]\nhost_keys = \"{}\"\n[server]\nready_file = \"{}\"\n",
            at("sealift.db"),
            at("local.key"),
            self.more,
            host_keys(),
            at("ready.json"),
        );
        settings += "[region.eu]\n";
        for (key, value) in &self.region {
            settings += &format!("{key} = {value}\n");
        }
        let file = self.folder.join("sealift.toml");
        fs::write(&file, settings).unwrap();
        file
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> String {
        let config = self.config();
        let ran = sealift(
            &[words, &["--config", config.to_str().unwrap()]].concat(),
            "right horse\n",
        );
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{words:?}: {errors}");
        String::from_utf8(ran.stdout).unwrap()
    }

    /// `check-config` with more in its environment, and without what is in ours of AWS.
    fn check_config(&self, environment: &[(&str, &str)]) -> Output {
        let config = self.config();
        Command::new(program())
            .args(["check-config", "--config", config.to_str().unwrap()])
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn checks(&self, environment: &[(&str, &str)]) {
        let ran = self.check_config(environment);
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && errors.is_empty(), "{errors}");
    }

    fn start(&self) -> Serving {
        Serving::start(&self.config(), &self.folder.join("ready.json"))
    }

    /// A start and a check are refused by the same sentence, which is returned.
    #[track_caller]
    fn refused(&self) -> String {
        let config = self.config();
        let [served, checked] = ["serve", "check-config"].map(|command| {
            let ran = sealift(&[command, "--config", config.to_str().unwrap()], "");
            let errors = String::from_utf8(ran.stderr).unwrap();
            assert_eq!(ran.status.code(), Some(1), "{errors}");
            assert_eq!(errors.trim().lines().count(), 1, "{errors}");
            assert!(!errors.contains("right horse"));
            // The cause behind the sentence differs by what the service called the request.
            errors.split(" (").next().unwrap().to_owned()
        });
        assert_eq!(served, checked);
        assert!(served.starts_with("sealift: region.eu"), "{served}");
        served
    }
}

#[test]
fn a_server_keeps_files_in_a_bucket_and_keys_in_a_key_service() {
    let mut cloud = Cloud::new();
    cloud.key_service(&key_service().0);
    cloud.run(&["migrate"]);
    cloud.run(&["check-config"]);
    cloud.run(&["tenant", "add", "acme"]);
    cloud.run(&["account", "add", "ann@acme", "--password-stdin"]);

    let serving = cloud.start();
    let (file, back) = (cloud.folder.join("file"), cloud.folder.join("back"));
    write_random(&file, 20_000_000);
    let (here, there) = (quote(&file), quote(&back));
    let commands = format!("put {here} secret-name\nget secret-name {there}\n");
    serving.sftp("ann@acme", "right horse", &commands);
    assert_eq!(sha256(&file), sha256(&back));
    serving.stop();

    // Again, as nothing is in memory any more.
    fs::remove_file(&back).unwrap();
    let serving = cloud.start();
    serving.sftp(
        "ann@acme",
        "right horse",
        &format!("get secret-name {there}\n"),
    );
    assert_eq!(sha256(&file), sha256(&back));
    serving.stop();

    let keys: Value =
        serde_json::from_str(&cloud.run(&["keys", "list", "acme", "--json"])).unwrap();
    assert_eq!(keys[0]["provider"], "aws-kms");
    let clean: Value = serde_json::from_str(&cloud.run(&["fsck", "--json"])).unwrap();
    assert_eq!(clean["clean"], true);
    let names = names(&cloud.bucket);
    assert!(!names.is_empty());
    for name in names {
        assert!(
            name.starts_with("sealift/") && !name.contains("secret-name"),
            "{name}"
        );
        assert!(!name.contains("probe"), "{name}");
    }
}

#[test]
fn a_server_without_a_key_file_makes_none() {
    let mut cloud = Cloud::new();
    cloud.key_service(&key_service().0);
    cloud.more = "kind = \"aws-kms\"\n".to_owned();
    cloud.run(&["migrate"]);
    cloud.run(&["tenant", "add", "acme"]);
    cloud.run(&["account", "add", "ann@acme", "--password-stdin"]);
    let serving = cloud.start();
    let config = cloud.folder.join("sealift.toml");
    let command = format!("put {} settings\n", quote(&config));
    serving.sftp("ann@acme", "right horse", &command);
    serving.stop();
    assert!(!cloud.folder.join("local.key").exists());
}

#[test]
fn a_database_that_is_lost_is_not_made_anew_over_a_bucket() {
    let cloud = Cloud::new();
    let data = cloud.folder.join("data");
    let id = BlobId::random().to_string();
    let key = format!("sealift/{}/{id}", &id[..2]);
    block_on(async {
        let client = Seaweed::shared().client().await;
        let put = client.put_object().bucket(&cloud.bucket).key(key);
        put.body(ByteStream::from_static(b"sealed"))
            .send()
            .await
            .unwrap();
    });
    let variables = cloud.region.iter().map(|(key, value)| {
        let name = format!("SEALIFT__REGION__EU__{}", key.to_ascii_uppercase());
        (name, value.trim_matches('"').to_owned())
    });
    let ran = Command::new(program())
        .args(["up", "--any-port", "--data", data.to_str().unwrap()])
        .envs(variables)
        .output()
        .unwrap();
    let errors = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains(&cloud.bucket) && errors.contains("sealift.db"),
        "{errors}"
    );
    assert!(!data.exists());
}

#[test]
fn what_is_wrong_with_a_bucket_is_told_at_start() {
    let mut cloud = Cloud::new();
    cloud.run(&["migrate"]);
    cloud.set("bucket", "nobody-made-this");
    assert!(cloud.refused().contains("'nobody-made-this'"));

    let mut cloud = Cloud::new();
    cloud.run(&["migrate"]);
    cloud.set("secret_key", "hunter2");
    let told = cloud.refused();
    assert!(
        told.contains("secret access key") && !told.contains("hunter2"),
        "{told}"
    );
    cloud.set("access_key", "nobody");
    assert!(cloud.refused().contains("access key id"));

    let mut cloud = Cloud::new();
    cloud.run(&["migrate"]);
    let mut reader = Seaweed::shared().cloud(&Seaweed::shared().http());
    reader.access_key = Some(Seaweed::shared().reader());
    cloud.login(&reader);
    assert!(cloud.refused().contains("lacks s3:PutObject"));
}

#[test]
fn an_endpoint_that_does_not_answer_or_is_not_trusted_is_told_at_start() {
    let mut cloud = Cloud::new();
    cloud.run(&["migrate"]);
    cloud.set("endpoint", &Seaweed::shared().https());
    let told = cloud.refused();
    assert!(
        told.contains("not trusted") && told.contains("ca_file"),
        "{told}"
    );
    let ca_file = Seaweed::shared().ca_file();
    cloud.set("ca_file", ca_file.to_str().unwrap());
    cloud.run(&["check-config"]);
    cloud.set("ca_file", "/nowhere.pem");
    assert!(cloud.refused().contains("/nowhere.pem"));

    let mut cloud = Cloud::new();
    cloud.run(&["migrate"]);
    let endpoint = nobody();
    cloud.set("endpoint", &endpoint);
    let told = cloud.refused();
    assert!(
        told.contains(&endpoint) && told.contains("does not answer"),
        "{told}"
    );
}

#[test]
fn logins_come_from_the_environment_from_files_or_from_a_program() {
    let mut cloud = Cloud::new();
    let key = Seaweed::shared().admin();
    let secret = std::str::from_utf8(key.secret.expose()).unwrap().to_owned();
    cloud.region.remove("access_key");
    cloud.region.remove("secret_key");
    let (files, program) = (cloud.folder.join("aws"), cloud.folder.join("login"));
    fs::write(
        &program,
        format!(
            "#!/bin/sh\necho '{{\"Version\": 1, \"AccessKeyId\": \"{}\", \"SecretAccessKey\": \"{secret}\"}}'\n",
            key.id
        ),
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    cloud.run(&["migrate"]);
    fs::write(
        &files,
        format!(
            "[profile written]\naws_access_key_id = {}\naws_secret_access_key = {secret}\n\
             [profile asked]\ncredential_process = {}\n",
            key.id,
            program.display()
        ),
    )
    .unwrap();
    let files = files.to_str().unwrap();
    let in_environment = [
        ("AWS_ACCESS_KEY_ID", key.id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", secret.as_str()),
    ];
    cloud.checks(&in_environment);
    for profile in ["written", "asked"] {
        cloud.set("profile", profile);
        cloud.checks(&[("AWS_CONFIG_FILE", files)]);
    }
}

#[test]
fn a_proxy_is_asked_also_where_other_certificates_are_trusted() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let asked = thread::spawn(move || {
        let mut line = String::new();
        let (client, _) = proxy.accept().unwrap();
        BufReader::new(client).read_line(&mut line).unwrap();
        line
    });
    let mut cloud = Cloud::new();
    cloud.set("endpoint", "https://files.example.invalid");
    cloud.set("ca_file", Seaweed::shared().ca_file().to_str().unwrap());
    let ran = cloud.check_config(&[("HTTPS_PROXY", &address)]);
    assert_eq!(ran.status.code(), Some(1));
    assert_eq!(
        asked.join().unwrap().trim(),
        "CONNECT files.example.invalid:443 HTTP/1.1"
    );
}

#[test]
fn a_key_that_is_not_there_is_told_at_start() {
    let mut cloud = Cloud::new();
    cloud.run(&["migrate"]);
    cloud.key_service("alias/nobody-made-this");
    let told = cloud.refused();
    assert!(
        told.contains("region.eu.kms_key") && told.contains("alias/nobody-made-this"),
        "{told}"
    );
}

#[test]
fn an_address_of_a_key_service_where_none_is_is_told_by_its_setting() {
    let mut cloud = Cloud::new();
    cloud.run(&["migrate"]);
    cloud.set("kms_key", "alias/any");
    cloud.set("kms_endpoint", &Seaweed::shared().http());
    let told = cloud.refused();
    assert!(
        told.contains("kms_endpoint") && told.contains("no key service"),
        "{told}"
    );
}

#[test]
fn a_tenant_gets_no_key_of_its_own_that_cannot_be_used() {
    let mut cloud = Cloud::new();
    cloud.key_service(&key_service().0);
    cloud.run(&["migrate"]);
    cloud.run(&["tenant", "add", "acme"]);
    let config = cloud.config();
    let place = ["--config", config.to_str().unwrap()];
    let words = [
        "tenant",
        "set",
        "acme",
        "--quota",
        "1MiB",
        "--kms-key",
        "alias/no-such-key",
    ];
    let ran = sealift(&[&words[..], &place[..]].concat(), "");
    let errors = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("--kms-key") && errors.contains("'alias/no-such-key' does not exist"),
        "{errors}"
    );
    let show = |cloud: &Cloud| -> Value {
        serde_json::from_str(&cloud.run(&["tenant", "show", "acme", "--json"])).unwrap()
    };
    let acme = show(&cloud);
    assert!(
        acme["kms_key"].is_null() && acme["quota_bytes"].is_null(),
        "{acme}"
    );
    let key = key_service().0.clone();
    cloud.run(&["tenant", "set", "acme", "--kms-key", &key]);
    assert_eq!(show(&cloud)["kms_key"], key.as_str());
}

#[test]
fn keys_whose_key_service_is_not_in_the_settings_are_told_at_start() {
    let mut cloud = Cloud::new();
    cloud.key_service(&key_service().0);
    cloud.run(&["migrate"]);
    cloud.run(&["tenant", "add", "acme"]);
    cloud.run(&["keys", "rotate", "acme"]);
    cloud.region.remove("kms_key");
    cloud.region.remove("kms_endpoint");
    let serving = cloud.start();
    let log = serving.log();
    assert!(
        log.contains("no kms_key of [region.eu]") && log.contains("acme"),
        "{log}"
    );
    serving.stop();
}

#[test]
fn a_move_names_what_wraps_the_tenants_keys() {
    let mut cloud = Cloud::new();
    cloud.key_service(&key_service().0);
    let folder = cloud.folder.join("us").display().to_string();
    cloud.more =
        format!("[storage]\nregion = \"eu\"\n[region.us]\nkind = \"local\"\npath = \"{folder}\"\n");
    cloud.run(&["migrate"]);
    cloud.run(&["tenant", "add", "acme"]);
    cloud.run(&["keys", "rotate", "acme"]);
    let to = |region| cloud.run(&["tenant", "move", "acme", "--region", region]);
    let told = to("us");
    assert!(told.contains("by what region eu has"), "{told}");
    let told = to("eu");
    assert!(!told.contains("wrapped"), "{told}");
    to("us");
    cloud.run(&["keys", "rewrap", "acme"]);
    let told = to("eu");
    assert!(told.contains("by the key file"), "{told}");
}

#[test]
fn a_profile_that_is_not_there_is_told_at_start() {
    let mut cloud = Cloud::new();
    cloud.run(&["migrate"]);
    cloud.region.remove("access_key");
    cloud.region.remove("secret_key");
    cloud.set("profile", "nobody-made-this");
    let told = cloud.refused();
    assert!(
        told.contains("profile") && told.contains("'nobody-made-this'"),
        "{told}"
    );
}

#[test]
fn certificates_that_cannot_be_read_are_no_outage_of_the_key_service() {
    let mut cloud = Cloud::new();
    cloud.key_service("alias/any");
    cloud.more = "[storage]\nregion = \"eu\"\n[region.us]\nkind = \"local\"\n".to_owned();
    let folder = cloud.folder.join("us").display().to_string();
    cloud.more += &format!("path = \"{folder}\"\n");
    cloud.run(&["migrate"]);
    cloud.set("ca_file", "/nowhere.pem");
    let config = cloud.config();
    let ran = sealift(&["check-config", "--config", config.to_str().unwrap()], "");
    let errors = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("region.eu.ca_file") && errors.contains("/nowhere.pem"),
        "{errors}"
    );
    assert!(!errors.contains("does not answer"), "{errors}");
}

#[test]
fn a_server_starts_without_a_second_region_or_key_service_that_does_not_answer() {
    let mut cloud = Cloud::new();
    cloud.set("kms_key", "alias/any");
    cloud.set("kms_endpoint", &nobody());
    cloud.more = format!(
        "[storage]\nregion = \"eu\"\n[region.us]\nbucket = \"any\"\nendpoint = \"{}\"\n\
         access_key = \"a\"\nsecret_key = \"b\"\n",
        nobody()
    );
    cloud.run(&["migrate"]);
    // What is in memory serves a server; a check that finds nothing to be used in full says so.
    let config = cloud.config();
    let ran = sealift(&["check-config", "--config", config.to_str().unwrap()], "");
    let told = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{told}");
    assert!(
        told.contains("region.eu.kms_key, does not answer") && !told.contains("are right"),
        "{told}"
    );
    let serving = cloud.start();
    let log = serving.log();
    assert!(log.contains("region.us: http://127.0.0.1"), "{log}");
    assert!(
        log.contains("region.eu: the key service does not answer"),
        "{log}"
    );
    serving.stop();
}

/// An address where nobody listens.
fn nobody() -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", free.local_addr().unwrap())
}

/// The names of all objects in a bucket.
fn names(bucket: &str) -> Vec<String> {
    block_on(async {
        let client = Seaweed::shared().client().await;
        let listed = client
            .list_objects_v2()
            .bucket(bucket)
            .send()
            .await
            .unwrap();
        let objects = listed.contents.unwrap_or_default();
        objects
            .into_iter()
            .filter_map(|object| object.key)
            .collect()
    })
}
