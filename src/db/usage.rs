//! Use of space by tenant and account, and the quota on it.

use crate::db::sql::TenantTx;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::AccountId;
use crate::domain::news::News;
use crate::domain::topic::Topic;

/// Bytes of live files, and live files and folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Amount {
    /// Bytes.
    pub bytes: i64,
    /// Files and folders.
    pub files: i64,
}

impl Amount {
    /// One file or folder of `bytes`.
    pub fn one(bytes: u64) -> Self {
        Self {
            bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
            files: 1,
        }
    }

    /// The same, taken away.
    #[must_use]
    pub fn negated(self) -> Self {
        Self {
            bytes: -self.bytes,
            files: -self.files,
        }
    }
}

/// What a tenant or account uses and may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Whose: none is the tenant's total.
    pub account: Option<AccountId>,
    /// Live files.
    pub used: Amount,
    /// Promised to uploads in progress.
    pub reserved: Amount,
    /// Most bytes.
    pub quota_bytes: Option<i64>,
    /// Most files and folders.
    pub quota_files: Option<i64>,
}

/// Makes the counter of the tenant (none) or of a new account.
///
/// # Errors
/// AlreadyExists when there is one.
pub async fn create(tx: &mut TenantTx, account: Option<AccountId>) -> Result<()> {
    tx.execute(
        "INSERT INTO usage (tenant, account, bytes, files, reserved_bytes, reserved_files) \
         VALUES ($1, $2, 0, 0, 0, 0)",
        [account.map_or(0, |account| account.0).into()],
    )
    .await?;
    Ok(())
}

/// The counters that a file of `account` counts against: the tenant's, then the account's.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn counters(tx: &mut TenantTx, account: Option<AccountId>) -> Result<Vec<Counter>> {
    let rows = tx
        .rows(
            "SELECT u.account, u.bytes, u.files, u.reserved_bytes, u.reserved_files, \
             CASE WHEN u.account = 0 THEN t.quota_bytes ELSE a.quota_bytes END, \
             CASE WHEN u.account = 0 THEN t.quota_files ELSE a.quota_files END \
             FROM usage u JOIN tenants t ON t.id = u.tenant \
             LEFT JOIN accounts a ON a.tenant = u.tenant AND a.id = u.account \
             WHERE u.tenant = $1 AND u.account IN (0, $2) ORDER BY u.account",
            [account.map_or(0, |account| account.0).into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Counter {
                account: match row.int(0)? {
                    0 => None,
                    id => Some(AccountId(id)),
                },
                used: Amount {
                    bytes: row.int(1)?,
                    files: row.int(2)?,
                },
                reserved: Amount {
                    bytes: row.int(3)?,
                    files: row.int(4)?,
                },
                quota_bytes: row.opt_int(5)?,
                quota_files: row.opt_int(6)?,
            })
        })
        .collect()
}

/// Adds `used` and `reserved` (either may be negative) for `account` and the tenant, unless that
/// raises what a quota limits above the quota.
///
/// # Errors
/// Quota, naming whose and how much.
pub async fn charge(
    tx: &mut TenantTx,
    account: Option<AccountId>,
    used: Amount,
    reserved: Amount,
) -> Result<()> {
    let grows = Amount {
        bytes: used.bytes.saturating_add(reserved.bytes),
        files: used.files.saturating_add(reserved.files),
    };
    let is_more = grows.bytes > 0 || grows.files > 0;
    // What was reserved before is more used and not more in all.
    let is_told = (used.bytes > 0 || used.files > 0)
        && tx
            .listening()
            .is_some_and(|all| all.wants(Topic::QuotaNear));
    if is_more || is_told {
        let counters = counters(tx, account).await?;
        if is_more {
            for counter in &counters {
                check(counter, grows)?;
            }
        }
        if is_told {
            for crossing in counters.iter().flat_map(|counter| crossed(counter, used)) {
                let name = match crossing.account {
                    Some(account) => name_of(tx, account).await?,
                    None => None,
                };
                tx.tell(crossing.news(name.as_deref()));
            }
        }
    }
    add(tx, account, used, reserved).await
}

async fn name_of(tx: &mut TenantTx, account: AccountId) -> Result<Option<String>> {
    let sql = "SELECT name FROM accounts WHERE tenant = $1 AND id = $2";
    let row = tx.row(sql, [account.0.into()]).await?;
    row.map(|row| row.text(0)).transpose()
}

/// How many hundredths of a quota are worth telling, the most first.
const LEVELS: [i128; 3] = [100, 90, 80];

/// Use that has reached a part of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// Whose quota: none is the tenant's.
    pub account: Option<AccountId>,
    unit: &'static str,
    percent: i64,
    used: i64,
    quota: i64,
}

impl Crossing {
    /// What is told of it; `name` is the account's.
    pub fn news(&self, name: Option<&str>) -> News {
        let news = News::new(Topic::QuotaNear)
            .with("unit", self.unit)
            .with("percent", self.percent)
            .with("used", self.used)
            .with("quota", self.quota);
        match self.account {
            None => news.with("of", "tenant"),
            Some(_) => news.with("of", "account").with("account", name),
        }
    }
}

/// The parts of its quotas that a counter reaches when `used` is added, each only when it was below.
pub(in crate::db) fn crossed(
    counter: &Counter,
    used: Amount,
) -> impl Iterator<Item = Crossing> + use<> {
    let account = counter.account;
    let units = [
        ("bytes", counter.used.bytes, used.bytes, counter.quota_bytes),
        ("files", counter.used.files, used.files, counter.quota_files),
    ];
    units
        .into_iter()
        .filter_map(move |(unit, before, more, quota)| {
            let (quota, after) = (
                quota.filter(|quota| *quota > 0)?,
                before.saturating_add(more),
            );
            let is_crossed = |level: &i128| {
                let mark = level * i128::from(quota);
                i128::from(before) * 100 < mark && i128::from(after) * 100 >= mark
            };
            let percent = LEVELS.into_iter().find(is_crossed)?;
            Some(Crossing {
                account,
                unit,
                percent: i64::try_from(percent).ok()?,
                used: after,
                quota,
            })
        })
}

/// Adds `used` and `reserved` for `account` and the tenant; the caller has checked the quota.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn add(
    tx: &mut TenantTx,
    account: Option<AccountId>,
    used: Amount,
    reserved: Amount,
) -> Result<()> {
    if used == Amount::default() && reserved == Amount::default() {
        return Ok(());
    }
    tx.execute(
        "UPDATE usage SET bytes = bytes + $3, files = files + $4, \
         reserved_bytes = reserved_bytes + $5, reserved_files = reserved_files + $6 \
         WHERE tenant = $1 AND account IN (0, $2)",
        [
            account.map_or(0, |account| account.0).into(),
            used.bytes.into(),
            used.files.into(),
            reserved.bytes.into(),
            reserved.files.into(),
        ],
    )
    .await?;
    Ok(())
}

/// The room left for `account` in bytes; none when nothing limits it.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn room(tx: &mut TenantTx, account: Option<AccountId>) -> Result<Option<i64>> {
    let counters = counters(tx, account).await?;
    let rooms = counters.iter().filter_map(|c| {
        let quota = c.quota_bytes?;
        Some((quota - c.used.bytes - c.reserved.bytes).max(0))
    });
    Ok(rooms.min())
}

/// What is really used, by account (none is the operator's): live entries that can be reached, and
/// what lies below deleted folders that are not settled yet.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn recount(tx: &mut TenantTx) -> Result<Vec<(Option<AccountId>, Amount)>> {
    // CROSS JOIN keeps SQLite from going through all entries for each; nor are they joined again.
    let rows = tx
        .rows(
            "WITH RECURSIVE reached(node, owner, size, is_top) AS (\
             SELECT node, CAST(NULL AS bigint), CAST(0 AS bigint), 1 \
             FROM (SELECT t.root AS node FROM tenants t WHERE t.id = $1 \
             UNION ALL SELECT d.node FROM detached d WHERE d.tenant = $1 AND d.settled = 0) AS tops \
             UNION ALL SELECT e.node, e.owner, e.size, 0 FROM reached r \
             CROSS JOIN entries e WHERE e.tenant = $1 AND e.parent = r.node) \
             SELECT owner, CAST(sum(size) AS bigint), count(*) FROM reached \
             WHERE is_top = 0 GROUP BY owner",
            [],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let amount = Amount {
                bytes: row.int(1)?,
                files: row.int(2)?,
            };
            Ok((row.opt_int(0)?.map(AccountId), amount))
        })
        .collect()
}

/// All counters of the tenant.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<(Option<AccountId>, Amount, Amount)>> {
    let rows = tx
        .rows(
            "SELECT account, bytes, files, reserved_bytes, reserved_files FROM usage \
             WHERE tenant = $1 ORDER BY account",
            [],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let used = Amount {
                bytes: row.int(1)?,
                files: row.int(2)?,
            };
            let reserved = Amount {
                bytes: row.int(3)?,
                files: row.int(4)?,
            };
            let account = Some(row.int(0)?).filter(|id| *id != 0).map(AccountId);
            Ok((account, used, reserved))
        })
        .collect()
}

/// Fails when what a counter counts would grow above its quota.
///
/// # Errors
/// Quota, naming whose and how much.
pub(in crate::db) fn check(counter: &Counter, grows: Amount) -> Result<()> {
    let whose = match counter.account {
        None => "tenant",
        Some(_) => "account",
    };
    let bytes = counter.used.bytes + counter.reserved.bytes;
    // Without a quota, what the database can count: files that are mostly holes get there.
    let quota = counter.quota_bytes.unwrap_or(i64::MAX);
    if grows.bytes > 0 && grows.bytes > quota.saturating_sub(bytes) {
        return Err(Error::new(
            ErrorKind::Quota,
            reached(whose, bytes, quota, grows.bytes),
        ));
    }
    let files = counter.used.files + counter.reserved.files;
    if let Some(quota) = counter.quota_files
        && grows.files > 0
        && files.saturating_add(grows.files) > quota
    {
        return Err(Error::new(
            ErrorKind::Quota,
            format!(
                "quota of {whose} reached: {files} of {quota} files and folders used; \
                 delete something or ask for more"
            ),
        ));
    }
    Ok(())
}

fn reached(whose: &str, used: i64, quota: i64, wanted: i64) -> String {
    let wanted = match used >= quota {
        true => String::new(),
        false => format!(", {} more needed", size(wanted)),
    };
    let (used, quota) = (size(used), size(quota));
    format!(
        "quota of {whose} reached: {used} of {quota} used{wanted}; \
         delete something or ask for more"
    )
}

fn size(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("PiB");
    match unit {
        0 => format!("{bytes} {name}"),
        _ => format!("{value:.1} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(10 * 1024 * 1024 * 1024), "10.0 GiB");
    }

    #[test]
    fn a_part_of_a_quota_is_crossed_once() {
        let counter = |bytes| Counter {
            account: None,
            used: Amount { bytes, files: 0 },
            reserved: Amount::default(),
            quota_bytes: Some(1000),
            quota_files: Some(0),
        };
        let level = |from, more| {
            let more = Amount {
                bytes: more,
                files: 1,
            };
            let mut all = crossed(&counter(from), more).map(|one| one.percent);
            (all.next(), all.next())
        };
        assert_eq!(level(0, 799), (None, None));
        assert_eq!(level(799, 1), (Some(80), None));
        assert_eq!(level(800, 99), (None, None));
        assert_eq!(level(0, 950), (Some(90), None));
        assert_eq!(level(950, 50), (Some(100), None));
        assert_eq!(level(900, -200), (None, None));
    }

    #[test]
    fn a_quota_tells_whose_it_is_and_how_much() {
        let counter = |account, used: Amount| Counter {
            account,
            used,
            reserved: Amount::default(),
            quota_bytes: Some(10 << 30),
            quota_files: Some(5),
        };
        let amount = |bytes, files| Amount { bytes, files };
        let full = counter(None, amount(10 << 30, 5));
        for (counter, grows, expected) in [
            (
                full,
                amount(1, 0),
                "quota of tenant reached: 10.0 GiB of 10.0 GiB used; \
                 delete something or ask for more",
            ),
            (
                counter(Some(AccountId(7)), amount(9 << 30, 0)),
                amount(3 << 30, 0),
                "quota of account reached: 9.0 GiB of 10.0 GiB used, 3.0 GiB more needed; \
                 delete something or ask for more",
            ),
            (
                counter(Some(AccountId(7)), amount((10 << 30) - 1, 0)),
                amount(200_000, 0),
                "quota of account reached: 10.0 GiB of 10.0 GiB used, 195.3 KiB more needed; \
                 delete something or ask for more",
            ),
            (
                full,
                amount(0, 1),
                "quota of tenant reached: 5 of 5 files and folders used; \
                 delete something or ask for more",
            ),
        ] {
            let error = check(&counter, grows).unwrap_err();
            assert_eq!(
                (error.kind(), error.context()),
                (ErrorKind::Quota, expected)
            );
        }
        assert!(check(&full, amount(0, 0)).is_ok());
    }
}
