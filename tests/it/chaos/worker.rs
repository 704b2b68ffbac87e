//! A worker: stores, changes, moves, deletes and reads files in a folder of its own, and looks at the others'.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::chaos::broken::Parked;
use crate::chaos::doors::{HASTY, PATIENT};
use crate::chaos::ground::TENANTS;
use crate::chaos::hands::{Door, Hand, Hands};
use crate::chaos::oracle::Fate;
use crate::chaos::sftp::IN_PLACE;
use crate::chaos::story::Story;
use crate::support::wait::wait_for;

/// Workers of each tenant.
pub(crate) const WORKERS: usize = 3;
const NAMES: usize = 5;
/// A folder where all of a tenant store files.
const SHARED: &str = "/shared";

/// How a file gets to another place.
enum Place {
    Copied,
    Moved,
}

pub(crate) struct Worker<'a> {
    pub(crate) story: &'a Story,
    pub(crate) dice: fastrand::Rng,
    pub(crate) hands: Hands<'a>,
    folder: String,
    /// Which of its tenant's accounts it has, and which it only reads as.
    pub(crate) user: usize,
    other: usize,
    /// Uploads that broke off and are to be gone on with, by path.
    pub(crate) parked: BTreeMap<String, Parked>,
    /// Where the server may have kept the beginning of an upload, which this account would see.
    pub(crate) dirty: BTreeSet<String>,
    /// Where something may yet be changed of what is there by then, whatever that is.
    blocked: BTreeSet<String>,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(story: &'a Story, number: usize, seed: u64) -> Self {
        let tenant = TENANTS[number % TENANTS.len()].0;
        let number = number / TENANTS.len();
        let patience = match number {
            0 => PATIENT,
            _ => HASTY,
        };
        Self {
            story,
            dice: fastrand::Rng::with_seed(seed),
            hands: Hands::of(&story.ground, tenant, patience),
            folder: format!("/w{number}"),
            user: number % 2,
            other: (number + 1) % 2,
            parked: BTreeMap::new(),
            dirty: BTreeSet::new(),
            blocked: BTreeSet::new(),
        }
    }

    /// Makes its folder. To be called while all is well.
    pub(crate) fn begin(&mut self) {
        let which = (0, self.user, Door::Https);
        for folder in [&self.folder, SHARED] {
            wait_for("a folder to be made", Duration::from_secs(60), || {
                self.hands.reach(which).ok()?;
                let made = self
                    .hands
                    .with(which, |hand| hand.https().make_folder(folder));
                made.ok()
            });
        }
    }

    /// Works until the story is over.
    pub(crate) fn work(&mut self) {
        while !self.story.is_over() {
            self.turn();
        }
    }

    fn turn(&mut self) {
        let path = self.some_name();
        let roll = self.dice.u8(0..100);
        if roll < 20 {
            return self.read_own(&path);
        }
        if roll < 28 {
            return self.read_any();
        }
        if roll < 32 {
            return self.list();
        }
        if roll < 36 {
            return self.put_shared();
        }
        let oracle = &self.story.oracle;
        if self.blocked.contains(&path) {
            if !oracle.is_settled(&self.key(&path)) {
                return self.read_own(&path);
            }
            self.blocked.remove(&path);
        }
        if self.parked.contains_key(&path) {
            return self.go_on(&path);
        }
        if self.dirty.contains(&path) {
            return self.put(&path, &Door::IN_PLACE);
        }
        let known = oracle.known(&self.key(&path));
        match (roll, known) {
            (36..43, Some(Some(bytes))) => self.append(&path, &bytes),
            (43..49, Some(Some(bytes))) => self.patch(&path, &bytes),
            (49..59, Some(Some(bytes))) => self.place(Place::Moved, &path, &bytes),
            (59..64, Some(Some(bytes))) => self.place(Place::Copied, &path, &bytes),
            (64..69, Some(Some(_))) => self.delete(&path),
            (69..76, _) => self.break_off(&path),
            (76..82, _) => self.begin_tus(&path),
            (82..88, None) => self.read_own(&path),
            _ => self.put(&path, &Door::ALL),
        }
    }

    fn put(&mut self, path: &str, doors: &[Door]) {
        let door = self.choice(doors);
        let bytes = Arc::new(self.some_bytes());
        let changes = [(path, Some(bytes.clone()))];
        let which = self.somewhere(door);
        let fate = self.change("put", which, &changes, |hand| {
            hand.client().put(path, &bytes)
        });
        match fate {
            // Nothing of it is kept.
            _ if door == Door::Https => {}
            Some(Fate::Done) => self.stored_anew(path),
            Some(_) => {
                // What is kept there may be the beginning of something else, of which nobody knows here.
                let is_first = self.dirty.insert(path.to_owned());
                if is_first && self.dice.bool() {
                    self.parked.insert(path.to_owned(), Parked::Part(bytes));
                }
            }
            None => {}
        }
    }

    /// Nothing is kept any more of what was to be stored there before, unless whoever has it does not know yet.
    pub(crate) fn stored_anew(&mut self, path: &str) {
        if self.story.oracle.is_settled(&self.key(path)) {
            self.dirty.remove(path);
        }
    }

    /// Stores a file where others do so at the same time. By this door nothing is kept of what breaks off.
    fn put_shared(&mut self) {
        let path = format!("{SHARED}/f{}", self.dice.usize(..2));
        let bytes = Arc::new(self.some_bytes());
        let changes = [(&path[..], Some(bytes.clone()))];
        let which = self.somewhere(Door::Https);
        self.change("put shared", which, &changes, |hand| {
            hand.client().put(&path, &bytes)
        });
    }

    fn append(&mut self, path: &str, bytes: &[u8]) {
        let door = self.choice(&Door::IN_PLACE);
        let more = self.some_bytes();
        let all = Arc::new([bytes, &more].concat());
        let which = self.somewhere(door);
        let fate = self.change("append", which, &[(path, Some(all))], |hand| match hand {
            Hand::Ftp(ftp) => ftp.append(path, &more),
            Hand::Sftp(sftp) => sftp.write(path, IN_PLACE, &[(bytes.len() as u64, &more)]),
            Hand::Https(_) => unreachable!(),
        });
        self.changed_in_part(path, fate);
    }

    fn patch(&mut self, path: &str, bytes: &[u8]) {
        let mut all = bytes.to_vec();
        let mut pieces = Vec::new();
        for _ in 0..self.dice.usize(1..4) {
            let at = self.dice.usize(..=all.len());
            let length = self.dice.usize(1..200_000);
            let piece = self.bytes(length);
            let end = all.len().max(at + piece.len());
            all.resize(end, 0);
            all[at..at + piece.len()].copy_from_slice(&piece);
            pieces.push((at as u64, piece));
        }
        let all = Some(Arc::new(all));
        let which = self.somewhere(Door::Sftp);
        let fate = self.change("patch", which, &[(path, all)], |hand| {
            let Hand::Sftp(sftp) = hand else {
                unreachable!();
            };
            let pieces: Vec<_> = pieces.iter().map(|(at, piece)| (*at, &piece[..])).collect();
            sftp.write(path, IN_PLACE, &pieces)
        });
        self.changed_in_part(path, fate);
    }

    /// Puts a file in a place of another name.
    fn place(&mut self, how: Place, path: &str, bytes: &Arc<Vec<u8>>) {
        let to = self.some_name();
        let is_known = self.story.oracle.known(&self.key(&to)).is_some();
        let is_marked = self.parked.contains_key(&to) || self.dirty.contains(&to);
        if to == path || !is_known || is_marked {
            return self.read_own(path);
        }
        let placed = (&to[..], Some(bytes.clone()));
        let fate = match how {
            Place::Copied => {
                let which = self.somewhere(Door::Https);
                // Whoever copies late copies what is there by then: it must stay until that is settled.
                let stays = (path, Some(bytes.clone()));
                self.change("copy", which, &[stays, placed], |hand| {
                    hand.https().copy(path, &to)
                })
            }
            Place::Moved => {
                let door = self.choice(&Door::ALL);
                let which = self.somewhere(door);
                self.change("rename", which, &[(path, None), placed], |hand| {
                    hand.client().rename(path, &to)
                })
            }
        };
        if fate.is_some_and(|fate| fate != Fate::Done) {
            self.blocked.extend([path.to_owned(), to]);
        }
    }

    fn delete(&mut self, path: &str) {
        let door = self.choice(&Door::ALL);
        let which = self.somewhere(door);
        self.change("delete", which, &[(path, None)], |hand| {
            hand.client().delete(path)
        });
    }

    fn changed_in_part(&mut self, path: &str, fate: Option<Fate>) {
        if fate.is_some_and(|fate| fate != Fate::Done) {
            self.blocked.insert(path.to_owned());
            self.dirty.insert(path.to_owned());
        }
    }

    /// What its account may see of uploads that broke off, only the others do not.
    fn read_own(&mut self, path: &str) {
        let is_marked = self.parked.contains_key(path) || self.dirty.contains(path);
        let user = match is_marked || self.blocked.contains(path) || self.dice.bool() {
            true => self.other,
            false => self.user,
        };
        self.read(user, path);
    }

    fn read_any(&mut self) {
        let number = self.dice.usize(..WORKERS);
        let path = match self.dice.usize(..3) {
            0 => format!("{SHARED}/f{}", self.dice.usize(..2)),
            _ => format!("/w{number}/f{}", self.dice.usize(..NAMES)),
        };
        self.read(Self::reader_of(&path), &path);
    }

    /// The account that writes nothing into a worker's folder: whose upload broke off there sees more.
    pub(crate) fn reader_of(path: &str) -> usize {
        let number = path
            .strip_prefix("/w")
            .and_then(|rest| rest.split('/').next());
        number.map_or(0, |number| (number.parse::<usize>().unwrap() + 1) % 2)
    }

    fn read(&mut self, user: usize, path: &str) {
        let door = self.choice(&Door::ALL);
        let (instance, ..) = self.somewhere(door);
        let key = self.key(path);
        let look = self.story.oracle.look();
        let read = self.ask("read", (instance, user, door), |hand| {
            hand.client().read(path)
        });
        if let Some(Ok(content)) = read {
            look.saw(&key, content);
        }
    }

    fn list(&mut self) {
        let number = self.dice.usize(..WORKERS);
        let folder = format!("/w{number}");
        let door = self.choice(&Door::ALL);
        let (instance, ..) = self.somewhere(door);
        let look = self.story.oracle.look();
        let listed = self.ask("list", (instance, Self::reader_of(&folder), door), |hand| {
            hand.client().list(&folder)
        });
        if let Some(Ok(files)) = listed {
            look.listed(&self.key(&folder), &files);
        }
    }

    fn some_name(&mut self) -> String {
        format!("{}/f{}", self.folder, self.dice.usize(..NAMES))
    }

    /// What the oracle calls a path.
    pub(crate) fn key(&self, path: &str) -> String {
        self.hands.key(path)
    }

    /// Mostly small, some that take a frame or many, few that take more than one part.
    pub(crate) fn some_bytes(&mut self) -> Vec<u8> {
        let most = match self.dice.u8(..100) {
            0..35 => 20_000,
            35..65 => 400_000,
            65..95 => 3_000_000,
            _ => 12_000_000,
        };
        let length = self.dice.usize(..most);
        self.bytes(length)
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.dice.fill(&mut bytes);
        bytes
    }
}
