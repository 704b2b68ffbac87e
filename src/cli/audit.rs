//! `sealift audit`

use std::net::IpAddr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::accounts::manage::Directory;
use crate::accounts::manage_audit::{self, AuditLine, AuditQuery, AuditSpan};
use crate::cli::output;
use crate::cli::place::Place;
use crate::db::audit::ChainState;
use crate::domain::audit_kind::AuditKind;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::AccountId;
use crate::domain::principal::LoginName;

/// Reads a tenant's audit log, or checks that nobody changed it
#[derive(Subcommand, Debug)]
pub enum Audit {
    /// Prints records, the newest first
    List(List),
    /// Prints all records, the oldest first, one JSON object a line, as the API exports them
    Export(Export),
    /// Follows the chain of hashes from the first record to the last
    Verify(Verify),
}

/// Which records of which tenant.
#[derive(Args, Debug)]
struct Which {
    /// The tenant
    tenant: String,
    /// Only what this account did, by its name within the tenant, or what was tried in its name
    #[arg(long, value_name = "USER", conflicts_with = "account")]
    user: Option<String>,
    /// The same by the account's number, also one that was removed
    #[arg(long, value_name = "NUMBER")]
    account: Option<i64>,
    /// Only records of this kind
    #[arg(long, value_name = "KIND", value_parser = kind())]
    kind: Option<AuditKind>,
    /// Only records with this path or name, or a part of it, in their DETAIL
    #[arg(long, value_name = "TEXT")]
    path: Option<String>,
    /// Only what came from this address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// Not before this time, as 2026-01-31T12:00:00Z (RFC 3339)
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
}

impl Which {
    /// What of the log that is, as it is now.
    async fn span(self, directory: &Directory) -> Result<AuditSpan> {
        let user = self.user.as_deref();
        let login = user.map(|user| LoginName::in_full(user, &self.tenant).parse::<LoginName>());
        let query = AuditQuery {
            from: self.from,
            to: self.to,
            login: login.transpose()?,
            account: self.account.map(AccountId),
            kind: self.kind,
            path: self.path.filter(|path| !path.is_empty()),
            address: self.address,
        };
        directory.audit_span(&self.tenant, query).await
    }
}

/// Which records to print.
#[derive(Args, Debug)]
pub struct List {
    #[command(flatten)]
    which: Which,
    /// The oldest first, and only those after the record with this number; 0 begins with the first
    #[arg(long, value_name = "NUMBER", conflicts_with = "before")]
    after: Option<i64>,
    /// Only records before the one with this number
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
    /// At most this many records
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1000,
        visible_alias = "last"
    )]
    limit: u32,
    #[command(flatten)]
    place: Place,
}

/// Which records to export.
#[derive(Args, Debug)]
pub struct Export {
    #[command(flatten)]
    which: Which,
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
            Self::Export(export) => export.run().await,
            Self::List(list) => list.run().await,
            Self::Verify(verify) => verify.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let directory = installation.directory();
        let span = self.which.span(&directory).await?;
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        // One more tells whether there are more.
        let most = limit.saturating_add(1);
        let mut lines = match self.after {
            Some(after) => oldest(&directory, &span, after, most).await?,
            None => newest(&directory, &span, self.before, most).await?,
        };
        let is_cut = lines.len() > limit;
        lines.truncate(limit);
        let head = ["NUMBER", "AT", "KIND", "ACCOUNT", "BY", "FROM", "DETAIL"];
        output::list(self.place.format(), &lines, head, |line| {
            let dash = || "-".to_owned();
            [
                line.number.to_string(),
                line.at.clone(),
                line.kind.clone(),
                who(line).unwrap_or_else(dash),
                line.protocol.clone(),
                line.address.clone().unwrap_or_else(dash),
                line.detail.clone(),
            ]
        })?;
        if let Some(last) = lines.last().filter(|_| is_cut) {
            let way = match self.after {
                Some(_) => "--after",
                None => "--before",
            };
            output::hint(&format!(
                "these are not all records: {way} {} goes on, and --limit shows more",
                last.number
            ));
        }
        installation.close().await;
        Ok(())
    }
}

impl Export {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let directory = installation.directory();
        let span = self.which.span(&directory).await?;
        let mut after = Some(0);
        while let Some(number) = after {
            let (text, next) = directory.audit_export_text(&span, number).await?;
            // Nobody may be reading any more.
            after = match output::lines(&text)? {
                true => next,
                false => None,
            };
        }
        installation.close().await;
        Ok(())
    }
}

/// Up to `most` records, the newest first.
async fn newest(
    directory: &Directory,
    span: &AuditSpan,
    mut before: Option<i64>,
    most: usize,
) -> Result<Vec<AuditLine>> {
    let mut lines = Vec::new();
    while lines.len() < most {
        let missing = most - lines.len();
        let (found, next) = directory.audit_search(span, before, missing).await?;
        lines.extend(found);
        if next.is_none() {
            break;
        }
        before = next;
    }
    Ok(lines)
}

/// Up to `most` records after number `after`, the oldest first.
async fn oldest(
    directory: &Directory,
    span: &AuditSpan,
    after: i64,
    most: usize,
) -> Result<Vec<AuditLine>> {
    let (mut lines, mut after) = (Vec::new(), Some(after));
    while let Some(number) = after
        && lines.len() < most
    {
        let (found, next) = directory.audit_export(span, number).await?;
        lines.extend(found);
        after = next;
    }
    lines.truncate(most);
    Ok(lines)
}

/// The name of the account of a record, or the number of one that was removed.
fn who(line: &AuditLine) -> Option<String> {
    let number = line.account.map(|number| format!("#{number}"));
    line.user.clone().or(number)
}

fn kind() -> impl TypedValueParser<Value = AuditKind> {
    let words = AuditKind::ALL.iter().map(|kind| kind.as_str());
    PossibleValuesParser::new(words).try_map(|word| word.parse::<AuditKind>())
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
