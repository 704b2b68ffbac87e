//! Tests that are asked of both databases.

/// Runs each test, an `async fn(Dialect)`, on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(sealift::db::sql::Dialect::Sqlite).await;
            })*
        }
        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(sealift::db::sql::Dialect::Postgres).await;
            })*
        }
    };
}
pub(crate) use on_both;

/// The same for each `async fn(Installation)`.
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Installation::sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Installation::postgres().await).await;
            })*
        }
    };
}
pub(crate) use on_both_databases;
