//! `sealift migrate`

use clap::Args;
use serde_json::json;

use crate::cli::output;
use crate::cli::place::Place;
use crate::db::migrate;
use crate::domain::error::Result;
use crate::server::{folders, installation};

/// Brings the database's schema up to date
#[derive(Args, Debug)]
pub struct Migrate {
    #[command(flatten)]
    place: Place,
}

impl Migrate {
    /// Runs it, on PostgreSQL as the role that owns the tables.
    ///
    /// # Errors
    /// Invalid when the schema is newer than this program; Unavailable.
    pub async fn run(self) -> Result<()> {
        let mut settings = self.place.settings()?;
        if let Some(owner) = settings.database.owner_url.take() {
            settings.database.url = Some(owner);
        }
        if settings.database.url.is_none() {
            folders::make_above(&settings.database.path)?;
        }
        let db = installation::open(&settings).await?;
        let steps = migrate::migrate(&db, &settings.database.server_role).await?;
        db.close().await;
        let sentence = match steps {
            0 => "the schema is up to date".to_owned(),
            1 => "the schema is up to date now, after 1 step".to_owned(),
            _ => format!("the schema is up to date now, after {steps} steps"),
        };
        output::result(self.place.format(), &json!({ "steps": steps }), &sentence);
        Ok(())
    }
}
