//! A real PostgreSQL server for the whole test run: Debian's binaries, a temporary folder, a free
//! port on 127.0.0.1.
//!
//! A small shell owns the server and holds the reading end of a pipe from this process. However
//! this process ends, the pipe closes, and the shell stops the server and removes its folder.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::support::wait::wait_for;

/// Owns the databases and runs migrations; neither a superuser nor exempt from row security.
const OWNER: &str = "sealift_owner";
/// What the server logs in as: owns nothing, holds only what a migration grants it.
const SERVER: &str = "sealift_server";

/// The folder arrives as `$1`, the binaries' folder as `$2`, the port as `$3`.
const GUARD: &str = r#"
"$2/postgres" -D "$1/data" -p "$3" >"$1/log" 2>&1 &
server=$!
cat >/dev/null
kill -QUIT "$server"
wait "$server"
rm -rf "$1"
"#;

/// What a process that is killed has written stays written: without syncs only a power cut would lose it, and they
/// make each test's database wait for the disk of all.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = '..'
max_connections = 300
shared_buffers = 64MB
fsync = off
";

/// The one PostgreSQL server of a test run.
pub(crate) struct Postgres {
    folder: PathBuf,
    port: u16,
    password: String,
    databases: AtomicU32,
    /// Held for its pipe: the server stops when this process ends.
    _guard: Child,
}

/// How to reach one fresh database.
pub(crate) struct DatabaseUrls {
    /// As the owner, for migrations.
    pub(crate) owner: String,
    /// As the role the server runs under.
    pub(crate) server: String,
}

impl Postgres {
    /// Returns the running server, starting it on the first call.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Makes an empty database that nobody else uses.
    pub(crate) fn fresh_database(&self) -> DatabaseUrls {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.run_sql(&format!("CREATE DATABASE {name} OWNER {OWNER}"));
        self.run_sql(&format!("GRANT CONNECT ON DATABASE {name} TO {SERVER}"));
        let url = |role: &str| {
            format!(
                "postgres://{role}:{}@127.0.0.1:{}/{name}",
                self.password, self.port
            )
        };
        DatabaseUrls {
            owner: url(OWNER),
            server: url(SERVER),
        }
    }

    /// Where it listens on 127.0.0.1, for a proxy to stand before.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn start() -> Self {
        let binaries = binaries();
        let folder = std::env::temp_dir().join(format!("sealift-pg-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let password: String = std::iter::repeat_with(fastrand::alphanumeric)
            .take(24)
            .collect();
        fs::write(folder.join("password"), &password).unwrap();
        hand_over(&folder);

        let init = as_postgres(&binaries.join("initdb"))
            .args([
                "--auth=scram-sha-256",
                "--username=postgres",
                "--encoding=UTF8",
            ])
            .args(["--locale=C.UTF-8", "--no-sync", "--pwfile"])
            .arg(folder.join("password"))
            .arg("-D")
            .arg(folder.join("data"))
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(
            init.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&init.stderr)
        );
        let settings = folder.join("data/postgresql.conf");
        let initial = fs::read_to_string(&settings).unwrap();
        fs::write(&settings, initial + SETTINGS).unwrap();

        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let guard = as_postgres(Path::new("/bin/sh"))
            .args(["-c", GUARD, "guard"])
            .args([folder.as_os_str(), binaries.as_os_str()])
            .arg(port.to_string())
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let server = Self {
            folder,
            port,
            password,
            databases: AtomicU32::new(0),
            _guard: guard,
        };
        server.wait_until_ready(&binaries);
        let attributes = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD";
        for role in [OWNER, SERVER] {
            server.run_sql(&format!(
                "CREATE ROLE {role} {attributes} '{}'",
                server.password
            ));
        }
        server
    }

    fn wait_until_ready(&self, binaries: &Path) {
        wait_for(
            "PostgreSQL to accept connections",
            Duration::from_secs(60),
            || {
                let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                assert!(!log().contains("FATAL:  could not"), "{}", log());
                Command::new(binaries.join("pg_isready"))
                    .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                    .status()
                    .unwrap()
                    .success()
                    .then_some(())
            },
        );
    }

    pub(crate) fn run_sql(&self, statement: &str) {
        self.run_sql_in("postgres", statement);
    }

    /// As the superuser in one database.
    pub(crate) fn run_sql_in(&self, database: &str, statement: &str) {
        let ran = Command::new("psql")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["-U", "postgres", "-d", database, "-X", "-q"])
            .args(["-v", "ON_ERROR_STOP=1", "-c", statement])
            .env("PGPASSWORD", &self.password)
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{statement}: {}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }
}

/// Debian keeps them out of PATH, by version; the newest is taken.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is not installed: `make test` installs it");
    versions
        .map(|entry| entry.unwrap().path().join("bin"))
        .filter(|folder| folder.join("initdb").exists())
        .max()
        .expect("PostgreSQL is not installed: `make test` installs it")
}

/// PostgreSQL refuses to run as root, so root runs it as Debian's user `postgres`.
fn as_postgres(program: &Path) -> Command {
    if !running_as_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

fn hand_over(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    if running_as_root() {
        let changed = Command::new("chown")
            .args(["-R", "postgres:"])
            .arg(folder)
            .status()
            .unwrap();
        assert!(changed.success(), "there is no user postgres");
    }
}

fn running_as_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

mod tests {
    use sqlx::{Connection, PgConnection, Row};

    use super::Postgres;

    #[tokio::test]
    async fn the_server_role_owns_nothing_and_is_subject_to_row_security() {
        let urls = Postgres::shared().fresh_database();
        let mut owner = PgConnection::connect(&urls.owner).await.unwrap();
        sqlx::query("CREATE TABLE things (id BIGINT)")
            .execute(&mut owner)
            .await
            .unwrap();

        let mut server = PgConnection::connect(&urls.server).await.unwrap();
        let refused = sqlx::query("SELECT id FROM things")
            .execute(&mut server)
            .await;
        assert!(refused.is_err(), "nothing was granted");
        let query = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user";
        let exempt = sqlx::query(query).fetch_one(&mut server).await.unwrap();
        assert!(!exempt.get::<bool, _>(0));
    }
}
