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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::domain::path::VfsPath;
    use crate::domain::principal::{DoorOptions, LoginName};
    use crate::domain::rights::Rights;

    fn live(tenant: i64, account: i64, place: Place) -> Live {
        let principal = Principal {
            tenant: TenantId(tenant),
            account: AccountId(account),
            login: LoginName {
                user: "ann".to_owned(),
                tenant: "acme".to_owned(),
            },
            generation: 1,
            ceiling: Rights::ALL,
            scope: Rights::ALL,
            sees_ways: true,
            home: VfsPath::root(),
            session: SessionId::random(),
            protocol: Protocol::Sftp,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            door_options: DoorOptions::default(),
            link: None,
            administrator: false,
        };
        let (limits, now) = (SessionLimits::default(), Timestamp(0));
        Live {
            has_begun: true,
            ..Live::new(&principal, place, limits, now)
        }
    }

    #[test]
    fn the_first_reason_for_which_a_session_ends_stays() {
        let one = live(1, 1, Place::Always);
        assert_eq!((one.ended.is_cancelled(), one.why.get()), (false, None));
        one.end(Ended::Asked);
        one.end(Ended::Changed);
        let others = one.clone();
        assert!(others.ended.is_cancelled());
        assert_eq!(others.why.get(), Some(&Ended::Asked));
    }

    #[test]
    fn a_session_takes_its_place_from_when_it_has_it_and_a_guest_takes_none() {
        assert!(live(1, 1, Place::Always).counts());
        let waiting = Live {
            has_begun: false,
            ..live(1, 1, Place::Always)
        };
        assert!(!waiting.counts());
        assert!(!live(1, 1, Place::Never).counts());
    }

    #[test]
    fn who_logs_in_with_each_request_takes_a_place_while_one_is_under_way() {
        let known = Arc::new(());
        let one = live(1, 1, Place::While(Arc::downgrade(&known)));
        assert!(!one.counts());
        let request = known.clone();
        assert!(one.counts());
        drop(request);
        assert!(!one.counts());
        drop(known);
        assert!(!one.counts());
    }

    #[test]
    fn one_that_was_told_to_end_keeps_its_place_until_it_is_gone() {
        let added = live(1, 1, Place::Always);
        let ending = live(1, 1, Place::Always);
        ending.end(Ended::Asked);
        let (own, other) = (SessionId::random(), SessionId::random());
        let mut all = HashMap::from([(own, added.clone()), (other, ending)]);
        let taken = taken_here(&all, own, &added);
        assert_eq!((taken.of_account, taken.of_tenant), (1, 1));
        all.remove(&other);
        assert_eq!(taken_here(&all, own, &added), Taken::default());
    }

    #[test]
    fn places_are_counted_by_account_and_by_tenant_and_not_beyond() {
        let added = live(1, 1, Place::Always);
        let others = [
            live(1, 1, Place::Always),
            live(1, 2, Place::Always),
            live(1, 2, Place::Never),
            live(2, 1, Place::Always),
        ];
        let all = others.map(|live| (SessionId::random(), live));
        let taken = taken_here(&HashMap::from(all), SessionId::random(), &added);
        assert_eq!((taken.of_account, taken.of_tenant), (1, 2));
    }
}
