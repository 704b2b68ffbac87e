//! What the operator tells doors about a tenant: names of hosts, and words for the front ends.

use crate::accounts::manage::Directory;
use crate::db::audit::Happening;
use crate::db::tenant_hosts;
use crate::domain::audit_kind::AuditKind;
use crate::domain::error::{Error, Result};
use crate::domain::host::HostName;

const MAX_OPTIONS_BYTES: usize = 1_000;

impl Directory {
    /// Gives a name of a host to a tenant: clients that ask for it reach this tenant only.
    ///
    /// # Errors
    /// NotFound when there is no such tenant; AlreadyExists when a tenant has the name.
    pub async fn add_host(&self, tenant: &str, host: &HostName) -> Result<()> {
        let found = self.tenant(tenant).await?;
        tenant_hosts::add(self.db(), found.id, host).await?;
        let happening = Happening::new(AuditKind::TenantHostAdd, format!("{tenant}: {host}"));
        self.write_down(found.id, happening).await
    }

    /// Takes a name of a host from a tenant. Sessions go on.
    ///
    /// # Errors
    /// NotFound when there is no such tenant, or it does not have the name.
    pub async fn remove_host(&self, tenant: &str, host: &HostName) -> Result<()> {
        let found = self.tenant(tenant).await?;
        if !tenant_hosts::remove(self.db(), found.id, host).await? {
            return Err(
                Error::not_found(format!("the tenant does not have the host name {host}"))
                    .hinting(format!("'sealift tenant host list {tenant}' shows all")),
            );
        }
        let happening = Happening::new(AuditKind::TenantHostRemove, format!("{tenant}: {host}"));
        self.write_down(found.id, happening).await
    }

    /// The names of hosts that a tenant has, in order.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn hosts(&self, tenant: &str) -> Result<Vec<String>> {
        let found = self.tenant(tenant).await?;
        tenant_hosts::list(self.db(), found.id).await
    }

    /// The words for the doors of a tenant's accounts; none is what the settings say.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn door_options(&self, tenant: &str) -> Result<Option<String>> {
        Ok(self.tenant(tenant).await?.door_options)
    }

    /// What may be stored: what the words mean is the doors' business, who were asked to look at them.
    ///
    /// # Errors
    /// Invalid, with the rule.
    pub(in crate::accounts) fn check_options(&self, options: Option<&str>) -> Result<()> {
        let Some(text) = options else {
            return Ok(());
        };
        if !(1..=MAX_OPTIONS_BYTES).contains(&text.len()) || text.chars().any(char::is_control) {
            return Err(Error::invalid(format!(
                "give options of at most {MAX_OPTIONS_BYTES} bytes of plain text in all"
            )));
        }
        let check = self
            .doors
            .ok_or_else(|| Error::internal("nobody knows what options for doors mean"))?;
        check(text)
    }
}
