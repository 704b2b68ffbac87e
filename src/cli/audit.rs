//! `sealift audit`

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use crate::cli::output;
use crate::cli::place::Place;
use crate::db::audit::{self, AuditRecord, ChainState};
use crate::db::database::Database;
use crate::db::tenants::{self, Tenant};
use crate::domain::error::{Error, ErrorKind, Result};

/// Reads a tenant's audit log, or checks that nobody changed it
#[derive(Subcommand, Debug)]
pub enum Audit {
    /// Prints records in order
    List(List),
    /// Follows the chain of hashes from the first record to the last
    Verify(Verify),
}

/// What to print.
#[derive(Args, Debug)]
pub struct List {
    /// The tenant
    tenant: String,
    /// Only records after this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: i64,
    /// At most this many records
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    limit: u32,
    #[command(flatten)]
    place: Place,
}

/// What to check.
#[derive(Args, Debug)]
pub struct Verify {
    /// The tenant
    tenant: String,
    #[command(flatten)]
    place: Place,
}

impl Audit {
    /// Runs it.
    ///
    /// # Errors
    /// NotFound when there is no such tenant; Corrupt when the chain is broken; Unavailable.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::List(list) => list.run().await,
            Self::Verify(verify) => verify.run().await,
        }
    }
}

async fn named(db: &Database, name: &str) -> Result<Tenant> {
    tenants::by_name(db, name).await?.ok_or_else(|| {
        Error::not_found(format!(
            "there is no tenant '{name}'; 'sealift tenant list' shows all"
        ))
    })
}

#[derive(Serialize)]
struct Line {
    number: i64,
    seq: Option<i64>,
    at: String,
    kind: String,
    account: Option<i64>,
    session: Option<String>,
    protocol: String,
    address: Option<String>,
    detail: String,
    hash: String,
}

impl From<AuditRecord> for Line {
    fn from(record: AuditRecord) -> Self {
        Self {
            number: record.number,
            seq: record.seq,
            at: record.at.to_string(),
            kind: record.kind,
            account: record.account.map(|account| account.0),
            session: record.session,
            protocol: record.protocol,
            address: record.address,
            detail: record.detail,
            hash: data_encoding::HEXLOWER.encode(&record.hash),
        }
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let tenant = named(installation.database(), &self.tenant).await?;
        let mut tx = installation.database().read(tenant.id).await?;
        let records = audit::page(&mut tx, self.after, i64::from(self.limit)).await?;
        drop(tx);
        let lines: Vec<Line> = records.into_iter().map(Line::from).collect();
        let head = ["NUMBER", "AT", "KIND", "ACCOUNT", "BY", "FROM", "DETAIL"];
        output::list(self.place.format(), &lines, head, |line| {
            let dash = || "-".to_owned();
            [
                line.number.to_string(),
                line.at.clone(),
                line.kind.clone(),
                line.account
                    .map_or_else(dash, |account| account.to_string()),
                line.protocol.clone(),
                line.address.clone().unwrap_or_else(dash),
                line.detail.escape_debug().to_string(),
            ]
        });
        installation.close().await;
        Ok(())
    }
}

impl Verify {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let tenant = named(installation.database(), &self.tenant).await?;
        let mut tx = installation.database().snapshot(tenant.id).await?;
        let state = audit::verify(&mut tx).await?;
        drop(tx);
        installation.close().await;
        match state {
            ChainState::Whole(records) => {
                let sentence = format!("all {records} records follow from one another");
                let value = json!({ "whole": true, "records": records });
                output::result(self.place.format(), &value, &sentence);
                Ok(())
            }
            ChainState::Broken(number) => {
                if self.place.format() == output::Format::Json {
                    output::json(&json!({ "whole": false, "broken_at": number }));
                }
                let sentence = format!(
                    "the audit log of '{}' is broken at record {number}: \
                     it was changed or is missing",
                    tenant.name
                );
                Err(Error::new(ErrorKind::Corrupt, sentence))
            }
        }
    }
}
