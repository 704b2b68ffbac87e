//! Two servers on one PostgreSQL and one bucket, each with lines of its own to both.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sealift::config::settings::Settings;
use sealift::domain::id::InstanceId;
use sqlx::{Connection, PgConnection};

use crate::chaos::clock::MachineClock;
use crate::support::cloud::block_on;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::seaweed::Seaweed;
use crate::support::server::host_keys;
use crate::support::serving::Serving;
use crate::support::two::Two;
use crate::support::wait::wait_for;

/// What the names of all objects begin with.
pub(crate) const PREFIX: &str = "blobs/";

/// How long what may come late from a frozen instance is remembered: until it is awake, or not.
pub(crate) const GRACES: [&str; 2] = [LONG, "1s"];
pub(crate) const LONG: &str = "1h";

/// A tenant whose past is given up at once, and one whose past is kept.
pub(crate) const TENANTS: [(&str, &str); 2] = [("acme", "0s"), ("bolt", "30d")];
/// Accounts of each tenant; they may do everything.
pub(crate) const USERS: [&str; 2] = ["ann", "bob"];

pub(crate) struct Ground {
    pub(crate) two: Two,
    pub(crate) bucket: String,
    pub(crate) instances: [Instance; 2],
    /// How long blobs are kept that nothing names any more, and those remembered that may come late.
    pub(crate) grace: &'static str,
    lives: AtomicU64,
}

/// One of the servers, whichever process it is at a time.
pub(crate) struct Instance {
    name: &'static str,
    pub(crate) postgres: Proxy,
    pub(crate) s3: Proxy,
    pub(crate) clock: MachineClock,
    serving: Mutex<Option<Serving>>,
    life: Mutex<Option<Life>>,
    /// Whether most look for another one.
    is_ailing: AtomicBool,
}

/// A process, from its start to its death, and where it listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) number: u64,
    pub(crate) sftp: u16,
    pub(crate) ftp: SocketAddr,
    pub(crate) https: SocketAddr,
    instance: InstanceId,
}

impl Ground {
    pub(crate) fn new(grace: &'static str) -> Self {
        let two = Two::without_servers();
        let ground = Self {
            bucket: Seaweed::shared().fresh_bucket(),
            instances: ["one", "other"].map(|name| Instance::new(name, two.folder.path())),
            grace,
            lives: AtomicU64::new(0),
            two,
        };
        let certificate = ground.two.own_certificate();
        for instance in &ground.instances {
            let settings = ground.settings(instance, &certificate);
            fs::write(ground.two.config(instance.name), settings).unwrap();
        }
        ground.two.run(&["migrate"]);
        for (tenant, retention) in TENANTS {
            ground
                .two
                .run(&["tenant", "add", tenant, "--retention", retention]);
            for user in USERS {
                let login = format!("{user}@{tenant}");
                let root = format!("{tenant}:/");
                ground
                    .two
                    .run(&["account", "add", &login, "--password-stdin"]);
                ground.two.run(&["grant", "add", &login, &root, "all"]);
            }
        }
        ground
    }

    fn settings(&self, instance: &Instance, certificate: &str) -> String {
        let at = |name: &str| self.two.folder.join(name).display().to_string();
        let through = |url: &str| {
            let straight = format!(":{}/", Postgres::shared().port());
            let proxied = url.replace(&straight, &format!(":{}/", instance.postgres.port()));
            assert_ne!(proxied, url);
            proxied
        };
        let cloud = Seaweed::shared().cloud(&instance.s3.http());
        let key = cloud.access_key.unwrap();
        format!(
            "[database]\nurl = \"{}\"\nowner_url = \"{}\"\nconnections = 8\n\
             [region.cloud]\nbucket = \"{}\"\nprefix = \"{PREFIX}\"\nendpoint = \"{}\"\n\
             aws_region = \"{}\"\npath_style = true\naccess_key = \"{}\"\nsecret_key = \"{}\"\n\
             [keys]\nfile = \"{}\"\n[tls]\n{certificate}\n\
             [sftp]\nlisten = [\"127.0.0.1:0\"]\nhost_keys = \"{}\"\n\
             [ftp]\nlisten = [\"127.0.0.1:0\"]\n[https]\nlisten = [\"127.0.0.1:0\"]\n\
             [retention]\nblob_grace = \"{}\"\ninterval = \"300ms\"\n\
             [passwords]\nrounds = 100000\n[server]\nready_file = \"{}\"\n",
            through(&self.two.urls.server),
            through(&self.two.urls.owner),
            self.bucket,
            cloud.endpoint.unwrap(),
            cloud.aws_region,
            key.id,
            String::from_utf8_lossy(key.secret.expose()),
            at("local.key"),
            host_keys(),
            self.grace,
            at(&format!("{}.json", instance.name)),
        )
    }

    /// The settings of the first server.
    pub(crate) fn read_settings(&self) -> Settings {
        let file = fs::read_to_string(self.two.config("one")).unwrap();
        let read = Settings::served().overlaid(Some(&file), Vec::new());
        read.unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    pub(crate) fn start(&self, instance: &Instance) {
        let (config, name) = (self.two.config(instance.name), instance.name);
        let number = self.lives.fetch_add(1, Ordering::SeqCst) + 1;
        let log = config.with_extension("log");
        // Of the life before.
        let _ = fs::rename(&log, self.two.folder.join(&format!("{name}.{number}.log")));
        let ready = self.two.folder.join(&format!("{name}.json"));
        let _ = fs::remove_file(&ready);
        let serving = Serving::start_with(&config, &ready, instance.clock.variables());
        let life = Life {
            number,
            sftp: serving.port,
            ftp: serving.ftp.unwrap(),
            https: serving.https.unwrap(),
            instance: serving.instance.parse().unwrap(),
        };
        *instance.serving.lock().unwrap() = Some(serving);
        *instance.life.lock().unwrap() = Some(life);
    }

    /// Does to a process that is dead or frozen what half a minute does: its lease is over, and PostgreSQL
    /// ends the transactions that it does not go on with.
    pub(crate) fn half_a_minute_later(&self, life: &Life) {
        block_on(async {
            let mut server = PgConnection::connect(&self.two.urls.server).await.unwrap();
            sqlx::query("UPDATE instances SET lease_until = 0 WHERE id = $1")
                .bind(&life.instance.as_bytes()[..])
                .execute(&mut server)
                .await
                .unwrap();
            sqlx::query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND usename = current_user \
                 AND state LIKE 'idle in transaction%' AND state_change < now() - interval '0.3s'",
            )
            .execute(&mut server)
            .await
            .unwrap();
        });
    }

    /// The same without any help.
    pub(crate) fn wait_half_a_minute(&self, life: &Life) {
        wait_for("a lease to be over", Duration::from_secs(90), || {
            let left: i64 = block_on(async {
                let mut server = PgConnection::connect(&self.two.urls.server).await.unwrap();
                let count = sqlx::query_scalar(
                    "SELECT count(*) FROM instances WHERE id = $1 \
                     AND lease_until > extract(epoch FROM now()) * 1000000",
                );
                let count = count.bind(&life.instance.as_bytes()[..]);
                count.fetch_one(&mut server).await.unwrap()
            });
            (left == 0).then_some(())
        });
    }

    /// The same of all processes but those that are there.
    pub(crate) fn end_all_other_leases(&self) {
        let lives = self
            .instances
            .iter()
            .map(|instance| instance.life().unwrap());
        let alive: Vec<_> = lives
            .map(|life| life.instance.as_bytes().to_vec())
            .collect();
        block_on(async {
            let mut server = PgConnection::connect(&self.two.urls.server).await.unwrap();
            sqlx::query("UPDATE instances SET lease_until = 0 WHERE id <> ALL($1)")
                .bind(alive)
                .execute(&mut server)
                .await
                .unwrap();
        });
    }
}

impl Instance {
    fn new(name: &'static str, folder: &Path) -> Self {
        Self {
            name,
            clock: MachineClock::new(folder, name),
            postgres: Proxy::before(Postgres::shared().port()),
            s3: Proxy::before(Seaweed::shared().http_port()),
            serving: Mutex::default(),
            life: Mutex::default(),
            is_ailing: AtomicBool::new(false),
        }
    }

    /// The process that is there.
    pub(crate) fn life(&self) -> Option<Life> {
        *self.life.lock().unwrap()
    }

    pub(crate) fn is_ailing(&self) -> bool {
        self.is_ailing.load(Ordering::SeqCst)
    }

    pub(crate) fn ails(&self, is_ailing: bool) {
        self.is_ailing.store(is_ailing, Ordering::SeqCst);
    }

    pub(crate) fn signal(&self, name: &str) {
        self.serving.lock().unwrap().as_ref().unwrap().signal(name);
    }

    /// Kills the process; says which it was.
    pub(crate) fn kill(&self) -> Life {
        let life = self.life.lock().unwrap().take().unwrap();
        self.serving.lock().unwrap().take().unwrap().kill();
        life
    }

    /// Has the process end in good order; says which it was.
    pub(crate) fn stop(&self) -> Life {
        let serving = self.serving.lock().unwrap().take().unwrap();
        serving.stop();
        self.life.lock().unwrap().take().unwrap()
    }
}
