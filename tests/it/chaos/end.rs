//! What must be so when all is well again.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use sealift::db::{blobs, tenants, uploads, usage};
use sealift::domain::id::BlobId;
use sealift::jobs::runner::{self, JobSettings};
use sealift::server::installation::Installation;
use sealift::vfs::service::Vfs;

use crate::chaos::doors::PATIENT;
use crate::chaos::ground::{Ground, Instance, LONG, Life, PREFIX, TENANTS, USERS};
use crate::chaos::hands::{Door, Hands, Which};
use crate::chaos::https::Https;
use crate::chaos::story::Story;
use crate::chaos::worker::Worker;
use crate::support::cloud::block_on;
use crate::support::seaweed::Seaweed;
use crate::support::wait::wait_for;

/// Within which instances have to be ready, by themselves.
const READY: Duration = Duration::from_secs(90);

/// Both instances are well by themselves; what broke off is gone on with; all that is there may be there; and when
/// time has passed, nothing is left over.
pub(crate) fn check(story: &Story, workers: Vec<Worker<'_>>) {
    for instance in &story.ground.instances {
        wait_for("an instance to be ready", READY, || {
            let life = instance.life().unwrap();
            let mut client = Https::connect(life.https, "nobody@acme", PATIENT).ok()?;
            client.is_ready().then_some(())
        });
    }
    story.ground.end_all_other_leases();
    for mut worker in workers {
        worker.finish();
    }
    read_all(story);
    let lives: Vec<Life> = story.ground.instances.iter().map(Instance::stop).collect();
    lives.iter().for_each(|life| story.oracle.died(life.number));
    story.ground.two.run(&["fsck"]);
    no_alarm(&story.ground);
    block_on(Box::pin(clean_up(&story.ground)));
    story.ground.two.run(&["fsck"]);
}

/// No instance found anything wrong with itself or with what is stored, or called for somebody but to say that it
/// is not ready, or what does not answer.
fn no_alarm(ground: &Ground) {
    let files = fs::read_dir(ground.two.folder.path()).unwrap();
    let logs = files.map(|file| file.unwrap().path());
    for log in logs.filter(|file| file.extension().is_some_and(|kind| kind == "log")) {
        let text = fs::read_to_string(&log).unwrap();
        let is_outage = |line: &str| line.contains("not ready: ") || line.contains("Unavailable:");
        let is_alarm = |line: &&str| {
            let words = ["Corrupt:", "Internal:", "panicked"];
            let is_wrong = words.iter().any(|word| line.contains(word));
            is_wrong || line.contains(" ERROR ") && !is_outage(line)
        };
        let alarms: Vec<_> = text.lines().filter(is_alarm).collect();
        assert!(alarms.is_empty(), "{}: {alarms:#?}", log.display());
    }
}

/// Everything, through both and by any door; by FTP and SFTP as the account that sent nothing there: the other may see
/// what is kept of what broke off, or cannot open the file for it.
fn read_all(story: &Story) {
    let paths = story.oracle.paths();
    for (tenant, _) in TENANTS {
        let mut hands = Hands::of(&story.ground, tenant, PATIENT);
        let files = paths.iter().filter_map(|path| path.split_once(':'));
        for (_, file) in files.filter(|(whose, _)| *whose == tenant) {
            for instance in 0..2 {
                for door in Door::ALL {
                    let user = match door {
                        Door::Https => instance % USERS.len(),
                        Door::Ftp | Door::Sftp => Worker::reader_of(file),
                    };
                    let which = (instance, user, door);
                    read(story, &mut hands, which, file);
                }
            }
        }
    }
}

/// Who is busy may take its time.
fn read(story: &Story, hands: &mut Hands<'_>, which: Which, file: &str) {
    wait_for(&format!("{file} to be read"), READY, || {
        hands.reach(which).ok()?;
        let look = story.oracle.look();
        let content = hands.with(which, |hand| hand.client().read(file));
        look.saw(&hands.key(file), content.ok()?);
        Some(())
    });
}

/// What the jobs do when uploads are old and nothing has to be kept for backups of the database.
async fn clean_up(ground: &Ground) {
    let installation = Installation::open(ground.read_settings()).await.unwrap();
    let vfs = installation.vfs().await.unwrap();
    let settings = JobSettings {
        blob_grace: Duration::ZERO,
        upload_expiry: Duration::ZERO,
        ..JobSettings::default()
    };
    // What was never finished is removed a second time, when it cannot come any more.
    for _ in 0..3 {
        runner::round(&vfs, settings).await.unwrap();
    }
    let known = known_blobs(&vfs).await;
    vfs.drain().await;
    installation.close().await;
    if ground.grace != LONG {
        // What came when it was not remembered any more.
        ground.two.run(&["fsck", "--repair"]);
    }
    let (there, unfinished) = objects(ground).await;
    assert_eq!(there, known, "in the bucket, and in the database");
    assert_eq!(unfinished, Vec::<String>::new());
}

/// The blobs of all tenants, of which none is on its way any more, and neither is an upload.
async fn known_blobs(vfs: &Vfs) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for tenant in tenants::list(vfs.database()).await.unwrap() {
        let mut tx = vfs.database().read(tenant.id).await.unwrap();
        for (account, _, reserved) in usage::list(&mut tx).await.unwrap() {
            assert_eq!(
                (reserved.bytes, reserved.files),
                (0, 0),
                "reserved for {account:?} of {}",
                tenant.name
            );
        }
        assert_eq!(uploads::reserved(&mut tx).await.unwrap(), []);
        for blob in blobs::scan(&mut tx, BlobId::NIL, 1 << 20).await.unwrap() {
            assert!(blob.uses > 0, "{blob:?}");
            known.insert(blob.info.id.to_string());
        }
    }
    known
}

/// The ids of what is in the bucket, and the names of what was begun there and not finished.
async fn objects(ground: &Ground) -> (BTreeSet<String>, Vec<String>) {
    let client = Seaweed::shared().client().await;
    let (mut ids, mut after) = (BTreeSet::new(), None);
    loop {
        let list = client.list_objects_v2().bucket(&ground.bucket);
        let list = list.prefix(PREFIX).set_continuation_token(after);
        let page = list.send().await.unwrap();
        let names = page.contents().iter().filter_map(|object| object.key());
        let names = names.filter(|name| !name.ends_with("sealift-owner"));
        ids.extend(names.map(|name| name.rsplit('/').next().unwrap().to_owned()));
        after = page.next_continuation_token().map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    let list = client.list_multipart_uploads().bucket(&ground.bucket);
    let begun = list.send().await.unwrap();
    let names = begun.uploads().iter().filter_map(|upload| upload.key());
    (ids, names.map(str::to_owned).collect())
}
