//! Accounts and their public keys.

use std::collections::{BTreeSet, HashMap};

use sqlx::AssertSqlSafe;

use crate::db::sql::{Row, TenantTx};
use crate::db::value::Value;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, NodeId};
use crate::domain::rights::Rights;
use crate::domain::secret::Secret;

/// A login inside one tenant.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its number, unique within the tenant and never used again.
    pub id: AccountId,
    /// Its name, unique within the tenant.
    pub name: String,
    /// Whether it is kept out.
    pub disabled: bool,
    /// The stored hash of its password, if it has one.
    pub password: Option<Secret>,
    /// Its home folder.
    pub home: NodeId,
    /// No grant reaches beyond this.
    pub ceiling: Rights,
    /// Most bytes of live files; none is no limit of its own.
    pub quota_bytes: Option<u64>,
    /// Most live files and folders; none is no limit of its own.
    pub quota_files: Option<u64>,
    /// Grows with every change that must end sessions.
    pub generation: i64,
    /// When it was added.
    pub created_at: Timestamp,
    /// How and from where it may log in.
    pub rules: LoginRules,
    /// It administers its tenant.
    pub administrator: bool,
}

/// How and from where an account may log in, as it is stored: `accounts` gives it its meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginRules {
    /// The sequences of methods that open it; none is any one method.
    pub methods: Option<String>,
    /// The code may stand behind the password.
    pub appended_code: bool,
    /// Networks parted by spaces; none is from anywhere.
    pub networks: Option<String>,
    /// Names in certificates that open it, one on each line; none is its own name.
    pub principals: Option<String>,
    /// Most sessions at a time; none is what the settings say.
    pub sessions: Option<u64>,
    /// It may log in where what is typed can be read on the way.
    pub clear_text: bool,
    /// Words for the door; none is what the tenant and the settings say.
    pub door_options: Option<String>,
}

/// A public key that opens an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountKey {
    /// `SHA256:...`, as OpenSSH prints it.
    pub fingerprint: String,
    /// SSH's wire encoding.
    pub key: Vec<u8>,
    /// What the owner wrote behind it.
    pub comment: String,
    /// When it was added.
    pub added_at: Timestamp,
}

/// Whether the sessions of an account may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The account or its tenant is disabled.
    pub disabled: bool,
    /// The account's generation now.
    pub generation: i64,
}

macro_rules! columns {
    () => {
        "id, name, disabled, password, home, ceiling, quota_bytes, quota_files, generation, \
         created_at, methods, appended_code, networks, principals, sessions, clear_text, \
         door_options, administrator"
    };
}

/// The number the next account of the tenant gets. To be called under the tenant's lock.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn next_id(tx: &mut TenantTx) -> Result<AccountId> {
    let row = tx
        .row(
            // The counters of accounts that were removed stay, and so do their numbers.
            "SELECT coalesce(max(id), 0) + 1 FROM (\
             SELECT id FROM accounts WHERE tenant = $1 UNION ALL \
             SELECT account FROM usage WHERE tenant = $1) AS known",
            [],
        )
        .await?
        .ok_or_else(|| Error::internal("max() of nothing"))?;
    Ok(AccountId(row.int(0)?))
}

/// Adds an account.
///
/// # Errors
/// AlreadyExists when its name or number is taken.
pub async fn insert(tx: &mut TenantTx, account: &Account) -> Result<()> {
    tx.execute(
        concat!(
            "INSERT INTO accounts (tenant, ",
            columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
             $14, $15, $16, $17, $18, $19)"
        ),
        [
            account.id.0.into(),
            account.name.as_str().into(),
            i64::from(account.disabled).into(),
            text(account.password.as_ref()),
            account.home.as_bytes().into(),
            account.ceiling.bits().into(),
            limit(account.quota_bytes),
            limit(account.quota_files),
            account.generation.into(),
            account.created_at.0.into(),
            account.rules.methods.clone().into(),
            i64::from(account.rules.appended_code).into(),
            account.rules.networks.clone().into(),
            account.rules.principals.clone().into(),
            limit(account.rules.sessions),
            i64::from(account.rules.clear_text).into(),
            account.rules.door_options.clone().into(),
            i64::from(account.administrator).into(),
        ],
    )
    .await
    .map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::new(
            ErrorKind::AlreadyExists,
            format!("there is an account '{}' already", account.name),
        ),
        _ => error,
    })?;
    Ok(())
}

/// An account by its name.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn by_name(tx: &mut TenantTx, name: &str) -> Result<Option<Account>> {
    let row = tx
        .row(
            concat!(
                "SELECT ",
                columns!(),
                " FROM accounts WHERE tenant = $1 AND name = $2"
            ),
            [name.into()],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// An account by its number.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn by_id(tx: &mut TenantTx, id: AccountId) -> Result<Option<Account>> {
    let row = tx
        .row(
            concat!(
                "SELECT ",
                columns!(),
                " FROM accounts WHERE tenant = $1 AND id = $2"
            ),
            [id.0.into()],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Up to `limit` accounts of the tenant after a name, by name.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn page(tx: &mut TenantTx, after: &str, limit: usize) -> Result<Vec<Account>> {
    let rows = tx
        .rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM accounts WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3"
            ),
            [
                after.into(),
                i64::try_from(limit).unwrap_or(i64::MAX).into(),
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// All accounts of the tenant, by name.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<Account>> {
    let rows = tx
        .rows(
            concat!(
                "SELECT ",
                columns!(),
                " FROM accounts WHERE tenant = $1 ORDER BY name"
            ),
            [],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// The name of each of `accounts`; one that was removed is not in the answer.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn names(
    tx: &mut TenantTx,
    accounts: impl Iterator<Item = AccountId>,
) -> Result<HashMap<AccountId, String>> {
    let accounts: BTreeSet<_> = accounts.map(|account| account.0).collect();
    let accounts: Vec<_> = accounts.into_iter().collect();
    let mut found = HashMap::with_capacity(accounts.len());
    for some in accounts.chunks(500) {
        let sql = format!(
            "SELECT id, name FROM accounts WHERE tenant = $1 AND id IN ({})",
            places(some.len())
        );
        let ids = some.iter().copied().map(Value::from).collect();
        for row in tx.rows_of(AssertSqlSafe(sql), ids).await? {
            found.insert(AccountId(row.int(0)?), row.text(1)?);
        }
    }
    Ok(found)
}

/// How each of `accounts` stands now; one that is missing is not in the answer.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn standings(
    tx: &mut TenantTx,
    accounts: &[AccountId],
) -> Result<HashMap<AccountId, Standing>> {
    let mut found = HashMap::with_capacity(accounts.len());
    for some in accounts.chunks(500) {
        let sql = format!(
            "SELECT a.id, a.disabled, t.disabled, a.generation FROM accounts a \
             JOIN tenants t ON t.id = a.tenant WHERE a.tenant = $1 AND a.id IN ({})",
            places(some.len())
        );
        let ids = some.iter().map(|id| id.0.into()).collect();
        for row in tx.rows_of(AssertSqlSafe(sql), ids).await? {
            let standing = Standing {
                disabled: row.int(1)? != 0 || row.int(2)? != 0,
                generation: row.int(3)?,
            };
            found.insert(AccountId(row.int(0)?), standing);
        }
    }
    Ok(found)
}

/// Keeps an account out, or lets it in again; ends its sessions.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set_disabled(tx: &mut TenantTx, id: AccountId, disabled: bool) -> Result<()> {
    tx.execute(
        "UPDATE accounts SET disabled = $3, generation = generation + 1 \
         WHERE tenant = $1 AND id = $2",
        [id.0.into(), i64::from(disabled).into()],
    )
    .await?;
    Ok(())
}

/// Sets the stored hash of the password, or takes the password away; ends sessions.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set_password(tx: &mut TenantTx, id: AccountId, hash: Option<&Secret>) -> Result<()> {
    tx.execute(
        "UPDATE accounts SET password = $3, generation = generation + 1 \
         WHERE tenant = $1 AND id = $2",
        [id.0.into(), text(hash)],
    )
    .await?;
    Ok(())
}

/// Stores a better hash of the same password, unless the password has changed meanwhile. Sessions
/// go on.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn upgrade_password(
    tx: &mut TenantTx,
    id: AccountId,
    old: &Secret,
    new: &Secret,
) -> Result<()> {
    tx.execute(
        "UPDATE accounts SET password = $4 WHERE tenant = $1 AND id = $2 AND password = $3",
        [id.0.into(), text(Some(old)), text(Some(new))],
    )
    .await?;
    Ok(())
}

/// Sets the home folder; ends sessions.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set_home(tx: &mut TenantTx, id: AccountId, home: NodeId) -> Result<()> {
    tx.execute(
        "UPDATE accounts SET home = $3, generation = generation + 1 \
         WHERE tenant = $1 AND id = $2",
        [id.0.into(), home.as_bytes().into()],
    )
    .await?;
    Ok(())
}

/// Sets the ceiling of all grants; ends sessions.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set_ceiling(tx: &mut TenantTx, id: AccountId, ceiling: Rights) -> Result<()> {
    tx.execute(
        "UPDATE accounts SET ceiling = $3, generation = generation + 1 \
         WHERE tenant = $1 AND id = $2",
        [id.0.into(), ceiling.bits().into()],
    )
    .await?;
    Ok(())
}

/// Sets how and from where it may log in; ends sessions.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set_rules(tx: &mut TenantTx, id: AccountId, rules: &LoginRules) -> Result<()> {
    tx.execute(
        "UPDATE accounts SET methods = $3, appended_code = $4, networks = $5, principals = $6, \
         sessions = $7, clear_text = $8, door_options = $9, generation = generation + 1 WHERE tenant = $1 AND id = $2",
        [
            id.0.into(),
            rules.methods.clone().into(),
            i64::from(rules.appended_code).into(),
            rules.networks.clone().into(),
            rules.principals.clone().into(),
            limit(rules.sessions),
            i64::from(rules.clear_text).into(),
            rules.door_options.clone().into(),
        ],
    )
    .await?;
    Ok(())
}

/// Ends the sessions of an account.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn end_sessions(tx: &mut TenantTx, id: AccountId) -> Result<()> {
    tx.execute(
        "UPDATE accounts SET generation = generation + 1 WHERE tenant = $1 AND id = $2",
        [id.0.into()],
    )
    .await?;
    Ok(())
}

/// Ends the sessions of all accounts of the tenant.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn end_all_sessions(tx: &mut TenantTx) -> Result<()> {
    tx.execute(
        "UPDATE accounts SET generation = generation + 1 WHERE tenant = $1",
        [],
    )
    .await?;
    Ok(())
}

/// Sets the quota; sessions go on.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn set_quota(
    tx: &mut TenantTx,
    id: AccountId,
    bytes: Option<u64>,
    files: Option<u64>,
) -> Result<()> {
    tx.execute(
        "UPDATE accounts SET quota_bytes = $3, quota_files = $4 WHERE tenant = $1 AND id = $2",
        [id.0.into(), limit(bytes), limit(files)],
    )
    .await?;
    Ok(())
}

/// Adds a public key.
///
/// # Errors
/// AlreadyExists when the account has it.
pub async fn add_key(tx: &mut TenantTx, id: AccountId, key: &AccountKey) -> Result<()> {
    tx.execute(
        "INSERT INTO account_keys (tenant, account, fingerprint, key, comment, added_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        [
            id.0.into(),
            key.fingerprint.as_str().into(),
            key.key.as_slice().into(),
            key.comment.as_str().into(),
            key.added_at.0.into(),
        ],
    )
    .await
    .map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::new(
            ErrorKind::AlreadyExists,
            format!("the account has the key {} already", key.fingerprint),
        ),
        _ => error,
    })?;
    Ok(())
}

/// Removes a public key and ends the account's sessions; false when there is no such key.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn remove_key(tx: &mut TenantTx, id: AccountId, fingerprint: &str) -> Result<bool> {
    let removed = tx
        .execute(
            "DELETE FROM account_keys WHERE tenant = $1 AND account = $2 AND fingerprint = $3",
            [id.0.into(), fingerprint.into()],
        )
        .await?;
    if removed == 0 {
        return Ok(false);
    }
    end_sessions(tx, id).await?;
    Ok(true)
}

/// The account's public keys, oldest first.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn keys(tx: &mut TenantTx, id: AccountId) -> Result<Vec<AccountKey>> {
    let rows = tx
        .rows(
            "SELECT fingerprint, key, comment, added_at FROM account_keys \
             WHERE tenant = $1 AND account = $2 ORDER BY added_at, fingerprint",
            [id.0.into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(AccountKey {
                fingerprint: row.text(0)?,
                key: row.bytes(1)?,
                comment: row.text(2)?,
                added_at: Timestamp(row.int(3)?),
            })
        })
        .collect()
}

/// Whether this very key is one of the account's.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn has_key(
    tx: &mut TenantTx,
    id: AccountId,
    fingerprint: &str,
    key: &[u8],
) -> Result<bool> {
    let row = tx
        .row(
            "SELECT CAST(1 AS bigint) FROM account_keys \
             WHERE tenant = $1 AND account = $2 AND fingerprint = $3 AND key = $4",
            [id.0.into(), fingerprint.into(), key.into()],
        )
        .await?;
    Ok(row.is_some())
}

/// The places of so many values after the tenant's.
fn places(count: usize) -> String {
    let places: Vec<_> = (2..count + 2).map(|place| format!("${place}")).collect();
    places.join(", ")
}

fn read(row: &Row) -> Result<Account> {
    let count = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    Ok(Account {
        id: AccountId(row.int(0)?),
        name: row.text(1)?,
        disabled: row.int(2)? != 0,
        password: row.opt_text(3)?.map(Secret::new),
        home: NodeId::from_slice(&row.bytes(4)?)?,
        ceiling: Rights::from_bits(row.int(5)?),
        quota_bytes: count(row.opt_int(6)?),
        quota_files: count(row.opt_int(7)?),
        generation: row.int(8)?,
        created_at: Timestamp(row.int(9)?),
        rules: LoginRules {
            methods: row.opt_text(10)?,
            appended_code: row.int(11)? != 0,
            networks: row.opt_text(12)?,
            principals: row.opt_text(13)?,
            sessions: count(row.opt_int(14)?),
            clear_text: row.int(15)? != 0,
            door_options: row.opt_text(16)?,
        },
        administrator: row.int(17)? != 0,
    })
}

fn text(hash: Option<&Secret>) -> Value {
    hash.map(|hash| String::from_utf8_lossy(hash.expose()).into_owned())
        .into()
}

fn limit(value: Option<u64>) -> Value {
    value
        .map(|value| i64::try_from(value).unwrap_or(i64::MAX))
        .into()
}
