//! Identifiers: random 16-byte ids, and small numbers for tenants and accounts.

use std::fmt;
use std::str::FromStr;

use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::random;

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// All zero: names nothing.
            pub const NIL: Self = Self([0; 16]);

            /// Mints an id of 48 bits of time and 80 random bits, so that neighbours in time are
            /// neighbours in an index.
            pub fn mint(now: Timestamp) -> Self {
                let mut bytes = random::bytes::<16>();
                let millis = now.0.div_euclid(1000).to_be_bytes();
                bytes[..6].copy_from_slice(&millis[2..]);
                Self(bytes)
            }

            /// When [`Self::mint`] made it, to the millisecond.
            pub fn minted(&self) -> Timestamp {
                let mut millis = [0; 8];
                millis[2..].copy_from_slice(&self.0[..6]);
                Timestamp(i64::from_be_bytes(millis).saturating_mul(1000))
            }

            /// Mints an id of 128 random bits.
            pub fn random() -> Self {
                Self(random::bytes())
            }

            /// Takes an id that was stored.
            ///
            /// # Errors
            /// Internal when it is not 16 bytes long.
            pub fn from_slice(bytes: &[u8]) -> Result<Self> {
                let bytes = bytes.try_into().map_err(|_| {
                    Error::internal(concat!("a stored ", stringify!($name), " is not 16 bytes long"))
                })?;
                Ok(Self(bytes))
            }

            /// The bytes, as they are stored.
            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        /// 32 lowercase hex digits.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                let bytes = data_encoding::HEXLOWER
                    .decode(text.as_bytes())
                    .map_err(|error| Error::invalid("an id is 32 lowercase hex digits").because(error))?;
                Self::from_slice(&bytes)
                    .map_err(|_| Error::invalid("an id is 32 lowercase hex digits"))
            }
        }
    };
}

random_id!(
    /// A try at carrying out a request that is to be carried out once.
    AttemptId
);
random_id!(
    /// A write-once sealed object; always drawn at random, so that keys spread over prefixes.
    BlobId
);
random_id!(
    /// One transaction on a tenant's tree: the idempotency key of a commit.
    ChangeId
);
random_id!(
    /// What a file holds: an ordered list of extents.
    ContentId
);
random_id!(
    /// A download that a link counted.
    DownloadId
);
random_id!(
    /// Something that is told; receivers know by it what they were told before.
    EventId
);
random_id!(
    /// A running server process.
    InstanceId
);
random_id!(
    /// An address by which people come who have no account.
    LinkId
);
random_id!(
    /// A lock; always drawn at random, since whoever knows it may change what it locks.
    LockToken
);
random_id!(
    /// A file or folder with an identity of its own, whatever its name.
    NodeId
);
random_id!(
    /// One logged-in connection.
    SessionId
);
random_id!(
    /// What a program logs in with instead of a password.
    TokenId
);
random_id!(
    /// What a client addresses an upload by; always drawn at random, since whoever knows it is half let in.
    UploadAddress
);
random_id!(
    /// A content being written.
    UploadId
);
random_id!(
    /// Somebody who is told what happens.
    WebhookId
);

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number_id!(
    /// A login inside one tenant; unique within the tenant.
    AccountId
);
number_id!(
    /// A set of accounts that share grants; unique within the tenant.
    GroupId
);
number_id!(
    /// A place where blobs are kept, by the number that stands for its name.
    RegionId
);
number_id!(
    /// A customer: its own accounts, keys, quota, retention, region.
    TenantId
);

impl RegionId {
    /// Where everything is that was stored before there were regions.
    pub const MAIN: Self = Self(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_form() {
        let id = NodeId::mint(Timestamp::from_seconds(1_700_000_000));
        assert_eq!(id.to_string().parse::<NodeId>().unwrap(), id);
    }

    #[test]
    fn ids_minted_later_sort_later() {
        let early = NodeId::mint(Timestamp::from_seconds(1_700_000_000));
        let late = NodeId::mint(Timestamp::from_seconds(1_700_000_001));
        assert!(early < late);
    }
}
