//! What each path may hold: all that was stored there, or may have been, and is not certainly replaced.
//!
//! Whatever is written is known from when it was asked for to when it was certainly over. It can be read as long as
//! nothing that was acknowledged began after it was over. What was read counts as acknowledged, too.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard};

use crate::chaos::writes::{Content, Moment, Write, last_certain, nothing, possible};

/// What became of what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was acknowledged.
    Done,
    /// It was refused: it may have been done all the same when the server could not know.
    Refused,
    /// No answer came: whoever was asked may do it yet.
    Unknown,
}

const NOTES: usize = 5000;

#[derive(Default)]
pub(crate) struct Oracle {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    now: Moment,
    paths: BTreeMap<String, Vec<Write>>,
    /// When the looks began that are under way.
    looks: BTreeSet<Moment>,
    /// What was asked for and read lately, for whoever looks into a failure.
    told: VecDeque<String>,
}

/// Something that was asked for.
#[must_use]
pub(crate) struct Attempt(Moment);

/// A look at what there is, from its beginning on.
pub(crate) struct Look<'a> {
    oracle: &'a Oracle,
    begun: Moment,
}

impl Oracle {
    /// A life of an instance is asked to have paths hold something.
    pub(crate) fn asks(&self, what: &str, life: u64, changes: &[(&str, Content)]) -> Attempt {
        let mut state = self.lock();
        let number = state.tick();
        for (path, content) in changes {
            state.note(format!(
                "{path}: {what} asks life {life} for {} at {number}",
                about(content)
            ));
            let writes = state
                .paths
                .entry((*path).to_owned())
                .or_insert_with(nothing);
            writes.push(Write {
                number,
                life,
                content: content.clone(),
                begun: number,
                over: None,
                refused: None,
                is_certain: false,
            });
        }
        Attempt(number)
    }

    /// What became of it.
    pub(crate) fn ended(&self, attempt: &Attempt, fate: Fate) {
        let mut state = self.lock();
        let now = state.tick();
        state.note(format!("{}: {fate:?} at {now}", attempt.0));
        for write in state.paths.values_mut().flatten() {
            if write.number != attempt.0 {
                continue;
            }
            match fate {
                Fate::Done => {
                    write.over = Some(now);
                    write.is_certain = true;
                }
                Fate::Refused => write.refused = Some(now),
                Fate::Unknown => {}
            }
        }
        state.forget();
    }

    /// A life of an instance is over: it does nothing any more.
    pub(crate) fn died(&self, life: u64) {
        let mut state = self.lock();
        let now = state.tick();
        state.note(format!("life {life} is over at {now}"));
        for write in state.of(life) {
            write.over.get_or_insert(now);
        }
    }

    /// What it refused before this moment it does not do any more.
    pub(crate) fn settled(&self, life: u64, before: Moment) {
        let mut state = self.lock();
        let now = state.tick();
        for write in state.of(life) {
            if write.refused.is_some_and(|refused| refused < before) {
                write.over.get_or_insert(now);
            }
        }
    }

    /// This moment.
    pub(crate) fn moment(&self) -> Moment {
        self.lock().tick()
    }

    pub(crate) fn look(&self) -> Look<'_> {
        let mut state = self.lock();
        let begun = state.tick();
        state.looks.insert(begun);
        Look {
            oracle: self,
            begun,
        }
    }

    /// What a path holds, if there is but one possibility, and nothing is under way.
    pub(crate) fn known(&self, path: &str) -> Option<Content> {
        let mut state = self.lock();
        let now = state.tick();
        let Some(writes) = state.paths.get(path) else {
            return Some(None);
        };
        if writes.iter().any(|write| write.over.is_none()) {
            return None;
        }
        let mut possible = possible(writes, now);
        let first = possible.next()?;
        possible
            .all(|other| other.content == first.content)
            .then(|| first.content.clone())
    }

    /// How long what a path holds may be.
    pub(crate) fn lengths(&self, path: &str) -> Vec<usize> {
        let mut state = self.lock();
        let now = state.tick();
        let writes = state.paths.get(path).map_or(&[][..], Vec::as_slice);
        let possible = possible(writes, now);
        possible
            .filter_map(|write| write.content.as_ref().map(|bytes| bytes.len()))
            .collect()
    }

    /// Whether nothing that was asked of a path may be done yet.
    pub(crate) fn is_settled(&self, path: &str) -> bool {
        let state = self.lock();
        let mut writes = state.paths.get(path).into_iter().flatten();
        writes.all(|write| write.over.is_some())
    }

    /// All paths that ever held something, or may have.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.lock().paths.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Look<'_> {
    /// This was read.
    #[track_caller]
    pub(crate) fn saw(&self, path: &str, content: Content) {
        let mut state = self.oracle.lock();
        let now = state.tick();
        let writes = state.paths.entry(path.to_owned()).or_insert_with(nothing);
        let is_possible = possible(writes, self.begun).any(|write| write.content == content);
        if !is_possible {
            let told = state.tell(path, &content, self.begun);
            drop(state);
            panic!("{told}");
        }
        state.note(format!(
            "{path}: {} is read from {} to {now}",
            about(&content),
            self.begun
        ));
        let writes = state.paths.entry(path.to_owned()).or_default();
        let read = Write {
            number: now,
            life: 0,
            content,
            begun: self.begun,
            over: Some(now),
            refused: None,
            is_certain: true,
        };
        writes.push(read);
        state.forget();
    }

    /// A folder was listed: files and their lengths.
    #[track_caller]
    pub(crate) fn listed(&self, folder: &str, files: &BTreeMap<String, u64>) {
        let mut state = self.oracle.lock();
        state.tick();
        let mut missing: BTreeMap<String, Option<u64>> = state
            .paths
            .keys()
            .filter(|path| path.rsplit_once('/').map(|(above, _)| above) == Some(folder))
            .map(|path| (path.clone(), None))
            .collect();
        for (name, length) in files {
            missing.insert(format!("{folder}/{name}"), Some(*length));
        }
        for (path, length) in missing {
            let writes = state.paths.get(&path).map_or(&[][..], Vec::as_slice);
            let is_possible = possible(writes, self.begun)
                .any(|write| write.content.as_ref().map(|bytes| bytes.len() as u64) == length);
            if !is_possible {
                let told = state.tell(&path, &None, self.begun);
                drop(state);
                panic!("{path} is listed with {length:?} bytes: {told}");
            }
        }
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        // Who fails in the middle of it may have left the lock poisoned.
        if let Ok(mut state) = self.oracle.state.lock() {
            state.looks.remove(&self.begun);
        }
    }
}

impl State {
    fn tick(&mut self) -> Moment {
        self.now += 1;
        self.now
    }

    fn note(&mut self, line: String) {
        self.told.push_back(line);
        if self.told.len() > NOTES {
            self.told.pop_front();
        }
    }

    fn of(&mut self, life: u64) -> impl Iterator<Item = &mut Write> {
        let all = self.paths.values_mut().flatten();
        all.filter(move |write| write.life == life)
    }

    /// Forgets what nobody can read any more.
    fn forget(&mut self) {
        let begun = self.looks.first().copied().unwrap_or(self.now);
        for writes in self.paths.values_mut() {
            let last = last_certain(writes, begun);
            writes.retain(|write| write.over.is_none_or(|over| over >= last));
        }
    }

    /// What was read, beside what was to be expected.
    fn tell(&self, path: &str, content: &Content, begun: Moment) -> String {
        let mut lines = vec![format!(
            "{path} must not hold {} for who looks at {begun}",
            about(content)
        )];
        for write in self.paths.get(path).into_iter().flatten() {
            let common = match (content, &write.content) {
                (Some(read), Some(written)) => {
                    let pairs = read.iter().zip(written.iter());
                    pairs.take_while(|(read, written)| read == written).count()
                }
                _ => 0,
            };
            lines.push(format!(
                "  {} of life {} from {} to {:?} (refused {:?}, certain {}), {common} bytes the same",
                about(&write.content),
                write.life,
                write.begun,
                write.over,
                write.refused,
                write.is_certain,
            ));
        }
        for (other, writes) in &self.paths {
            let is_there = writes.iter().any(|write| write.content == *content);
            if other != path && content.is_some() && is_there {
                lines.push(format!("  it is what {other} holds, or held"));
            }
        }
        lines.extend(self.told.iter().cloned());
        lines.join("\n")
    }
}

fn about(content: &Content) -> String {
    match content {
        None => "no file".to_owned(),
        Some(bytes) => format!("{} bytes {:02x?}", bytes.len(), bytes.get(..4)),
    }
}

mod tests {
    use std::sync::Arc;

    use super::*;

    fn some(byte: u8) -> Content {
        Some(Arc::new(vec![byte]))
    }

    fn wrote(oracle: &Oracle, byte: u8, fate: Fate) {
        let attempt = oracle.asks("put", 1, &[("p", some(byte))]);
        oracle.ended(&attempt, fate);
    }

    #[test]
    fn what_was_refused_may_be_there_until_something_else_is_seen() {
        let oracle = Oracle::default();
        wrote(&oracle, 1, Fate::Done);
        wrote(&oracle, 2, Fate::Refused);
        assert_eq!(oracle.known("p"), None);
        oracle.look().saw("p", some(1));
        oracle.look().saw("p", some(2));
        oracle.settled(1, oracle.moment());
        oracle.look().saw("p", some(2));
        assert_eq!(oracle.known("p"), Some(some(2)));
    }

    #[test]
    fn who_looks_while_something_is_replaced_may_see_either() {
        let oracle = Oracle::default();
        wrote(&oracle, 1, Fate::Done);
        let (one, other) = (oracle.look(), oracle.look());
        wrote(&oracle, 2, Fate::Done);
        one.saw("p", some(1));
        other.saw("p", some(2));
    }

    #[test]
    #[should_panic(expected = "must not hold")]
    fn what_was_replaced_is_gone() {
        let oracle = Oracle::default();
        wrote(&oracle, 1, Fate::Done);
        wrote(&oracle, 2, Fate::Done);
        oracle.look().saw("p", some(1));
    }

    #[test]
    #[should_panic(expected = "must not hold")]
    fn what_a_dead_instance_did_not_do_never_comes() {
        let oracle = Oracle::default();
        wrote(&oracle, 1, Fate::Done);
        wrote(&oracle, 2, Fate::Unknown);
        oracle.died(1);
        oracle.look().saw("p", some(1));
        oracle.look().saw("p", some(2));
    }

    #[test]
    fn what_nobody_answered_for_may_come_as_long_as_the_instance_lives() {
        let oracle = Oracle::default();
        wrote(&oracle, 2, Fate::Unknown);
        wrote(&oracle, 1, Fate::Done);
        oracle.look().saw("p", some(1));
        oracle.look().saw("p", some(2));
        oracle.look().saw("p", some(2));
        oracle.died(1);
        oracle.look().saw("p", some(2));
        assert_eq!(oracle.known("p"), Some(some(2)));
    }
}
