//! `sealift migrate`

use clap::Args;
use serde_json::json;

use crate::cli::output;
use crate::cli::place::Place;
use crate::config::settings::Settings;
use crate::db::database;
use crate::db::migrate::{self, SchemaState};
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
        let other = other_role(&settings);
        settings.database.as_owner();
        if settings.database.url.is_none() {
            folders::make_above(&settings.database.path)?;
        }
        let db = installation::open(&settings).await?;
        if let Ok(SchemaState::Older) = migrate::state(&db).await {
            output::hint(migrate::PATIENCE);
        }
        let steps = migrate::migrate(&db, &settings.database.server_role).await?;
        db.close().await;
        let mut sentence = match steps {
            0 => "the schema is up to date".to_owned(),
            1 => "the schema is up to date now, after 1 step".to_owned(),
            _ => format!("the schema is up to date now, after {steps} steps"),
        };
        if let Some(other) = other {
            sentence += &format!(
                "; it is for the role {} (database.server_role), but database.url names {other}: if servers \
                 connect as that role, name it in both and run this again",
                settings.database.server_role
            );
        }
        output::result(self.place.format(), &json!({ "steps": steps }), &sentence)?;
        Ok(())
    }
}

/// The role that servers connect as, if it is not the one to which things are granted.
fn other_role(settings: &Settings) -> Option<String> {
    settings.database.owner_url.as_ref()?;
    let role = database::role(settings.database.url.as_deref()?)?;
    (role != settings.database.server_role).then_some(role)
}
