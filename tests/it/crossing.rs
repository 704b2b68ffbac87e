//! PostgreSQL itself keeps tenants apart, whatever a statement forgets.

use sealift::db::sql::Dialect;
use sealift::db::tenants;

use crate::support::world::{World, new_tenant, path, put};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_forgets_the_tenant_sees_only_its_own_rows() {
    let world = World::new(Dialect::Postgres).await;
    let ann = world.account("ann").await;
    put(&ann, &path("/payroll"), b"secret").await.unwrap();
    let db = world.vfs.database();
    let other = tenants::add(db, &new_tenant("other")).await.unwrap();

    let mut tx = db.write(other.id).await.unwrap();
    let names = tx
        .rows_without_tenant("SELECT name FROM entries")
        .await
        .unwrap();
    let names: Vec<_> = names.iter().map(|row| row.text(0).unwrap()).collect();
    assert_eq!(names, [""], "only its own root folder");
    let changed = tx
        .rows_without_tenant(
            "UPDATE entries SET name = 'mine' WHERE name = 'payroll' RETURNING name",
        )
        .await
        .unwrap();
    assert!(changed.is_empty());
    let planted = format!(
        "INSERT INTO groups (tenant, id, name) VALUES ({}, 1, 'x')",
        world.tenant.id
    );
    let planted: &'static str = Box::leak(planted.into_boxed_str());
    assert!(tx.rows_without_tenant(planted).await.is_err());
    drop(tx);

    // Nor can the server's role lift the rule.
    for statement in [
        "ALTER TABLE entries DISABLE ROW LEVEL SECURITY",
        "SET ROLE sealift_owner",
        "DROP POLICY tenant_only ON entries",
    ] {
        let mut tx = db.write(other.id).await.unwrap();
        assert!(
            tx.rows_without_tenant(statement).await.is_err(),
            "{statement}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_of_tenants_is_under_the_rule() {
    let world = World::new(Dialect::Postgres).await;
    let mut tx = world.vfs.database().write(world.tenant.id).await.unwrap();
    let open = tx
        .rows_without_tenant(
            "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
             WHERE c.relkind = 'r' AND a.attname = 'tenant' AND c.relnamespace = 'public'::regnamespace \
             AND NOT (c.relrowsecurity AND c.relforcerowsecurity) ORDER BY 1",
        )
        .await
        .unwrap();
    let open: Vec<_> = open.iter().map(|row| row.text(0).unwrap()).collect();
    assert_eq!(
        open,
        ["leases", "tenant_hosts", "webhook_tenants"],
        "leases and who has webhooks hold no customer's data, and a host's name leads to a tenant that is not known before"
    );
    let role = tx
        .rows_without_tenant(
            "SELECT rolsuper::int::bigint + rolbypassrls::int::bigint FROM pg_roles \
             WHERE rolname = current_user",
        )
        .await
        .unwrap();
    assert_eq!(
        role[0].int(0).unwrap(),
        0,
        "neither superuser nor above the rule"
    );
}
