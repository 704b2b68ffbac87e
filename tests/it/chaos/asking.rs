//! How workers ask, and what they note of it.

use crate::chaos::doors::{Told, Trouble};
use crate::chaos::hands::{Door, Hand, Hands, Which};
use crate::chaos::oracle::Fate;
use crate::chaos::worker::Worker;
use crate::chaos::writes::Content;

impl<'a> Worker<'a> {
    /// Asks for changes; says what became of them, unless nobody was reached.
    pub(crate) fn change(
        &mut self,
        what: &str,
        which: Which,
        changes: &[(&str, Content)],
        work: impl FnOnce(&mut Hand) -> Told<()>,
    ) -> Option<Fate> {
        let keys: Vec<_> = changes.iter().map(|(path, _)| self.key(path)).collect();
        let contents = changes.iter().map(|(_, content)| content.clone());
        let changes: Vec<_> = keys.iter().map(String::as_str).zip(contents).collect();
        let mut attempt = None;
        let story = self.story;
        let told = self.reached(what, which, |hands, life| {
            attempt = Some(story.oracle.asks(what, life, &changes));
            hands.with(which, work)
        })?;
        let fate = match told {
            Ok(()) => Fate::Done,
            Err(Trouble::Missing(told)) => panic!("{what} {keys:?}: {told}"),
            Err(Trouble::Refused(_)) => Fate::Refused,
            Err(_) => Fate::Unknown,
        };
        story.oracle.ended(&attempt.unwrap(), fate);
        Some(fate)
    }

    /// Asks for what changes nothing.
    pub(crate) fn ask<T>(
        &mut self,
        what: &str,
        which: Which,
        work: impl FnOnce(&mut Hand) -> Told<T>,
    ) -> Option<Told<T>> {
        self.reached(what, which, |hands, _| hands.with(which, work))
    }

    fn reached<T>(
        &mut self,
        what: &str,
        which: Which,
        work: impl FnOnce(&mut Hands<'a>, u64) -> Told<T>,
    ) -> Option<Told<T>> {
        let life = self.hands.reach(which);
        let (what, told) = match life {
            Ok(life) => (what, Some(work(&mut self.hands, life))),
            Err(Trouble::Silent(_)) => {
                self.story.nobody_there();
                return None;
            }
            Err(trouble) => {
                self.story.tell("connect", which.2, Some(&trouble));
                return None;
            }
        };
        let trouble = told.as_ref().and_then(|told| told.as_ref().err());
        self.story.tell(what, which.2, trouble);
        told
    }

    pub(crate) fn somewhere(&mut self, door: Door) -> Which {
        let instance = self.dice.usize(..2);
        let is_ailing = self.story.ground.instances[instance].is_ailing();
        // As a balancer sends most clients away from it, and not those that are there.
        match is_ailing && self.dice.u8(..8) > 0 {
            true => (1 - instance, self.user, door),
            false => (instance, self.user, door),
        }
    }

    pub(crate) fn choice<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.dice.usize(..of.len())]
    }
}
