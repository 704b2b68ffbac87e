//! A session without files, sockets or time: bytes and events in, replies and work out.
//!
//! Commands are answered in the order in which they came; but for those that are answered during a
//! transfer, once its first reply is sent, all wait for what is under way.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::ftp::argument::Argument;
use crate::ftp::charset::Charset;
use crate::ftp::line::Line;
use crate::ftp::reply::Reply;
use crate::ftp::state::{Channel, Data, LoginOutcome, Stage, State};
use crate::ftp::verb::Who;
use crate::ftp::verbs::table;
use crate::ftp::waiting::{Waiting, split};
use crate::ftp::work::{Action, Change, Done, Work};

/// Lines too long before the session is ended.
const MAX_TOO_LONG: usize = 16;
/// How a browser begins that was lured into talking to us: what it sends next is somebody else's choice.
const OF_HTTP: [&[u8]; 7] = [
    b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"PATCH",
];
/// What REST said holds over these, which only prepare a transfer: else a tail would become the whole file.
const PREPARING: [&str; 14] = [
    "ALLO", "EPRT", "EPSV", "MODE", "NOOP", "OPTS", "PASV", "PBSZ", "PORT", "PROT", "REST", "STAT",
    "STRU", "TYPE",
];
/// Commands that nobody knows before the session of a stranger is ended (HTTP, port scans).
const MAX_UNKNOWN: usize = 32;

/// A session.
pub struct Core {
    /// What it knows of itself.
    pub state: State,
    waiting: Waiting,
    effects: VecDeque<Effect>,
    busy: Busy,
    closing: bool,
    /// What is said last, when all that is under way has been answered.
    farewell: Option<Reply>,
    too_long: usize,
    unknown: usize,
}

/// What the session's owner is to do.
#[derive(Debug)]
pub enum Effect {
    /// End the transfer or the checksum that is under way.
    Abort,
    /// End the connection, after all that was to be sent.
    Close,
    /// Send this.
    Send(Reply),
    /// Do this, and tell what came of it.
    Work(Work),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Busy {
    /// With a checksum, of which nothing is said before it is made.
    Computing,
    Free,
    /// A transfer is being opened, or waits for its data connection: nothing is said of it yet.
    Opening,
    Transferring,
    Working,
}

/// What came of work.
#[derive(Debug)]
pub enum Outcome {
    /// What was done with files.
    Done(Result<Done, Reply>),
    /// The tenant of a host's name is known.
    HostKnown,
    /// A data connection may come in there; the reply tells where.
    Listening(Reply),
    /// Where a step of logging in led.
    Login(LoginOutcome),
    /// Somebody logged out.
    LoggedOut,
    /// The control connection is encrypted, or in the clear again.
    Channel(Channel),
    /// It did not work out, with nothing changed but this reply.
    Refused(Reply),
}

impl Core {
    /// A session that begins with its greeting.
    pub fn new(state: State) -> Self {
        let greeting = Reply::new(220, state.settings.banner.clone());
        Self {
            state,
            waiting: Waiting::default(),
            effects: VecDeque::from([Effect::Send(greeting)]),
            busy: Busy::Free,
            closing: false,
            farewell: None,
            too_long: 0,
            unknown: 0,
        }
    }

    /// Whether more bytes may be read.
    pub fn wants_bytes(&self) -> bool {
        !self.closing && self.waiting.wants_bytes()
    }

    /// Whether nothing is under way and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.busy == Busy::Free && self.waiting.is_empty() && self.effects.is_empty()
    }

    /// Whether the session may go when the server drains: nothing is under way, not even a transfer
    /// that waits for its data connection; nobody waits for checksums.
    pub fn may_go(&self) -> bool {
        matches!(self.busy, Busy::Computing | Busy::Free)
    }

    /// Whether a checksum is being made.
    pub fn is_computing(&self) -> bool {
        self.busy == Busy::Computing
    }

    /// Whether the session ends as soon as nothing is under way.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Takes bytes of the control connection.
    pub fn feed(&mut self, bytes: &[u8]) {
        let has_abort = self.waiting.feed(bytes);
        if self.is_endable() && has_abort && self.waiting.is_unsaid() {
            self.effects.push_back(Effect::Abort);
        }
        if self.waiting.is_flooded() && !self.closing {
            self.close(Reply::new(421, "no line is that long; goodbye"));
        }
    }

    /// What is to be done next; none when there is nothing until something comes.
    pub fn next_effect(&mut self) -> Option<Effect> {
        loop {
            if let Some(effect) = self.effects.pop_front() {
                return Some(effect);
            }
            if self.closing {
                if self.busy != Busy::Free {
                    return None;
                }
                if let Some(reply) = self.farewell.take() {
                    return Some(Effect::Send(reply));
                }
                // Once.
                self.busy = Busy::Working;
                self.closing = false;
                self.waiting.clear();
                return Some(Effect::Close);
            }
            let may = match (self.busy, self.waiting.front()?) {
                (Busy::Free, _) => true,
                (Busy::Transferring, line) => is_at_any_time(line),
                (Busy::Computing | Busy::Opening | Busy::Working, _) => false,
            };
            if !may {
                return None;
            }
            let line = self.waiting.pop()?;
            self.take(&line);
        }
    }

    /// Takes what came of work.
    pub fn worked(&mut self, outcome: Outcome) {
        self.busy = Busy::Free;
        match outcome {
            Outcome::Done(done) => self.done(done),
            Outcome::HostKnown => self.send(Reply::new(220, "host accepted")),
            Outcome::Listening(reply) => {
                self.state.data = Data::Passive;
                self.send(reply);
            }
            Outcome::Login(outcome) => self.login(outcome),
            Outcome::LoggedOut => {
                self.state.reset();
                self.send(Reply::new(220, "you are logged out"));
            }
            Outcome::Channel(channel) => {
                // What came in the meantime was not said over this channel (RFC 4217 section 15.1).
                self.waiting.clear();
                self.state.channel = channel;
                if channel == Channel::Sealed {
                    self.state.is_buffer_agreed = false;
                    self.state.protection = Channel::Clear;
                    self.state.reset();
                }
            }
            Outcome::Refused(reply) => self.send(reply),
        }
    }

    /// Bytes of a transfer may flow from now on.
    pub fn transfer_began(&mut self, reply: Reply) {
        self.busy = Busy::Transferring;
        self.send(reply);
    }

    /// A transfer is over.
    pub fn transfer_ended(&mut self, reply: Reply) {
        self.busy = Busy::Free;
        self.state.under_way = None;
        self.state.data = Data::None;
        self.send(reply);
    }

    /// Ends the session with a reply, after what is under way has been answered.
    pub fn close(&mut self, reply: Reply) {
        self.farewell.get_or_insert(reply);
        self.closing = true;
    }

    /// Whether what is under way is what ABOR ends.
    fn is_endable(&self) -> bool {
        !matches!(self.busy, Busy::Free | Busy::Working)
    }

    fn send(&mut self, reply: Reply) {
        self.effects.push_back(Effect::Send(reply));
    }

    fn take(&mut self, line: &Line) {
        let line = match line {
            Line::Command(line) => line,
            Line::TooLong => return self.refuse_long(),
        };
        let (verb, argument) = split(line);
        if verb.is_empty() && argument.is_empty() {
            return self.send(Reply::new(500, "an empty line is no command"));
        }
        let verb = match table::find(verb) {
            Ok(verb) => verb,
            Err(reply) => {
                self.break_off();
                self.send(reply);
                return self.count_unknown(verb);
            }
        };
        if verb.who == Who::Known && !self.state.is_in() {
            return self.send(Reply::new(530, "log in first: USER and PASS"));
        }
        let (restart, renaming) = (self.state.restart, self.state.renaming.clone());
        let answer = (verb.run)(&mut self.state, Argument(argument));
        if !PREPARING.contains(&verb.name) && self.state.restart == restart {
            self.state.restart = None;
        }
        if verb.name != "NOOP" && self.state.renaming == renaming {
            self.state.renaming = None;
        }
        match answer {
            Ok(Action::Reply(reply)) | Err(reply) => self.send(reply),
            Ok(Action::Close(reply)) => {
                // At once: the transfer under way is answered behind it (RFC 959 section 4.1.1).
                self.send(reply);
                self.closing = true;
            }
            Ok(Action::Work(work)) => {
                self.busy = Busy::Working;
                match &work {
                    Work::StartTls => self.send(Reply::new(234, "begin TLS now")),
                    Work::Sum(_) => self.busy = Busy::Computing,
                    Work::StopTls => self.send(Reply::new(200, "in the clear from here on")),
                    Work::Transfer(plan) => {
                        self.busy = Busy::Opening;
                        self.state.under_way = Some(plan.what.told());
                    }
                    _ => {}
                }
                self.effects.push_back(Effect::Work(work));
                // Pipelined: it was unsaid before it began.
                if self.is_endable() && self.waiting.is_unsaid() {
                    self.effects.push_back(Effect::Abort);
                }
            }
        }
    }

    /// What REST and RNFR said is for the very next command (RFC 3659 section 5.3), whatever that is.
    fn break_off(&mut self) {
        self.state.restart = None;
        self.state.renaming = None;
    }

    fn refuse_long(&mut self) {
        self.break_off();
        self.too_long += 1;
        match self.too_long < MAX_TOO_LONG {
            true => self.send(Reply::new(500, "no command is that long")),
            false => self.close(Reply::new(421, "too many lines were too long; goodbye")),
        }
    }

    fn count_unknown(&mut self, verb: &[u8]) {
        self.unknown += 1;
        let is_lured = OF_HTTP.contains(&verb);
        if (is_lured || self.unknown >= MAX_UNKNOWN) && !self.state.is_in() {
            self.close(Reply::new(421, "this is FTP; goodbye"));
        }
    }

    fn done(&mut self, done: Result<Done, Reply>) {
        let done = match done {
            Ok(done) => done,
            Err(reply) => return self.send(reply),
        };
        match done.change {
            Change::Entered(path) => self.state.folder = path,
            Change::Nothing => {}
            Change::Renaming(path) => self.state.renaming = Some(path),
        }
        self.send(done.reply);
    }

    fn login(&mut self, outcome: LoginOutcome) {
        match outcome {
            LoginOutcome::In {
                reply,
                name,
                home,
                options,
            } => {
                self.state.stage = Stage::In(name);
                self.state.folder = home.clone();
                self.state.home = home;
                self.state.options = *options;
                if self.state.is_utf8_agreed {
                    self.state.options.charset = Charset::UTF_8;
                }
                self.send(reply);
            }
            LoginOutcome::Further(reply, stage) => {
                self.state.stage = stage;
                self.send(reply);
            }
            LoginOutcome::Refused(reply) if reply.code() == 421 => self.close(reply),
            LoginOutcome::Refused(reply) => {
                self.state.stage = Stage::Stranger;
                self.state.failures += 1;
                self.send(reply);
                if self.state.failures >= self.state.settings.login_attempts {
                    self.close(Reply::new(421, "too many failed logins; goodbye"));
                }
            }
        }
    }

    /// Where we are to connect to for data; none when the client connects to us.
    pub fn active(&self) -> Option<SocketAddr> {
        match self.state.data {
            Data::Active(address) => Some(address),
            Data::None | Data::Passive => None,
        }
    }
}

fn is_at_any_time(line: &Line) -> bool {
    match line {
        Line::Command(line) => table::find(split(line).0).is_ok_and(|verb| verb.during_transfer),
        Line::TooLong => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ftp::options::Options;
    use crate::ftp::settings::{Ends, FtpSettings, Policy, Start};
    use crate::ftp::state::Form;
    use crate::ftp::work::How;

    const BY_ITSELF: &[&str] = &[];

    fn core() -> Core {
        let ends = Ends {
            peer: [127, 0, 0, 1].into(),
            local: "127.0.0.1:21".parse().unwrap(),
        };
        let settings = Arc::new(FtpSettings::default());
        let base = Options::of(&settings, Policy::default());
        let mut core = Core::new(State::new(settings, ends, Start::Clear, base));
        assert_eq!(effects(&mut core), ["220"]);
        core
    }

    fn known() -> Core {
        let mut core = core();
        core.state.stage = Stage::In("ann@acme".to_owned());
        core.state.form = Form::Image;
        core
    }

    /// Codes of replies, and names of all else.
    fn effects(core: &mut Core) -> Vec<String> {
        let effects = std::iter::from_fn(|| core.next_effect());
        let shown = effects.map(|effect| match effect {
            Effect::Abort => "abort".to_owned(),
            Effect::Close => "close".to_owned(),
            Effect::Send(reply) => reply.code().to_string(),
            Effect::Work(Work::Transfer(plan)) => format!("{:?}", plan.what),
            Effect::Work(work) => format!("{work:?}"),
        });
        shown.collect()
    }

    fn said(core: &mut Core, text: &str) -> Vec<String> {
        core.feed(text.as_bytes());
        effects(core)
    }

    fn passive(core: &mut Core) {
        assert_eq!(said(core, "EPSV\r\n"), ["Listen"]);
        core.worked(Outcome::Listening(Reply::new(229, "there")));
        assert_eq!(effects(core), ["229"]);
    }

    #[test]
    fn replies_come_in_the_order_of_the_commands() {
        let mut core = known();
        let told = said(&mut core, "NOOP\r\nMKD a\r\nSYST\r\nXYZZY\r\n");
        assert_eq!(told, ["200", "Files"]);
        assert_eq!(effects(&mut core), BY_ITSELF);
        core.worked(Outcome::Done(Ok(Done::new(257, "made"))));
        assert_eq!(effects(&mut core), ["257", "215", "500"]);
    }

    #[test]
    fn some_are_answered_during_a_transfer_and_others_wait() {
        let mut core = known();
        passive(&mut core);
        let told = said(&mut core, "RETR x\r\nNOOP\r\nPWD\r\nSTAT\r\n");
        assert_eq!(told.len(), 1, "{told:?}");
        core.transfer_began(Reply::new(150, "here"));
        assert_eq!(effects(&mut core), ["150", "200"]);
        assert_eq!(said(&mut core, "ABOR\r\n"), ["abort"]);
        core.transfer_ended(Reply::new(426, "ended"));
        assert_eq!(effects(&mut core), ["426", "257", "211", "226"]);
    }

    #[test]
    fn goodbye_is_said_at_once_and_done_after_the_transfer() {
        let mut core = known();
        passive(&mut core);
        assert_eq!(said(&mut core, "STOR x\r\nQUIT\r\nDELE x\r\n").len(), 1);
        // What is behind it is nobody's word any more, and the end of the connection means nothing.
        assert!(!core.wants_bytes());
        core.transfer_began(Reply::new(150, "send it"));
        assert_eq!(effects(&mut core), ["150", "221"]);
        core.transfer_ended(Reply::new(226, "stored"));
        assert_eq!(effects(&mut core), ["226", "close"]);
    }

    #[test]
    fn nothing_is_said_before_the_first_reply_of_a_transfer() {
        let mut core = known();
        passive(&mut core);
        let told = said(&mut core, "STOR nope/x\r\nNOOP\r\nSTAT\r\nQUIT\r\n");
        assert_eq!(told.len(), 1, "{told:?}");
        core.transfer_ended(Reply::new(550, "no such folder"));
        assert_eq!(effects(&mut core), ["550", "200", "211", "221", "close"]);
    }

    #[test]
    fn an_abort_ends_the_transfer_before_it_and_no_other() {
        let mut core = known();
        passive(&mut core);
        // RFC 959 section 4.1.3: the previous command.
        let told = said(&mut core, "RETR a\r\nNOOP\r\nEPSV\r\nRETR b\r\nABOR\r\n");
        assert_eq!(told.len(), 1, "{told:?}");
        core.transfer_began(Reply::new(150, "here"));
        core.transfer_ended(Reply::new(226, "sent"));
        assert_eq!(effects(&mut core), ["150", "226", "200", "Listen"]);
        core.worked(Outcome::Listening(Reply::new(229, "there")));
        let told = effects(&mut core);
        assert_eq!((told[0].as_str(), told[2].as_str()), ("229", "abort"));
        core.transfer_ended(Reply::new(426, "ended"));
        assert_eq!(effects(&mut core), ["426", "226"]);
        // One that comes later is meant for what runs, unless another waits before it.
        passive(&mut core);
        assert_eq!(said(&mut core, "RETR a\r\n").len(), 1);
        assert_eq!(said(&mut core, "PWD\r\nABOR\r\n"), ["abort"]);
        assert_eq!(said(&mut core, "RETR b\r\nABOR\r\n"), ["abort"]);
        core.transfer_ended(Reply::new(426, "ended"));
        assert_eq!(effects(&mut core), ["426", "257", "226", "425", "226"]);
    }

    #[test]
    fn what_came_in_the_clear_behind_auth_is_dropped() {
        let mut core = core();
        assert_eq!(
            said(&mut core, "AUTH TLS\r\nUSER a\r\nPASS"),
            ["234", "StartTls"]
        );
        core.worked(Outcome::Channel(Channel::Sealed));
        assert_eq!(effects(&mut core), BY_ITSELF);
        assert_eq!(said(&mut core, " b\r\nPROT P\r\n"), ["500", "503"]);
    }

    #[test]
    fn data_in_the_clear_is_refused_beside_an_encrypted_control_connection() {
        let mut core = known();
        core.state.channel = Channel::Sealed;
        passive(&mut core);
        assert_eq!(
            said(&mut core, "RETR x\r\nPBSZ 0\r\nPROT C\r\n"),
            ["521", "200", "534"]
        );
        assert_eq!(
            said(&mut core, "PORT 127,0,0,1,4,1\r\nSTOR x\r\n"),
            ["200", "521"]
        );
        assert_eq!(said(&mut core, "PROT P\r\nLIST\r\n").len(), 2);
    }

    #[test]
    fn rest_holds_for_the_next_transfer_only() {
        let mut core = known();
        passive(&mut core);
        let told = said(&mut core, "REST 5\r\nSTOR x\r\n");
        assert!(told[1].contains(&format!("{:?}", How::From(5))), "{told:?}");
        core.transfer_ended(Reply::new(226, "stored"));
        effects(&mut core);
        let between =
            "REST 7\r\nMODE Z\r\nALLO 9\r\nPBSZ 0\r\nOPTS MODE Z LEVEL 9\r\nMODE S\r\nSTRU F\r\n";
        assert_eq!(said(&mut core, between).len(), 7);
        passive(&mut core);
        let told = said(&mut core, "STOR x\r\n");
        assert!(told[0].contains(&format!("{:?}", How::From(7))), "{told:?}");
        core.transfer_ended(Reply::new(226, "stored"));
        effects(&mut core);
        assert_eq!(said(&mut core, "REST 5\r\nPWD\r\n"), ["350", "257"]);
        passive(&mut core);
        let told = said(&mut core, "RETR x\r\n");
        assert!(told[0].contains("from: 0"), "{told:?}");
    }

    #[test]
    fn a_flood_of_long_lines_ends_the_session() {
        let mut core = core();
        let long = "x".repeat(9000) + "\r\n";
        let told = said(&mut core, &long.repeat(20));
        assert_eq!(
            told.iter().filter(|code| *code == "500").count(),
            MAX_TOO_LONG - 1
        );
        assert_eq!(told[MAX_TOO_LONG - 1..], ["421", "close"]);
    }

    #[test]
    fn a_browser_that_was_lured_here_is_sent_away() {
        let told = said(&mut core(), "POST / HTTP/1.1\r\nUSER ann@acme\r\n");
        assert_eq!(told, ["500", "421", "close"]);
    }

    #[test]
    fn data_goes_nowhere_but_to_the_client() {
        let mut core = known();
        let told = said(
            &mut core,
            "PORT 127,0,0,2,4,1\r\nPORT 127,0,0,1,3,255\r\nEPRT |1|10.0.0.1|2000|\r\n",
        );
        assert_eq!(told, ["501", "501", "501"]);
        assert_eq!(
            said(&mut core, "EPSV ALL\r\nPORT 127,0,0,1,4,1\r\nPASV\r\n"),
            ["200", "501", "501"]
        );
    }
}
