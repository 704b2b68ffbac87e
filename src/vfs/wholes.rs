//! The whole files that this process is being sent: until something of one is durable, nothing in the
//! database tells that its account's old bytes are about to go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::id::{AccountId, NodeId, SessionId, TenantId};
use crate::domain::principal::Principal;

/// The whole files that a process is being sent.
#[derive(Default)]
pub struct Wholes {
    open: Mutex<HashMap<(TenantId, AccountId), Vec<Whole>>>,
}

/// One of them, as long as this is held.
pub struct Sending {
    wholes: Arc<Wholes>,
    of: (TenantId, AccountId),
    whole: Whole,
}

#[derive(Clone, PartialEq, Eq)]
struct Whole {
    session: SessionId,
    parent: NodeId,
    name: String,
    node: Option<NodeId>,
}

impl Wholes {
    /// Notes that a principal sends a whole file, under a name and in place of the file `node`, if one is
    /// there.
    pub fn begin(
        self: &Arc<Self>,
        principal: &Principal,
        (parent, name, node): (NodeId, &str, Option<NodeId>),
    ) -> Sending {
        let of = (principal.tenant, principal.account);
        let whole = Whole {
            session: principal.session,
            parent,
            name: name.to_owned(),
            node,
        };
        self.lock().entry(of).or_default().push(whole.clone());
        Sending {
            wholes: Arc::clone(self),
            of,
            whole,
        }
    }

    /// Whether another session of the principal's account sends a whole file under a name, or in place of
    /// the file `node`.
    pub fn has(
        &self,
        principal: &Principal,
        (parent, name): (NodeId, &str),
        node: Option<NodeId>,
    ) -> bool {
        let open = self.lock();
        let of = (principal.tenant, principal.account);
        let mut others = open.get(&of).into_iter().flatten();
        others.any(|whole| {
            let is_there = whole.parent == parent && whole.name == name;
            let is_it = node.is_some() && whole.node == node;
            whole.session != principal.session && (is_there || is_it)
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(TenantId, AccountId), Vec<Whole>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut open = self.wholes.lock();
        let Some(own) = open.get_mut(&self.of) else {
            return;
        };
        if let Some(at) = own.iter().position(|whole| *whole == self.whole) {
            own.swap_remove(at);
        }
        if own.is_empty() {
            open.remove(&self.of);
        }
    }
}
