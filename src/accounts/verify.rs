//! Passwords looked at off the network threads, a bounded number at a time.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::crypto::password::{self, Verdict};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::random;
use crate::domain::secret::Secret;

/// How passwords are kept and looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordSettings {
    /// Rounds of PBKDF2-HMAC-SHA-512; stored hashes of others are made anew at the next login.
    pub rounds: u32,
    /// Passwords looked at in the same moment; each takes a core.
    pub at_once: usize,
    /// Logins that may wait for that; more are refused.
    pub waiting: usize,
}

impl Default for PasswordSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            rounds: password::DEFAULT_ROUNDS,
            at_once: cores,
            waiting: 64 * cores,
        }
    }
}

/// What a look at a password found.
pub(in crate::accounts) enum Outcome {
    /// It is right; a better hash to store when the stored one is of an older form.
    Right(Option<Secret>),
    /// It is wrong, or there was none to compare with.
    Wrong,
}

/// Looks at passwords. Cheap to clone.
#[derive(Clone)]
pub(in crate::accounts) struct Verifier {
    rounds: u32,
    /// Compared with when there is no password, so that it costs the same.
    dummy: Secret,
    slots: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Verifier {
    pub(in crate::accounts) async fn start(settings: PasswordSettings) -> Result<Self> {
        let at_once = settings.at_once.max(1);
        let nobody = Secret::new(random::bytes::<32>());
        Ok(Self {
            rounds: settings.rounds,
            dummy: hash(nobody, settings.rounds).await?,
            slots: Arc::new(Semaphore::new(at_once)),
            queue: Arc::new(Semaphore::new(at_once + settings.waiting)),
            tasks: TaskTracker::new(),
        })
    }

    /// Compares a password with a stored hash. Without one it is wrong, at the same cost; so is a wrong one that a
    /// cheaper hash was stored of.
    ///
    /// # Errors
    /// Busy when too many wait already.
    pub(in crate::accounts) async fn verify(
        &self,
        password: &Secret,
        stored: Option<&Secret>,
    ) -> Result<Outcome> {
        let waiting = self.queue.clone().try_acquire_owned().map_err(|_| {
            Error::new(
                ErrorKind::Busy,
                "the server is looking at many passwords; try again in 10 seconds",
            )
        })?;
        let slot = self.slots.clone().acquire_owned().await;
        let known = stored.is_some();
        let stored = stored.unwrap_or(&self.dummy).clone();
        let (password, rounds) = (password.clone(), self.rounds);
        let task = self.tasks.spawn_blocking(move || {
            let outcome = compare(&password, &stored, rounds, known);
            // Held until the work is done, whoever waits for it.
            drop((slot, waiting));
            outcome
        });
        task.await.map_err(Error::internal)?
    }

    /// Hashes a new password as the settings say.
    ///
    /// # Errors
    /// Internal when the thread was lost.
    pub(in crate::accounts) async fn hash(&self, password: Secret) -> Result<Secret> {
        hash(password, self.rounds).await
    }

    /// Waits until no password is being looked at.
    pub(in crate::accounts) async fn stop(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// New passwords that are hashed at a time; the others wait.
static HASHING: Semaphore = Semaphore::const_new(4);

/// Hashes a password off the network threads, a few at a time.
///
/// # Errors
/// Internal when the thread was lost.
pub(in crate::accounts) async fn hash(password: Secret, rounds: u32) -> Result<Secret> {
    let place = HASHING.acquire().await.map_err(Error::internal)?;
    let hashing = tokio::task::spawn_blocking(move || {
        let hash = rehash(&password, rounds);
        drop(place);
        hash
    });
    hashing.await.map_err(Error::internal)
}

fn compare(password: &Secret, stored: &Secret, rounds: u32, known: bool) -> Result<Outcome> {
    let text = std::str::from_utf8(stored.expose()).map_err(Error::internal)?;
    let verdict = password::verify(password, text)?;
    Ok(match verdict {
        _ if !known => Outcome::Wrong,
        Verdict::Right | Verdict::RightButOld => {
            Outcome::Right((!password::is_current(text, rounds)).then(|| rehash(password, rounds)))
        }
        Verdict::Wrong => {
            // Or the account could be told from a name that does not exist.
            password::make_up(password, text, rounds);
            Outcome::Wrong
        }
    })
}

fn rehash(password: &Secret, rounds: u32) -> Secret {
    Secret::new(password::hash(password, rounds).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(at_once: usize, waiting: usize) -> PasswordSettings {
        PasswordSettings {
            rounds: 1_000,
            at_once,
            waiting,
        }
    }

    #[tokio::test]
    async fn a_hash_of_other_rounds_is_made_anew() {
        let verifier = Verifier::start(settings(1, 1)).await.unwrap();
        let password = Secret::new("hunter2");
        let old = hash(password.clone(), 2_000).await.unwrap();
        let Outcome::Right(Some(new)) = verifier.verify(&password, Some(&old)).await.unwrap()
        else {
            panic!("the password is right and its hash is old");
        };
        let again = verifier.verify(&password, Some(&new)).await.unwrap();
        assert!(matches!(again, Outcome::Right(None)));
    }

    #[tokio::test]
    async fn nobody_has_a_password() {
        let verifier = Verifier::start(settings(1, 1)).await.unwrap();
        let outcome = verifier.verify(&Secret::new("x"), None).await.unwrap();
        assert!(matches!(outcome, Outcome::Wrong));
    }

    #[tokio::test]
    async fn more_than_may_wait_are_refused() {
        let verifier = Verifier::start(settings(1, 0)).await.unwrap();
        let password = Secret::new("x");
        let slot = verifier.queue.clone().try_acquire_owned().unwrap();
        let refused = verifier.verify(&password, None).await;
        assert_eq!(refused.err().map(|e| e.kind()), Some(ErrorKind::Busy));
        drop(slot);
        assert!(verifier.verify(&password, None).await.is_ok());
        verifier.stop().await;
    }
}
