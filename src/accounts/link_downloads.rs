//! Counting the downloads of a link: one for each time that a file, from its first byte, or an archive
//! begins to be sent. Not counted again is what goes on with a download of the same version of a file
//! from the same address: other parts of it, and its beginning if that broke off in the first half.

use std::time::Duration;

use crate::accounts::door::Door;
use crate::accounts::login::Accounts;
use crate::db::link_downloads::{self, Counted, Wanted};
use crate::domain::error::Result;
use crate::domain::id::{LinkId, TenantId};
use crate::domain::node::Version;

/// How long a download can be gone on with.
pub const GOES_ON_FOR: Duration = Duration::from_secs(24 * 3600);

/// A part of a file that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which version of which file.
    pub version: Version,
    /// How long the file is.
    pub size: u64,
    /// With which byte the part begins.
    pub from: u64,
    /// How long it is.
    pub length: u64,
}

/// A part that may be sent, as it is counted.
#[derive(Clone, Debug)]
pub struct Leave {
    tenant: TenantId,
    wanted: Wanted,
    counted: Counted,
}

impl Accounts {
    /// Counts a part of a file that is to be sent by a link; none when no download is left. What of it was
    /// sent is to be told to [`Accounts::download_ended`].
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn count_download(
        &self,
        (tenant, link): (TenantId, LinkId),
        from: Door,
        part: Part,
    ) -> Result<Option<Leave>> {
        let now = self.inner.now();
        let wanted = Wanted {
            link,
            client: from.neighbourhood(),
            version: part.version,
            size: part.size,
            from: part.from,
            length: part.length,
        };
        let mut tx = self.inner.db().write(tenant).await?;
        let since = now.minus(GOES_ON_FOR);
        let counted = match link_downloads::go_on(&mut tx, &wanted, since, now).await? {
            Some(counted) => counted,
            None if link_downloads::take(&mut tx, link, now).await? => {
                link_downloads::begin(&mut tx, &wanted, now).await?
            }
            None => return Ok(None),
        };
        tx.commit().await?;
        Ok(Some(Leave {
            tenant,
            wanted,
            counted,
        }))
    }

    /// Counts an archive that is to be sent by a link; false when no download is left.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn count_archive(&self, (tenant, link): (TenantId, LinkId)) -> Result<bool> {
        let mut tx = self.inner.db().write(tenant).await?;
        let taken = link_downloads::take(&mut tx, link, self.inner.now()).await?;
        tx.commit().await?;
        Ok(taken)
    }

    /// Notes how much was sent of a part.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn download_ended(&self, leave: &Leave, sent: u64) -> Result<()> {
        let now = self.inner.now();
        let mut tx = self.inner.db().write(leave.tenant).await?;
        link_downloads::end(&mut tx, leave.counted, &leave.wanted, sent, now).await?;
        tx.commit().await
    }

    /// Whether an address has begun a download by a link that it may go on with.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn has_downloads(
        &self,
        (tenant, link): (TenantId, LinkId),
        from: Door,
    ) -> Result<bool> {
        let since = self.inner.now().minus(GOES_ON_FOR);
        let mut tx = self.inner.db().read(tenant).await?;
        link_downloads::has_any(&mut tx, link, &from.neighbourhood(), since).await
    }
}
