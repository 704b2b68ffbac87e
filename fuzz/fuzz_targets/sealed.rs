//! Arbitrary bytes never open and never panic; what was sealed opens, and after any change does not.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sealift::crypto::open::{Opener, frame_range, frames, sealed_bytes};
use sealift::crypto::seal::{DataKey, FRAME_BYTES, HEADER_BYTES, Position, Sealer};
use sealift::domain::id::{BlobId, TenantId};

const TENANT: TenantId = TenantId(1);

fuzz_target!(|input: (u32, u8, u8, &[u8])| {
    let (at, bit, repeat, bytes) = input;
    let key = DataKey::new(1, [7; 32]);
    foreign(bytes, &key);

    // Repeated, so that short inputs reach several frames.
    let plain = bytes.repeat(1 + usize::from(repeat) * 64);
    let plain = &plain[..plain.len().min(3 * FRAME_BYTES)];
    let (id, mut sealed) = seal(plain, &key);
    assert_eq!(sealed.len() as u64, sealed_bytes(plain.len() as u64));
    let opened = open(id, plain.len(), &sealed, &key);
    assert!(opened.as_deref() == Some(plain));

    let at = at as usize % sealed.len();
    sealed[at] ^= 1 << (bit % 8);
    assert!(open(id, plain.len(), &sealed, &key).is_none());
});

/// Bytes that no sealer made.
fn foreign(bytes: &[u8], key: &DataKey) {
    drop(Opener::key_version(bytes));
    assert!(Opener::new(TENANT, BlobId::NIL, bytes, key).is_err());
    // As a blob, behind a header that passes.
    let sealer = Sealer::new(TENANT, key);
    let opener = Opener::new(TENANT, sealer.id(), sealer.header(), key).unwrap();
    for position in [Position::Final, Position::Middle] {
        let index = bytes.first().copied().unwrap_or(0).into();
        let mut plain = [0; FRAME_BYTES];
        assert!(opener.open(index, position, bytes, &mut plain).is_err());
    }
    // Ranges stay in order and inside, whatever is asked.
    let number = |at: usize| {
        let part = bytes.get(at..at + 8).and_then(|part| part.try_into().ok());
        part.map_or(0, u64::from_le_bytes)
    };
    let range = frame_range(number(0), number(8), number(16));
    assert!(range.start <= range.end && range.end <= sealed_bytes(number(0)));
}

fn seal(plain: &[u8], key: &DataKey) -> (BlobId, BytesMut) {
    let mut sealer = Sealer::new(TENANT, key);
    let id = sealer.id();
    let mut out = BytesMut::from(&sealer.header()[..]);
    let mut rest = plain;
    while rest.len() > FRAME_BYTES {
        let (frame, left) = rest.split_at(FRAME_BYTES);
        sealer.seal(frame, &mut out).unwrap();
        rest = left;
    }
    sealer.finish(rest, &mut out).unwrap();
    (id, out)
}

fn open(id: BlobId, length: usize, sealed: &[u8], key: &DataKey) -> Option<BytesMut> {
    let opener = Opener::new(TENANT, id, &sealed[..HEADER_BYTES], key).ok()?;
    let length = length as u64;
    let mut plain = BytesMut::new();
    for index in 0..frames(length) {
        let range = frame_range(length, index, index);
        let frame = &sealed[range.start as usize..range.end as usize];
        let position = match index + 1 == frames(length) {
            true => Position::Final,
            false => Position::Middle,
        };
        let mut opened = [0; FRAME_BYTES];
        let length = opener.open(index, position, frame, &mut opened).ok()?;
        plain.extend_from_slice(&opened[..length]);
    }
    Some(plain)
}
