//! The fields that packets are made of (RFC 4251, section 5).

use bytes::{Buf, Bytes};

use crate::domain::error::{Error, Result};

/// Bytes behind the last field that may be kept in memory with it: fewer than each request counts beside its own.
const MOST_LEFT: usize = 32;

/// What is left of a packet. Reading cuts fields off its front without copying.
#[derive(Clone, Debug)]
pub struct Fields(Bytes);

impl Fields {
    /// Reads `packet` from its start.
    pub fn new(packet: Bytes) -> Self {
        Self(packet)
    }

    /// The next byte.
    ///
    /// # Errors
    /// Invalid at the end.
    pub fn u8(&mut self) -> Result<u8> {
        self.0.try_get_u8().map_err(cut_off)
    }

    /// The next four bytes as a number.
    ///
    /// # Errors
    /// Invalid when fewer are left.
    pub fn u32(&mut self) -> Result<u32> {
        self.0.try_get_u32().map_err(cut_off)
    }

    /// The next eight bytes as a number.
    ///
    /// # Errors
    /// Invalid when fewer are left.
    pub fn u64(&mut self) -> Result<u64> {
        self.0.try_get_u64().map_err(cut_off)
    }

    /// The next string: its length, then so many bytes of any kind. Keeps the whole packet in memory as long as it
    /// is held.
    ///
    /// # Errors
    /// Invalid when fewer are left.
    pub fn string(&mut self) -> Result<Bytes> {
        let length = self.u32()? as usize;
        match length <= self.0.len() {
            true => Ok(self.0.split_to(length)),
            false => Err(Error::invalid(format!(
                "malformed request: a string of {length} bytes does not fit the packet"
            ))),
        }
    }

    /// The next string, which may be held for long: nothing else of the packet is kept in memory with it.
    ///
    /// # Errors
    /// Invalid when fewer bytes are left.
    pub fn copied(&mut self) -> Result<Bytes> {
        self.string().map(|string| Bytes::copy_from_slice(&string))
    }

    /// The same for one that nothing should follow: it is copied only if much does.
    ///
    /// # Errors
    /// Invalid when fewer bytes are left.
    pub fn last(&mut self) -> Result<Bytes> {
        let string = self.string()?;
        Ok(match self.0.len() <= MOST_LEFT {
            true => string,
            false => Bytes::copy_from_slice(&string),
        })
    }
}

fn cut_off(error: bytes::TryGetError) -> Error {
    Error::invalid("malformed request: the packet ends inside a field").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_longer_than_its_packet_is_refused() {
        let mut fields = Fields::new(Bytes::from_static(b"\0\0\0\x03ab"));
        assert!(fields.string().is_err());
        let mut fields = Fields::new(Bytes::from_static(b"\xff\xff\xff\xffab"));
        assert!(fields.string().is_err());
    }
}
