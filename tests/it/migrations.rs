//! Databases that older programs made are brought to the present, whichever version they have, and
//! keep what was in them.

use std::collections::BTreeMap;

use rusqlite::Connection as Sqlite;
use sealift::accounts::door::PublicKeyBlob;
use sealift::accounts::public_key::PublicKey;
use sealift::crypto::password;
use sealift::db::database::Location;
use sealift::db::migrate::{self, SchemaState};
use sealift::db::sql::Dialect;
use sealift::domain::error::ErrorKind;
use sealift::domain::secret::Secret;
use sqlx::{Connection, PgConnection, Row};

use crate::support::dialects::on_both;
use crate::support::folder::TempFolder;
use crate::support::installation::{Installation, clock, door, name, open};
use crate::support::postgres::{DatabaseUrls, Postgres};

on_both! {
    every_older_database_is_brought_to_the_present_and_keeps_its_rows,
    accounts_of_every_older_database_log_in_and_keep_their_rules,
}

/// What newer schemas have no more, and had only while something was under way.
const DROPPED: &[&str] = &["upload_extents"];
const FILE: &str = "old.db";
const HERE: &str = "192.0.2.1";
const PASSWORD: &str = "from the old days";
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKkjGQysShatvenjeHPCfNYL4J4K45ANo1lB0Yupl6Bq laptop";

async fn every_older_database_is_brought_to_the_present_and_keeps_its_rows(dialect: Dialect) {
    for version in 1..migrate::newest() {
        let old = Old::made_at(version, dialect).await;
        let mut raw = old.raw().await;
        let mut before = raw.rows(None).await;
        before.retain(|(table, _), _| !DROPPED.contains(&table.as_str()));
        assert!(before.values().any(|rows| !rows.is_empty()));
        drop(raw);
        old.bring_to_the_present().await;
        let mut raw = old.raw().await;
        for (table, rows) in raw.rows(Some(&before)).await {
            let old_rows = &before[&table];
            assert_eq!(&rows, old_rows, "{table:?} of version {version}");
        }
    }
}

async fn accounts_of_every_older_database_log_in_and_keep_their_rules(dialect: Dialect) {
    for version in 1..migrate::newest() {
        let old = Old::made_at(version, dialect).await;
        old.bring_to_the_present().await;
        let folder = TempFolder::new();
        let world = Installation::over(old.served(), Some(folder)).await;
        // Beside tenants and accounts that are added now.
        let ann = world.log_in("ann@old", PASSWORD, HERE).await.unwrap();
        assert_eq!((ann.tenant.0, ann.account.0, ann.generation), (1, 7, 5));
        assert_eq!(ann.home.to_string(), "/");
        let wrong = world.refusal("ann@old", "wrong", HERE).await;
        assert_eq!(wrong, ErrorKind::Unauthenticated);
        let key = PublicKeyBlob(PublicKey::parse(KEY).unwrap().blob);
        let by_key = world.accounts.login_key("ann@old", &key, door(HERE));
        assert_eq!(by_key.await.unwrap().account.0, 7);

        let rules = world.directory.login_rules(&name("ann@old")).await.unwrap();
        let networks = (version >= 3).then(|| vec!["192.0.2.0/24".to_owned()]);
        assert_eq!(rules.networks, networks);
        assert_eq!(rules.sessions, (version >= 3).then_some(9));
        // What older programs did not know is as strict as it was.
        assert_eq!((rules.clear_text, rules.door_options), (false, None));
        world.accounts.log_out(&ann).await;
        world.accounts.stop().await;
    }
}

/// What takes long is done first, in a transaction of its own.
#[tokio::test]
async fn what_was_built_before_a_crash_is_taken_as_it_is() {
    let old = Old::made_at(18, Dialect::Postgres).await;
    let build = "CREATE INDEX blobs_region_new ON blobs (tenant, region, id)";
    old.raw().await.run(build).await;
    old.bring_to_the_present().await;
    let indexes = "SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'blobs_region%'";
    let indexes = old.raw().await.column(indexes.to_owned()).await;
    assert_eq!(indexes.len(), 1, "{indexes:?}");
    let made = "CREATE INDEX blobs_region ON public.blobs USING btree (tenant, region, id)";
    assert_eq!(indexes[0], made);
}

/// Every statement takes longer than those of a server may.
#[tokio::test]
async fn a_step_may_take_longer_than_a_servers_statements() {
    const SLOW: &str = "
        CREATE TABLE slow (tag TEXT);
        CREATE FUNCTION be_slow() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        DECLARE
            patience INTERVAL := current_setting('statement_timeout')::interval;
        BEGIN
            INSERT INTO slow VALUES (tg_tag);
            IF patience > INTERVAL '0' THEN
                PERFORM pg_sleep(extract(epoch FROM patience) + 1);
            END IF;
        END $$;
        CREATE EVENT TRIGGER slow ON ddl_command_start EXECUTE FUNCTION be_slow();
        GRANT SELECT ON slow TO sealift_owner;
    ";
    let old = Old::made_at(18, Dialect::Postgres).await;
    let Kind::Postgres(urls) = &old.kind else {
        panic!("another database")
    };
    let (_, database) = urls.owner.rsplit_once('/').unwrap();
    Postgres::shared().run_sql_in(database, SLOW);
    old.bring_to_the_present().await;
    let slow = "SELECT DISTINCT tag FROM slow ORDER BY tag";
    let slow = old.raw().await.column(slow.to_owned()).await;
    // What is done first is among them.
    for tag in ["ALTER INDEX", "CREATE INDEX", "CREATE TABLE", "DROP INDEX"] {
        assert!(slow.contains(&tag.to_owned()), "{slow:?}");
    }
}

/// What a program that knew the schema up to `version` may have left: a tenant `old` with an account
/// `ann`, and rows in the tables of each version.
fn statements(version: i64, bytes: impl Fn(&str) -> String) -> Vec<String> {
    let hash = password::hash(&Secret::new(PASSWORD), password::MIN_ROUNDS);
    let key = PublicKey::parse(KEY).unwrap();
    let hex = data_encoding::HEXLOWER.encode(&key.blob);
    let id = |text: &str| bytes(&text.repeat(16));
    let (root, nil) = (id("a1"), id("00"));
    let mut all = vec![(
        1,
        vec![
            format!(
                "INSERT INTO tenants (id, name, root, retention_seconds, quota_bytes, created_at) \
                 VALUES (1, 'old', {root}, 86400, 1000000, 5)"
            ),
            format!(
                "INSERT INTO clocks (tenant, seq, at, audit_number, audit_hash) VALUES (1, 0, 5, 0, {})",
                bytes(&"00".repeat(32))
            ),
            format!(
                "INSERT INTO entries (tenant, node, parent, name, kind, size, mode, modified, accessed, born) \
                 VALUES (1, {root}, {nil}, '', 2, 0, 493, 5, 5, 0)"
            ),
            "INSERT INTO usage (tenant, account, bytes, files, reserved_bytes, reserved_files) \
             VALUES (1, 0, 0, 0, 0, 0), (1, 7, 0, 0, 0, 0)"
                .to_owned(),
            format!(
                "INSERT INTO accounts (tenant, id, name, password, home, ceiling, quota_files, generation, created_at) \
                 VALUES (1, 7, 'ann', '{}', {root}, 255, 10, 5, 5), (1, 8, 'bob', NULL, {root}, 3, NULL, 1, 6)",
                hash.as_str()
            ),
            format!(
                "INSERT INTO account_keys (tenant, account, fingerprint, key, comment, added_at) \
                 VALUES (1, 7, '{}', {}, 'laptop', 5)",
                key.fingerprint(),
                bytes(&hex)
            ),
            format!(
                "INSERT INTO grants (tenant, node, subject_kind, subject, rights) VALUES (1, {root}, 1, 7, 255)"
            ),
            "INSERT INTO groups (tenant, id, name) VALUES (1, 1, 'staff')".to_owned(),
            format!(
                "INSERT INTO blobs (tenant, id, state, size, finished, key_version, instance, uses, at) \
                 VALUES (1, {}, 2, 7, 1, 1, {}, 1, 5)",
                id("b1"),
                id("c1")
            ),
            format!(
                "INSERT INTO contents (tenant, id, size, sha256, uses) VALUES (1, {}, 7, NULL, 1)",
                id("d1")
            ),
        ],
    )];
    all.push((
        2,
        vec!["UPDATE tenants SET kms_key = 'alias/old' WHERE id = 1".to_owned()],
    ));
    all.push((
        3,
        vec![
            "UPDATE accounts SET networks = '192.0.2.0/24', sessions = 9 WHERE tenant = 1 AND id = 7"
                .to_owned(),
            format!(
                "INSERT INTO authorities (tenant, fingerprint, key, comment, added_at) \
                 VALUES (1, 'SHA256:x', {}, 'ca', 5)",
                bytes(&hex)
            ),
        ],
    ));
    all.push((
        13,
        vec![
            format!(
                "INSERT INTO webhooks (tenant, id, name, url, topics, path, sealed, disabled, made_by, made_at) \
                 VALUES (1, {}, 'hook', 'https://example.com/', 1, '', {}, 1, 'ann', 5)",
                id("e1"),
                bytes(&hex)
            ),
            "INSERT INTO webhook_tenants (tenant, told) VALUES (1, 0)".to_owned(),
        ],
    ));
    let known = all.into_iter().filter(|(since, _)| *since <= version);
    known.flat_map(|(_, statements)| statements).collect()
}

/// A database as an older program left it.
struct Old {
    kind: Kind,
    version: i64,
}

enum Kind {
    Postgres(DatabaseUrls),
    Sqlite(TempFolder),
}

impl Old {
    async fn made_at(version: i64, dialect: Dialect) -> Self {
        let kind = match dialect {
            Dialect::Postgres => Kind::Postgres(Postgres::shared().fresh_database()),
            Dialect::Sqlite => Kind::Sqlite(TempFolder::new()),
        };
        let old = Self { kind, version };
        let db = open(&old.owned(), &clock()).await;
        let taken = migrate::migrate_to(&db, "sealift_server", version).await;
        assert_eq!(i64::try_from(taken.unwrap()).unwrap(), version);
        db.close().await;
        let mut raw = old.raw().await;
        let bytes = |hex: &str| match dialect {
            Dialect::Postgres => format!(r"'\x{hex}'::bytea"),
            Dialect::Sqlite => format!("x'{hex}'"),
        };
        for statement in statements(version, bytes) {
            raw.run(&statement).await;
        }
        old
    }

    /// Where whoever may change the schema finds it.
    fn owned(&self) -> Location {
        match &self.kind {
            Kind::Postgres(urls) => Location::Postgres(urls.owner.clone()),
            Kind::Sqlite(folder) => Location::Sqlite(folder.join(FILE)),
        }
    }

    /// Where the server finds it.
    fn served(&self) -> Location {
        match &self.kind {
            Kind::Postgres(urls) => Location::Postgres(urls.server.clone()),
            Kind::Sqlite(folder) => Location::Sqlite(folder.join(FILE)),
        }
    }

    async fn bring_to_the_present(&self) {
        let db = open(&self.owned(), &clock()).await;
        assert_eq!(migrate::state(&db).await.unwrap(), SchemaState::Older);
        assert!(migrate::require_current(&db).await.is_err());
        let taken = migrate::migrate(&db, "sealift_server").await.unwrap();
        assert_eq!(
            i64::try_from(taken).unwrap(),
            migrate::newest() - self.version
        );
        assert_eq!(migrate::migrate(&db, "sealift_server").await.unwrap(), 0);
        db.close().await;
        let db = open(&self.served(), &clock()).await;
        migrate::require_current(&db).await.unwrap();
        db.close().await;
    }

    async fn raw(&self) -> Raw {
        match &self.kind {
            Kind::Sqlite(folder) => Raw::Sqlite(Sqlite::open(folder.join(FILE)).unwrap()),
            Kind::Postgres(urls) => {
                let mut raw = Raw::Postgres(PgConnection::connect(&urls.owner).await.unwrap());
                raw.run("SELECT set_config('sealift.tenant', '1', false)")
                    .await;
                raw
            }
        }
    }
}

/// A table and the columns that it had.
type Table = (String, Vec<String>);

/// A connection that knows nothing of the schema.
enum Raw {
    Postgres(PgConnection),
    Sqlite(Sqlite),
}

impl Raw {
    async fn run(&mut self, sql: &str) {
        match self {
            Self::Postgres(raw) => {
                let run = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
                    .execute(raw)
                    .await;
                run.unwrap_or_else(|error| panic!("{error}: {sql}"));
            }
            Self::Sqlite(raw) => raw
                .execute_batch(sql)
                .unwrap_or_else(|error| panic!("{error}: {sql}")),
        }
    }

    /// The first column of what is found.
    async fn column(&mut self, sql: String) -> Vec<String> {
        match self {
            Self::Postgres(raw) => {
                let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
                    .fetch_all(raw)
                    .await
                    .unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
            Self::Sqlite(raw) => {
                let mut statement = raw.prepare(&sql).unwrap();
                let rows = statement.query_map([], |row| row.get(0)).unwrap();
                rows.map(Result::unwrap).collect()
            }
        }
    }

    /// All rows as text, in the tables and columns of `like`, or in all.
    async fn rows(
        &mut self,
        like: Option<&BTreeMap<Table, Vec<String>>>,
    ) -> BTreeMap<Table, Vec<String>> {
        let tables = match like {
            Some(like) => like.keys().cloned().collect(),
            None => self.tables().await,
        };
        let mut all = BTreeMap::new();
        for (table, columns) in tables {
            let text = |column: &String| match self {
                Self::Postgres(_) => format!("coalesce(\"{column}\"::text, 'NULL')"),
                Self::Sqlite(_) => format!("quote(\"{column}\")"),
            };
            let row: Vec<_> = columns.iter().map(text).collect();
            let sql = format!(
                "SELECT {} AS row FROM \"{table}\" ORDER BY row",
                row.join(" || ', ' || ")
            );
            let rows = self.column(sql).await;
            all.insert((table, columns), rows);
        }
        all
    }

    async fn tables(&mut self) -> Vec<Table> {
        let (tables, columns) = match self {
            Self::Postgres(_) => (
                "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'",
                "SELECT column_name::text FROM information_schema.columns \
                 WHERE table_schema = 'public' AND table_name = ",
            ),
            Self::Sqlite(_) => (
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
                "SELECT name FROM pragma_table_info WHERE arg = ",
            ),
        };
        let mut all = Vec::new();
        for table in self.column(tables.to_owned()).await {
            // It is the one that grows by itself.
            if table != "schema_versions" {
                let columns = self.column(format!("{columns}'{table}'")).await;
                all.push((table, columns));
            }
        }
        all
    }
}
