//! Codes that are asked for before something that cannot be undone. Any instance knows them; nothing is
//! kept.

use std::time::Duration;

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;

use crate::accounts::manage::Directory;
use crate::db::login_guard;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::random;

/// How long a code is good.
const GOOD_FOR: Duration = Duration::from_secs(600);

/// Makes codes and knows them again.
pub struct Confirmations {
    key: hmac::Key,
    now: Timestamp,
}

impl Confirmations {
    /// Those of an installation.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn of(directory: &Directory) -> Result<Self> {
        let drawn = HEXLOWER.encode(&random::bytes::<32>());
        let secret = login_guard::installation_secret(directory.db(), &drawn).await?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            now: directory.db().now().await?,
        })
    }

    /// A code for `what`.
    pub fn code(&self, what: &str) -> String {
        let until = self.now.plus(GOOD_FOR).seconds();
        let mark = hmac::sign(&self.key, text(what, until).as_bytes());
        format!("{until}-{}", HEXLOWER.encode(mark.as_ref()))
    }

    /// Whether this is a code for `what` that is still good.
    pub fn is_good(&self, what: &str, code: &str) -> bool {
        let parts = code.split_once('-').and_then(|(until, mark)| {
            let mark = HEXLOWER.decode(mark.as_bytes()).ok()?;
            Some((until.parse::<i64>().ok()?, mark))
        });
        parts.is_some_and(|(until, mark)| {
            let is_ours = hmac::verify(&self.key, text(what, until).as_bytes(), &mark).is_ok();
            is_ours && self.now.seconds() <= until
        })
    }
}

fn text(what: &str, until: i64) -> String {
    format!("confirmation\0{what}\0{until}")
}
