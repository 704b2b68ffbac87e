//! What is kept back of a disk from what clients store: deleting, purging and starting take room before they make any.

/// What is kept back at most, in bytes, and of a small disk this part.
const MOST: u64 = 64 << 20;
const PART: u64 = 4;

/// The room of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// In all.
    pub total: u64,
    /// That may still be written.
    pub free: u64,
}

impl Room {
    /// Whether so many bytes of content may be stored.
    pub fn takes_content(self, bytes: u64) -> bool {
        self.is_untold() || self.free >= self.reserve().saturating_add(bytes)
    }

    /// Whether the tree may grow: into half of what is kept back from content, so that those who store much do not keep
    /// others from making a folder, nor those who make folders anybody from deleting.
    pub fn takes_entries(self) -> bool {
        self.is_untold() || self.free >= self.reserve() / 2
    }

    /// Whether it is of a file system that tells nothing, as some do.
    fn is_untold(self) -> bool {
        self.total == 0
    }

    fn reserve(self) -> u64 {
        (self.total / PART).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_back_is_no_more_than_a_part_of_a_small_disk() {
        let (large, small) = (1 << 40, 40 << 20);
        for (total, free, content, entries) in [
            (large, (64 << 20) + 9, true, true),
            (large, (64 << 20) + 8, false, true),
            (large, 32 << 20, false, true),
            (large, (32 << 20) - 1, false, false),
            (small, (10 << 20) + 9, true, true),
            (small, 10 << 20, false, true),
            (small, (5 << 20) - 1, false, false),
            (0, 0, true, true),
        ] {
            let room = Room { total, free };
            assert_eq!(room.takes_content(9), content, "{room:?}");
            assert_eq!(room.takes_entries(), entries, "{room:?}");
        }
    }
}
