//! Sealing: plain text in, a blob as `docs/format.md` describes it out.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use bytes::BytesMut;
use zeroize::Zeroizing;

use crate::domain::error::{Error, Result};
use crate::domain::id::{BlobId, TenantId};
use crate::domain::random;

/// Plain bytes in each frame but the last.
pub const FRAME_BYTES: usize = 65_536;
/// What sealing adds to each frame.
pub const TAG_BYTES: usize = 16;
/// Length of a blob's header.
pub const HEADER_BYTES: usize = 68;
/// A sealed blob has at most this many frames.
pub const MAX_FRAMES: u64 = 1 << 32;

pub(crate) const MAGIC: &[u8; 7] = b"SEALIFT";
pub(crate) const FORMAT_VERSION: u8 = 1;

/// A tenant's data key, unwrapped: seals and opens that tenant's blobs.
#[derive(Clone)]
pub struct DataKey {
    /// Which of the tenant's keys this is; written into each header.
    pub version: u32,
    secret: Zeroizing<[u8; 32]>,
}

impl DataKey {
    /// Takes over the 32 secret bytes.
    pub fn new(version: u32, secret: [u8; 32]) -> Self {
        Self {
            version,
            secret: Zeroizing::new(secret),
        }
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.secret
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data key {} <secret>", self.version)
    }
}

/// Which kind of frame stands at an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// The last frame of a finished blob: up to [`FRAME_BYTES`], empty only in an empty blob.
    Final,
    /// Any other frame: exactly [`FRAME_BYTES`].
    Middle,
}

/// Seals one blob, whose id and key it mints itself, so that no key and nonce ever meet twice.
///
/// Deliberately not `Clone`, and made from nothing but a tenant and its key.
pub struct Sealer {
    id: BlobId,
    header: [u8; HEADER_BYTES],
    key: LessSafeKey,
    next: u64,
}

impl Sealer {
    /// Starts a new blob of `tenant`.
    pub fn new(tenant: TenantId, key: &DataKey) -> Self {
        let id = BlobId::random();
        let header = write_header(tenant, key.version, id, &random::bytes());
        let key = blob_key(key, &header);
        Self {
            id,
            header,
            key,
            next: 0,
        }
    }

    /// The id that the blob must be stored under.
    pub fn id(&self) -> BlobId {
        self.id
    }

    /// The first bytes of the blob, before its frames.
    pub fn header(&self) -> &[u8; HEADER_BYTES] {
        &self.header
    }

    /// Seals the next middle frame and appends it to `out`.
    ///
    /// # Errors
    /// Internal, with `out` as it was, unless `plain` is exactly [`FRAME_BYTES`] long.
    pub fn seal(&mut self, plain: &[u8], out: &mut BytesMut) -> Result<()> {
        append(plain, out, |room| self.seal_to(plain, room))
    }

    /// Seals the next middle frame to `room`, which must be [`TAG_BYTES`] longer.
    ///
    /// # Errors
    /// Internal unless `plain` is exactly [`FRAME_BYTES`] long, and so is `room`.
    pub fn seal_to(&mut self, plain: &[u8], room: &mut [u8]) -> Result<()> {
        if plain.len() != FRAME_BYTES {
            return Err(Error::internal("a middle frame must be full"));
        }
        self.put(plain, Position::Middle, room)
    }

    /// Seals the last frame, appends it to `out` and so completes the blob.
    ///
    /// # Errors
    /// Internal, with `out` as it was, when `plain` is longer than [`FRAME_BYTES`], or empty
    /// although the blob is not.
    pub fn finish(self, plain: &[u8], out: &mut BytesMut) -> Result<()> {
        append(plain, out, |room| self.finish_to(plain, room))
    }

    /// Seals the last frame to `room`, which must be [`TAG_BYTES`] longer, and so completes the blob.
    ///
    /// # Errors
    /// As [`Sealer::finish`].
    pub fn finish_to(mut self, plain: &[u8], room: &mut [u8]) -> Result<()> {
        if plain.len() > FRAME_BYTES || (plain.is_empty() && self.next > 0) {
            return Err(Error::internal(
                "a final frame holds 1 to 65536 bytes, or nothing in an empty blob",
            ));
        }
        self.put(plain, Position::Final, room)
    }

    fn put(&mut self, plain: &[u8], position: Position, room: &mut [u8]) -> Result<()> {
        let index = self.next;
        if index >= MAX_FRAMES {
            return Err(Error::internal("a blob has at most 2^32 frames"));
        }
        let (text, tag) = room
            .split_at_mut_checked(plain.len())
            .filter(|(_, tag)| tag.len() == TAG_BYTES)
            .ok_or_else(|| Error::internal("no room for a frame and its tag"))?;
        self.next += 1;
        let (nonce, header) = (nonce(index, position), Aad::from(&self.header));
        let sealed = self
            .key
            .seal_out_of_place_scatter(nonce, header, plain, text, &[], tag);
        sealed.map_err(Error::internal)
    }
}

/// Adds to `out` what `seal` makes of `plain`; as it was when that fails.
fn append(
    plain: &[u8],
    out: &mut BytesMut,
    seal: impl FnOnce(&mut [u8]) -> Result<()>,
) -> Result<()> {
    let start = out.len();
    out.resize(start + plain.len() + TAG_BYTES, 0);
    let (_, room) = out.split_at_mut(start);
    let sealed = seal(room);
    sealed.inspect_err(|_| out.truncate(start))
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sealer of blob {} at frame {}", self.id, self.next)
    }
}

/// The key of the blob with this header.
pub(crate) fn blob_key(key: &DataKey, header: &[u8; HEADER_BYTES]) -> LessSafeKey {
    let (_, random) = header.split_at(HEADER_BYTES - 32);
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA512, random).extract(key.expose());
    derived_key(&secret, &[b"sealift blob v1", header])
}

/// An AES-256-GCM key expanded from `secret` for the purpose that `info` names.
pub(crate) fn derived_key(secret: &hkdf::Prk, info: &[&[u8]]) -> LessSafeKey {
    let okm = secret
        .expand(info, &AES_256_GCM)
        .expect("HKDF-SHA-512 gives up to 16,320 bytes, and a key is 32");
    LessSafeKey::new(UnboundKey::from(okm))
}

/// The nonce of a frame: three zero bytes, its index, and whether it is the final one.
pub(crate) fn nonce(index: u64, position: Position) -> Nonce {
    let [a, b, c, d, e, f, g, h] = index.to_be_bytes();
    let flag = match position {
        Position::Middle => 0,
        Position::Final => 1,
    };
    let bytes: [u8; NONCE_LEN] = [0, 0, 0, a, b, c, d, e, f, g, h, flag];
    Nonce::assume_unique_for_key(bytes)
}

fn write_header(
    tenant: TenantId,
    version: u32,
    id: BlobId,
    random: &[u8; 32],
) -> [u8; HEADER_BYTES] {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(MAGIC);
    header.push(FORMAT_VERSION);
    header.extend_from_slice(&tenant.0.to_be_bytes());
    header.extend_from_slice(&version.to_be_bytes());
    header.extend_from_slice(id.as_bytes());
    header.extend_from_slice(random);
    header
        .try_into()
        .expect("7 + 1 + 8 + 4 + 16 + 32 bytes are a header")
}
