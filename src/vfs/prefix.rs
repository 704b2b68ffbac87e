//! What an upload that breaks off can be gone on from: the first edits of it.

use crate::domain::content::{Edit, Extent};

/// The first edits that are durable and leave no gap; and whether these are all.
pub fn prefix(
    edits: impl Iterator<Item = Edit>,
    base_size: u64,
    durable: impl Fn(&Extent) -> u64,
) -> (Vec<Edit>, bool) {
    let mut kept = Vec::new();
    let mut size = base_size;
    for edit in edits {
        let (cut, is_cut) = match edit {
            Edit::Resize(to) if to > size => return (kept, false),
            Edit::Resize(_) => (edit, false),
            Edit::Lay(run) if run.start > size => return (kept, false),
            Edit::Lay(run) => {
                let length = durable(&run);
                (Edit::Lay(Extent { length, ..run }), length < run.length)
            }
            Edit::Append(run) => {
                let length = durable(&run);
                (Edit::Append(Extent { length, ..run }), length < run.length)
            }
        };
        if cut.run().is_none_or(|run| run.length > 0) {
            size = cut.size_after(size);
            kept.push(cut);
        }
        if is_cut {
            return (kept, false);
        }
    }
    (kept, true)
}

/// Takes the last byte off what was written last.
pub fn drop_last_byte(edits: &mut Vec<Edit>) {
    match edits.last_mut() {
        Some(Edit::Append(run) | Edit::Lay(run)) if run.length > 1 => run.length -= 1,
        Some(Edit::Append(_) | Edit::Lay(_)) => drop(edits.pop()),
        Some(Edit::Resize(_)) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::BlobId;

    fn run(start: u64, length: u64, blob: Option<BlobId>) -> Extent {
        Extent {
            start,
            length,
            blob,
            blob_start: 0,
        }
    }

    #[test]
    fn what_can_be_gone_on_from_ends_at_the_first_gap() {
        let blob = Some(BlobId::random());
        let all = |run: &Extent| if run.blob.is_some() { run.length } else { 0 };
        let log = [
            Edit::Lay(run(0, 10, blob)),
            Edit::Lay(run(12, 5, blob)),
            Edit::Lay(run(10, 2, blob)),
        ];
        let (kept, is_all) = prefix(log.into_iter(), 0, all);
        assert_eq!((kept.as_slice(), is_all), (&log[..1], false));
        // Over what is there already this is no gap.
        let (kept, is_all) = prefix(log.into_iter(), 12, all);
        assert_eq!((kept.as_slice(), is_all), (&log[..], true));
        let hole = [Edit::Lay(run(0, 10, None)), Edit::Lay(run(10, 5, blob))];
        assert!(prefix(hole.into_iter(), 0, all).0.is_empty());
    }

    #[test]
    fn a_cut_edit_is_the_last_that_counts() {
        let blob = Some(BlobId::random());
        let log = [
            Edit::Resize(3),
            Edit::Append(run(3, 10, blob)),
            Edit::Lay(run(0, 3, blob)),
        ];
        let half = |run: &Extent| run.length / 2;
        let (kept, is_all) = prefix(log.into_iter(), 7, half);
        let cut = [Edit::Resize(3), Edit::Append(run(3, 5, blob))];
        assert_eq!((kept.as_slice(), is_all), (&cut[..], false));
    }
}
