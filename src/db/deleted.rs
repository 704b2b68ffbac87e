//! What was deleted out of a folder and is still kept.

use std::fmt;
use std::str::FromStr;

use crate::db::sql::{Row, TenantTx};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::NodeId;
use crate::domain::node::NodeKind;

/// A file or folder that was deleted: the last version of a node that is not live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Which.
    pub node: NodeId,
    /// What it was called.
    pub name: String,
    /// File or folder.
    pub kind: NodeKind,
    /// Length in bytes; 0 for folders.
    pub size: u64,
    /// The change that deleted it.
    pub died: i64,
    /// When that was.
    pub at: Timestamp,
    /// Its kind, as the audit log has it: `delete`, or what gave the name to something else.
    pub by: String,
    /// By which protocol.
    pub protocol: String,
    /// The name of the account that did it, unless it was none or is removed.
    pub account: Option<String>,
}

/// A place in the list of a folder: that of the version of this name that died at this change.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Place {
    /// The change.
    pub died: i64,
    /// The name.
    pub name: String,
}

/// `DIED/NAME`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.died, self.name)
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let place = text.split_once('/').and_then(|(died, name)| {
            let (died, name) = (died.parse().ok()?, name.to_owned());
            Some(Self { died, name })
        });
        place.ok_or_else(|| Error::invalid(format!("'{text}' is no place of what was deleted")))
    }
}

/// What was deleted directly out of a folder, among the next `span` past versions behind `after`: up to `limit`, by
/// name, and those of one name in the order in which they were deleted. And where to go on; none at the end. In a
/// transaction that sees one moment.
///
/// This is the order of an index: no more than `span` versions are looked at, however many there are in the folder
/// or the tenant.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn page(
    tx: &mut TenantTx,
    folder: NodeId,
    after: &Place,
    span: i64,
    limit: usize,
) -> Result<(Vec<Deleted>, Option<Place>)> {
    // NOT EXISTS would have PostgreSQL go through all of a tenant's entries, to compare them with these few.
    let rows = tx
        .rows(
            "SELECT p.node, p.name, p.kind, p.size, p.died, c.at, c.kind, c.protocol, a.name FROM (\
             SELECT node, name, kind, size, died FROM entries_past \
             WHERE tenant = $1 AND parent = $2 AND (name, died) > ($3, $4) \
             ORDER BY name, died LIMIT $5) p \
             JOIN changes c ON c.tenant = $1 AND c.seq = p.died \
             LEFT JOIN accounts a ON a.tenant = $1 AND a.id = c.account \
             WHERE (SELECT e.born FROM entries e WHERE e.tenant = $1 AND e.node = p.node) IS NULL \
             AND p.died = (SELECT max(l.died) FROM entries_past l \
             WHERE l.tenant = $1 AND l.node = p.node) \
             ORDER BY p.name, p.died LIMIT $6",
            [
                folder.as_bytes().into(),
                after.name.as_str().into(),
                after.died.into(),
                span.into(),
                i64::try_from(limit).unwrap_or(i64::MAX).into(),
            ],
        )
        .await?;
    let found: Vec<_> = rows.iter().map(read).collect::<Result<_>>()?;
    let next = match found.last().filter(|_| found.len() >= limit) {
        Some(last) => Some(Place {
            died: last.died,
            name: last.name.clone(),
        }),
        None => end_of_span(tx, folder, after, span).await?,
    };
    Ok((found, next))
}

/// The last of the `span` versions behind `after`; none when there are fewer.
async fn end_of_span(
    tx: &mut TenantTx,
    folder: NodeId,
    after: &Place,
    span: i64,
) -> Result<Option<Place>> {
    let row = tx
        .row(
            "SELECT died, name FROM entries_past \
             WHERE tenant = $1 AND parent = $2 AND (name, died) > ($3, $4) \
             ORDER BY name, died LIMIT 1 OFFSET $5",
            [
                folder.as_bytes().into(),
                after.name.as_str().into(),
                after.died.into(),
                span.saturating_sub(1).into(),
            ],
        )
        .await?;
    let end = row.map(|row| {
        let (died, name) = (row.int(0)?, row.text(1)?);
        Ok(Place { died, name })
    });
    end.transpose()
}

/// Columns: node, name, kind, size, died, at, kind of the change, protocol, account's name.
fn read(row: &Row) -> Result<Deleted> {
    Ok(Deleted {
        node: NodeId::from_slice(&row.bytes(0)?)?,
        name: row.text(1)?,
        kind: NodeKind::from_code(row.int(2)?)?,
        size: row.count(3)?,
        died: row.int(4)?,
        at: Timestamp(row.int(5)?),
        by: row.text(6)?,
        protocol: row.text(7)?,
        account: row.opt_text(8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_its_text_form() {
        let place = Place {
            died: 17,
            name: "7 of them.txt".to_owned(),
        };
        assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        for bad in ["", "17", "x/name", "/name"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
