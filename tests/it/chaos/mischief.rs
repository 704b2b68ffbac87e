//! What befalls an instance: it dies, is frozen for longer than its lease, or loses its lines.

use std::time::Duration;

use crate::chaos::ground::{Instance, Life};
use crate::chaos::story::Story;
use crate::support::proxy::{Harm, Proxy, Way};

const MIB: u64 = 1 << 20;

pub(crate) struct Mischief<'a> {
    pub(crate) story: &'a Story,
    pub(crate) instance: &'a Instance,
    pub(crate) dice: fastrand::Rng,
}

impl Mischief<'_> {
    /// Does so much mischief; leaves the instance in good order.
    pub(crate) fn make(&mut self, rounds: u64) {
        for _ in 0..rounds {
            self.pause(5..40);
            if self.story.is_over() {
                return;
            }
            self.instance.ails(true);
            match self.dice.u8(..100) {
                0..30 => self.kill(),
                30..55 => self.freeze(),
                55..60 => self.stop(),
                60..67 => self.set_clock(),
                67..83 => self.harm("postgres", &self.instance.postgres),
                _ => self.harm("s3", &self.instance.s3),
            }
            self.instance.ails(false);
        }
        self.instance.clock.set(0);
    }

    fn kill(&mut self) {
        self.story.count("* kill");
        let life = self.instance.kill();
        // Both at once are back at once.
        if let Ok(_away) = self.story.away.try_lock() {
            self.away_for_a_while(&life);
        }
        self.begin_anew(&life);
    }

    fn stop(&mut self) {
        self.story.count("* stop");
        let life = self.instance.stop();
        self.begin_anew(&life);
    }

    fn freeze(&mut self) {
        let _away = self.story.away.lock().unwrap();
        self.story.count("* freeze");
        let life = self.instance.life().unwrap();
        self.instance.signal("STOP");
        self.away_for_a_while(&life);
        if self.dice.u8(..4) == 0 {
            self.story.count("* kill while frozen");
            self.instance.kill();
            return self.begin_anew(&life);
        }
        self.instance.signal("CONT");
        self.settle(&life);
    }

    /// Others take over what it has, in most cases.
    fn away_for_a_while(&mut self, life: &Life) {
        self.pause(0..30);
        match self.dice.u8(..8) {
            0 | 1 => return,
            2 if self.story.is_long => self.story.ground.wait_half_a_minute(life),
            _ => self.story.ground.half_a_minute_later(life),
        }
        self.pause(0..40);
    }

    fn begin_anew(&mut self, life: &Life) {
        self.story.ground.start(self.instance);
        // What PostgreSQL had taken of it is done by now.
        self.story.oracle.died(life.number);
        if self.dice.bool() {
            self.story.ground.half_a_minute_later(life);
        }
    }

    /// It is right again, or stays wrong: by more than a lease, and less than what S3 refuses.
    fn set_clock(&mut self) {
        let seconds = self.dice.i64(-800..800);
        self.story.count(&format!(
            "* clock: {}",
            if seconds < 0 { "behind" } else { "ahead" }
        ));
        self.instance.clock.set(seconds);
        self.pause(10..50);
        if self.dice.bool() {
            self.instance.clock.set(0);
            self.pause(10..50);
        }
    }

    fn harm(&mut self, what: &str, line: &Proxy) {
        let away = self.story.away.try_lock();
        let harm = self.some_harm(what == "s3", away.is_ok());
        let away = away.ok().filter(|_| matches!(harm, Harm::BlackHole { .. }));
        let kind = format!("{harm:?}");
        let kind = kind.split([' ', '(']).next().unwrap();
        self.story.count(&format!("* {what}: {kind}"));
        let life = self.instance.life().unwrap();
        line.set(harm);
        self.pause(10..50);
        line.set(Harm::Off);
        drop(away);
        self.settle(&life);
    }

    /// What PostgreSQL says is not summed up. Nobody is answered who waits for what does not come.
    fn some_harm(&mut self, is_summed_up: bool, may_be_silent: bool) -> Harm {
        let way = self.dice.choice([Way::Answers, Way::Requests]).unwrap();
        match self.dice.u8(..5) {
            0 => Harm::Refuse,
            1 if may_be_silent => Harm::BlackHole {
                after: self.dice.u64(..MIB / 4),
            },
            2 => Harm::Delay(Duration::from_millis(self.dice.u64(1..80))),
            3 if is_summed_up => Harm::Corrupt {
                way,
                at: self.dice.u64(..2 * MIB),
            },
            _ => Harm::Cut {
                way,
                after: self.dice.u64(..MIB / 2),
                times: self.dice.u32(1..20),
            },
        }
    }

    /// What it refused is decided soon.
    fn settle(&mut self, life: &Life) {
        let before = self.story.oracle.moment();
        self.pause(5..20);
        self.story.oracle.settled(life.number, before);
    }

    fn pause(&mut self, asked: std::ops::Range<u64>) {
        let asked = self.dice.u64(asked);
        self.story.go_on_for(asked);
    }
}
