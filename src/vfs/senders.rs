//! Who is sending what to this process: until something of it is durable, nothing in the database tells that
//! its account's old bytes are about to go, or that more are about to come behind them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::id::{AccountId, NodeId, SessionId, TenantId};
use crate::domain::principal::Principal;

/// What is being sent to a process.
#[derive(Default)]
pub struct Senders {
    open: Mutex<HashMap<(TenantId, AccountId), Vec<Sent>>>,
}

/// How much of a file is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Changes to what is there, or more behind it: others may be at it as well.
    Part,
    /// All of it.
    Whole,
}

/// One of them, as long as this is held.
pub struct Sending {
    senders: Arc<Senders>,
    of: (TenantId, AccountId),
    sent: Sent,
}

#[derive(Clone, PartialEq, Eq)]
struct Sent {
    session: SessionId,
    parent: NodeId,
    name: String,
    node: Option<NodeId>,
    amount: Amount,
}

impl Senders {
    /// Notes that a principal sends a file, under a name and into the file `node`, if one is there.
    pub fn begin(
        self: &Arc<Self>,
        principal: &Principal,
        (parent, name, node): (NodeId, &str, Option<NodeId>),
        amount: Amount,
    ) -> Sending {
        let of = (principal.tenant, principal.account);
        let sent = Sent {
            session: principal.session,
            parent,
            name: name.to_owned(),
            node,
            amount,
        };
        self.lock().entry(of).or_default().push(sent.clone());
        Sending {
            senders: Arc::clone(self),
            of,
            sent,
        }
    }

    /// Whether another session of the principal's account sends a file, under a name or into the file `node`:
    /// a whole one, or just as well a part.
    pub fn has(
        &self,
        principal: &Principal,
        (parent, name): (NodeId, &str),
        node: Option<NodeId>,
        least: Amount,
    ) -> bool {
        let open = self.lock();
        let of = (principal.tenant, principal.account);
        let mut others = open.get(&of).into_iter().flatten();
        others.any(|sent| {
            let is_there = sent.parent == parent && sent.name == name;
            let is_it = node.is_some() && sent.node == node;
            let is_enough = least == Amount::Part || sent.amount == Amount::Whole;
            sent.session != principal.session && is_enough && (is_there || is_it)
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(TenantId, AccountId), Vec<Sent>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sending {
    /// How much is sent.
    pub fn amount(&self) -> Amount {
        self.sent.amount
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut open = self.senders.lock();
        let Some(own) = open.get_mut(&self.of) else {
            return;
        };
        if let Some(at) = own.iter().position(|sent| *sent == self.sent) {
            own.swap_remove(at);
        }
        if own.is_empty() {
            open.remove(&self.of);
        }
    }
}
