//! The connections of a worker, made when they are needed and kept until they fail.

use std::collections::HashMap;
use std::time::Duration;

use crate::chaos::doors::{Client, Told, Trouble};
use crate::chaos::ftp::Ftp;
use crate::chaos::ground::{Ground, Life, USERS};
use crate::chaos::https::Https;
use crate::chaos::sftp::Sftp;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Door {
    Ftp,
    Https,
    Sftp,
}

impl Door {
    pub(crate) const ALL: [Self; 3] = [Self::Ftp, Self::Https, Self::Sftp];
    /// Those by which files can be changed in part.
    pub(crate) const IN_PLACE: [Self; 2] = [Self::Ftp, Self::Sftp];
}

/// Which connection: to which instance, as which account, by which door.
pub(crate) type Which = (usize, usize, Door);

/// A connection.
pub(crate) enum Hand {
    Ftp(Box<Ftp>),
    Https(Box<Https>),
    Sftp(Box<Sftp>),
}

impl Hand {
    fn connect(life: &Life, login: &str, door: Door, patience: Duration) -> Told<Self> {
        Ok(match door {
            Door::Ftp => Self::Ftp(Box::new(Ftp::connect(life.ftp, login, patience)?)),
            Door::Https => Self::Https(Box::new(Https::connect(life.https, login, patience)?)),
            Door::Sftp => Self::Sftp(Box::new(Sftp::connect(life.sftp, login, patience)?)),
        })
    }

    pub(crate) fn client(&mut self) -> &mut dyn Client {
        match self {
            Self::Ftp(client) => &mut **client,
            Self::Https(client) => &mut **client,
            Self::Sftp(client) => &mut **client,
        }
    }

    pub(crate) fn https(&mut self) -> &mut Https {
        match self {
            Self::Https(client) => client,
            _ => panic!("this is another door"),
        }
    }
}

pub(crate) struct Hands<'a> {
    ground: &'a Ground,
    tenant: &'static str,
    patience: Duration,
    made: HashMap<Which, (u64, Hand)>,
}

impl<'a> Hands<'a> {
    pub(crate) fn of(ground: &'a Ground, tenant: &'static str, patience: Duration) -> Self {
        Self {
            ground,
            tenant,
            patience,
            made: HashMap::new(),
        }
    }

    /// What the oracle calls a path.
    pub(crate) fn key(&self, path: &str) -> String {
        format!("{}:{path}", self.tenant)
    }

    /// Connects, unless that was done; says to which life of the instance.
    pub(crate) fn reach(&mut self, which: Which) -> Told<u64> {
        let (instance, user, door) = which;
        let Some(life) = self.ground.instances[instance].life() else {
            self.let_go(which);
            return Err(Trouble::Silent("nobody listens".to_owned()));
        };
        if self.made.get(&which).map(|made| made.0) != Some(life.number) {
            self.let_go(which);
            let login = format!("{}@{}", USERS[user], self.tenant);
            let hand = Hand::connect(&life, &login, door, self.patience)?;
            self.made.insert(which, (life.number, hand));
        }
        Ok(life.number)
    }

    /// Uses a connection that was reached; lets it go when it fails.
    pub(crate) fn with<T>(
        &mut self,
        which: Which,
        work: impl FnOnce(&mut Hand) -> Told<T>,
    ) -> Told<T> {
        let (_, hand) = self.made.get_mut(&which).unwrap();
        let told = work(hand);
        if let Err(Trouble::Silent(_) | Trouble::Wrong(_)) = told {
            self.let_go(which);
        }
        told
    }

    /// Gives a connection that was reached away, to break it off.
    pub(crate) fn take(&mut self, which: Which) -> Hand {
        self.made.remove(&which).unwrap().1
    }

    fn let_go(&mut self, which: Which) {
        self.made.remove(&which);
    }
}
