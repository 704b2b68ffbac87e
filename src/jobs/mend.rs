//! Mending blobs that reading found damaged, from a copy that is whole.

use crate::db::copies;
use crate::domain::error::{ErrorKind, Result};
use crate::domain::measures;
use crate::vfs::blob_reader::BlobReader;
use crate::vfs::copying;
use crate::vfs::damage::Damaged;
use crate::vfs::service::Vfs;

/// Mends what is reported, for ever.
pub async fn run(vfs: &Vfs) {
    loop {
        for damaged in vfs.damage().take().await {
            if let Err(error) = measures::job("mend", mend(vfs, &damaged)).await {
                tracing::warn!(blob = %damaged.info.id, error = ?error, "a damaged blob was not mended; reading it reports it again");
            }
        }
    }
}

/// Puts a whole copy in the place of a damaged object. Looks first: the damage may have been on the
/// way only, or be mended already.
///
/// # Errors
/// Unavailable when a store or the database does not answer.
pub async fn mend(vfs: &Vfs, damaged: &Damaged) -> Result<()> {
    let Damaged {
        tenant,
        info,
        whole_in,
    } = *damaged;
    let mut tx = vfs.database().read(tenant).await?;
    let places = copies::whereabouts(&mut tx, info.id).await?;
    drop(tx);
    let Some(home) = places.first().copied().filter(|home| *home != whole_in) else {
        return Ok(());
    };
    let reader = BlobReader::new(vfs.clone(), tenant, info);
    match reader.check(home).await {
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {}
        looked => return looked,
    }
    reader.check(whole_in).await?;
    vfs.store(home)?.discard(info.id).await?;
    copying::copy(vfs, tenant, &info, whole_in, home).await?;
    tracing::warn!(blob = %info.id, tenant.id = %tenant, region = %home, from = %whole_in, "mended a damaged blob");
    Ok(())
}
