//! `sealift tenant show` and `sealift tenant move`

use std::collections::BTreeSet;

use clap::Args;

use crate::accounts::manage_placement::{PlacedTenant, Region};
use crate::accounts::manage_tenants::WholeTenant;
use crate::cli::arguments;
use crate::cli::output::{self, Format};
use crate::cli::place::Place;
use crate::config::value::Setting as _;
use crate::domain::error::Result;
use crate::server::installation::Installation;
use crate::server::stores;
use crate::vfs::key_care::{self, KeyView};

/// Which to show.
#[derive(Args, Debug)]
pub struct Show {
    /// The tenant
    name: String,
    #[command(flatten)]
    place: Place,
}

/// Which, and where to.
#[derive(Args, Debug)]
pub struct Move {
    /// The tenant
    name: String,
    /// A region that the settings name
    #[arg(long, value_name = "REGION")]
    region: String,
    #[command(flatten)]
    place: Place,
}

impl Show {
    /// Runs it.
    ///
    /// # Errors
    /// NotFound when there is no such tenant.
    pub async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let whole = installation.directory().whole_tenant(&self.name).await?;
        match self.place.format() {
            Format::Json => output::json(&whole)?,
            Format::Text => text(&whole)?,
        }
        installation.close().await;
        Ok(())
    }
}

impl Move {
    /// Runs it.
    ///
    /// # Errors
    /// NotFound when there is no such tenant or region; what keeps the region from being used.
    pub async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let directory = installation.directory();
        let before = directory.placed_tenant(&self.name).await?;
        let id = installation.home(Some(&self.region)).await?;
        stores::check_one(
            &installation.settings,
            installation.database(),
            &self.region,
        )
        .await?;
        if before.kms_key.is_some() {
            let tenant = directory.tenant_id(&self.name).await?;
            key_care::try_own_key(&installation.keys().await?, tenant, id).await?;
        }
        let to = Region {
            id,
            name: &self.region,
        };
        let placed = directory.move_tenant(&self.name, to).await?;
        let sentence = moved(&installation, &before, &placed).await?;
        output::result(self.place.format(), &placed, &sentence)?;
        installation.close().await;
        Ok(())
    }
}

/// Names a tenant's replica, or 'none'; returns what happens next, as the end of a sentence.
///
/// # Errors
/// NotFound when the settings do not name it; what keeps the region from being used; Invalid when
/// the tenant lives there.
pub async fn set_replica(installation: &Installation, tenant: &str, name: &str) -> Result<String> {
    let directory = installation.directory();
    if name == "none" && installation.settings.region(name).is_none() {
        directory.set_tenant_replica(tenant, None).await?;
        return Ok("; the copies it had are removed in the background".to_owned());
    }
    let id = installation.region(name).await?;
    stores::check_one(&installation.settings, installation.database(), name).await?;
    let to = Region { id, name };
    directory.set_tenant_replica(tenant, Some(to)).await?;
    Ok(format!(
        "; copies of its files are kept in {name} as well, from the next round of jobs on: \
         'sealift tenant show {tenant}' tells how far that is"
    ))
}

/// What is left to move, in a table.
pub fn shown_rest(placed: &PlacedTenant) -> String {
    match placed.blobs_to_move {
        0 => "-".to_owned(),
        blobs => {
            let bytes = arguments::shown_amount(placed.bytes_to_move);
            format!("{blobs} blobs, {bytes}")
        }
    }
}

/// A replica and how far it is behind, in a table.
pub fn shown_replica(placed: &PlacedTenant) -> String {
    let Some(replica) = &placed.replica else {
        return "-".to_owned();
    };
    let lag = placed.replica_lag_seconds.filter(|lag| *lag > 0);
    let lag = lag.map(|lag| format!("{} behind", arguments::shown_time(lag)));
    let keys = placed.replica_keys_missing.filter(|count| *count > 0);
    let keys = keys.map(|count| format!("{count} versions of the key cannot be opened there yet"));
    let behind: Vec<_> = lag.into_iter().chain(keys).collect();
    match behind.is_empty() {
        true => replica.clone(),
        false => format!("{replica} ({})", behind.join("; ")),
    }
}

/// What a tenant uses, for people.
fn shown_use(whole: &WholeTenant) -> String {
    let used = arguments::shown_amount(whole.used_bytes);
    let promised = match whole.reserved_bytes {
        0 => String::new(),
        bytes => format!(
            ", and {} promised to uploads in progress",
            arguments::shown_amount(bytes)
        ),
    };
    format!("{used} in {} files and folders{promised}", whole.used_files)
}

fn text(whole: &WholeTenant) -> Result<()> {
    let placed = &whole.placed;
    let tenant = &placed.tenant;
    let keeps = std::time::Duration::from_secs(tenant.retention_seconds);
    let dash = || "-".to_owned();
    for (head, value) in [
        ("tenant", tenant.name.clone()),
        ("state", arguments::shown_state(tenant.disabled)),
        ("added", tenant.created_at.clone()),
        ("keeps", keeps.text()),
        ("quota", arguments::shown_size(tenant.quota_bytes)),
        ("files", arguments::shown_count(tenant.quota_files)),
        ("used", shown_use(whole)),
        ("sessions", arguments::shown_count(tenant.sessions)),
        ("region", placed.region.clone()),
        ("to move", shown_rest(placed)),
        ("replica", shown_replica(placed)),
        ("KMS key", placed.kms_key.clone().unwrap_or_else(dash)),
        ("FTP", tenant.door_options.clone().unwrap_or_else(dash)),
    ] {
        output::text(&format!("{head:<8}  {value}"))?;
    }
    if let Some(at) = &placed.keys_destroyed_at {
        output::text(&format!(
            "keys destroyed {at}: nothing can be read any more"
        ))?;
    }
    Ok(())
}

/// What happens next, and what the operator has to see to.
async fn moved(
    installation: &Installation,
    before: &PlacedTenant,
    placed: &PlacedTenant,
) -> Result<String> {
    let (name, to) = (&placed.tenant.name, &placed.region);
    if before.region == *to && placed.blobs_to_move == 0 {
        return Ok(format!("{name} is in region {to} already"));
    }
    let mut text = match placed.blobs_to_move {
        0 => format!("{name} is in region {to} now; new files go there within seconds"),
        _ => format!(
            "{name} moves to region {to}: new files go there within seconds, and {} follow in the \
             background while transfers go on. 'sealift tenant show {name}' tells what is left; the \
             region they leave must stay in the settings until {} after that (retention.blob_grace)",
            shown_rest(placed),
            installation.settings.jobs.blob_grace.text()
        ),
    };
    text += &keys_elsewhere(installation, name, to).await?;
    if before.replica.as_ref() == Some(to) {
        let has = match placed.blobs_to_move {
            0 => "the copies of all its files are there",
            _ => "the copies of its other files are there already",
        };
        text += &format!(
            ".\n{to} was its replica: {has}, and it has no second region any more; name another one by \
             'sealift tenant set {name} --replica'"
        );
    }
    Ok(text)
}

/// What other regions, or the key file, still wrap of a tenant's keys, as the end of a sentence; nothing when the
/// region that it is in wraps all of them.
async fn keys_elsewhere(installation: &Installation, name: &str, region: &str) -> Result<String> {
    let service = |region: &str| {
        let service = installation.settings.region(region)?.key_service.as_ref()?;
        Some((service.key.clone(), service.cloud.endpoint.clone()))
    };
    let here = service(region);
    let is_here = |key: &KeyView| match key.region.as_deref() {
        None => here.is_none(),
        Some(by) => by == region || (here.is_some() && service(by) == here),
    };
    let tenant = installation.directory().tenant_id(name).await?;
    let mut keys = key_care::list(installation.database(), tenant).await?;
    keys.retain(|key| !is_here(key));
    if keys.is_empty() {
        return Ok(String::new());
    }
    let by = keys.iter().map(|key| match &key.region {
        None => "the key file".to_owned(),
        Some(region) => format!("what region {region} has for that"),
    });
    let by: BTreeSet<_> = by.collect();
    let by = Vec::from_iter(by).join(", and ");
    let opens_here = |key: &KeyView| key.copies.iter().any(|copy| copy.region == region);
    let without = match keys.iter().all(opens_here) {
        // They are wrapped for what was the replica, too.
        true => String::new(),
        false => format!(", so that nothing of {name} can be read without that"),
    };
    Ok(format!(
        ".\nIts data keys stay wrapped as they were, by {by}{without}: run 'sealift keys rewrap {name}', which \
         wraps them anew, before you remove that from the settings"
    ))
}
