//! How blobs are called in a bucket.

use crate::domain::id::BlobId;

/// What the object is called, behind the prefix, that says whose the place is.
pub const MARKER: &str = "sealift-owner";

/// The names of one store's blobs: below a prefix, spread by the first two digits of the id, and
/// sorted as the ids are. They tell nothing of what is inside.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// Names below `prefix`, which may be empty and otherwise usually ends with a slash.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// What all names begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name of a blob.
    pub fn key(&self, id: BlobId) -> String {
        let digits = id.to_string();
        let first: String = digits.chars().take(2).collect();
        format!("{}{first}/{digits}", self.prefix)
    }

    /// The name of the object that says whose the place is: no blob's.
    pub fn marker(&self) -> String {
        format!("{}{MARKER}", self.prefix)
    }

    /// The blob of a name; none when it is not a blob's.
    pub fn id(&self, key: &str) -> Option<BlobId> {
        let (_, digits) = key.strip_prefix(&self.prefix)?.split_once('/')?;
        let id = digits.parse().ok()?;
        (self.key(id) == key).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_blob_and_nothing_else_does() {
        for prefix in ["", "sealift/", "a/b/", "x-"] {
            let keys = Keys::new(prefix);
            let id = BlobId::random();
            assert_eq!(keys.id(&keys.key(id)), Some(id));
            let digits = id.to_string();
            let other = BlobId::from_slice(&[id.as_bytes()[0].wrapping_add(1); 16]).unwrap();
            for alien in [
                digits.clone(),
                format!("{prefix}{digits}"),
                format!("{prefix}{}/{digits}", &other.to_string()[..2]),
                format!("{}/", keys.key(id)),
                format!("{}.probe", keys.key(id)),
                format!("other/{}", keys.key(id)),
                keys.marker(),
            ] {
                assert_eq!(keys.id(&alien), None, "{alien}");
            }
        }
    }

    #[test]
    fn keys_sort_as_ids_do() {
        let keys = Keys::new("p/");
        let mut ids: Vec<BlobId> = (0..200).map(|_| BlobId::random()).collect();
        ids.sort_unstable();
        assert!(ids.is_sorted_by_key(|id| keys.key(*id)));
    }
}
