//! A session of this process: what others are told of it, and the place that it takes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};

use tokio_util::sync::CancellationToken;

use crate::accounts::places::{SessionLimits, Taken};
use crate::db::live_sessions::LiveSession;
use crate::domain::clock::Timestamp;
use crate::domain::id::{AccountId, InstanceId, SessionId, TenantId};
use crate::domain::measures;
use crate::domain::principal::{Principal, Protocol};
use crate::domain::spans;

/// Why a session must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// An operator or an administrator wanted it.
    Asked,
    /// The account was changed or disabled, or nobody is logged in.
    Changed,
}

impl Ended {
    /// What its client is told.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Asked => "an administrator ended this session",
            Self::Changed => "the account was changed or disabled; log in again",
        }
    }
}

/// What others were told of a session.
#[derive(Clone, Copy)]
pub(in crate::accounts) struct Told {
    pub(in crate::accounts) tenant: TenantId,
    /// Whether it takes a place; none when it is not certain what they were told.
    pub(in crate::accounts) counts: Option<bool>,
}

impl Told {
    /// That there may be a row of it.
    pub(in crate::accounts) fn something(tenant: TenantId) -> Self {
        let counts = None;
        Self { tenant, counts }
    }
}

/// A session of this process.
#[derive(Clone)]
pub(in crate::accounts) struct Live {
    pub(in crate::accounts) tenant: TenantId,
    pub(in crate::accounts) account: AccountId,
    pub(in crate::accounts) generation: i64,
    pub(in crate::accounts) place: Place,
    pub(in crate::accounts) limits: SessionLimits,
    /// It has its place: one that waits for that has not begun.
    pub(in crate::accounts) has_begun: bool,
    /// Places are few, so that others are told at once when this one is free.
    pub(in crate::accounts) is_scarce: bool,
    pub(in crate::accounts) protocol: Protocol,
    address: IpAddr,
    began_at: Timestamp,
    pub(in crate::accounts) ended: CancellationToken,
    pub(in crate::accounts) why: Arc<OnceLock<Ended>>,
}

/// Whether a session takes one of the places that its account and its tenant have.
#[derive(Clone)]
pub(in crate::accounts) enum Place {
    /// As long as it lasts.
    Always,
    /// It does not.
    Never,
    /// While somebody has this beside the one who knows it: whose client logs in with each request.
    While(Weak<()>),
}

impl Live {
    pub(in crate::accounts) fn new(
        principal: &Principal,
        place: Place,
        limits: SessionLimits,
        now: Timestamp,
    ) -> Self {
        Self {
            tenant: principal.tenant,
            account: principal.account,
            generation: principal.generation,
            place,
            limits,
            has_begun: false,
            is_scarce: false,
            protocol: principal.protocol,
            address: principal.address,
            began_at: now,
            ended: CancellationToken::new(),
            why: Arc::default(),
        }
    }

    pub(in crate::accounts) fn counts(&self) -> bool {
        match &self.place {
            Place::Always => self.has_begun,
            Place::Never => false,
            Place::While(in_use) => in_use.strong_count() > 1,
        }
    }

    pub(in crate::accounts) fn told_as(
        &self,
        id: SessionId,
        instance: InstanceId,
        counts: bool,
    ) -> LiveSession {
        LiveSession {
            id,
            instance,
            account: self.account,
            protocol: self.protocol.as_str().to_owned(),
            address: self.address.to_string(),
            began_at: self.began_at,
            counts,
        }
    }

    pub(in crate::accounts) fn announce(&self, session: SessionId) {
        measures::session_began(self.protocol);
        spans::session_began(session, self.protocol, self.address);
    }

    pub(in crate::accounts) fn end(&self, why: Ended) {
        // The first reason stays.
        let _ = self.why.set(why);
        self.ended.cancel();
    }
}

/// The places that are taken here by others than `session`, for which `added` stands.
pub(in crate::accounts) fn taken_here(
    all: &HashMap<SessionId, Live>,
    session: SessionId,
    added: &Live,
) -> Taken {
    let mut taken = Taken::default();
    let others = all.iter().filter(|(id, _)| **id != session);
    let of_tenant = others
        .map(|(_, live)| live)
        .filter(|live| live.tenant == added.tenant);
    for live in of_tenant.filter(|live| live.counts()) {
        taken.of_tenant += 1;
        taken.of_account += u64::from(live.account == added.account);
    }
    taken
}
