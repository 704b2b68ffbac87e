//! `sealift fsck`

use clap::Args;

use crate::cli::output::{self, Format};
use crate::cli::place::Place;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::jobs::fsck;
use crate::jobs::fsck_report::{Depth, FsckReport, Repair};

/// Checks that everything stored is whole; safe beside a running server
#[derive(Args, Debug)]
pub struct Fsck {
    /// Remove orphans (blobs that nothing names and nobody writes), and have what is missing or damaged in a
    /// region made anew from where it is whole
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
            output::json(&report)?;
        } else {
            for problem in &report.problems {
                output::text(&output::plain(problem))?;
            }
            output::text(&format!(
                "{} entries, {} contents, {} blobs, {} bytes read{}; {} orphans, {} of them removed{}",
                report.entries,
                report.contents,
                report.blobs,
                report.bytes,
                match report.keyless {
                    0 => String::new(),
                    count => format!(
                        " ({count} contents left out that nobody can read, since their tenants' keys were destroyed)"
                    ),
                },
                report.orphans,
                report.removed,
                match report.swept {
                    0 => String::new(),
                    swept => format!("; {swept} objects of what is purged removed as well"),
                }
            ))?;
        }
        match report.clean {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Corrupt, advice(&report))),
        }
    }
}

/// What there is to do about the problems.
fn advice(report: &FsckReport) -> String {
    let problems = report.problems.len() as u64;
    let mut advice = vec![match problems {
        1 => "1 problem was found".to_owned(),
        _ => format!("{problems} problems were found"),
    }];
    if report.mendable > 0 {
        advice.push(format!(
            "for {} of them there is a copy elsewhere: 'sealift fsck --repair' makes good what it can",
            report.mendable
        ));
    }
    if report.mended > 0 {
        advice.push(format!(
            "{} of them are made good, or will be when servers have copied ('sealift tenant show' \
             tells how far that is)",
            report.mended
        ));
    }
    if report.unchecked > 0 {
        advice.push("run this again when everything answers".to_owned());
    }
    if problems > report.mendable + report.mended + report.unchecked {
        let told = report.mendable + report.mended + report.unchecked;
        let which = match (told, problems) {
            (0, 1) => "it names",
            (0, _) => "they name",
            _ => "the others name",
        };
        advice.push(format!("restore from a backup what {which}"));
    }
    advice.join("; ")
}
