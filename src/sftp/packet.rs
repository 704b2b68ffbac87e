//! Framing: packets out of bytes as they come (draft-ietf-secsh-filexfer-02, section 3).

use bytes::{Bytes, BytesMut};

use crate::domain::error::{Error, Result};

/// Longest data of one READ or WRITE, in bytes: 255 KiB, as OpenSSH's server allows.
pub const MAX_DATA_BYTES: usize = 255 * 1024;
/// Longest packet that clients are told of (limits@openssh.com), in bytes.
pub const MAX_PACKET_BYTES: usize = 256 * 1024;
/// Longest packet taken, in bytes: clients that send 256 KiB of data in one WRITE pass too.
const MAX_ACCEPTED_BYTES: usize = MAX_PACKET_BYTES + 1024;

const LENGTH_BYTES: usize = 4;

/// Cuts a stream of bytes into packets. Holds at most one packet that is not yet whole.
#[derive(Debug, Default)]
pub struct Packets {
    length: [u8; LENGTH_BYTES],
    length_known: usize,
    body: BytesMut,
    body_length: usize,
}

impl Packets {
    /// Takes bytes from the front of `input` up to the end of the next packet, and returns that
    /// packet without its length; none when `input` ended first.
    ///
    /// Each packet is a buffer of its own and exactly as long, so that what is sliced out of it
    /// keeps nothing else in memory.
    ///
    /// # Errors
    /// Invalid when the length is 0 or too long: nothing after it can be understood.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>> {
        if !self.read_length(input)? {
            return Ok(None);
        }
        let missing = self.body_length - self.body.len();
        self.body.extend_from_slice(take(input, missing));
        if self.body.len() < self.body_length {
            return Ok(None);
        }
        self.length_known = 0;
        Ok(Some(std::mem::take(&mut self.body).freeze()))
    }

    /// Whether the stream stopped inside a packet.
    pub fn is_cut(&self) -> bool {
        self.length_known > 0
    }

    fn read_length(&mut self, input: &mut &[u8]) -> Result<bool> {
        if self.length_known == LENGTH_BYTES {
            return Ok(true);
        }
        let came = take(input, LENGTH_BYTES - self.length_known);
        for (slot, byte) in self.length.iter_mut().skip(self.length_known).zip(came) {
            *slot = *byte;
        }
        self.length_known += came.len();
        if self.length_known < LENGTH_BYTES {
            return Ok(false);
        }
        let length = u32::from_be_bytes(self.length) as usize;
        if length == 0 || length > MAX_ACCEPTED_BYTES {
            return Err(Error::invalid(format!(
                "an SFTP packet of {length} bytes was announced; 1 to {MAX_ACCEPTED_BYTES} are allowed"
            )));
        }
        self.body_length = length;
        self.body.reserve(length);
        Ok(true)
    }
}

/// Cuts up to `most` bytes off the front.
fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Result<Vec<Bytes>> {
        let mut packets = Packets::default();
        let mut found = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some(packet) = packets.next(&mut input)? {
                found.push(packet);
            }
            assert!(input.is_empty());
        }
        Ok(found)
    }

    #[test]
    fn packets_are_the_same_however_the_bytes_come() {
        let stream = b"\0\0\0\x02ab\0\0\0\x01c\0\0\0\x05defgh\0\0\0";
        let whole = cut(&[stream]).unwrap();
        assert_eq!(whole, [&b"ab"[..], b"c", b"defgh"]);
        for size in 1..stream.len() {
            let pieces: Vec<_> = stream.chunks(size).collect();
            assert_eq!(cut(&pieces).unwrap(), whole, "in pieces of {size}");
        }
    }

    #[test]
    fn lengths_of_zero_and_above_the_limit_are_refused() {
        assert!(cut(&[b"\0\0\0\0"]).is_err());
        assert!(cut(&[b"\xff\xff\xff\xff"]).is_err());
        let longest = u32::try_from(MAX_ACCEPTED_BYTES).unwrap();
        assert!(cut(&[&longest.to_be_bytes()]).is_ok());
        assert!(cut(&[&(longest + 1).to_be_bytes()]).is_err());
    }

    #[test]
    fn a_stream_that_stops_inside_a_packet_is_noticed() {
        let mut packets = Packets::default();
        assert!(!packets.is_cut());
        packets.next(&mut &b"\0"[..]).unwrap();
        assert!(packets.is_cut());
        packets.next(&mut &b"\0\0\x01"[..]).unwrap();
        assert!(packets.is_cut());
        packets.next(&mut &b"x"[..]).unwrap();
        assert!(!packets.is_cut());
    }
}
