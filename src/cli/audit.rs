//! `sealift audit`

use clap::{Args, Subcommand};
use serde_json::json;

use crate::accounts::manage_audit::{self, AuditLine};
use crate::cli::output;
use crate::cli::place::Place;
use crate::db::audit::{self, ChainState};
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
    /// The newest so many records, instead
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["after", "limit"])]
    last: Option<u32>,
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

impl List {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let tenant = installation.directory().tenant_id(&self.tenant).await?;
        let mut tx = installation.database().read(tenant).await?;
        let newest = audit::last_number(&mut tx).await?;
        let (after, limit) = match self.last {
            Some(last) => (newest - i64::from(last), last),
            None => (self.after, self.limit),
        };
        let records = audit::page(&mut tx, after, i64::from(limit)).await?;
        drop(tx);
        let shown = records.last().map_or(after, |record| record.number);
        let lines: Vec<AuditLine> = records.into_iter().map(AuditLine::from).collect();
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
                line.detail.clone(),
            ]
        })?;
        if self.last.is_none() && shown < newest {
            output::hint(&format!(
                "these are not all records, there are {newest}: --after {shown} goes on, --limit shows more, and \
                 --last 100 the newest"
            ));
        }
        installation.close().await;
        Ok(())
    }
}

impl Verify {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let state = installation.directory().audit_verify(&self.tenant).await?;
        installation.close().await;
        let sentence = manage_audit::sentence(&self.tenant, &state);
        match state {
            ChainState::Whole(records) => {
                let value = json!({ "whole": true, "records": records });
                output::result(self.place.format(), &value, &sentence)?;
                Ok(())
            }
            ChainState::Broken(number) => {
                if self.place.format() == output::Format::Json {
                    output::json(&json!({ "whole": false, "broken_at": number }))?;
                }
                Err(Error::new(ErrorKind::Corrupt, sentence))
            }
        }
    }
}
