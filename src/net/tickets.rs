//! Session tickets: what lets a client resume a TLS session, on any instance.
//!
//! A ticket is the name of a key (16) | nonce (12) | AES-256-GCM of (mark (16) | session), with the
//! name as associated data. The server keeps nothing. rustls hands data of ours through tickets of
//! TLS 1.3 only, so that the mark is put in front of the session here, in both versions alike.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use crate::domain::random;

/// How long a session may be resumed, in seconds: keys must be kept as long and no longer.
pub const LIFETIME_S: u32 = 12 * 60 * 60;
/// The bytes of the secret that a ticket key is made of.
pub const SECRET_BYTES: usize = 32;
const NAME_BYTES: usize = 16;
const MARK_BYTES: usize = 16;
/// A session with the longest chain of certificates that is worth a ticket; what is longer is
/// not resumed.
const LONGEST: usize = 16 * 1024;

/// Ties the data connections of a session to its control connection, through TLS resumption.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mark(pub [u8; MARK_BYTES]);

impl Mark {
    /// A mark that nobody can guess.
    pub fn random() -> Self {
        Self(random::bytes())
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mark")
    }
}

/// A key that seals tickets.
pub struct TicketKey {
    name: [u8; NAME_BYTES],
    key: LessSafeKey,
}

impl TicketKey {
    /// Makes the key of a secret; the same one of the same secret.
    pub fn new(secret: &[u8; SECRET_BYTES]) -> Self {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA512, b"sealift ticket key v1").extract(secret);
        let name = derive::<NAME_BYTES>(&secret, b"name");
        let key = derive::<32>(&secret, b"key");
        let key = UnboundKey::new(&AES_256_GCM, &*key).expect("AES-256 keys have 32 bytes");
        Self {
            name: *name,
            key: LessSafeKey::new(key),
        }
    }

    /// A key that no other instance has.
    pub fn random() -> Self {
        Self::new(&Zeroizing::new(random::bytes()))
    }

    fn seal(&self, mark: Mark, session: &[u8]) -> Option<Vec<u8>> {
        let nonce = random::bytes::<NONCE_LEN>();
        let mut sealed = Zeroizing::new([&mark.0[..], session].concat());
        let tag = self
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(self.name),
                &mut sealed,
            )
            .ok()?;
        Some([&self.name[..], &nonce, &sealed, tag.as_ref()].concat())
    }

    fn open(&self, nonce: [u8; NONCE_LEN], sealed: &[u8]) -> Option<(Mark, Vec<u8>)> {
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(self.name), &mut sealed)
            .ok()?;
        let (mark, session) = opened.split_first_chunk::<MARK_BYTES>()?;
        Some((Mark(*mark), session.to_vec()))
    }
}

fn derive<const N: usize>(secret: &hkdf::Prk, label: &[u8]) -> Zeroizing<[u8; N]> {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = Zeroizing::new([0; N]);
    secret
        .expand(&[label], Length(N))
        .and_then(|material| material.fill(&mut *out))
        .expect("HKDF gives this few bytes");
    out
}

/// The keys of an installation's tickets, which are replaced while it runs. Clones are the same.
#[derive(Clone)]
pub struct TicketKeys(Arc<RwLock<Arc<[TicketKey]>>>);

impl TicketKeys {
    /// The first key seals, all open.
    pub fn new(keys: Vec<TicketKey>) -> Self {
        Self(Arc::new(RwLock::new(keys.into())))
    }

    /// From now on the first of these seals, and all of them open.
    pub fn replace(&self, keys: Vec<TicketKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
    }

    fn all(&self) -> Arc<[TicketKey]> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKeys")
    }
}

/// The tickets of one connection: those it is given carry its mark, and the mark of the one that
/// it resumes by is remembered.
#[derive(Debug)]
pub struct ConnectionTickets {
    keys: TicketKeys,
    mark: Mark,
    opened: Mutex<Option<Mark>>,
}

impl ConnectionTickets {
    /// For a connection with this mark.
    pub fn new(keys: TicketKeys, mark: Mark) -> Self {
        Self {
            keys,
            mark,
            opened: Mutex::new(None),
        }
    }

    /// The mark of the ticket that was opened last: rustls tries tickets in turn and resumes by the
    /// last that it tried, or by none.
    pub fn opened(&self) -> Option<Mark> {
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProducesTickets for ConnectionTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_S
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        match plain.len() > LONGEST {
            true => None,
            false => self.keys.all().first()?.seal(self.mark, plain),
        }
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = cipher.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.keys.all();
        let key = keys.iter().find(|key| key.name == *name)?;
        let (mark, session) = key.open(*nonce, sealed)?;
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark);
        Some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(keys: &TicketKeys, mark: u8) -> ConnectionTickets {
        ConnectionTickets::new(keys.clone(), Mark([mark; MARK_BYTES]))
    }

    #[test]
    fn a_ticket_is_opened_by_whoever_has_the_key_and_tells_the_mark() {
        let keys = TicketKeys::new(vec![TicketKey::new(&[1; 32])]);
        let ticket = tickets(&keys, 7).encrypt(b"session").unwrap();
        let others = TicketKeys::new(vec![TicketKey::random(), TicketKey::new(&[1; 32])]);
        let other = tickets(&others, 8);
        assert_eq!(other.opened(), None);
        assert_eq!(other.decrypt(&ticket).unwrap(), b"session");
        assert_eq!(other.opened(), Some(Mark([7; MARK_BYTES])));
    }

    #[test]
    fn a_ticket_ends_with_its_key() {
        let keys = TicketKeys::new(vec![TicketKey::new(&[1; 32])]);
        let ticket = tickets(&keys, 7).encrypt(b"session").unwrap();
        keys.replace(vec![TicketKey::new(&[2; 32]), TicketKey::new(&[1; 32])]);
        assert!(tickets(&keys, 7).decrypt(&ticket).is_some());
        keys.replace(vec![TicketKey::new(&[2; 32])]);
        assert!(tickets(&keys, 7).decrypt(&ticket).is_none());
    }

    #[test]
    fn a_ticket_that_was_changed_or_cut_anywhere_is_none() {
        let keys = TicketKeys::new(vec![TicketKey::random()]);
        let ticket = tickets(&keys, 7).encrypt(b"session").unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            let connection = tickets(&keys, 7);
            assert!(connection.decrypt(&changed).is_none());
            assert!(connection.decrypt(&ticket[..at]).is_none());
            assert_eq!(connection.opened(), None);
        }
    }

    #[test]
    fn what_no_record_could_carry_gets_no_ticket() {
        let keys = TicketKeys::new(vec![TicketKey::random()]);
        assert!(tickets(&keys, 7).encrypt(&vec![0; LONGEST + 1]).is_none());
        keys.replace(Vec::new());
        assert!(tickets(&keys, 7).encrypt(b"session").is_none());
    }
}
