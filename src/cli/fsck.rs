//! `sealift fsck`

use clap::Args;

use crate::cli::output::{self, Format};
use crate::cli::place::Place;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::jobs::fsck::{self, Depth, Repair};

/// Checks that everything stored is whole; safe beside a running server
#[derive(Args, Debug)]
pub struct Fsck {
    /// Remove orphans: blobs that nothing names and nobody writes
    #[arg(long)]
    repair: bool,
    /// Compare records and lengths only, without reading what is stored
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    place: Place,
}

impl Fsck {
    /// Runs it.
    ///
    /// # Errors
    /// Corrupt when something does not agree; Unavailable.
    pub async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let vfs = installation.vfs().await?;
        let repair = match self.repair {
            true => Repair::Yes,
            false => Repair::No,
        };
        let depth = match self.quick {
            true => Depth::Records,
            false => Depth::Bytes,
        };
        let report = fsck::check(&vfs, repair, depth).await?;
        vfs.drain().await;
        installation.close().await;
        if self.place.format() == Format::Json {
            output::json(&report);
        } else {
            for problem in &report.problems {
                output::text(problem);
            }
            output::text(&format!(
                "{} entries, {} contents, {} blobs, {} bytes read; {} orphans, {} of them removed",
                report.entries,
                report.contents,
                report.blobs,
                report.bytes,
                report.orphans,
                report.removed
            ));
        }
        match report.clean {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "{} problems were found; restore what they name from a backup",
                    report.problems.len()
                ),
            )),
        }
    }
}
