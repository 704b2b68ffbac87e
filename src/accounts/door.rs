//! Where somebody knocks, and what they show there.

use std::net::IpAddr;

use crate::domain::principal::Protocol;
use crate::net::limit::neighbourhood;

/// Whether what is typed can be read on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// It can: nothing encrypts the connection.
    Clear,
    /// It cannot.
    Sealed,
}

/// Where somebody knocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// Which protocol is spoken.
    pub protocol: Protocol,
    /// The peer's address.
    pub address: IpAddr,
    /// Whether what is typed travels encrypted.
    pub secrecy: Secrecy,
}

impl Door {
    /// What counts as one address, as it is stored.
    pub(in crate::accounts) fn neighbourhood(self) -> String {
        neighbourhood(self.address).to_string()
    }
}

/// A public key in SSH's wire encoding (RFC 4253 section 6.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeyBlob(pub Vec<u8>);
