//! The way out: replies as they are ready, gathered into full packets.

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::sftp::ledger::Ticket;
use crate::sftp::room::Place;

/// So much is handed on at once; what SSH holds beyond our counts is a few of these.
const BATCH_BYTES: usize = 64 * 1024;

/// A reply on its way.
struct Reply {
    bytes: Bytes,
    /// Counted until the reply is handed on.
    _ticket: Option<Ticket>,
    _place: Option<Place>,
}

/// Where replies are put; never waits. What may be put is bounded by tickets and places.
#[derive(Clone)]
pub struct Replies(UnboundedSender<Reply>);

impl Replies {
    /// The two ends of a new way out.
    pub fn new() -> (Self, Outlet) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), Outlet(receiver))
    }

    /// Sends a small reply.
    pub fn send(&self, ticket: Ticket, bytes: Bytes) {
        self.put(bytes, Some(ticket), None);
    }

    /// Sends a reply that has a place.
    pub fn send_placed(&self, ticket: Ticket, place: Place, bytes: Bytes) {
        self.put(bytes, Some(ticket), Some(place));
    }

    /// Sends what no request asked for by a number: the version.
    pub fn send_version(&self, bytes: Bytes) {
        self.put(bytes, None, None);
    }

    fn put(&self, bytes: Bytes, _ticket: Option<Ticket>, _place: Option<Place>) {
        // When the other end is gone, so is the client.
        let _ = self.0.send(Reply {
            bytes,
            _ticket,
            _place,
        });
    }
}

/// Where replies come out.
pub struct Outlet(UnboundedReceiver<Reply>);

impl Outlet {
    /// Hands replies to `send` in order until all senders are gone or `send` says that the client
    /// is (by false). Replies that are ready together go together, so that packets are full.
    pub async fn run<Sending>(mut self, send: impl Fn(Bytes) -> Sending)
    where
        Sending: Future<Output = bool>,
    {
        while let Some(first) = self.0.recv().await {
            let mut gathered = vec![first];
            let mut total = length(&gathered);
            while total < BATCH_BYTES {
                let Ok(next) = self.0.try_recv() else {
                    break;
                };
                total += next.bytes.len();
                gathered.push(next);
            }
            let mut bytes = joined(&gathered, total);
            while !bytes.is_empty() {
                let part = bytes.split_to(bytes.len().min(BATCH_BYTES));
                if !send(part).await {
                    return;
                }
            }
        }
    }
}

fn length(replies: &[Reply]) -> usize {
    replies.iter().map(|reply| reply.bytes.len()).sum()
}

fn joined(replies: &[Reply], total: usize) -> Bytes {
    if let [only] = replies {
        return only.bytes.clone();
    }
    let mut out = BytesMut::with_capacity(total);
    for reply in replies {
        out.extend_from_slice(&reply.bytes);
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::net::budget::Budget;
    use crate::sftp::ledger::Ledger;

    #[tokio::test]
    async fn replies_go_together_in_order_and_in_parts() {
        let ledger = Ledger::new(Budget::new(0));
        let (replies, outlet) = Replies::new();
        let mut expected = Vec::new();
        for size in [1, 2, 70_000, 3] {
            let bytes = vec![u8::try_from(expected.len() % 251).unwrap(); size];
            expected.extend_from_slice(&bytes);
            replies.send(ledger.request().unwrap(), bytes.into());
        }
        drop(replies);
        let sent = RefCell::new(Vec::new());
        outlet
            .run(|bytes| {
                sent.borrow_mut().push(bytes);
                std::future::ready(true)
            })
            .await;
        let sent = sent.into_inner();
        assert_eq!(sent.concat(), expected);
        let sizes: Vec<_> = sent.iter().map(Bytes::len).collect();
        assert_eq!(sizes, [BATCH_BYTES, 70_003 - BATCH_BYTES, 3]);
        assert!(ledger.is_quiet());
    }
}
