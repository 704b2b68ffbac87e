//! The way out: replies as they are ready, gathered into full packets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::domain::error::Error;
use crate::sftp::complaints::Complaints;
use crate::sftp::ledger::Ticket;
use crate::sftp::room::Place;

/// So much is handed on at once; what SSH holds beyond our counts is a few of these.
const BATCH_BYTES: usize = 64 * 1024;
/// So much data most clients take in one packet of SSH (RFC 4254 section 5.1; OpenSSH, paramiko, AsyncSSH).
const PACKET_BYTES: usize = 32 * 1024;
/// What is longer gains more by going together than by going at once.
const SMALL_BYTES: usize = 4 * 1024;

/// A reply on its way.
struct Reply {
    bytes: Bytes,
    /// What comes behind these bytes: a slice of what was read, which may be long.
    data: Bytes,
    /// Counted until the reply is handed on.
    _ticket: Option<Ticket>,
    _place: Option<Place>,
}

impl Reply {
    fn new(bytes: Bytes, ticket: Option<Ticket>, place: Option<Place>) -> Self {
        Self {
            bytes,
            data: Bytes::new(),
            _ticket: ticket,
            _place: place,
        }
    }

    fn len(&self) -> usize {
        self.bytes.len() + self.data.len()
    }
}

/// Where replies are put; never waits. What may be put is bounded by tickets and places.
#[derive(Clone)]
pub struct Replies {
    queue: UnboundedSender<Reply>,
    short_cut: ShortCut,
    queued: Queued,
    complaints: Option<Arc<Complaints>>,
}

/// How many replies are in the queue or being handed on. Held while one goes by the short cut: none of which a
/// part has been handed on may come between.
#[derive(Clone, Default)]
struct Queued(Arc<Mutex<usize>>);

impl Queued {
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands a reply on at once, or gives it back when it would have to wait.
type ShortCut = Arc<dyn Fn(Bytes) -> Result<(), Bytes> + Send + Sync>;

impl Replies {
    /// The two ends of a new way out. A small reply goes by `short_cut` while none is queued: most then
    /// take no more tasks than the one that answers and the one that sends.
    pub fn new(
        short_cut: impl Fn(Bytes) -> Result<(), Bytes> + Send + Sync + 'static,
    ) -> (Self, Outlet) {
        let (queue, replies) = unbounded_channel();
        let queued = Queued::default();
        let outlet = Outlet {
            replies,
            queued: queued.clone(),
        };
        let short_cut = Arc::new(short_cut);
        (
            Self {
                queue,
                short_cut,
                queued,
                complaints: None,
            },
            outlet,
        )
    }

    /// The same, which also says in words what went wrong.
    pub fn complaining(self, complaints: Complaints) -> Self {
        Self {
            complaints: Some(Arc::new(complaints)),
            ..self
        }
    }

    /// Says why a request fails whose status is sent next, to a client that does not show it.
    pub fn complain(&self, error: &Error) {
        if let Some(complaints) = &self.complaints {
            complaints.say(error);
        }
    }

    /// Sends a small reply.
    pub fn send(&self, ticket: Ticket, bytes: Bytes) {
        self.put(Reply::new(bytes, Some(ticket), None));
    }

    /// Sends a reply that has a place.
    pub fn send_placed(&self, ticket: Ticket, place: Place, bytes: Bytes) {
        self.put(Reply::new(bytes, Some(ticket), Some(place)));
    }

    /// Sends a reply that has a place and ends with `data`, of which only the first packet is copied.
    pub fn send_data(&self, ticket: Ticket, place: Place, head: Bytes, mut data: Bytes) {
        let room = PACKET_BYTES.saturating_sub(head.len());
        let rest = data.split_off(room.min(data.len()));
        let bytes = Bytes::from([head, data].concat());
        self.put(Reply {
            data: rest,
            ..Reply::new(bytes, Some(ticket), Some(place))
        });
    }

    /// Sends what no request asked for by a number: the version.
    pub fn send_version(&self, bytes: Bytes) {
        self.put(Reply::new(bytes, None, None));
    }

    fn put(&self, mut reply: Reply) {
        // What one puts after the other stays behind it, and nothing else has an order.
        let mut queued = self.queued.lock();
        if reply.len() <= SMALL_BYTES && *queued == 0 {
            reply.bytes = match (self.short_cut)(reply.bytes) {
                Ok(()) => return,
                Err(bytes) => bytes,
            };
        }
        *queued += 1;
        // When the other end is gone, so is the client.
        let _ = self.queue.send(reply);
    }
}

/// Where replies come out.
pub struct Outlet {
    replies: UnboundedReceiver<Reply>,
    queued: Queued,
}

impl Outlet {
    /// Hands replies to `send` in order until all senders are gone or `send` says that the client
    /// is (by false). Replies that are ready together go together, so that packets are full.
    pub async fn run<Sending>(mut self, send: impl Fn(Bytes) -> Sending)
    where
        Sending: Future<Output = bool>,
    {
        while let Some(first) = self.replies.recv().await {
            let mut gathered = vec![first];
            let mut total = length(&gathered);
            while total < BATCH_BYTES {
                let Ok(next) = self.replies.try_recv() else {
                    break;
                };
                total += next.len();
                gathered.push(next);
            }
            let last = gathered.last_mut().map(|last| &mut last.data);
            let last = last.map(std::mem::take).unwrap_or_default();
            for mut bytes in [joined(&gathered), last] {
                while !bytes.is_empty() {
                    let part = bytes.split_to(bytes.len().min(BATCH_BYTES));
                    if !send(part).await {
                        return;
                    }
                }
            }
            *self.queued.lock() -= gathered.len();
        }
    }
}

fn length(replies: &[Reply]) -> usize {
    replies.iter().map(Reply::len).sum()
}

fn joined(replies: &[Reply]) -> Bytes {
    if let [only] = replies
        && only.data.is_empty()
    {
        return only.bytes.clone();
    }
    let mut out = BytesMut::with_capacity(length(replies));
    for reply in replies {
        out.extend_from_slice(&reply.bytes);
        out.extend_from_slice(&reply.data);
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::net::budget::Budget;
    use crate::sftp::ledger::Ledger;
    use crate::sftp::packet::Packets;
    use crate::sftp::room::Room;

    async fn all_of(outlet: Outlet) -> Vec<Bytes> {
        let sent = RefCell::new(Vec::new());
        let send = |bytes| {
            sent.borrow_mut().push(bytes);
            std::future::ready(true)
        };
        outlet.run(send).await;
        sent.into_inner()
    }

    #[tokio::test]
    async fn replies_go_together_in_order_and_in_parts() {
        let ledger = Ledger::new(Budget::new(0));
        let (replies, outlet) = Replies::new(Err);
        let mut expected = Vec::new();
        for size in [1, 2, 70_000, 3] {
            let bytes = vec![u8::try_from(expected.len() % 251).unwrap(); size];
            expected.extend_from_slice(&bytes);
            replies.send(ledger.request().unwrap(), bytes.into());
        }
        drop(replies);
        let sent = all_of(outlet).await;
        assert_eq!(sent.concat(), expected);
        let sizes: Vec<_> = sent.iter().map(Bytes::len).collect();
        assert_eq!(sizes, [BATCH_BYTES, 70_003 - BATCH_BYTES, 3]);
        assert!(ledger.is_quiet());
    }

    #[tokio::test]
    async fn long_data_go_as_they_were_read() {
        let ledger = Ledger::new(Budget::new(0));
        let room = Room::new(Budget::new(64 << 20));
        let (replies, outlet) = Replies::new(Err);
        let read = Bytes::from(vec![7; 200_000]);
        let head = Bytes::from_static(b"head");
        for length in [2, read.len()] {
            let place = room.take(length).await;
            let data = read.slice(..length);
            replies.send_data(ledger.request().unwrap(), place, head.clone(), data);
        }
        drop(replies);
        let sent = all_of(outlet).await;
        let expected = [b"head", &read[..2], b"head", &read].concat();
        assert_eq!(sent.concat(), expected);
        // In its place, behind what fills the first packet.
        let rest = &read[PACKET_BYTES - head.len()..];
        assert_eq!(sent[1].as_ptr(), rest.as_ptr());
        let sizes: Vec<_> = sent.iter().map(Bytes::len).collect();
        let (front, rest) = (PACKET_BYTES + 6, rest.len() % BATCH_BYTES);
        assert_eq!(sizes, [front, BATCH_BYTES, BATCH_BYTES, rest]);
    }

    #[tokio::test]
    async fn small_replies_go_at_once_unless_others_wait() {
        let ledger = Ledger::new(Budget::new(0));
        let gone = Arc::new(Mutex::new(Vec::new()));
        let at_once = gone.clone();
        // There is room for two.
        let (replies, outlet) = Replies::new(move |bytes| {
            let mut gone = at_once.lock().unwrap();
            match gone.len() < 2 {
                true => gone.push(bytes),
                false => return Err(bytes),
            }
            Ok(())
        });
        let send = |bytes: Vec<u8>| replies.send(ledger.request().unwrap(), bytes.into());
        send(vec![1]);
        assert!(ledger.is_quiet());
        send(vec![2; SMALL_BYTES + 1]);
        send(vec![3]);
        assert_eq!(*gone.lock().unwrap(), [&[1][..]]);
        let sent = RefCell::new(BytesMut::new());
        let running = outlet.run(|bytes| {
            sent.borrow_mut().extend_from_slice(&bytes);
            std::future::ready(true)
        });
        tokio::pin!(running);
        assert!(futures_util::poll!(&mut running).is_pending());
        assert_eq!(
            (sent.borrow().len(), sent.borrow().last()),
            (SMALL_BYTES + 2, Some(&3))
        );
        assert!(ledger.is_quiet());
        send(vec![4]);
        send(vec![5]);
        assert_eq!(*gone.lock().unwrap(), [&[1][..], &[4]]);
        drop(replies);
        running.await;
        assert_eq!(sent.borrow().last(), Some(&5));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_reply_comes_into_the_middle_of_another() {
        const EACH: usize = 500;
        let ledger = Ledger::new(Budget::new(64 << 20));
        let (sender, mut sent) = tokio::sync::mpsc::channel(4);
        let at_once = sender.clone();
        let (replies, outlet) = Replies::new(move |bytes: Bytes| {
            let refused = at_once.try_send(bytes);
            refused.map_err(|refused| refused.into_inner())
        });
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(outlet.run(move |bytes| {
            let sender = sender.clone();
            async move { sender.send(bytes).await.is_ok() }
        }));
        // Long ones go in parts, short ones at once.
        for length in [70_000, 10] {
            let (replies, ledger) = (replies.clone(), ledger.clone());
            tasks.spawn(async move {
                for _ in 0..EACH {
                    let mut reply = vec![7; length];
                    let body = u32::try_from(length - 4).unwrap();
                    reply[..4].copy_from_slice(&body.to_be_bytes());
                    replies.send(ledger.request().unwrap(), reply.into());
                    tokio::task::yield_now().await;
                }
            });
        }
        drop(replies);
        let (mut packets, mut whole) = (Packets::default(), 0);
        while whole < 2 * EACH {
            let bytes = sent.recv().await.unwrap();
            let mut rest = &bytes[..];
            while let Some(packet) = packets.next(&mut rest).unwrap() {
                assert!(packet.iter().all(|byte| *byte == 7));
                whole += 1;
            }
        }
        drop(sent);
        tasks.join_all().await;
    }
}
