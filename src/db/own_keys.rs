//! The wrapped keys that belong to no tenant: those of TLS session tickets, and of what came by ACME.

use crate::db::database::Database;
use crate::db::sql::Row;
use crate::domain::error::{Error, Result};

/// What a key of the installation is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It seals the account at a directory of ACME.
    AcmeAccount {
        /// The directory.
        directory: String,
    },
    /// It seals a host's certificate.
    AcmeCertificate {
        /// The host.
        host: String,
        /// Where it was ordered.
        directory: String,
    },
    /// It seals TLS session tickets.
    Tickets {
        /// 1, 2, 3, ...
        id: u32,
    },
}

/// A key of the installation as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnKey {
    /// What it is for.
    pub purpose: Purpose,
    /// Which provider wrapped it.
    pub provider: String,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
}

/// All keys of the installation.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(db: &Database) -> Result<Vec<OwnKey>> {
    let mut tx = db.system_read().await?;
    let sql = "SELECT provider, wrapped, directory FROM acme_accounts ORDER BY directory";
    let accounts = tx.rows(sql, []).await?;
    let sql = "SELECT provider, wrapped, directory, host FROM acme_certificates \
               ORDER BY host, directory";
    let certificates = tx.rows(sql, []).await?;
    let sql = "SELECT provider, wrapped, id FROM ticket_keys ORDER BY id";
    let tickets = tx.rows(sql, []).await?;
    let accounts = accounts.iter().map(|row| {
        let directory = row.text(2)?;
        read(row, Purpose::AcmeAccount { directory })
    });
    let certificates = certificates.iter().map(|row| {
        let (directory, host) = (row.text(2)?, row.text(3)?);
        read(row, Purpose::AcmeCertificate { host, directory })
    });
    let tickets = tickets.iter().map(|row| {
        let id = u32::try_from(row.int(2)?).map_err(Error::internal)?;
        read(row, Purpose::Tickets { id })
    });
    accounts.chain(certificates).chain(tickets).collect()
}

/// Puts another wrapping of the same key in the place of one; false when that is not there as it was any more.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn replace(db: &Database, before: &OwnKey, after: (&str, &[u8])) -> Result<bool> {
    let mut tx = db.system().await?;
    let (provider, wrapped) = after;
    let was = before.wrapped.as_slice();
    let touched = match &before.purpose {
        Purpose::AcmeAccount { directory } => {
            let sql = "UPDATE acme_accounts SET provider = $1, wrapped = $2 \
                       WHERE wrapped = $3 AND directory = $4";
            let values = [
                provider.into(),
                wrapped.into(),
                was.into(),
                directory.as_str().into(),
            ];
            tx.execute(sql, values).await?
        }
        Purpose::AcmeCertificate { host, directory } => {
            let sql = "UPDATE acme_certificates SET provider = $1, wrapped = $2 \
                       WHERE wrapped = $3 AND directory = $4 AND host = $5";
            let values = [
                provider.into(),
                wrapped.into(),
                was.into(),
                directory.as_str().into(),
                host.as_str().into(),
            ];
            tx.execute(sql, values).await?
        }
        Purpose::Tickets { id } => {
            let sql = "UPDATE ticket_keys SET provider = $1, wrapped = $2 \
                       WHERE wrapped = $3 AND id = $4";
            let values = [
                provider.into(),
                wrapped.into(),
                was.into(),
                i64::from(*id).into(),
            ];
            tx.execute(sql, values).await?
        }
    };
    tx.commit().await?;
    Ok(touched > 0)
}

fn read(row: &Row, purpose: Purpose) -> Result<OwnKey> {
    Ok(OwnKey {
        purpose,
        provider: row.text(0)?,
        wrapped: row.bytes(1)?,
    })
}
