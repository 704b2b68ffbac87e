//! What a client shows instead of a password: the text of a session's cookie, or of a token.
//!
//! `slt_` (a token), `sls_` (a session), `sll_` (a link) or `slo_` (an operator's token, of tenant 0), then the number of
//! the tenant, 256 random bits and a
//! CRC-32 in base 32: the number leads to the rows of one tenant, where the hash of the random bits is
//! looked up, and the sum lets programs that scan for secrets that leaked tell one from other text.

use std::fmt;

use aws_lc_rs::hmac;
use data_encoding::{BASE32_DNSSEC, HEXLOWER};
use zeroize::Zeroizing;

use crate::domain::id::TenantId;
use crate::domain::random;

/// What a ticket stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TicketKind {
    /// A link by which people come who have no account.
    Link,
    /// An operator of the installation.
    Operator,
    /// A session of a browser.
    Session,
    /// A token of a program.
    Token,
}

impl TicketKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Link => "sll_",
            Self::Operator => "slo_",
            Self::Session => "sls_",
            Self::Token => "slt_",
        }
    }
}

const TENANT: usize = 8;
const SECRET: usize = 32;
const SUM: usize = 4;

/// A secret and where to look it up.
#[derive(Clone)]
pub struct Ticket {
    kind: TicketKind,
    tenant: TenantId,
    secret: Zeroizing<[u8; SECRET]>,
}

impl Ticket {
    /// A new one.
    pub fn random(kind: TicketKind, tenant: TenantId) -> Self {
        Self {
            kind,
            tenant,
            secret: Zeroizing::new(random::bytes()),
        }
    }

    /// Takes what a client shows; none when it cannot be one.
    pub fn parse(kind: TicketKind, text: &str) -> Option<Self> {
        let coded = text.strip_prefix(kind.prefix())?;
        let bytes = Zeroizing::new(BASE32_DNSSEC.decode(coded.as_bytes()).ok()?);
        let (payload, sum) = bytes.split_at_checked(TENANT + SECRET)?;
        if sum != crc32fast::hash(payload).to_be_bytes() {
            return None;
        }
        let (tenant, secret) = payload.split_at_checked(TENANT)?;
        let tenant = TenantId(i64::from_be_bytes(tenant.try_into().ok()?));
        let secret = Zeroizing::new(secret.try_into().ok()?);
        Some(Self {
            kind,
            tenant,
            secret,
        })
    }

    /// What the client shows.
    pub fn text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(TENANT + SECRET + SUM));
        bytes.extend(self.tenant.0.to_be_bytes());
        bytes.extend(self.secret.iter());
        let sum = crc32fast::hash(&bytes).to_be_bytes();
        bytes.extend(sum);
        let coded = Zeroizing::new(BASE32_DNSSEC.encode(&bytes));
        Zeroizing::new(format!("{}{}", self.kind.prefix(), *coded))
    }

    /// What it stands for.
    pub fn kind(&self) -> TicketKind {
        self.kind
    }

    /// The tenant in which it is looked up.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// What is stored of it: one round is enough for 256 random bits.
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(hmac::sign(&self.key(), b"stored").as_ref());
        hash
    }

    /// What the pages of a session send with requests that change something. Whoever cannot read the
    /// session's answers cannot know it; nothing needs to be stored.
    pub fn page_token(&self) -> String {
        HEXLOWER.encode(hmac::sign(&self.key(), b"page").as_ref())
    }

    /// Whether a page sent the right one.
    pub fn is_page_token(&self, text: &str) -> bool {
        let sent = HEXLOWER.decode(text.as_bytes());
        sent.is_ok_and(|sent| hmac::verify(&self.key(), b"page", &sent).is_ok())
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &*self.secret)
    }
}

/// Without the secret.
impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in tenant {}", self.kind, self.tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_survives_its_text_form() {
        for kind in [
            TicketKind::Link,
            TicketKind::Operator,
            TicketKind::Session,
            TicketKind::Token,
        ] {
            let ticket = Ticket::random(kind, TenantId(7));
            let read = Ticket::parse(kind, &ticket.text()).unwrap();
            assert_eq!((read.kind, read.tenant), (kind, TenantId(7)));
            assert_eq!(read.hash(), ticket.hash());
            assert!(ticket.is_page_token(&read.page_token()));
        }
    }

    #[test]
    fn a_ticket_of_one_kind_is_none_of_the_other() {
        let session = Ticket::random(TicketKind::Session, TenantId(1)).text();
        assert!(Ticket::parse(TicketKind::Token, &session).is_none());
        let disguised = session.replace("sls_", "slt_");
        let disguised = Ticket::parse(TicketKind::Token, &disguised).unwrap();
        assert_eq!(disguised.kind(), TicketKind::Token);
    }

    #[test]
    fn a_letter_that_changed_is_noticed() {
        let text = Ticket::random(TicketKind::Token, TenantId(1)).text();
        for (place, letter) in text.char_indices().skip(4) {
            let other = if letter == 'a' { "b" } else { "a" };
            let mut changed = text.to_string();
            changed.replace_range(place..=place, other);
            assert!(
                Ticket::parse(TicketKind::Token, &changed).is_none(),
                "{place}"
            );
        }
        assert!(Ticket::parse(TicketKind::Token, "slt_").is_none());
        assert!(Ticket::parse(TicketKind::Token, "").is_none());
    }

    #[test]
    fn the_token_of_another_session_or_an_empty_one_is_wrong() {
        let ticket = Ticket::random(TicketKind::Session, TenantId(1));
        let other = Ticket::random(TicketKind::Session, TenantId(1));
        assert!(!ticket.is_page_token(&other.page_token()));
        assert!(!ticket.is_page_token(""));
    }
}
