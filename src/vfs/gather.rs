//! Many small blobs of a content become one: whoever writes a file in small pieces, each stored before the next,
//! would leave a blob and a row for each for ever, and a row of each in all later versions.

use std::ops::Range;

use crate::db::blobs::BlobInfo;
use crate::domain::content::{Extent, ExtentMap};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::TenantId;
use crate::net::budget::Budget;
use crate::vfs::draft::Draft;
use crate::vfs::read::PIECE_BYTES;
use crate::vfs::service::Vfs;
use crate::vfs::sink::BlobSink;
use crate::vfs::target::Over;

/// So many small ones in a row are gathered.
const MANY: usize = 16;
/// What counts as small at the end of a content, in bytes, from and to, step by step: each byte is written about
/// once for each step and once more. What lies below a step is not counted in it, else each few would rewrite all.
const STEPS: [(u64, u64); 3] = [(0, 16 << 10), (16 << 10, 256 << 10), (256 << 10, 4 << 20)];
/// A content in more pieces is gathered wherever these are small...
const SCATTERED: usize = 4096;
/// ...which are shorter than so many bytes, first the shortest.
const SMALL: [u64; 3] = [16 << 10, 256 << 10, 4 << 20];
/// Most bytes that are gathered as one.
const STRETCH: u64 = 16 << 20;
/// How many bytes may be written for a row that a version would have, and the next ones too: a row takes about half
/// of that in a database, where each byte is dearer.
const ROW: u64 = 256;
/// A byte that is gathered may be so many times one that came.
const TIMES: u64 = 4;
/// So many bytes more for each piece that came, where the content could not be stored else.
const NEEDED: u64 = 64 << 10;
/// Most pieces of a content, however much memory there is.
const MOST_PIECES: usize = 128 << 10;
/// What is read at once, in bytes.
const READ: u64 = 64 << 10;

/// Runs in the place of others that hold the same bytes.
#[derive(Clone, Debug)]
pub struct Gathered {
    instead: Vec<Extent>,
    runs: Vec<Extent>,
}

impl Gathered {
    /// Lays them over a map where it holds what they stand for. What somebody else has written meanwhile stays as
    /// it is.
    pub fn lay_over(&self, map: &mut ExtentMap) {
        let (Some(first), Some(last)) = (self.instead.first(), self.instead.last()) else {
            return;
        };
        let there = map.slice(first.start, last.end());
        let Some(end) = there.last().map(Extent::end) else {
            return;
        };
        let known = joined(&self.instead);
        let is_others =
            |run: &&Extent| joined(&known.slice(run.start, run.end())) != joined(&[**run]);
        let runs = self.runs.iter().filter_map(|run| run.within(0, end));
        runs.for_each(|run| map.lay(run));
        let others = there.iter().filter(is_others);
        others.for_each(|run| map.lay(*run));
    }
}

/// Gathers what there is to gather at the end of an upload whose pieces come one by one, when no blob is in the
/// making. The caller's upload was granted the memory of one blob.
///
/// # Errors
/// StorageFull, Unavailable, Corrupt: the content is as it was.
pub async fn gather(vfs: &Vfs, tenant: TenantId, draft: &mut Draft) -> Result<()> {
    for step in STEPS {
        if let Some(start) = worth_it(draft.runs().rev(), step) {
            let end = draft.size();
            rewrite(vfs, tenant, draft, start..end).await?;
            draft.edit_as_shown();
        }
    }
    Ok(())
}

/// Whether [`before_publishing`] may have something to do.
pub fn is_due(draft: &Draft) -> bool {
    draft.runs().len() >= MANY
}

/// Gathers what there is to gather in a content that is about to be published `over` what is there, as
/// [`gather`] does; what is laid over the version when it is. What cannot be read or stored stays as it is. `most` is
/// what [`most_pieces`] says.
///
/// # Errors
/// Busy when it is in more pieces.
pub async fn before_publishing(
    vfs: &Vfs,
    tenant: TenantId,
    draft: &mut Draft,
    (over, most): (Over, usize),
) -> Result<Vec<Gathered>> {
    let mut gathered = Vec::new();
    if is_due(draft)
        && let Err(error) = all(vfs, tenant, draft, (over, most), &mut gathered).await
    {
        tracing::warn!(error = ?error, "the small pieces of a file were not gathered");
    }
    require_readable(draft.runs().len(), most)?;
    Ok(gathered)
}

/// A file in so many pieces can be read by several at a time.
pub fn most_pieces(budget: &Budget) -> usize {
    MOST_PIECES.min(budget.total() / 8 / PIECE_BYTES)
}

/// Refuses a content that is in more pieces than the `most` that can be read.
///
/// # Errors
/// Busy, with what to do.
pub fn require_readable(pieces: usize, most: usize) -> Result<()> {
    match pieces > most {
        false => Ok(()),
        true => Err(Error::new(
            ErrorKind::Busy,
            format!(
                "the file would be in {pieces} pieces, more than the {most} that can be read again; \
                 write larger pieces, or send it anew from the start to the end"
            ),
        )),
    }
}

/// How many bytes may be written to gather a content in so many `pieces`, `own` of which and so many `bytes` came since
/// it was last published.
///
/// By then it was published about `pieces / own` times, each time with a row for each piece there was. What is gathered
/// takes no more than these did, and a few times what came: whoever writes little has little written.
fn worth(pieces: usize, own: usize, bytes: u64) -> u64 {
    let (pieces, own) = (pieces as u64, own.max(1) as u64);
    let rows = pieces.saturating_mul(pieces) / own;
    rows.saturating_mul(ROW)
        .saturating_add(bytes.saturating_mul(TIMES))
}

async fn all(
    vfs: &Vfs,
    tenant: TenantId,
    draft: &mut Draft,
    (over, most): (Over, usize),
    gathered: &mut Vec<Gathered>,
) -> Result<()> {
    let own = draft.edits().len();
    let mut left = worth(draft.runs().len(), own, draft.written());
    if draft.runs().len() > most {
        left = left.saturating_add(NEEDED.saturating_mul(own as u64));
    }
    // What is sent as a whole costs its rows once; larger pieces are gathered where that happens again and again.
    let is_whole = over == Over::Nothing;
    for step in STEPS.into_iter().filter(|_| !is_whole) {
        if let Some(start) = worth_it(draft.runs().rev(), step)
            && draft.size() - start <= left
        {
            let end = draft.size();
            left -= end - start;
            gathered.push(rewrite(vfs, tenant, draft, start..end).await?);
        }
    }
    for below in SMALL {
        let is_cheap = below == SMALL[0] || !is_whole;
        let enough = if is_cheap { SCATTERED.min(most) } else { most };
        if draft.runs().len() <= enough {
            break;
        }
        for range in stretches(draft.runs(), below) {
            let length = range.end - range.start;
            if length <= left {
                left -= length;
                gathered.push(rewrite(vfs, tenant, draft, range).await?);
            }
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

/// Where many runs shorter than `below` stand in a row, holes among them; the densest first.
fn stretches<'a>(runs: impl Iterator<Item = &'a Extent>, below: u64) -> Vec<Range<u64>> {
    let mut found: Vec<(Range<u64>, usize)> = Vec::new();
    let (mut stretch, mut count) = (0..0, 0);
    for run in runs {
        let is_small = run.length < below;
        if !is_small || run.end() - stretch.start > STRETCH {
            found.extend((count >= MANY).then(|| (stretch.clone(), count)));
            (stretch, count) = (run.start..run.start, 0);
        }
        if is_small {
            stretch.end = run.end();
            count += 1;
        } else {
            stretch.start = run.end();
        }
    }
    found.extend((count >= MANY).then_some((stretch, count)));
    found.sort_by_key(|(stretch, count)| (stretch.end - stretch.start) / *count as u64);
    found.into_iter().map(|(stretch, _)| stretch).collect()
}

/// Writes what is in `range` into blobs of its own, and has the draft show these.
async fn rewrite(
    vfs: &Vfs,
    tenant: TenantId,
    draft: &mut Draft,
    range: Range<u64>,
) -> Result<Gathered> {
    let reader = draft.reader().clone();
    let mut made: Vec<(BlobInfo, Extent)> = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let mut sink = BlobSink::open(vfs, tenant, None).await?;
        // In case of an error it is given up with the others.
        draft.adopt(sink.info(0, false));
        let first = at;
        while at < range.end {
            let length = READ.min(range.end - at);
            let bytes = reader.read_at(at, length as usize).await?;
            let (_, taken) = sink.append(&bytes).await?;
            at += taken as u64;
            if taken < bytes.len() || taken == 0 {
                break;
            }
        }
        if at == first {
            return Err(Error::internal("a blob took nothing of a file"));
        }
        let (info, _) = sink.finish().await?;
        draft.adopt(info);
        let run = Extent {
            start: first,
            length: info.size,
            blob: Some(info.id),
            blob_start: 0,
        };
        made.push((info, run));
    }
    let instead = draft.show(range, &made);
    let runs = made.into_iter().map(|(_, run)| run).collect();
    Ok(Gathered { instead, runs })
}

/// What is read, however it is cut.
fn joined(runs: &[Extent]) -> ExtentMap {
    let mut map = ExtentMap::default();
    runs.iter().for_each(|run| map.lay(*run));
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::BlobId;

    fn run(start: u64, length: u64) -> Extent {
        Extent {
            start,
            length,
            blob: Some(BlobId::random()),
            blob_start: 0,
        }
    }

    #[test]
    fn small_runs_at_the_end_are_gathered_when_they_are_many() {
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

    #[test]
    fn stretches_of_small_runs_are_found_between_large_ones() {
        let row = |from: u64, count: u64| (0..count).map(move |index| run(from + index * 10, 10));
        let mut runs: Vec<_> = row(0, 20).collect();
        runs.push(run(200, 1000));
        runs.extend(row(1200, 15));
        runs.push(run(1350, 1000));
        runs.extend(row(2350, 16));
        assert_eq!(stretches(runs.iter(), 100), [0..200, 2350..2510]);
        assert_eq!(
            stretches(runs.iter(), 5000),
            std::slice::from_ref(&(0..2510))
        );
        assert_eq!(stretches(runs.iter(), 10), []);
    }

    #[test]
    fn who_writes_little_has_little_written() {
        // A log, line by line, and one of larger pieces.
        assert!(worth(16, 1, 80) >= 16 * 80);
        assert!(worth(16, 1, 4096) >= 16 * 4096);
        // A database of a gigabyte whose pages are synced one by one.
        assert!(worth(SCATTERED, 2, 8192) >= 1 << 30);
        // A file that comes out of order.
        assert!(worth(100_000, 100_000, 100_000 << 15) >= 100_000 << 15);
        // A byte at each of many places, at one go.
        assert!(worth(4200, 2100, 2100) < 4 << 20);
        assert!(worth(200_000, 100_000, 100_000) < 256 << 20);
    }

    #[test]
    fn what_is_gathered_takes_no_place_where_something_else_was_written() {
        let instead: Vec<_> = (0..16).map(|index| run(index * 10, 10)).collect();
        let whole = run(0, 160);
        let gathered = Gathered {
            instead: instead.clone(),
            runs: vec![whole],
        };
        let mut map = ExtentMap::from_runs(instead);
        map.lay(run(160, 5));
        let mut same = map.clone();
        gathered.lay_over(&mut same);
        assert_eq!(same.slice(0, 160), [whole]);
        assert_eq!(same.size(), 165);
        let theirs = run(75, 1);
        let mut other = map.clone();
        other.lay(theirs);
        gathered.lay_over(&mut other);
        let around = [whole.within(0, 75), Some(theirs), whole.within(76, 160)];
        assert_eq!(other.slice(0, 160), around.map(Option::unwrap));
        let mut short = map.clone();
        short.resize(150);
        gathered.lay_over(&mut short);
        assert_eq!(short.slice(0, 200), [whole.within(0, 150).unwrap()]);
        // As somebody else has gathered it meanwhile.
        let mut taken = map;
        taken.lay(run(0, 160));
        let before = taken.clone();
        gathered.lay_over(&mut taken);
        assert_eq!(taken, before);
    }
}
