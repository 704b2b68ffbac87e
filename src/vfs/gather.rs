//! Many small blobs at the end of a content become one: whoever sends a file in small pieces, each stored
//! before the next, would leave a blob for each for ever.

use crate::domain::content::Extent;
use crate::domain::error::Result;
use crate::domain::id::TenantId;
use crate::vfs::draft::Draft;
use crate::vfs::service::Vfs;
use crate::vfs::sink::BlobSink;

/// So many small ones in a row are gathered.
const MANY: usize = 16;
/// What counts as small, in bytes, from and to, step by step: each byte is written about once for each step
/// and once more. What lies below a step is not counted in it, else each few would rewrite all.
const STEPS: [(u64, u64); 3] = [(0, 16 << 10), (16 << 10, 256 << 10), (256 << 10, 4 << 20)];
/// What is read at once, in bytes.
const PIECE: usize = 64 << 10;

/// Gathers what there is to gather, when no blob is in the making. The caller's upload was granted the
/// memory of one blob.
///
/// # Errors
/// StorageFull, Unavailable, Corrupt: the content is as it was.
pub async fn gather(vfs: &Vfs, tenant: TenantId, draft: &mut Draft) -> Result<()> {
    for step in STEPS {
        if let Some(start) = worth_it(draft.runs().rev(), step) {
            rewrite(vfs, tenant, draft, start).await?;
        }
    }
    Ok(())
}

/// Where the small runs at the end start, when they are many.
fn worth_it<'a>(
    from_the_end: impl Iterator<Item = &'a Extent>,
    (from, to): (u64, u64),
) -> Option<u64> {
    let runs = from_the_end.take_while(|run| run.blob.is_some() && run.length < to);
    let (count, start) = runs.fold((0, None), |(count, _), run| {
        (count + usize::from(run.length >= from), Some(run.start))
    });
    start.filter(|_| count >= MANY)
}

/// Writes what is from `start` on into blobs of its own.
async fn rewrite(vfs: &Vfs, tenant: TenantId, draft: &mut Draft, start: u64) -> Result<()> {
    let (mut at, end) = (start, draft.size());
    let reader = draft.reader().clone();
    while at < end {
        let mut sink = BlobSink::open(vfs, tenant, None).await?;
        // In case of an error it is given up with the others.
        draft.adopt(sink.info(0, false), None);
        let first = at;
        while at < end {
            let bytes = reader.read_at(at, PIECE).await?;
            let (_, taken) = sink.append(&bytes).await?;
            at += taken as u64;
            if taken < bytes.len() || taken == 0 {
                break;
            }
        }
        let (info, _) = sink.finish().await?;
        let run = Extent {
            start: first,
            length: info.size,
            blob: Some(info.id),
            blob_start: 0,
        };
        draft.adopt(info, Some(run));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::BlobId;

    #[test]
    fn small_runs_at_the_end_are_gathered_when_they_are_many() {
        let run = |start, length| Extent {
            start,
            length,
            blob: Some(BlobId::random()),
            blob_start: 0,
        };
        let mut runs = vec![run(0, 1 << 20)];
        for index in 0..15 {
            runs.push(run((1 << 20) + index * 100, 100));
            assert_eq!(worth_it(runs.iter().rev(), STEPS[0]), None);
        }
        runs.push(run((1 << 20) + 1500, 100));
        assert_eq!(worth_it(runs.iter().rev(), STEPS[0]), Some(1 << 20));
        // Only one is of the size of the last step.
        assert_eq!(worth_it(runs.iter().rev(), STEPS[2]), None);
    }
}
