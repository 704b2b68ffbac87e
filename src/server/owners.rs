//! Whose the places of blobs are: a marker in each names an installation and one of its regions, so that no other
//! takes what is there for leavings.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use crate::config::regions::{self, MAIN, RegionSettings, StoreSettings};
use crate::db::database::Database;
use crate::db::{blobs, installation as facts, tenants};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::RegionId;
use crate::domain::random;
use crate::storage::proven::{Look, Proven};
use crate::storage::s3_key::MARKER;
use crate::storage::store::BlobStore;

/// What the database calls the installation's id.
const ID: &str = "id";
/// How long a region may take to tell whose its place is; one that is slower is looked at before it is used.
const ANSWER: Duration = Duration::from_secs(10);
/// So many objects of a place without a marker are looked for in the database.
const LOOK: usize = 1000;

/// A store, and the region that it is to be the place of.
pub struct Place {
    /// The region's number.
    pub number: RegionId,
    /// What the settings say of it.
    pub region: RegionSettings,
    /// The store.
    pub store: Arc<dyn BlobStore>,
}

/// What a marker says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    installation: String,
    region: i64,
    name: String,
}

/// What is known of a place without a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unmarked {
    /// Nothing is there.
    Empty,
    /// The database knows what is there.
    Ours,
    /// There are objects, and the database knows none of them.
    Strange,
}

/// Has each store seen to be its region's before anybody uses it: its marker says so, or is made where the place
/// is empty or holds what the database knows. A region that does not answer now is looked at when it does.
///
/// # Errors
/// Invalid when a place is another region's or another installation's, with what to do; Unavailable when the
/// database does not answer.
pub async fn proven(
    db: &Database,
    places: Vec<Place>,
) -> Result<Vec<(RegionId, Arc<dyn BlobStore>)>> {
    let told = join_all(places.iter().map(Place::told)).await;
    let installation = id(db, &places, &told).await?;
    let mut all = Vec::new();
    for (place, told) in places.into_iter().zip(told) {
        let (number, name) = (place.number, place.region.name.clone());
        let claim = Claim {
            db: db.clone(),
            installation: installation.clone(),
            number,
            region: place.region,
        };
        let claim = Arc::new(claim);
        let proof = move |store: Arc<dyn BlobStore>| -> Look {
            let claim = claim.clone();
            Box::pin(async move { claim.stake(&*store).await })
        };
        let proven = Proven::new(place.store, Box::new(proof));
        let looked = match told {
            // One after the other: of two that are the same place the first has it.
            Ok(_) => proven.prove().await,
            Err(error) => Err(error),
        };
        match looked {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Invalid => return Err(error),
            Err(error) => {
                tracing::warn!(region = name, error = ?error, "whose the place of a region is cannot be told now; it is looked at before it is used");
            }
        }
        all.push((number, Arc::new(proven) as Arc<dyn BlobStore>));
    }
    Ok(all)
}

/// The same look without changing anything; one that does not answer is passed over.
///
/// # Errors
/// As [`proven`].
pub async fn check(db: &Database, places: &[Place]) -> Result<()> {
    let told = join_all(places.iter().map(Place::told)).await;
    let installation = known_id(db, places, &told).await?;
    for (place, told) in places.iter().zip(&told) {
        let claim = Claim {
            db: db.clone(),
            installation: installation.clone().unwrap_or_default(),
            number: place.number,
            region: place.region.clone(),
        };
        match told {
            Ok(Some(owner)) => claim.compare(owner)?,
            Ok(None) => match claim.unmarked(&*place.store).await {
                Ok(Unmarked::Strange) => return Err(claim.strange()),
                Err(error) if error.kind() != ErrorKind::Unavailable => return Err(error),
                _ => {}
            },
            Err(_) => {}
        }
    }
    Ok(())
}

impl Place {
    async fn told(&self) -> Result<Option<String>> {
        let answer = tokio::time::timeout(ANSWER, self.store.owner()).await;
        answer.unwrap_or_else(|_| {
            let context = "there was no answer in time";
            Err(Error::new(ErrorKind::Unavailable, context))
        })
    }
}

/// The installation's id, given to it when it is first asked for. A database that was put back from before it had
/// one takes that of the markers where it knows what is stored.
async fn id(db: &Database, places: &[Place], told: &[Result<Option<String>>]) -> Result<String> {
    let id = match known_id(db, places, told).await? {
        Some(id) => id,
        None => HEXLOWER.encode(&random::bytes::<16>()),
    };
    facts::keep(db, ID, &id).await
}

async fn known_id(
    db: &Database,
    places: &[Place],
    told: &[Result<Option<String>>],
) -> Result<Option<String>> {
    if let Some(id) = facts::find(db, ID).await? {
        return Ok(Some(id));
    }
    for (place, told) in places.iter().zip(told) {
        let Ok(Some(told)) = told else {
            continue;
        };
        let Some(owner) = Owner::parse(told) else {
            continue;
        };
        let there = unmarked(db, place.number, &*place.store).await;
        if owner.region == place.number.0 && matches!(there, Ok(Unmarked::Ours)) {
            return Ok(Some(owner.installation));
        }
    }
    Ok(None)
}

/// An installation's claim to the place of a region.
struct Claim {
    db: Database,
    installation: String,
    number: RegionId,
    region: RegionSettings,
}

impl Claim {
    async fn stake(&self, store: &dyn BlobStore) -> Result<()> {
        if let Some(told) = store.owner().await? {
            return self.compare(&told);
        }
        let there = self.unmarked(store).await?;
        if there == Unmarked::Strange {
            return Err(self.strange());
        }
        let owner = Owner {
            installation: self.installation.clone(),
            region: self.number.0,
            name: self.region.name.clone(),
        };
        match store.claim(&owner.text()?).await {
            Ok(told) => self.compare(&told),
            // It may be full, or not to be written to; what is there is ours all the same.
            Err(error) if there == Unmarked::Ours => {
                let region = &self.region.name;
                tracing::warn!(region, error = ?error, "whose the place of a region is could not be written there; the next start tries again");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn unmarked(&self, store: &dyn BlobStore) -> Result<Unmarked> {
        unmarked(&self.db, self.number, store).await
    }

    /// Fails unless a marker names this installation and region.
    fn compare(&self, told: &str) -> Result<()> {
        let (setting, place) = (setting(&self.region), shown(&self.region));
        let marker = marker(&self.region);
        let Some(owner) = Owner::parse(told) else {
            return Err(Error::invalid(format!(
                "{setting}: nobody can tell whose {place} is, since {marker} says something else; put it back \
                 from your backup"
            )));
        };
        if owner.installation != self.installation {
            return Err(Error::invalid(format!(
                "{setting}: {place} belongs to another installation, which would lose its files; name another \
                 place, or the database that belongs to this one (if that installation is gone for good and the \
                 place is meant for this one, remove {marker})"
            )));
        }
        if owner.region != self.number.0 {
            return Err(Error::invalid(format!(
                "{setting}: {place} is the place of region {} already, whose files would be taken for leavings; \
                 name another one (if region {} is gone for good and the place is meant for {}, remove {marker})",
                owner.name, owner.name, self.region.name
            )));
        }
        Ok(())
    }

    fn strange(&self) -> Error {
        let (setting, place) = (setting(&self.region), shown(&self.region));
        Error::invalid(format!(
            "{setting}: {place} holds blobs, of which the database knows none: they belong to another \
             installation or region, or to a database that was lost; name another place, or put that database \
             back from your backup"
        ))
    }
}

async fn unmarked(db: &Database, number: RegionId, store: &dyn BlobStore) -> Result<Unmarked> {
    let page = store.list(None, LOOK).await?;
    let (Some(first), Some(last)) = (page.first(), page.last()) else {
        return Ok(Unmarked::Empty);
    };
    for tenant in tenants::list(db).await? {
        let mut tx = db.read(tenant.id).await?;
        let known = blobs::known(&mut tx, number, first.id, last.id).await?;
        if page.iter().any(|stored| known.contains(&stored.id)) {
            return Ok(Unmarked::Ours);
        }
    }
    Ok(Unmarked::Strange)
}

impl Owner {
    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(Error::internal)
    }
}

/// The setting that names a region's place.
fn setting(region: &RegionSettings) -> String {
    match &region.store {
        StoreSettings::Local(_) if region.name == MAIN => "storage.path".to_owned(),
        StoreSettings::Local(_) => format!("{}.path", regions::section(&region.name)),
        StoreSettings::S3(_) => format!("{}.bucket", regions::section(&region.name)),
    }
}

/// A region's place.
pub fn shown(region: &RegionSettings) -> String {
    match &region.store {
        StoreSettings::Local(folder) => format!("'{}'", folder.join("blobs").display()),
        StoreSettings::S3(bucket) => match bucket.s3.prefix.as_str() {
            "" => format!("bucket '{}'", bucket.s3.bucket),
            prefix => format!("bucket '{}' with prefix '{prefix}'", bucket.s3.bucket),
        },
    }
}

/// What says whose it is.
fn marker(region: &RegionSettings) -> String {
    match &region.store {
        StoreSettings::Local(folder) => {
            format!("the file '{}'", folder.join("blobs/.owner").display())
        }
        StoreSettings::S3(bucket) => format!("its object '{}{MARKER}'", bucket.s3.prefix),
    }
}
