//! Whatever a client says and whatever comes of it, a session does one thing at a time, answers each
//! command once, and no answer breaks out of its lines.
#![no_main]

use std::collections::VecDeque;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sealift::domain::path::VfsPath;
use sealift::ftp::core::{Core, Effect, Outcome};
use sealift::ftp::line::Splitter;
use sealift::ftp::options::Options;
use sealift::ftp::reply::Reply;
use sealift::ftp::settings::{Ends, FtpSettings, Policy, Start};
use sealift::ftp::state::{Channel, LoginOutcome, Stage, State};
use sealift::ftp::work::{Change, Done, Work};

fuzz_target!(|input: (bool, Vec<(u8, &[u8])>)| {
    let (is_implicit, steps) = input;
    let start = match is_implicit {
        true => Start::Tls,
        false => Start::Clear,
    };
    let mut session = Session::new(start);
    for (die, bytes) in steps {
        session.advance();
        if session.is_closed {
            return;
        }
        match (session.pending.is_some(), die % 4) {
            (true, 0 | 1) => session.finish(die),
            _ if !session.core.wants_bytes() => session.finish(die),
            _ => session.feed(bytes),
        }
    }
    // All that was begun comes to its end.
    for die in 0..=u8::MAX {
        session.advance();
        match session.pending.is_some() {
            true => session.finish(die),
            false => break,
        }
    }
    session.advance();
    session.check();
});

struct Session {
    core: Core,
    pending: Option<Work>,
    splitter: Splitter,
    commands: usize,
    answers: usize,
    is_upgraded: bool,
    is_closed: bool,
}

impl Session {
    fn new(start: Start) -> Self {
        let ends = Ends {
            peer: [127, 0, 0, 1].into(),
            local: ([127, 0, 0, 1], 21).into(),
        };
        let settings = Arc::new(FtpSettings::default());
        let base = Options::of(&settings, Policy::default());
        Self {
            core: Core::new(State::new(settings, ends, start, base)),
            pending: None,
            splitter: Splitter::default(),
            // The greeting is an answer, too.
            commands: 1,
            answers: 0,
            is_upgraded: false,
            is_closed: false,
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let mut lines = VecDeque::new();
        self.splitter.feed(bytes, &mut lines);
        self.commands += lines.len();
        self.core.feed(bytes);
    }

    fn advance(&mut self) {
        while let Some(effect) = self.core.next_effect() {
            assert!(!self.is_closed);
            match effect {
                Effect::Abort => {}
                Effect::Close => self.is_closed = true,
                Effect::Send(reply) => self.read(&reply),
                Effect::Work(work) => {
                    assert!(self.pending.is_none());
                    self.pending = Some(work);
                }
            }
        }
    }

    fn read(&mut self, reply: &Reply) {
        let text = reply.text();
        let inside = text.strip_suffix("\r\n").unwrap();
        for line in inside.split("\r\n") {
            assert!(!line.contains(char::is_control), "{line:?}");
        }
        let last = inside.rsplit("\r\n").next().unwrap();
        assert!(last.starts_with(&format!("{} ", reply.code())));
        self.answers += usize::from(reply.code() >= 200);
        // A goodbye answers nothing.
        self.commands += usize::from(reply.code() == 421);
    }

    /// Ends what is under way, in one way or another.
    fn finish(&mut self, die: u8) {
        let Some(work) = self.pending.take() else {
            return;
        };
        let refused = || Reply::new(550, "no\r\nway");
        let is_refused = die & 8 != 0;
        let outcome = match work {
            Work::Transfer(_) => {
                if die & 16 != 0 {
                    self.core.transfer_began(Reply::new(150, "here it comes"));
                    self.advance();
                }
                return self.core.transfer_ended(Reply::new(226, "done"));
            }
            Work::StartTls | Work::StopTls => {
                self.is_upgraded = true;
                Outcome::Channel(match work {
                    Work::StartTls => Channel::Sealed,
                    _ => Channel::Clear,
                })
            }
            Work::LogOut => Outcome::LoggedOut,
            Work::Files(_) | Work::Sum(_) if is_refused => Outcome::Done(Err(refused())),
            Work::LogIn(_) if is_refused => {
                Outcome::Login(LoginOutcome::Refused(Reply::new(530, "no")))
            }
            _ if is_refused => Outcome::Refused(refused()),
            Work::Files(_) | Work::Sum(_) => {
                Outcome::Done(Ok(Done::new(250, "done").changing(match die & 3 {
                    0 => Change::Entered(VfsPath::root()),
                    1 => Change::Renaming(VfsPath::root()),
                    _ => Change::Nothing,
                })))
            }
            Work::Host(_) => Outcome::HostKnown,
            Work::Listen(_) => Outcome::Listening(Reply::new(229, "in")),
            Work::LogIn(_) => Outcome::Login(login(die)),
        };
        self.core.worked(outcome);
    }

    fn check(&self) {
        assert!(self.answers <= self.commands);
        // An upgrade drops what was said before it, and an end what was said behind it.
        if !self.is_upgraded && !self.is_closed {
            assert_eq!(self.answers, self.commands);
        }
    }
}

fn login(die: u8) -> LoginOutcome {
    match die & 6 {
        0 => LoginOutcome::Further(
            Reply::new(331, "a password"),
            Stage::Named("ann".to_owned()),
        ),
        2 => LoginOutcome::Further(Reply::new(332, "a code"), Stage::Code("ann".to_owned())),
        _ => LoginOutcome::In {
            reply: Reply::new(230, "welcome"),
            name: "ann".to_owned(),
            home: VfsPath::root(),
            options: Box::new(Options::of(&FtpSettings::default(), Policy::default())),
        },
    }
}
