//! `sealift webhook deliveries`, `dead` and `replay`

use clap::Args;
use serde_json::json;

use crate::accounts::webhook_views::{self, Which};
use crate::cli::output;
use crate::cli::place::Place;
use crate::db::deliveries::DeliveryState;
use crate::domain::error::Result;

/// Deliveries to show.
#[derive(Args, Debug)]
pub struct Deliveries {
    /// The tenant
    tenant: String,
    /// What the webhook is called
    name: String,
    /// So many at most, the newest
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    place: Place,
}

/// What to send again.
#[derive(Args, Debug)]
pub struct Replay {
    /// The tenant
    tenant: String,
    /// What the webhook is called
    name: String,
    /// Only this event, delivered or not; without it, all that was given up
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    #[command(flatten)]
    place: Place,
}

impl Deliveries {
    /// Shows those that were given up.
    ///
    /// # Errors
    /// As [`Deliveries::run`].
    pub async fn dead(self) -> Result<()> {
        self.run(Some(DeliveryState::Dead)).await
    }

    /// Shows them.
    ///
    /// # Errors
    /// As [`Directory`](crate::accounts::manage::Directory) says.
    pub async fn run(self, state: Option<DeliveryState>) -> Result<()> {
        let installation = self.place.open().await?;
        let (directory, which) = (installation.directory(), Which::Name(self.name));
        let limit = self.limit as usize;
        let found = directory.webhook_deliveries(&self.tenant, &which, state, None, limit);
        let (found, _) = found.await?;
        let head = ["EVENT", "ABOUT", "WHAT", "STATE", "TRIES", "LAST TRY"];
        output::list(self.place.format(), &found, head, |one| {
            let path = one.data.get("path").and_then(|path| path.as_str());
            [
                one.event.clone(),
                path.unwrap_or("-").to_owned(),
                one.kind.to_owned(),
                one.state.to_owned(),
                one.attempts.to_string(),
                one.said.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })?;
        installation.close().await;
        Ok(())
    }
}

impl Replay {
    /// Sends it.
    ///
    /// # Errors
    /// As [`Directory`](crate::accounts::manage::Directory) says.
    pub async fn run(self) -> Result<()> {
        let event = self.event.as_deref().map(webhook_views::event_id);
        let event = event.transpose()?;
        let installation = self.place.open().await?;
        let (directory, which) = (installation.directory(), Which::Name(self.name.clone()));
        let count = directory
            .replay_webhook(&self.tenant, &which, event)
            .await?;
        let sentence = format!("{count} sent again to {} of {}", self.name, self.tenant);
        let value = json!({ "tenant": self.tenant, "webhook": self.name, "replayed": count });
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }
}
