//! Certificates (X.509) that open accounts: what the operator does about them.

use async_trait::async_trait;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use crate::accounts::manage::Directory;
use crate::accounts::manage_accounts::account;
use crate::accounts::x509::{CertificateRule, fingerprint, is_pem};
use crate::accounts::x509_lists::Brought;
use crate::db::account_certificates::{self, AccountCertificate};
use crate::db::accounts;
use crate::db::audit::Happening;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::x509::{self, X509Authority, X509Crl};
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::principal::LoginName;

/// A trusted authority as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct X509AuthorityView {
    /// The certificate's SHA-256, in hex.
    pub fingerprint: String,
    /// Whose it is.
    pub subject: String,
    /// When its certificate ends.
    pub valid_to: String,
    /// When it was added.
    pub added_at: String,
}

/// A list of revoked certificates as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct X509CrlView {
    /// Whose it is.
    pub issuer: String,
    /// How many it names.
    pub revoked: usize,
    /// When it was made.
    pub made_at: String,
    /// When there must be a newer one.
    pub next_at: String,
}

/// What opens an account, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountCertificateView {
    /// `email:ann@acme.example`, for instance.
    pub rule: String,
    /// When it was added.
    pub added_at: String,
}

impl Directory {
    /// Lets certificates of an authority open the tenant's accounts that are mapped to them; takes its
    /// certificate in PEM or DER. Returns its fingerprint and whose it is.
    ///
    /// # Errors
    /// NotFound when there is no such tenant; Invalid when it is no authority's certificate, or is over;
    /// AlreadyExists when the tenant trusts it.
    pub async fn add_x509_authority(&self, tenant: &str, file: &[u8]) -> Result<(String, String)> {
        let authority = authority(file, self.db().clock().now())?;
        let added = (authority.fingerprint.clone(), authority.subject.clone());
        let tenant = self.tenant(tenant).await?;
        self.run(tenant.id, TenantEdit::Add(authority)).await?;
        Ok(added)
    }

    /// The authorities that a tenant trusts, oldest first.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn x509_authorities(&self, tenant: &str) -> Result<Vec<X509AuthorityView>> {
        let tenant = self.tenant(tenant).await?;
        let mut tx = self.db().read(tenant.id).await?;
        let all = x509::list(&mut tx).await?;
        let view = |one: X509Authority| {
            let parsed = X509Certificate::from_der(&one.certificate);
            let valid_to = parsed.map(|(_, c)| moment(c.validity().not_after.timestamp()));
            X509AuthorityView {
                valid_to: valid_to.unwrap_or_default(),
                fingerprint: one.fingerprint,
                subject: one.subject,
                added_at: one.added_at.to_string(),
            }
        };
        Ok(all.into_iter().map(view).collect())
    }

    /// Trusts an authority no more; ends the sessions of accounts that certificates open.
    ///
    /// # Errors
    /// NotFound when there is no such tenant, or it does not trust the authority.
    pub async fn remove_x509_authority(&self, tenant: &str, fingerprint: &str) -> Result<()> {
        let rule: CertificateRule = format!("fingerprint:{fingerprint}").parse()?;
        let tenant = self.tenant(tenant).await?;
        let edit = TenantEdit::Remove(rule.value().to_owned());
        self.run(tenant.id, edit).await
    }

    /// Puts lists of revoked certificates, one in DER or all of a file in PEM, each in the place of the same
    /// authority's last one: all of them or none. When they name more than those did, the sessions of accounts that
    /// certificates open are ended.
    ///
    /// # Errors
    /// NotFound when there is no such tenant; Invalid when one of them is no such list, or not of an authority of the
    /// tenant, or older than the last.
    pub async fn set_x509_crls(&self, tenant: &str, file: &[u8]) -> Result<Vec<X509CrlView>> {
        let brought = Brought::read(file, self.db().clock().now())?;
        let shown = brought.iter().map(|one| crl_view(&one.list)).collect();
        let tenant = self.tenant(tenant).await?;
        self.run(tenant.id, TenantEdit::Crls(brought)).await?;
        Ok(shown)
    }

    /// The lists of revoked certificates that a tenant has.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn x509_crls(&self, tenant: &str) -> Result<Vec<X509CrlView>> {
        let tenant = self.tenant(tenant).await?;
        let mut tx = self.db().read(tenant.id).await?;
        Ok(x509::crls(&mut tx).await?.iter().map(crl_view).collect())
    }

    /// Lets certificates open an account.
    ///
    /// # Errors
    /// NotFound when there is no such account; AlreadyExists when they do.
    pub async fn add_certificate(&self, login: &LoginName, rule: &CertificateRule) -> Result<()> {
        self.edit_certificates(login, rule, Opening::Add).await
    }

    /// Takes it back; ends the account's sessions.
    ///
    /// # Errors
    /// NotFound when there is no such account, or such certificates did not open it.
    pub async fn remove_certificate(
        &self,
        login: &LoginName,
        rule: &CertificateRule,
    ) -> Result<()> {
        self.edit_certificates(login, rule, Opening::Remove).await
    }

    /// Which certificates open an account, oldest first.
    ///
    /// # Errors
    /// NotFound when there is no such account.
    pub async fn certificates(&self, login: &LoginName) -> Result<Vec<AccountCertificateView>> {
        let tenant = self.tenant(&login.tenant).await?;
        let mut tx = self.db().read(tenant.id).await?;
        let id = account(&mut tx, login).await?.id;
        let all = account_certificates::list(&mut tx, id).await?;
        let view = |one: AccountCertificate| AccountCertificateView {
            rule: format!("{}:{}", one.kind, one.value),
            added_at: one.added_at.to_string(),
        };
        Ok(all.into_iter().map(view).collect())
    }

    async fn edit_certificates(
        &self,
        login: &LoginName,
        rule: &CertificateRule,
        opening: Opening,
    ) -> Result<()> {
        let tenant = self.tenant(&login.tenant).await?;
        let edit = AccountEdit {
            login: login.clone(),
            rule: rule.clone(),
            opening,
        };
        self.run(tenant.id, edit).await
    }
}

/// The certificate in a file of one, in PEM or DER.
///
/// # Errors
/// Invalid when there is none, or more than one.
pub fn read_certificate(file: &[u8]) -> Result<Vec<u8>> {
    let wrong = || Error::invalid("the file holds no certificate; give one in PEM or DER");
    if !is_pem(file) {
        X509Certificate::from_der(file).map_err(|error| wrong().because(error.to_string()))?;
        return Ok(file.to_vec());
    }
    let all: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file).collect();
    let all = all.map_err(|error| wrong().because(error))?;
    let [one] = all.as_slice() else {
        let many = "the file holds more than one certificate; give each in a file of its own";
        return Err(if all.is_empty() {
            wrong()
        } else {
            Error::invalid(many)
        });
    };
    X509Certificate::from_der(one).map_err(|error| wrong().because(error.to_string()))?;
    Ok(one.to_vec())
}

fn authority(file: &[u8], now: Timestamp) -> Result<X509Authority> {
    let der = read_certificate(file)?;
    let none = || {
        Error::invalid(
            "this is no authority's certificate; one that opens a single account belongs to that account",
        )
        .hinting("'sealift account certificate add' adds it there")
    };
    let (_, parsed) =
        X509Certificate::from_der(&der).map_err(|error| none().because(error.to_string()))?;
    if !parsed.is_ca() {
        return Err(none());
    }
    let end = Timestamp::from_seconds(parsed.validity().not_after.timestamp());
    if end < now {
        return Err(Error::invalid(format!(
            "the authority's certificate is over since {end}; give its new one"
        )));
    }
    let trusted = CertificateDer::from(der.as_slice());
    webpki::anchor_from_trusted_cert(&trusted).map_err(|error| none().because(error))?;
    Ok(X509Authority {
        fingerprint: fingerprint(&der),
        subject: parsed.subject().to_string(),
        added_at: now,
        certificate: der,
    })
}

fn crl_view(stored: &X509Crl) -> X509CrlView {
    let parsed = CertificateRevocationList::from_der(&stored.crl).ok();
    let parsed = parsed.map(|(_, crl)| crl);
    let parsed = parsed.as_ref();
    let next = parsed.and_then(CertificateRevocationList::next_update);
    X509CrlView {
        issuer: stored.name.clone(),
        revoked: parsed.map_or(0, |crl| crl.iter_revoked_certificates().count()),
        made_at: parsed.map_or_else(String::new, |crl| moment(crl.last_update().timestamp())),
        next_at: next.map_or_else(String::new, |next| moment(next.timestamp())),
    }
}

fn moment(seconds: i64) -> String {
    Timestamp::from_seconds(seconds).to_string()
}

enum TenantEdit {
    Add(X509Authority),
    Crls(Vec<Brought>),
    Remove(String),
}

#[async_trait]
impl Operation for TenantEdit {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        let happening = match self {
            Self::Add(authority) => {
                x509::add(tx, authority).await?;
                let X509Authority {
                    subject,
                    fingerprint,
                    ..
                } = authority;
                Happening::new(
                    AuditKind::X509Add,
                    format!("{subject}, SHA-256 {fingerprint}"),
                )
            }
            Self::Crls(all) => {
                let authorities = x509::list(tx).await?;
                let (mut more, mut said) = (false, Vec::new());
                for brought in all {
                    let crl = &brought.list;
                    // The file may have had two of one authority.
                    let stored = x509::crls(tx).await?;
                    let named = brought.names_more(&authorities, &stored);
                    more |= named.map_err(|error| match all.len() {
                        1 => error,
                        _ => {
                            let sentence = format!("the list of {}: {}", crl.name, error.context());
                            error.saying(sentence)
                        }
                    })?;
                    x509::set_crl(tx, crl).await?;
                    said.push(format!("{}: {} revoked", crl.name, crl_view(crl).revoked));
                }
                if more {
                    account_certificates::end_sessions(tx).await?;
                }
                Happening::new(AuditKind::X509Crl, said.join("; "))
            }
            Self::Remove(fingerprint) => {
                if !x509::remove(tx, fingerprint).await? {
                    return Err(Error::not_found(format!(
                        "the tenant does not trust '{fingerprint}'"
                    ))
                    .hinting("'sealift tenant x509 list' shows all"));
                }
                account_certificates::end_sessions(tx).await?;
                Happening::new(AuditKind::X509Remove, fingerprint.as_str())
            }
        };
        Ok(Record::Event(happening))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Add,
    Remove,
}

struct AccountEdit {
    login: LoginName,
    rule: CertificateRule,
    opening: Opening,
}

#[async_trait]
impl Operation for AccountEdit {
    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let Self {
            login,
            rule,
            opening,
        } = self;
        let id = account(tx, login).await?.id;
        let kind = match opening {
            Opening::Add => {
                let stored = AccountCertificate {
                    kind: rule.kind().to_owned(),
                    value: rule.value().to_owned(),
                    added_at: next.at,
                };
                account_certificates::add(tx, id, &stored).await?;
                AuditKind::CertificateAdd
            }
            Opening::Remove => {
                if !account_certificates::remove(tx, id, rule.kind(), rule.value()).await? {
                    return Err(Error::not_found(format!("{rule} does not open {login}"))
                        .hinting("'sealift account certificate list' shows all"));
                }
                accounts::end_sessions(tx, id).await?;
                AuditKind::CertificateRemove
            }
        };
        Ok(Record::Event(Happening::new(
            kind,
            format!("{login}: {rule}"),
        )))
    }
}
