//! Telling who reads the log of operators' tokens that were made and revoked: that is done beside the server, by
//! whoever may run its program.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::db::database::Database;
use crate::db::operators::{self, OperatorRow};
use crate::domain::error::Result;
use crate::domain::id::TokenId;

/// The tokens as they were at the last look; whether each was revoked.
#[derive(Debug)]
pub struct OperatorWatch {
    known: Mutex<BTreeMap<TokenId, bool>>,
}

impl OperatorWatch {
    /// Takes what there is for known.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn start(db: &Database) -> Result<Self> {
        let all = operators::list(db).await?;
        Ok(Self {
            known: Mutex::new(all.iter().map(state).collect()),
        })
    }

    /// Tells what has changed since the last look.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn look(&self, db: &Database) -> Result<()> {
        let all = operators::list(db).await?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for row in all.iter().rev() {
            let (id, is_revoked) = state(row);
            let before = known.insert(id, is_revoked);
            if before.is_none() {
                let expires = row.expires_at.map(|end| end.to_string());
                tracing::info!(operator = %row.name, role = %row.role, token.id = %id, made_at = %row.made_at, expires_at = expires, "a token of an operator was made");
            }
            if is_revoked && before != Some(true) {
                tracing::info!(operator = %row.name, role = %row.role, token.id = %id, "a token of an operator was revoked");
            }
        }
        Ok(())
    }
}

fn state(row: &OperatorRow) -> (TokenId, bool) {
    (row.id, row.revoked_at.is_some())
}
