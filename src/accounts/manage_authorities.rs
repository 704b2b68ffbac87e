//! Keys whose certificates open a tenant's accounts: what the operator does about them.

use async_trait::async_trait;
use data_encoding::BASE64_NOPAD;
use serde::Serialize;

use crate::accounts::manage::Directory;
use crate::accounts::public_key::PublicKey;
use crate::db::accounts;
use crate::db::audit::Happening;
use crate::db::authorities::{self, Authority, Revocation};
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::error::{Error, Result};
use crate::domain::shown;

/// A trusted key as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuthorityView {
    /// `SHA256:...`, as OpenSSH prints it.
    pub fingerprint: String,
    /// `ssh-ed25519`, ...
    pub algorithm: String,
    /// What the owner wrote behind it.
    pub comment: String,
    /// When it was added.
    pub added_at: String,
}

/// A revocation as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevocationView {
    /// The fingerprint of the key that signed; none is any.
    pub authority: Option<String>,
    /// `key`, `key-id` or `serial`.
    pub kind: String,
    /// Which.
    pub value: String,
    /// Since when.
    pub revoked_at: String,
}

/// Which certificates are revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// The key with this fingerprint, in whatever form it is shown: certificates about it, those that it signed, and
    /// itself.
    Key(String),
    /// Those that the authority calls so.
    KeyId(String),
    /// The one with this number.
    Serial(u64),
}

impl Revoked {
    fn kind(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::KeyId(_) => "key-id",
            Self::Serial(_) => "serial",
        }
    }

    /// What names nothing would look revoked, and everything would go on to open accounts.
    fn require_form(&self) -> Result<()> {
        match self {
            Self::Key(fingerprint) if !is_fingerprint(fingerprint) => Err(Error::invalid(format!(
                "'{fingerprint}' is no fingerprint; write it as 'ssh-keygen -l' shows it: SHA256: and 43 letters \
                 and digits"
            ))),
            Self::KeyId(id) if id.is_empty() => Err(Error::invalid(
                "the key id is empty; write the one that 'ssh-keygen -L' shows of the certificate",
            )),
            Self::Key(_) | Self::KeyId(_) | Self::Serial(_) => Ok(()),
        }
    }

    fn value(&self) -> String {
        match self {
            Self::Key(value) | Self::KeyId(value) => value.clone(),
            Self::Serial(number) => number.to_string(),
        }
    }
}

impl Directory {
    /// Lets certificates that a key signs open a tenant's accounts.
    ///
    /// # Errors
    /// NotFound when there is no such tenant; AlreadyExists when it trusts the key.
    pub async fn add_authority(&self, tenant: &str, key: &PublicKey) -> Result<()> {
        let authority = Authority {
            fingerprint: key.fingerprint(),
            key: key.blob.clone(),
            comment: key.comment.clone(),
            added_at: self.db().clock().now(),
        };
        let tenant = self.tenant(tenant).await?;
        self.run(tenant.id, Edit::Add(authority)).await
    }

    /// The keys whose certificates open a tenant's accounts, oldest first.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn authorities(&self, tenant: &str) -> Result<Vec<AuthorityView>> {
        let tenant = self.tenant(tenant).await?;
        let mut tx = self.db().read(tenant.id).await?;
        let all = authorities::list(&mut tx).await?;
        Ok(all.into_iter().map(view).collect())
    }

    /// Trusts a key no more; ends the sessions of the tenant.
    ///
    /// # Errors
    /// NotFound when there is no such tenant, or it does not trust the key.
    pub async fn remove_authority(&self, tenant: &str, fingerprint: &str) -> Result<()> {
        let tenant = self.tenant(tenant).await?;
        self.run(tenant.id, Edit::Remove(fingerprint.to_owned()))
            .await
    }

    /// Revokes certificates that `authority` (a fingerprint) signed, or any; ends the sessions of
    /// the tenant.
    ///
    /// # Errors
    /// NotFound when there is no such tenant, or it does not trust `authority`; Invalid when what is revoked can be
    /// no certificate's, and for the serial number 0 of any authority.
    pub async fn revoke(
        &self,
        tenant: &str,
        authority: Option<&str>,
        revoked: Revoked,
    ) -> Result<()> {
        revoked.require_form()?;
        if authority == Some("") {
            return Err(not_trusted(""));
        }
        if authority.is_none() && revoked == Revoked::Serial(0) {
            return Err(Error::invalid(
                "0 is the number of all certificates that were given none; say whose by --ca, or name what is to be \
                 revoked by --key-id or --key",
            ));
        }
        let revocation = Revocation {
            authority: authority.unwrap_or_default().to_owned(),
            kind: revoked.kind().to_owned(),
            value: revoked.value(),
            revoked_at: self.db().clock().now(),
        };
        let tenant = self.tenant(tenant).await?;
        self.run(tenant.id, Edit::Revoke(revocation)).await
    }

    /// What was revoked, oldest first.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn revocations(&self, tenant: &str) -> Result<Vec<RevocationView>> {
        let tenant = self.tenant(tenant).await?;
        let mut tx = self.db().read(tenant.id).await?;
        let all = authorities::revocations(&mut tx).await?;
        let view = |one: Revocation| RevocationView {
            authority: Some(one.authority).filter(|fingerprint| !fingerprint.is_empty()),
            kind: one.kind,
            value: one.value,
            revoked_at: one.revoked_at.to_string(),
        };
        Ok(all.into_iter().map(view).collect())
    }
}

enum Edit {
    Add(Authority),
    Remove(String),
    Revoke(Revocation),
}

#[async_trait]
impl Operation for Edit {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let happening = match self {
            Self::Add(authority) => {
                authorities::add(tx, authority).await?;
                Happening::new(AuditKind::CaAdd, authority.fingerprint.as_str())
            }
            Self::Remove(fingerprint) => {
                if !authorities::remove(tx, fingerprint).await? {
                    return Err(not_trusted(fingerprint));
                }
                accounts::end_all_sessions(tx).await?;
                Happening::new(AuditKind::CaRemove, fingerprint.as_str())
            }
            Self::Revoke(revocation) => {
                let signer = &revocation.authority;
                let all = authorities::list(tx).await?;
                if !signer.is_empty() && !all.iter().any(|one| one.fingerprint == *signer) {
                    return Err(not_trusted(signer));
                }
                authorities::revoke(tx, revocation).await?;
                accounts::end_all_sessions(tx).await?;
                let Revocation { kind, value, .. } = revocation;
                let by = match revocation.authority.as_str() {
                    "" => "anybody",
                    fingerprint => fingerprint,
                };
                Happening::new(
                    AuditKind::CaRevoke,
                    format!("{kind} {}, signed by {by}", shown::line(value)),
                )
            }
        };
        Ok(Record::Event(happening))
    }
}

/// Whether a text is the SHA-256 of a key, as OpenSSH writes it.
fn is_fingerprint(text: &str) -> bool {
    let digest = text.strip_prefix("SHA256:");
    let digest = digest.map(|digest| BASE64_NOPAD.decode(digest.as_bytes()));
    matches!(digest, Some(Ok(bytes)) if bytes.len() == 32)
}

fn not_trusted(fingerprint: &str) -> Error {
    Error::not_found(format!("the tenant does not trust '{fingerprint}'"))
        .hinting("'sealift tenant ca list' shows all")
}

fn view(authority: Authority) -> AuthorityView {
    let key = PublicKey {
        blob: authority.key,
        comment: authority.comment,
    };
    AuthorityView {
        fingerprint: authority.fingerprint,
        algorithm: key.algorithm().to_owned(),
        comment: key.comment,
        added_at: authority.added_at.to_string(),
    }
}
