//! Uploads that break off, and how workers go on with them.

use std::sync::Arc;
use std::time::Duration;

use crate::chaos::doors::Trouble;
use crate::chaos::hands::{Door, Hand};
use crate::chaos::oracle::Fate;
use crate::chaos::sftp::IN_PLACE;
use crate::chaos::worker::Worker;
use crate::support::wait::wait_for;

/// An upload that is not whole yet.
#[derive(Clone)]
pub(crate) enum Parked {
    /// Of FTP or SFTP: what it is to be.
    Part(Arc<Vec<u8>>),
    /// Of tus.
    Tus {
        whole: Arc<Vec<u8>>,
        at: String,
        /// So much was acknowledged.
        stored: usize,
    },
}

/// How an upload of FTP or SFTP is gone on with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Appe,
    Rest,
    Sftp,
}

impl Worker<'_> {
    pub(crate) fn break_off(&mut self, path: &str) {
        let door = self.choice(&Door::ALL);
        let which = self.somewhere(door);
        let whole = Arc::new(self.some_bytes());
        let half = self.dice.usize(..=whole.len());
        if self.hands.reach(which).is_err() {
            return self.story.nobody_there();
        }
        let told = match self.hands.take(which) {
            Hand::Ftp(ftp) => ftp.break_off(path, &whole[..half]),
            Hand::Sftp(sftp) => sftp.break_off(path, &whole[..half]),
            // Nothing is kept of it.
            Hand::Https(https) => https.break_off(path, whole.len() + 1, &whole[..half]),
        };
        self.story.tell("break off", door, told.as_ref().err());
        if door == Door::Https {
            return;
        }
        self.dirty.insert(path.to_owned());
        self.parked.insert(path.to_owned(), Parked::Part(whole));
    }

    pub(crate) fn begin_tus(&mut self, path: &str) {
        let whole = Arc::new(self.some_bytes());
        if whole.is_empty() {
            return;
        }
        let which = self.somewhere(Door::Https);
        let begun = self.ask("begin tus", which, |hand| {
            hand.https().begin(path, whole.len())
        });
        if let Some(Ok(at)) = begun {
            let tus = Parked::Tus {
                whole,
                at,
                stored: 0,
            };
            self.parked.insert(path.to_owned(), tus);
        }
    }

    /// Goes on with what is parked at a path, some of the way.
    pub(crate) fn go_on(&mut self, path: &str) {
        match self.parked[path].clone() {
            Parked::Part(whole) => self.go_on_with_part(path, &whole),
            Parked::Tus { whole, at, stored } => self.go_on_with_tus(path, &whole, &at, stored),
        }
    }

    /// Goes on with all that is parked until none is. To be called when all is well again.
    pub(crate) fn finish(&mut self) {
        while let Some(path) = self.parked.keys().next().cloned() {
            wait_for(
                &format!("what broke off at {path} to be gone on with"),
                Duration::from_secs(90),
                || {
                    self.go_on(&path);
                    (!self.parked.contains_key(&path)).then_some(())
                },
            );
        }
    }

    fn go_on_with_part(&mut self, path: &str, whole: &Arc<Vec<u8>>) {
        let way = self.choice(&[Way::Appe, Way::Rest, Way::Sftp]);
        let door = match way {
            Way::Sftp => Door::Sftp,
            Way::Appe | Way::Rest => Door::Ftp,
        };
        let which = self.somewhere(door);
        let size = self.ask("size", which, |hand| match hand {
            Hand::Ftp(ftp) => ftp.size(path),
            Hand::Sftp(sftp) => sftp.size(path),
            Hand::Https(_) => unreachable!(),
        });
        let Some(Ok(size)) = size else {
            return;
        };
        // None of it was kept, or nobody can tell it from what is published.
        let published = self.story.oracle.lengths(&self.key(path));
        let kept = size.filter(|size| *size <= whole.len() && !published.contains(size));
        let Some(kept) = kept else {
            self.parked.remove(path);
            return;
        };
        let changes = [(path, Some(whole.clone()))];
        let rest = &whole[kept..];
        let fate = self.change("go on", which, &changes, |hand| match (hand, way) {
            (Hand::Ftp(ftp), Way::Appe) => ftp.append(path, rest),
            (Hand::Ftp(ftp), _) => ftp.go_on(path, kept, rest),
            (Hand::Sftp(sftp), _) => sftp.write(path, IN_PLACE, &[(kept as u64, rest)]),
            (Hand::Https(_), _) => unreachable!(),
        });
        if fate == Some(Fate::Done) {
            self.parked.remove(path);
            self.stored_anew(path);
        }
    }

    fn go_on_with_tus(&mut self, path: &str, whole: &Arc<Vec<u8>>, at: &str, stored: usize) {
        let which = self.somewhere(Door::Https);
        let offset = self.ask("ask tus", which, |hand| hand.https().offset(at));
        let offset = match offset {
            Some(Ok(offset)) => offset,
            Some(Err(Trouble::Missing(told))) => panic!("the upload of {path}: {told}"),
            _ => return,
        };
        assert!(
            offset >= stored,
            "{stored} bytes of the upload of {path} were acknowledged, and {offset} are there"
        );
        if offset == whole.len() {
            self.parked.remove(path);
            return;
        }
        let end = match self.dice.bool() {
            true => whole.len(),
            false => self.dice.usize(offset..whole.len()) + 1,
        };
        let piece = &whole[offset..end];
        let changes = match end == whole.len() {
            true => vec![(path, Some(whole.clone()))],
            false => Vec::new(),
        };
        let fate = self.change("go on with tus", which, &changes, |hand| {
            hand.https().patch(at, offset, piece)
        });
        if fate == Some(Fate::Done) {
            let tus = Parked::Tus {
                whole: whole.clone(),
                at: at.to_owned(),
                stored: end,
            };
            match end == whole.len() {
                true => _ = self.parked.remove(path),
                false => _ = self.parked.insert(path.to_owned(), tus),
            }
        }
    }
}
