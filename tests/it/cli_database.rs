//! The database of a configured installation, as the operator sets it up.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::postgres::Postgres;
use crate::support::site::Site;

#[test]
fn a_database_file_is_its_owners_only() {
    let site = Site::on_sqlite();
    site.run(&["migrate"]);
    assert!(!site.is_open_to_others("sealift.db"));
    let server = site.serve();
    for name in ["sealift.db", "sealift.db-wal", "sealift.db-shm"] {
        assert!(!site.is_open_to_others(name), "{name}");
    }
    server.stop();
}

#[test]
fn a_database_file_that_others_could_read_is_closed_to_them_at_start() {
    let site = Site::on_sqlite();
    site.run(&["migrate"]);
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(site.at("sealift.db"), open).unwrap();
    let server = site.serve();
    assert!(!site.is_open_to_others("sealift.db"));
    let log = server.log();
    assert!(log.contains("was open to other users"), "{log}");
    server.stop();
}

/// What psql prints of a query.
#[track_caller]
fn psql(url: &str, sql: &str) -> String {
    let ran = Command::new("psql")
        .args([
            url,
            "-X",
            "-q",
            "-t",
            "-A",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
        ])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{sql}: {errors}");
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_role_that_row_security_does_not_bind_is_refused_at_start() {
    let (site, urls) = Site::on_postgres();
    site.write_urls(&urls.owner, None, "");
    site.refused_at_start(&["database.url", "owns the tables"]);
    let superuser = urls.owner.replace("sealift_owner", "postgres");
    site.write_urls(&superuser, Some(&urls.owner), "");
    site.refused_at_start(&["database.url", "is a superuser"]);
    site.write_urls(&urls.server, None, "");
    site.run(&["check-config"]);
    site.serve().stop();
}

#[test]
fn migrate_grants_what_a_restored_database_lacks_and_no_more() {
    let (site, urls) = Site::on_postgres();
    let all = "ALL TABLES IN SCHEMA public";
    psql(
        &urls.owner,
        &format!("REVOKE ALL ON {all} FROM sealift_server"),
    );
    site.refused_at_start(&[
        "was granted nothing",
        "database.server_role",
        "sealift migrate",
    ]);
    site.refused(&["tenant", "list"], &["was granted nothing"]);
    // Somebody who was in a hurry.
    for sql in [
        "GRANT ALL ON operators, schema_versions TO sealift_server",
        "GRANT TRUNCATE, TRIGGER ON tenants TO sealift_server",
        "GRANT UPDATE (role) ON operators TO sealift_server",
    ] {
        psql(&urls.owner, sql);
    }
    let said = site.run(&["migrate"]);
    assert!(said.contains("up to date"), "{said}");
    site.run(&["tenant", "add", "acme"]);
    for (table, rights) in [
        ("operators", "INSERT, DELETE"),
        ("schema_versions", "UPDATE"),
        ("tenants", "TRUNCATE, TRIGGER"),
    ] {
        let sql = format!("SELECT has_table_privilege('sealift_server', '{table}', '{rights}')");
        assert_eq!(psql(&urls.owner, &sql), "f", "{table}");
    }
    let role = "SELECT has_column_privilege('sealift_server', 'operators', 'role', 'UPDATE')";
    assert_eq!(psql(&urls.owner, role), "f");
    site.serve().stop();
}

#[test]
fn what_is_wrong_with_roles_is_told_by_the_name_of_the_setting() {
    let (site, urls) = Site::on_postgres();
    let owner = Some(urls.owner.as_str());
    site.write_urls(&urls.server, owner, "server_role = \"sealift_nobody\"");
    site.refused(
        &["migrate"],
        &["database.server_role", "CREATE ROLE sealift_nobody"],
    );
    site.write_urls(&urls.server, owner, "server_role = \"sealift_owner\"");
    site.refused(&["migrate"], &["database.server_role", "own role"]);
    site.write_urls(&urls.server, owner, "server_role = \"pg_write_all_data\"");
    site.refused(&["migrate"], &["database.server_role", "PostgreSQL's own"]);
    site.write_urls(&urls.server, owner, "server_role = \"postgres\"");
    let said = site.run(&["migrate"]);
    assert!(said.contains("database.url names sealift_server"), "{said}");

    let fresh = Postgres::shared().fresh_database();
    site.write_urls(&fresh.server, None, "");
    site.refused(&["migrate"], &["database.owner_url"]);
    let wrong = urls.server.replace("sealift_server:", "sealift_server:x");
    site.write_urls(&wrong, owner, "");
    site.refused_at_start(&["database.url", "password authentication failed"]);
    site.write_urls(&urls.server, Some(&wrong), "");
    site.refused(
        &["migrate"],
        &["database.owner_url", "password authentication failed"],
    );
    site.write_urls(&format!("{}_not", urls.server), owner, "");
    site.refused_at_start(&["database.url", "does not exist"]);
}
