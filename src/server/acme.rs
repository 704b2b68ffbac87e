//! Certificates that come by ACME: all instances serve them, and one at a time orders them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::crypto::keyring::{KeyHome, KeyRing, WrappedKey};
use crate::crypto::small_secret;
use crate::db::acme::{self, Failures, SealedSecret, StoredCertificate};
use crate::db::database::Database;
use crate::db::leases;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::host::HostName;
use crate::domain::id::{AccountId, InstanceId, RegionId};
use crate::domain::random;
use crate::net::acme::{AcmeSettings, Authority};
use crate::net::certificates::Certificates;
use crate::net::challenges::Challenges;
use crate::server::own_keys::{ACME_VERSION, NOBODY};

/// How often an instance looks for certificates that others got, and whether one is to be renewed.
const LOOK: Duration = Duration::from_secs(10);
/// How long one instance has the ordering to itself.
const LEASE: Duration = Duration::from_secs(10 * 60);
/// How long an answer to an authority is kept.
const CHALLENGE: Duration = Duration::from_secs(60 * 60);
/// How long to wait after a failure: twice as long after each, up to a day.
const FIRST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
const NO_ACCOUNT: AccountId = AccountId(0);
const ACCOUNT: &str = "acme account";
const CERTIFICATE: &str = "acme certificate";

/// What orders, fetches and renews the certificates of an installation.
pub struct AcmeKeeper {
    settings: AcmeSettings,
    db: Database,
    ring: KeyRing,
    home: RegionId,
    instance: InstanceId,
    certificates: Certificates,
    /// The directories and numbers of the certificates that are served.
    served: BTreeMap<HostName, (String, i64)>,
    /// The last failure to look, said once.
    failure: Option<String>,
}

/// The answers to authorities that this database knows.
pub fn challenges(db: Database) -> Challenges {
    Challenges::new(move |token| {
        let db = db.clone();
        Box::pin(async move { acme::challenge(&db, &token).await })
    })
}

impl AcmeKeeper {
    /// Keeps `certificates` supplied; what is secret is wrapped by `ring` for `home`.
    pub fn new(
        settings: AcmeSettings,
        db: Database,
        (ring, home): (KeyRing, RegionId),
        instance: InstanceId,
        certificates: Certificates,
    ) -> Self {
        Self {
            settings,
            db,
            ring,
            home,
            instance,
            certificates,
            served: BTreeMap::new(),
            failure: None,
        }
    }

    /// Serves what there is already, and says what there is not.
    pub async fn begin(&mut self) {
        for host in self.settings.hosts.clone() {
            if let Err(error) = self.fetch(&host).await {
                tracing::warn!(%host, ?error, "the certificate that came by ACME cannot be had now");
            }
            if !self.served.contains_key(&host) {
                tracing::warn!(
                    %host,
                    "there is no certificate of this host yet; clients get a self-signed one until the authority has \
                     issued it"
                );
            }
        }
    }

    /// Fetches and orders until `stop`.
    pub async fn follow(mut self, stop: CancellationToken) {
        let rounds = async {
            loop {
                match Box::pin(self.look()).await {
                    Ok(()) => self.failure = None,
                    Err(error) => self.say(&error),
                }
                let jitter = Duration::from_millis(random::below(2_000));
                tokio::time::sleep(LOOK + jitter).await;
            }
        };
        stop.run_until_cancelled(rounds).await;
    }

    fn say(&mut self, error: &Error) {
        let said = Some(error.context().to_owned());
        if self.failure != said {
            tracing::warn!(
                ?error,
                "certificates that come by ACME cannot be looked after now"
            );
            self.failure = said;
        }
    }

    /// Fetches what others got, and orders what is due.
    async fn look(&mut self) -> Result<()> {
        // One host keeps no other from its certificate.
        let mut done = Ok(());
        for host in self.settings.hosts.clone() {
            if let Err(error) = self.fetch(&host).await {
                done = Err(error);
            }
            if !self.is_due(&host).await? {
                continue;
            }
            if !leases::take(&self.db, NOBODY, "acme", self.instance, LEASE).await? {
                break;
            }
            // Another instance may have been at it until just now.
            if self.is_due(&host).await? {
                self.try_order(&host).await?;
                done = self.fetch(&host).await.and(done);
            }
        }
        done
    }

    async fn is_due(&self, host: &HostName) -> Result<bool> {
        let now = self.db.now().await?;
        let (host, directory) = (host.as_str(), self.settings.directory.as_str());
        if let Some(failures) = acme::failures(&self.db, host, directory).await?
            && now < failures.try_at
        {
            return Ok(false);
        }
        let stored = acme::certificate(&self.db, host, directory).await?;
        Ok(stored.is_none_or(|stored| stored.renew_at <= now))
    }

    /// Takes a certificate over that is newer than the one that is served. Until the authority of the settings
    /// has issued one, that of another will do.
    async fn fetch(&mut self, host: &HostName) -> Result<()> {
        let directory = &self.settings.directory;
        let stored = acme::best_certificate(&self.db, host.as_str(), directory).await?;
        let Some(stored) = stored else {
            return Ok(());
        };
        let id = (stored.directory, stored.number);
        if self.served.get(host) == Some(&id) {
            return Ok(());
        }
        let pem = self.open(CERTIFICATE, &stored.secret).await?;
        let ends = self.certificates.put_issued(host.as_str(), &pem)?;
        tracing::info!(%host, %ends, "serving a certificate that came by ACME");
        self.served.insert(host.clone(), id);
        Ok(())
    }

    /// Orders a certificate; a failure is logged and noted, so that it is tried again later.
    async fn try_order(&self, host: &HostName) -> Result<()> {
        let Err(error) = self.order(host).await else {
            return Ok(());
        };
        let of = (host.as_str(), self.settings.directory.as_str());
        let before = acme::failures(&self.db, of.0, of.1).await?;
        let count = before
            .map_or(0, |failures| failures.count)
            .saturating_add(1);
        let wait = FIRST_WAIT
            .saturating_mul(1 << (count - 1).min(12))
            .min(LONGEST_WAIT);
        let jitter = Duration::from_secs(random::below(wait.as_secs() / 8 + 1));
        let try_at = self.db.now().await?.plus(wait + jitter);
        tracing::warn!(%host, ?error, failures = count, next = %try_at, "no certificate by ACME");
        acme::put_failures(&self.db, of, Failures { count, try_at }).await
    }

    async fn order(&self, host: &HostName) -> Result<()> {
        let authority = self.authority().await?;
        let db = self.db.clone();
        let publish = move |token: String, answer: String| {
            let db = db.clone();
            async move {
                let now = db.now().await?;
                let challenge = (token.as_str(), answer.as_str());
                acme::put_challenge(&db, challenge, now.plus(CHALLENGE), now).await
            }
        };
        tracing::info!(%host, directory = self.settings.directory, "ordering a certificate by ACME");
        let issued = authority.order(&self.settings, host, publish).await?;
        let pem = Zeroizing::new(format!("{}\n{}", issued.chain.trim_end(), &*issued.key));
        let renew_at = Certificates::renewal(pem.as_bytes())?;
        let directory = &self.settings.directory;
        let before = acme::certificate(&self.db, host.as_str(), directory).await?;
        let stored = StoredCertificate {
            host: host.as_str().to_owned(),
            directory: directory.clone(),
            number: before.map_or(1, |before| before.number.saturating_add(1)),
            secret: self.seal(CERTIFICATE, pem.as_bytes()).await?,
            renew_at,
        };
        acme::put_certificate(&self.db, &stored).await
    }

    /// The account at the authority; made when there is none.
    async fn authority(&self) -> Result<Authority> {
        let directory = &self.settings.directory;
        if let Some(known) = acme::account(&self.db, directory).await? {
            let credentials = self.open(ACCOUNT, &known).await?;
            return Authority::open(&self.settings, &credentials).await;
        }
        let (authority, credentials) = Authority::register(&self.settings).await?;
        let secret = self.seal(ACCOUNT, &credentials).await?;
        match acme::add_account(&self.db, directory, &secret).await {
            // Another instance was faster; its account is used from the next time on.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(authority),
            added => added.map(|()| authority),
        }
    }

    async fn seal(&self, purpose: &str, secret: &[u8]) -> Result<SealedSecret> {
        let home = KeyHome {
            region: self.home,
            kms_key: None,
        };
        let (key, wrapped) = self.ring.generate(NOBODY, ACME_VERSION, &home).await?;
        Ok(SealedSecret {
            provider: wrapped.provider,
            wrapped: wrapped.bytes,
            sealed: small_secret::seal(&key, NOBODY, NO_ACCOUNT, purpose, secret)?,
        })
    }

    async fn open(&self, purpose: &str, secret: &SealedSecret) -> Result<Zeroizing<Vec<u8>>> {
        let wrapped = WrappedKey {
            provider: secret.provider.clone(),
            bytes: secret.wrapped.clone(),
        };
        let key = self.ring.unwrap(NOBODY, ACME_VERSION, &wrapped).await?;
        small_secret::open(&key, NOBODY, NO_ACCOUNT, purpose, &secret.sealed)
    }
}
