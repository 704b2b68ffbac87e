//! `sealift tenant`

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::accounts::manage::{Access, Directory, Limit, TenantLimits};
use crate::cli::arguments::{self, Quota};
use crate::cli::ftp_options::OfTenant;
use crate::cli::output;
use crate::cli::place::Place;
use crate::cli::tenant_ca::Ca;
use crate::cli::tenant_host::Host;
use crate::cli::tenant_place::{self, Move, Show};
use crate::cli::tenant_x509::X509;
use crate::config::value::Setting as _;
use crate::db::tenants::NewTenant;
use crate::domain::error::{Error, Result};
use crate::server::installation::Installation;
use crate::vfs::key_care;

/// Adds, shows and changes tenants
#[derive(Subcommand, Debug)]
pub enum Tenant {
    /// Adds a tenant with an empty tree
    Add(Add),
    /// Shows all tenants
    List(List),
    /// Shows a tenant: its limits, what it uses, where it is, what is left to move or to copy
    Show(Show),
    /// Moves a tenant's files to another region, while transfers go on
    Move(Move),
    /// Keeps a tenant's accounts out and ends their sessions
    Disable(Named),
    /// Lets a tenant's accounts in again
    Enable(Named),
    /// Changes a tenant's quota, retention, sessions, replica or KMS key
    Set(Set),
    /// Keys whose certificates open a tenant's accounts
    #[command(subcommand)]
    Ca(Ca),
    /// Authorities (X.509) whose certificates open a tenant's accounts over TLS
    #[command(subcommand)]
    X509(X509),
    /// Names of hosts that lead to one tenant only
    #[command(subcommand)]
    Host(Host),
    /// Sets or shows what FTP does for a tenant's accounts, at logins from now on
    Ftp(OfTenant),
}

/// A new tenant.
#[derive(Args, Debug)]
pub struct Add {
    /// Its name
    name: String,
    #[command(flatten)]
    quota: Quota,
    /// How long deleted and replaced files are kept, as in 30d
    #[arg(long, value_name = "TIME", value_parser = arguments::retention)]
    retention: Option<Duration>,
    /// Where its files are kept: a region that the settings name, storage.region if none is given
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// Which to show.
#[derive(Args, Debug)]
pub struct List {
    #[command(flatten)]
    place: Place,
}

/// A tenant.
#[derive(Args, Debug)]
pub struct Named {
    /// Its name
    name: String,
    #[command(flatten)]
    place: Place,
}

/// What to change.
#[derive(Args, Debug)]
pub struct Set {
    /// The tenant
    name: String,
    #[command(flatten)]
    quota: Quota,
    /// How long deleted and replaced files are kept, as in 30d
    #[arg(long, value_name = "TIME", value_parser = arguments::retention)]
    retention: Option<Duration>,
    /// A second region, where copies of all its files are kept, or 'none'
    #[arg(long, value_name = "REGION")]
    replica: Option<String>,
    /// The KMS key that wraps its new data keys; 'none' is its region's
    #[arg(long, value_name = "KEY")]
    kms_key: Option<String>,
    /// Most sessions of its accounts at a time, or 'none' for what the settings say
    #[arg(long, value_name = "COUNT", value_parser = arguments::count)]
    sessions: Option<Limit<u64>>,
    #[command(flatten)]
    place: Place,
}

impl Tenant {
    /// Runs it.
    ///
    /// # Errors
    /// As [`Directory`] says.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Add(add) => add.run().await,
            Self::List(list) => list.run().await,
            Self::Show(show) => show.run().await,
            Self::Move(to) => to.run().await,
            Self::Disable(named) => named.run(Access::Refuse).await,
            Self::Enable(named) => named.run(Access::Allow).await,
            Self::Set(set) => set.run().await,
            Self::Ca(ca) => ca.run().await,
            Self::X509(x509) => x509.run().await,
            Self::Host(host) => host.run().await,
            Self::Ftp(ftp) => ftp.run().await,
        }
    }
}

impl Add {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let new = NewTenant {
            name: self.name,
            retention: self.retention.unwrap_or(installation.settings.retention),
            quota_bytes: arguments::initial(self.quota.bytes()),
            quota_files: arguments::initial(self.quota.files()),
            region: installation.home(self.region.as_deref()).await?,
        };
        let directory = installation.directory();
        directory.add_tenant(&new).await?;
        let added = directory.placed_tenant(&new.name).await?;
        let sentence = format!("added tenant {} in region {}", new.name, added.region);
        output::result(self.place.format(), &added, &sentence)?;
        installation.close().await;
        Ok(())
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let tenants = installation.directory().placed_tenants().await?;
        let head = [
            "TENANT", "STATE", "REGION", "REPLICA", "TO MOVE", "KEEPS", "QUOTA", "FILES", "ADDED",
        ];
        output::list(self.place.format(), &tenants, head, |placed| {
            let tenant = &placed.tenant;
            [
                tenant.name.clone(),
                arguments::shown_state(tenant.disabled),
                placed.region.clone(),
                tenant_place::shown_replica(placed),
                tenant_place::shown_rest(placed),
                Duration::from_secs(tenant.retention_seconds).text(),
                arguments::shown_size(tenant.quota_bytes),
                arguments::shown_count(tenant.quota_files),
                tenant.created_at.clone(),
            ]
        })?;
        installation.close().await;
        Ok(())
    }
}

impl Named {
    async fn run(self, access: Access) -> Result<()> {
        let installation = self.place.open().await?;
        let directory: Directory = installation.directory();
        directory.set_tenant_access(&self.name, access).await?;
        let disabled = access == Access::Refuse;
        let value = json!({ "tenant": self.name, "disabled": disabled });
        let sentence = format!("{} is {}", self.name, arguments::shown_state(disabled));
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }
}

impl Set {
    async fn run(self) -> Result<()> {
        let limited = !self.quota.is_empty() || self.retention.is_some();
        let placed = self.replica.is_some() || self.kms_key.is_some();
        if !limited && !placed && self.sessions.is_none() {
            return Err(Error::invalid(
                "nothing to change; give --quota, --quota-files, --retention, --sessions, --replica or \
                 --kms-key",
            ));
        }
        let installation = self.place.open().await?;
        let directory = installation.directory();
        let mut sentence = format!("changed tenant {}", self.name);
        // Before anything has changed.
        if let Some(key) = self.own_kms_key() {
            sentence += self.try_kms_key(&installation, key).await?;
        }
        if let Some(name) = &self.replica {
            sentence += &tenant_place::set_replica(&installation, &self.name, name).await?;
        }
        if limited {
            let limits = TenantLimits {
                quota_bytes: self.quota.bytes(),
                quota_files: self.quota.files(),
                retention: self.retention,
            };
            directory.set_tenant_limits(&self.name, limits).await?;
        }
        if let Some(sessions) = self.sessions {
            directory.set_sessions(&self.name, sessions).await?;
        }
        if self.kms_key.is_some() {
            let key = self.own_kms_key();
            directory.set_kms_key(&self.name, key).await?;
            sentence += &format!(
                "; 'sealift keys rewrap {}' moves the keys it has",
                self.name
            );
        }
        let changed = directory.placed_tenant(&self.name).await?;
        output::result(self.place.format(), &changed, &sentence)?;
        installation.close().await;
        Ok(())
    }

    /// The key that is named, if any is.
    fn own_kms_key(&self) -> Option<&str> {
        let key = self.kms_key.as_deref();
        key.filter(|key| !matches!(*key, "" | "none"))
    }

    /// Asks the key service before anything is changed; what there is to say besides.
    async fn try_kms_key(&self, installation: &Installation, key: &str) -> Result<&'static str> {
        let id = installation.directory().tenant_id(&self.name).await?;
        let keys = installation.keys().await?;
        Ok(
            match key_care::try_kms_key(&keys, id, None, key, "--kms-key").await? {
                true => "",
                false => "; its region has no kms_key, so that nothing can be wrapped by it there",
            },
        )
    }
}
