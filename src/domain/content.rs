//! What files hold.

use std::collections::BTreeMap;

use crate::domain::id::BlobId;

/// A run of bytes of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where the run starts in the content, in bytes.
    pub start: u64,
    /// How long it is, in bytes.
    pub length: u64,
    /// The blob that holds it; none is a hole, which reads as zeros.
    pub blob: Option<BlobId>,
    /// Where the run starts in the blob's plain text, in bytes.
    pub blob_start: u64,
}

impl Extent {
    /// The first byte after the run.
    pub fn end(&self) -> u64 {
        self.start + self.length
    }

    /// The part of this run inside `from..to`; none when they do not meet.
    #[must_use]
    pub fn within(&self, from: u64, to: u64) -> Option<Self> {
        let start = self.start.max(from);
        let end = self.end().min(to);
        (start < end).then(|| Self {
            start,
            length: end - start,
            blob: self.blob,
            blob_start: self.blob_start + (start - self.start),
        })
    }
}

/// One step of what was done to a content through a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Bytes were written to the end, wherever that is when they are published.
    Append(Extent),
    /// Bytes were written.
    Lay(Extent),
    /// The length was set.
    Resize(u64),
}

impl Edit {
    /// The bytes that were written.
    pub fn run(&self) -> Option<&Extent> {
        match self {
            Self::Append(run) | Self::Lay(run) => Some(run),
            Self::Resize(_) => None,
        }
    }

    /// How long a content of `size` bytes is after this.
    pub fn size_after(&self, size: u64) -> u64 {
        match self {
            Self::Append(run) => size.saturating_add(run.length),
            Self::Lay(run) => size.max(run.end()),
            Self::Resize(size) => *size,
        }
    }
}

/// Runs in order of `start`, without overlap or gap from 0 to the end.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ExtentMap {
    /// By `start`, so that laying one more among a hundred thousand moves none of them.
    runs: BTreeMap<u64, Extent>,
}

impl ExtentMap {
    /// Takes runs that are in order and adjacent, as they are stored.
    pub fn from_runs(runs: Vec<Extent>) -> Self {
        Self {
            runs: runs.into_iter().map(|run| (run.start, run)).collect(),
        }
    }

    /// The runs in order.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = &Extent> + DoubleEndedIterator {
        self.runs.values()
    }

    /// Length of the content in bytes.
    pub fn size(&self) -> u64 {
        self.runs.last_key_value().map_or(0, |(_, run)| run.end())
    }

    /// Lays `run` over what is there; a gap before it becomes a hole.
    pub fn lay(&mut self, run: Extent) {
        if run.length == 0 {
            return;
        }
        let size = self.size();
        if run.start > size {
            self.join(hole(size, run.start));
        }
        let after = self.cut(run.end());
        self.cut(run.start);
        while let Some((start, _)) = self.runs.range(run.start..run.end()).next() {
            let start = *start;
            self.runs.remove(&start);
        }
        self.join(run);
        if let Some(after) = after.and_then(|start| self.runs.remove(&start)) {
            self.join(after);
        }
    }

    /// Cuts or extends (by a hole) to `size` bytes.
    pub fn resize(&mut self, size: u64) {
        let now = self.size();
        if size > now {
            self.join(hole(now, size));
        } else if size < now {
            self.cut(size);
            self.runs.split_off(&size);
        }
    }

    /// Does again what was done.
    pub fn apply(&mut self, edit: &Edit) {
        match edit {
            Edit::Append(run) => self.lay(Extent {
                start: self.size(),
                ..*run
            }),
            Edit::Lay(run) => self.lay(*run),
            Edit::Resize(size) => self.resize(*size),
        }
    }

    /// The runs that meet `from..to`, cut to it.
    pub fn slice(&self, from: u64, to: u64) -> Vec<Extent> {
        let first = self.runs.range(..=from).next_back();
        self.runs
            .range(first.map_or(from, |(start, _)| *start)..)
            .map(|(_, run)| run)
            .skip_while(|run| run.end() <= from)
            .map_while(|run| run.within(from, to))
            .collect()
    }

    /// Makes a run start at `at`, if it lies inside one; says where the run at or across it starts.
    fn cut(&mut self, at: u64) -> Option<u64> {
        let (_, run) = self.runs.range(..=at).next_back()?;
        let after = run.within(at, u64::MAX)?;
        if let Some(before) = run.within(0, at) {
            self.runs.insert(before.start, before);
            self.runs.insert(after.start, after);
        }
        Some(after.start)
    }

    /// Puts a run where nothing is, joined with the one before when they are one run of one blob.
    fn join(&mut self, run: Extent) {
        if let Some((_, last)) = self.runs.range_mut(..run.start).next_back() {
            let follows = last.blob == run.blob
                && (run.blob.is_none() || last.blob_start + last.length == run.blob_start);
            if follows && last.end() == run.start {
                last.length += run.length;
                return;
            }
        }
        self.runs.insert(run.start, run);
    }
}

fn hole(from: u64, to: u64) -> Extent {
    Extent {
        start: from,
        length: to - from,
        blob: None,
        blob_start: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laying_runs_agrees_with_an_array_of_bytes() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut map = ExtentMap::default();
        let mut model: Vec<(Option<BlobId>, u64)> = Vec::new();
        for _ in 0..2_000 {
            let start = random.u64(0..64);
            let run = Extent {
                start,
                length: random.u64(0..16),
                blob: Some(BlobId::random()),
                blob_start: random.u64(0..1000),
            };
            if random.u8(0..10) == 0 {
                map.resize(start);
                model.resize(start as usize, (None, 0));
            } else {
                map.lay(run);
                if run.length > 0 && model.len() < run.end() as usize {
                    model.resize(run.end() as usize, (None, 0));
                }
                for i in 0..run.length {
                    model[(start + i) as usize] = (run.blob, run.blob_start + i);
                }
            }
            let mut flat = Vec::new();
            for run in map.runs() {
                assert_eq!(run.start, flat.len() as u64);
                flat.extend((0..run.length).map(|i| match run.blob {
                    Some(blob) => (Some(blob), run.blob_start + i),
                    None => (None, 0),
                }));
            }
            assert_eq!(flat, model);
        }
    }

    #[test]
    fn adjacent_runs_of_one_blob_join() {
        let mut map = ExtentMap::default();
        let blob = Some(BlobId::random());
        for start in [0, 10, 20] {
            map.lay(Extent {
                start,
                length: 10,
                blob,
                blob_start: start,
            });
        }
        assert_eq!(map.runs().len(), 1);
        assert_eq!(map.slice(5, 12)[0].blob_start, 5);
    }
}
