//! Requests that carry a key, and are carried out once however often they come.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{self, Either};

use crate::accounts::login::Accounts;
use crate::crypto::small_secret;
use crate::db::once::{self, Attempt, Noted};
use crate::domain::error::Result;
use crate::domain::id::AttemptId;
use crate::domain::principal::Principal;

/// How long an answer is kept, and the key with it.
pub const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long an attempt that says nothing of itself goes on, and how often it says so.
const LEASE: Duration = Duration::from_secs(30);
const RENEW: Duration = Duration::from_secs(10);

const PURPOSE: &str = "idempotency";

/// What is to be done about a request that carries a key.
pub enum Standing {
    /// It was answered: so.
    Answered(Vec<u8>),
    /// It was carried out, wholly or in part, and its answer is lost.
    Lost,
    /// Another request has this key.
    Other,
    /// Nobody has carried it out: now it is to be.
    Ours(Box<Ours>),
    /// It is being carried out.
    UnderWay,
}

/// A request that is to be carried out here.
pub struct Ours {
    accounts: Accounts,
    principal: Principal,
    attempt: Attempt,
}

impl Accounts {
    /// Looks whether a request has come before, by hashes of its key and of all that it says. Who is told
    /// that it is theirs carries it out by [`Ours::run`].
    ///
    /// # Errors
    /// Unavailable when the database or the key service does not answer: nothing is to be done then.
    pub async fn stand(
        &self,
        principal: &Principal,
        key: [u8; 32],
        fingerprint: [u8; 32],
    ) -> Result<Standing> {
        let (inner, tenant) = (&self.inner, principal.tenant);
        // What cannot be sealed afterwards is not begun.
        inner.keys.fetch(tenant, None).await?;
        let now = inner.now();
        let (since, until) = (now.minus(KEPT_FOR), now.plus(LEASE));
        let attempt = Attempt {
            account: principal.account,
            key,
            id: AttemptId::random(),
        };
        let ours = || {
            Standing::Ours(Box::new(Ours {
                accounts: self.clone(),
                principal: principal.clone(),
                attempt: attempt.clone(),
            }))
        };
        let mut tx = inner.db().write(tenant).await?;
        once::forget_old(&mut tx, attempt.account, &key, since).await?;
        if once::begin(&mut tx, &attempt, &fingerprint, now, until).await? {
            tx.commit().await?;
            return Ok(ours());
        }
        let noted = once::find(&mut tx, attempt.account, &key, since).await?;
        let Some(noted) = noted else {
            // It was given up in this very moment.
            return Ok(Standing::UnderWay);
        };
        if noted.fingerprint != fingerprint {
            return Ok(Standing::Other);
        }
        if let Some(sealed) = &noted.answer {
            drop(tx);
            return self.opened(principal, sealed).await.map(Standing::Answered);
        }
        match noted {
            Noted { leased_until, .. } if leased_until > now => Ok(Standing::UnderWay),
            Noted { executed: true, .. } => Ok(Standing::Lost),
            Noted { attempt: other, .. } => {
                match once::take_over(&mut tx, &attempt, other, now, until).await? {
                    true => {
                        tx.commit().await?;
                        Ok(ours())
                    }
                    false => Ok(Standing::UnderWay),
                }
            }
        }
    }

    async fn opened(&self, principal: &Principal, sealed: &[u8]) -> Result<Vec<u8>> {
        let (tenant, account) = (principal.tenant, principal.account);
        let version = small_secret::key_version(sealed)?;
        let key = self.inner.keys.fetch(tenant, Some(version)).await?;
        let opened = small_secret::open(&key, tenant, account, PURPOSE, sealed)?;
        Ok(opened.to_vec())
    }
}

impl Ours {
    /// Carries the request out. What `work` commits is noted with it, so that nobody does it again
    /// whatever happens here.
    pub async fn run<F: Future>(&self, work: F) -> F::Output {
        let work = pin!(once::within(self.attempt.clone(), work));
        let renewing = pin!(self.renew());
        match future::select(work, renewing).await {
            Either::Left((done, _)) => done,
            Either::Right((never, _)) => match never {},
        }
    }

    /// Keeps the answer, for who asks again.
    ///
    /// # Errors
    /// Unavailable when the database or the key service does not answer.
    pub async fn keep(&self, answer: &[u8]) -> Result<()> {
        let inner = &self.accounts.inner;
        let (tenant, account) = (self.principal.tenant, self.principal.account);
        let key = inner.keys.fetch(tenant, None).await?;
        let sealed = small_secret::seal(&key, tenant, account, PURPOSE, answer)?;
        let mut tx = inner.db().write(tenant).await?;
        once::answer(&mut tx, &self.attempt, &sealed).await?;
        tx.commit().await
    }

    /// Forgets the request if it has changed nothing, so that it can be sent again; false when it has
    /// changed something.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn give_up(&self) -> Result<bool> {
        let mut tx = self
            .accounts
            .inner
            .db()
            .write(self.principal.tenant)
            .await?;
        let given_up = once::give_up(&mut tx, &self.attempt).await?;
        tx.commit().await?;
        Ok(given_up)
    }

    /// Says again and again that the attempt goes on.
    async fn renew(&self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(RENEW).await;
            let inner = &self.accounts.inner;
            let until = inner.now().plus(LEASE);
            let renewed = async {
                let mut tx = inner.db().write(self.principal.tenant).await?;
                once::renew(&mut tx, &self.attempt, until).await?;
                tx.commit().await
            };
            if let Err(error) = renewed.await {
                tracing::debug!(error = ?error, "a request with a key could not say that it goes on");
            }
        }
    }
}
