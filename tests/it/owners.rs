//! Whose the places of blobs are: two installations, or two regions, never share one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;

use sealift::db::sql::Dialect;
use sealift::domain::error::{Error, ErrorKind};
use sealift::domain::id::BlobId;
use sealift::jobs::fsck;
use sealift::jobs::fsck_report::{Depth, Repair};
use sealift::storage::memory::MemoryStore;
use sealift::storage::proven::Proven;
use sealift::storage::store::BlobStore;

use crate::support::cloud::block_on;
use crate::support::dialects::on_both;
use crate::support::folder::TempFolder;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::seaweed::Seaweed;
use crate::support::server::{host_keys, sealift};
use crate::support::serving::Serving;
use crate::support::world::{World, path, put};

on_both!(what_nobody_knows_is_not_removed_where_nothing_is_known);

/// An installation whose settings are what a test makes of them.
struct Own {
    folder: TempFolder,
    config: PathBuf,
}

impl Own {
    /// With these regions, and a tenant in the first.
    fn new(regions: &str) -> Self {
        let folder = TempFolder::new();
        let config = folder.join("sealift.toml");
        let own = Self { folder, config };
        own.write(regions);
        own.run(&["migrate"]);
        own.run(&["tenant", "add", "acme"]);
        own.run(&["account", "add", "ann@acme", "--password-stdin"]);
        own
    }

    fn at(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn write(&self, regions: &str) {
        let database = format!("path = \"{}\"", self.at("sealift.db"));
        self.write_on(&database, regions);
    }

    fn write_on(&self, database: &str, regions: &str) {
        let settings = format!(
            "[database]\n{database}\n[keys]\nfile = \"{}\"\n\
             [sftp]\nlisten = [\"127.0.0.1:0\"]\nhost_keys = \"{}\"\n\
             [server]\nready_file = \"{}\"\n{regions}",
            self.at("local.key"),
            host_keys(),
            self.at("ready.json"),
        );
        fs::write(&self.config, settings).unwrap();
    }

    fn serve(&self) -> Serving {
        Serving::start(&self.config, &self.folder.join("ready.json"))
    }

    /// Whether a command succeeded, and what it said of it.
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

    /// Neither a start nor a check nor a repair is done; each says these words.
    #[track_caller]
    fn refused(&self, words: &[&str]) {
        for command in [&["serve"][..], &["check-config"], &["fsck", "--repair"]] {
            let (done, printed) = self.try_run(command);
            assert!(!done, "{command:?}: {printed}");
            for word in words {
                assert!(printed.contains(word), "{command:?}: {printed}");
            }
        }
    }

    fn put(&self, serving: &Serving) {
        let file = self.folder.join("file");
        fs::write(&file, vec![b'x'; 300_000]).unwrap();
        let commands = format!("put {} file\n", file.display());
        serving.sftp("ann@acme", "right horse", &commands);
    }

    #[track_caller]
    fn assert_clean(&self) {
        let told = self.run(&["fsck"]);
        assert!(told.contains(" 0 orphans"), "{told}");
    }
}

/// The lines of a region that is a bucket reached at `endpoint`.
fn bucket(name: &str, bucket: &str, endpoint: &str) -> String {
    let key = Seaweed::shared().admin();
    let secret = String::from_utf8_lossy(key.secret.expose()).into_owned();
    format!(
        "[region.{name}]\nbucket = \"{bucket}\"\nprefix = \"files/\"\nendpoint = \"{endpoint}\"\n\
         path_style = true\naccess_key = \"{}\"\nsecret_key = \"{secret}\"\n",
        key.id
    )
}

fn folder(name: &str, path: &str) -> String {
    format!("[region.{name}]\nkind = \"local\"\npath = \"{path}\"\n")
}

/// Removes the marker of a bucket, as there was none before there were markers.
fn unmark(bucket: &str) {
    block_on(async {
        let client = Seaweed::shared().client().await;
        let delete = client.delete_object().bucket(bucket);
        let delete = delete.key("files/sealift-owner").send().await;
        delete.unwrap();
    });
}

#[test]
fn another_installation_does_not_start_on_a_bucket_that_is_in_use() {
    let seaweed = Seaweed::shared();
    let name = seaweed.fresh_bucket();
    let region = bucket("eu", &name, &seaweed.http());
    let first = Own::new(&region);
    let serving = first.serve();
    first.put(&serving);
    let other = Own::new(&region);
    other.refused(&["region.eu.bucket", "another installation", "sealift-owner"]);
    serving.stop();
    first.assert_clean();

    // An installation from before there were markers is known by what it knows.
    unmark(&name);
    other.refused(&["region.eu.bucket", "knows none"]);
    first.serve().stop();
    other.refused(&["another installation"]);
    first.assert_clean();
}

#[test]
fn another_installation_does_not_start_on_a_folder_that_is_in_use() {
    let place = TempFolder::new();
    let region = folder("eu", &place.path().display().to_string());
    let first = Own::new(&region);
    let serving = first.serve();
    first.put(&serving);
    serving.stop();
    let other = Own::new(&region);
    other.refused(&["region.eu.path", "another installation", ".owner"]);
    first.assert_clean();
    fs::remove_file(place.join("blobs").join(".owner")).unwrap();
    other.refused(&["region.eu.path", "knows none"]);
    first.serve().stop();
    first.assert_clean();
}

#[test]
fn an_empty_database_on_postgres_is_not_begun_over_blobs() {
    let place = TempFolder::new();
    let region = folder("eu", &place.path().display().to_string());
    let first = Own::new(&region);
    let serving = first.serve();
    first.put(&serving);
    serving.stop();
    fs::remove_file(place.join("blobs").join(".owner")).unwrap();
    let urls = Postgres::shared().fresh_database();
    let database = format!("url = \"{}\"\nowner_url = \"{}\"", urls.server, urls.owner);
    first.write_on(&database, &region);
    let (done, printed) = first.try_run(&["serve"]);
    assert!(
        !done && printed.contains("the database is empty"),
        "{printed}"
    );
    first.run(&["migrate"]);
    first.refused(&["region.eu.path", "knows none"]);
    first.write(&region);
    first.assert_clean();
}

#[test]
fn two_regions_that_are_one_place_are_told_apart_by_its_marker() {
    let seaweed = Seaweed::shared();
    let name = seaweed.fresh_bucket();
    let line = Proxy::before(seaweed.http_port());
    let home = "[storage]\nregion = \"a\"\n";
    let first = bucket("a", &name, &seaweed.http());
    let own = Own::new(&format!("{home}{first}"));
    own.serve().stop();
    own.write(&format!(
        "{home}{first}{}",
        bucket("b", &name, &line.http())
    ));
    own.refused(&["region.b.bucket", "region a already"]);
    let moved = own.try_run(&["tenant", "move", "acme", "--region", "b"]);
    assert!(
        !moved.0 && moved.1.contains("region a already"),
        "{moved:?}"
    );

    // In an empty place it is the first one's that is asked for.
    let fresh = seaweed.fresh_bucket();
    let both = |line: &Proxy| {
        format!(
            "{home}{}{}",
            bucket("a", &fresh, &seaweed.http()),
            bucket("b", &fresh, &line.http())
        )
    };
    let own = Own::new(&both(&line));
    let (done, printed) = own.try_run(&["serve"]);
    assert!(!done && printed.contains("region a already"), "{printed}");
}

#[test]
fn a_place_that_is_spelled_in_two_ways_is_one_place() {
    let own = TempFolder::new();
    let real = own.join("real");
    fs::create_dir(&real).unwrap();
    symlink(&real, own.join("link")).unwrap();
    let at = |name: &str| folder("b", &own.join(name).display().to_string());
    let http = |endpoint: &str| bucket("b", "files", endpoint);
    let first = folder("a", &real.display().to_string());
    let service = bucket("a", "files", "http://127.0.0.1:8333");
    for (one, other) in [
        (&first, at("link")),
        (&first, at("real/")),
        (&first, at("real/../real")),
        (&first, at("gone/../link/.")),
        (&service, http("http://localhost:8333")),
        (&service, http("http://127.0.0.1:8333/")),
        (&service, http("http://[::1]:8333")),
        (&service, http("http://LOCALHOST:8333")),
    ] {
        let settings = format!("[storage]\nregion = \"a\"\n{one}{other}");
        let file = own.join("sealift.toml");
        fs::write(&file, &settings).unwrap();
        let ran = sealift(&["check-config", "--config", file.to_str().unwrap()], "");
        let printed = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        assert!(
            !ran.status.success() && printed.contains("the same place as region a"),
            "{settings}: {printed}"
        );
    }
}

async fn what_nobody_knows_is_not_removed_where_nothing_is_known(dialect: Dialect) {
    let world = World::new(dialect).await;
    let store = world
        .vfs
        .store(sealift::domain::id::RegionId::MAIN)
        .unwrap();
    for _ in 0..12 {
        let put = store.put(BlobId::random(), b"sealed".as_slice().into());
        put.await.unwrap();
    }
    let repair = async || {
        let report = fsck::check(&world.vfs, Repair::Yes, Depth::Records).await;
        report.unwrap()
    };
    let report = repair().await;
    assert_eq!((report.orphans, report.removed), (12, 0));
    assert!(!report.clean);
    assert!(
        report.problems[0].contains("nothing was removed"),
        "{:?}",
        report.problems
    );

    let session = world.account("ann").await;
    put(&session, &path("/one"), b"one").await.unwrap();
    assert_eq!(repair().await.removed, 0);
    put(&session, &path("/two"), b"two").await.unwrap();
    let report = repair().await;
    assert_eq!(
        (report.removed, report.clean),
        (12, true),
        "{:?}",
        report.problems
    );
}

#[tokio::test]
async fn a_store_is_used_from_when_it_was_seen_to_be_the_right_one() {
    let inner: Arc<dyn BlobStore> = Arc::new(MemoryStore::default());
    let proof = |store: Arc<dyn BlobStore>| -> sealift::storage::proven::Look {
        Box::pin(async move {
            match store.owner().await?.as_deref() {
                None => Err(Error::new(ErrorKind::Unavailable, "silent")),
                Some("me") => Ok(()),
                Some(_) => Err(Error::invalid("somebody else's")),
            }
        })
    };
    let mine = Proven::new(inner.clone(), Box::new(proof));
    let id = BlobId::random();
    let put = async |store: &Proven| store.put(id, b"x".as_slice().into()).await;
    assert_eq!(put(&mine).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(inner.list(None, 1).await.unwrap().is_empty());
    inner.claim("me").await.unwrap();
    put(&mine).await.unwrap();

    let theirs: Arc<dyn BlobStore> = Arc::new(MemoryStore::default());
    theirs.claim("them").await.unwrap();
    let theirs = Proven::new(theirs, Box::new(proof));
    // Nobody at the other end is to know why.
    let error = put(&theirs).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!error.context().contains("somebody"), "{error}");
    assert_eq!(theirs.prove().await.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(theirs.look().await.is_err());
}
