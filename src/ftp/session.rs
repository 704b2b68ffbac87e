//! One control connection from TCP to its end: the task that owns the session and all that it does.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::live::Ended;
use crate::accounts::login::Accounts;
use crate::domain::clock::Clock;
use crate::domain::principal::Principal;
use crate::ftp::core::{Core, Effect, Outcome};
use crate::ftp::data_connection;
use crate::ftp::data_tls::DataTls;
use crate::ftp::files::{Files, Told};
use crate::ftp::kin::Kin;
use crate::ftp::line;
use crate::ftp::login::Desk;
use crate::ftp::options::Options;
use crate::ftp::passive::Passive;
use crate::ftp::reply::Reply;
use crate::ftp::running::{Running, Step};
use crate::ftp::settings::{Ends, FtpSettings, PassiveSettings, Policy, Start};
use crate::ftp::state::{Channel, Data, Stage, State};
use crate::ftp::transfer::{Line, News, Transfer};
use crate::ftp::wire::Wire;
use crate::ftp::work::{Family, Plan, Work};
use crate::net::limit::Place;
use crate::net::network::Network;
use crate::net::tickets::Mark;
use crate::net::tls_server::TlsServer;
use crate::vfs::service::Vfs;

/// How long a client may take for replies.
const REPLIES: Duration = Duration::from_secs(60);
/// How long it may take for our last words.
pub const FAREWELL: Duration = Duration::from_secs(2);
/// What is said when the server ends.
const CLOSING: &str = "the server is closing; connect again in a moment";
const GONE: &str = "the control connection is gone";
/// Bytes read at a time: commands are short.
const READ_BYTES: usize = 2048;

/// What sessions need.
pub struct Parts {
    /// What the operator chose.
    pub settings: Arc<FtpSettings>,
    /// Balancers.
    pub proxies: Arc<[Network]>,
    /// TLS.
    pub tls: TlsServer,
    /// The files.
    pub vfs: Vfs,
    /// Who may log in.
    pub accounts: Accounts,
    /// The time, for listings.
    pub clock: Arc<dyn Clock>,
    /// Cancelled when sessions shall end as soon as nothing is broken off by it.
    pub drain: CancellationToken,
    /// Cancelled when sessions shall end now.
    pub end: CancellationToken,
}

/// A connection that was accepted.
pub struct Accepted {
    /// The socket.
    pub stream: TcpStream,
    /// Who talks to whom.
    pub ends: Ends,
    /// How it begins.
    pub start: Start,
    /// What must be encrypted.
    pub policy: Policy,
    /// Where its data connections come in.
    pub passive: Arc<PassiveSettings>,
    /// Its place among strangers.
    pub place: Place,
}

/// Serves a connection to its end.
pub async fn serve(parts: Arc<Parts>, accepted: Accepted) {
    let Accepted {
        stream,
        ends,
        start,
        policy,
        passive,
        place,
    } = accepted;
    // Telnet's Synch comes as urgent data (RFC 959 section 4.1.3); what it marks is read like the rest.
    let _ = socket2::SockRef::from(&stream).set_out_of_band_inline(true);
    let mark = Mark::random();
    let options = Options::of(&parts.settings, policy);
    let mut desk = Desk::new(parts.accounts.clone(), ends, options);
    let wire = match start {
        Start::Clear => Wire::Clear(stream),
        Start::Tls => match secure(&parts, stream, mark, &mut desk).await {
            Ok(wire) => wire,
            Err(error) => {
                tracing::debug!(peer = %ends.peer, error = %error, "no TLS came about");
                return;
            }
        },
    };
    let tasks = TaskTracker::new();
    let mut session = Session {
        core: Core::new(State::new(parts.settings.clone(), ends, start, options)),
        wire: Some(wire),
        out: Vec::new(),
        desk,
        mark,
        kin: Arc::new(Kin::of(mark)),
        ends,
        passive_settings: passive,
        passive: None,
        work: None,
        transfer: None,
        told: Told::default(),
        asked: None,
        is_over: false,
        has_changed: false,
        place: Some(place),
        since: Instant::now(),
        stranger_since: Instant::now(),
        tasks: tasks.clone(),
        parts,
    };
    if let Err(error) = session.run().await {
        tracing::debug!(peer = %ends.peer, error = %error, "a connection broke");
    }
    session.end_transfer().await;
    session.desk.log_out();
    session.linger().await;
    tasks.close();
    tasks.wait().await;
}

async fn secure(
    parts: &Parts,
    stream: TcpStream,
    mark: Mark,
    desk: &mut Desk,
) -> io::Result<Wire<TcpStream>> {
    let secured = parts.tls.accept(stream, mark).await?;
    if let Some(name) = &secured.server_name
        && let Err(error) = desk.meet_at(name).await
    {
        return Err(io::Error::other(error.to_string()));
    }
    desk.shown(secured.certificates);
    Ok(Wire::Sealed(Box::new(secured.stream)))
}

struct Session {
    parts: Arc<Parts>,
    core: Core,
    /// None only while it is being encrypted.
    wire: Option<Wire<TcpStream>>,
    /// Replies that are not sent yet.
    out: Vec<u8>,
    desk: Desk,
    mark: Mark,
    kin: Arc<Kin>,
    ends: Ends,
    passive_settings: Arc<PassiveSettings>,
    passive: Option<Passive>,
    work: Option<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    transfer: Option<Running>,
    told: Told,
    /// Who waits to hear whether an upload is whole, and until when.
    asked: Option<(oneshot::Sender<bool>, Instant)>,
    /// The client has said all that it will say.
    is_over: bool,
    /// The account is not what it was at login.
    has_changed: bool,
    /// The place among strangers, until somebody is known.
    place: Option<Place>,
    /// When something was last asked for, or ended.
    since: Instant,
    /// When the client was last nobody.
    stranger_since: Instant,
    tasks: TaskTracker,
}

/// What a session waits for.
enum Event {
    /// Somebody is there from the client's address, for data.
    Arrived,
    /// It is time to say whether an upload is whole.
    Asked,
    Changed(Ended),
    Draining,
    Read(io::Result<usize>),
    Stopping,
    Transfer(Step),
    TurnedAway,
    Worked(Outcome),
}

impl Session {
    async fn run(&mut self) -> io::Result<()> {
        let mut bytes = [0; READ_BYTES];
        let mut is_draining = false;
        loop {
            if self.advance().await? {
                return self.say_goodbye().await;
            }
            if self.is_over && self.core.is_idle() && self.work.is_none() && self.transfer.is_none()
            {
                return Ok(());
            }
            let deadline = self.deadline();
            match self.next(&mut bytes, deadline, is_draining).await {
                Event::Arrived => {}
                Event::Asked => {
                    if let Some((answer, _)) = self.asked.take() {
                        // Whoever said QUIT may be gone.
                        let _ = answer.send(self.core.is_closing() || !self.is_lost());
                    }
                }
                Event::Transfer(step) => self.step(step),
                Event::Read(Ok(0)) => {
                    self.is_over = true;
                    self.drop_sum(GONE);
                    if let Some(transfer) = &self.transfer {
                        transfer.cuts.lost.cancel();
                    }
                }
                Event::Read(Ok(count)) => {
                    self.since = Instant::now();
                    self.core.feed(bytes.get(..count).unwrap_or_default());
                }
                Event::Read(Err(error)) => return Err(error),
                Event::Worked(outcome) => {
                    self.work = None;
                    self.since = Instant::now();
                    self.core.worked(outcome);
                }
                Event::TurnedAway => self.turn_away("nothing was asked for too long; goodbye"),
                Event::Changed(why) => {
                    self.has_changed = true;
                    if let Some(transfer) = &self.transfer {
                        transfer.cuts.session_ended(why);
                    }
                    self.turn_away(why.sentence());
                }
                event @ (Event::Draining | Event::Stopping) => {
                    if let (Event::Stopping, Some(transfer)) = (event, &self.transfer) {
                        transfer.cuts.stop.cancel();
                    }
                    is_draining = true;
                    self.turn_away(CLOSING);
                }
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::News(News::Began(reply)) => self.core.transfer_began(reply),
            Step::News(News::Through(answer, at)) => self.asked = Some((answer, at)),
            Step::Ended(ending) => {
                self.transfer = None;
                self.asked = None;
                self.since = Instant::now();
                self.core.transfer_ended(ending.reply());
            }
        }
    }

    /// Ends the checksum under way, if there is one: nobody waits for it any more.
    fn drop_sum(&mut self, why: &str) {
        if self.core.is_computing() {
            self.work = None;
            self.core.worked(Outcome::Refused(Reply::new(426, why)));
        }
    }

    fn turn_away(&mut self, why: &str) {
        self.drop_sum(why);
        self.core.close(Reply::new(421, why));
    }

    /// When the session is ended if nothing happens; none during transfers and work.
    fn deadline(&self) -> Option<Instant> {
        if self.transfer.is_some() || self.work.is_some() || self.core.is_closing() {
            return None;
        }
        Some(match self.core.state.is_in() {
            true => self.since + self.core.state.options.idle,
            false => self.stranger_since + self.parts.settings.login_time,
        })
    }

    async fn next(
        &mut self,
        bytes: &mut [u8],
        deadline: Option<Instant>,
        is_draining: bool,
    ) -> Event {
        let wants_bytes = self.core.wants_bytes() && !self.is_over;
        let may_go = self.core.may_go() && !is_draining;
        let may_change = !self.has_changed;
        let (accounts, principal) = (&self.parts.accounts, self.desk.principal());
        let wire = self.wire.as_mut();
        let transfer = self.transfer.as_mut();
        let passive = self.passive.as_mut();
        let asked = self.asked.as_ref().map(|(_, at)| *at);
        // What ends a session goes before what the client sends: there may always be more of that.
        tokio::select! {
            biased;
            () = until(deadline) => Event::TurnedAway,
            why = ended(accounts, principal), if may_change => Event::Changed(why),
            () = self.parts.drain.cancelled(), if may_go => Event::Draining,
            () = self.parts.end.cancelled(), if !is_draining => Event::Stopping,
            step = async {
                match transfer {
                    Some(running) => running.step().await,
                    None => std::future::pending().await,
                }
            } => Event::Transfer(step),
            outcome = async {
                match self.work.as_mut() {
                    Some(work) => work.await,
                    None => std::future::pending().await,
                }
            } => Event::Worked(outcome),
            read = async {
                match wire {
                    Some(wire) if wants_bytes => wire.read_command(bytes).await,
                    _ => std::future::pending().await,
                }
            } => Event::Read(read),
            // An end may be behind what is still to be read.
            () = until(asked) => Event::Asked,
            () = async {
                match passive {
                    Some(passive) => passive.arrive().await,
                    None => std::future::pending().await,
                }
            } => Event::Arrived,
        }
    }

    /// Does what is to be done; says whether the session is over.
    async fn advance(&mut self) -> io::Result<bool> {
        while let Some(effect) = self.core.next_effect() {
            match effect {
                Effect::Abort => {
                    if let Some(transfer) = &self.transfer {
                        transfer.cuts.abort.cancel();
                    }
                    self.drop_sum("the checksum was not finished, as you asked");
                }
                Effect::Close => return Ok(true),
                Effect::Send(reply) => {
                    self.desk.count(&reply, self.core.state.channel);
                    let charset = self.core.state.options.charset;
                    let text = reply.text();
                    let bytes = charset.encode(&text);
                    self.out.extend_from_slice(&line::double(&bytes));
                }
                Effect::Work(work) => {
                    self.begin(work).await?;
                    self.since = Instant::now();
                }
            }
        }
        if self.core.state.data != Data::Passive {
            // After ABOR or PORT nobody is waited for any more.
            self.passive = None;
        }
        self.flush().await?;
        Ok(false)
    }

    /// Sends what is to be sent. A client that does not take it is waited for no longer than its session
    /// may last.
    async fn flush(&mut self) -> io::Result<()> {
        let is_stranger = !self.core.state.is_in();
        let deadline = is_stranger.then(|| self.stranger_since + self.parts.settings.login_time);
        let may_go = self.core.may_go();
        let (parts, principal) = (&self.parts, self.desk.principal());
        let Some(wire) = self.wire.as_mut().filter(|_| !self.out.is_empty()) else {
            return Ok(());
        };
        let sending = async {
            wire.write_all(&self.out).await?;
            wire.flush().await
        };
        tokio::pin!(sending);
        match timeout(FAREWELL, &mut sending).await {
            Ok(sent) => sent?,
            Err(_) => tokio::select! {
                sent = sending => sent?,
                () = sleep(REPLIES) => return Err(io::ErrorKind::TimedOut.into()),
                () = until(deadline) => return Err(io::ErrorKind::TimedOut.into()),
                () = parts.drain.cancelled(), if may_go => return Err(io::ErrorKind::TimedOut.into()),
                () = parts.end.cancelled() => return Err(io::ErrorKind::TimedOut.into()),
                _ = ended(&parts.accounts, principal) => return Err(io::ErrorKind::TimedOut.into()),
            },
        }
        self.out.clear();
        // A long listing is not kept for the rest of the session.
        self.out.shrink_to(READ_BYTES);
        Ok(())
    }

    async fn say_goodbye(&mut self) -> io::Result<()> {
        let goodbye = async {
            self.flush().await?;
            match &mut self.wire {
                Some(wire) => wire.shutdown().await,
                None => Ok(()),
            }
        };
        timeout(FAREWELL, goodbye).await?
    }

    /// Reads over what the client still sends: closing before would reset the connection, and our last
    /// words would be lost.
    async fn linger(&mut self) {
        if self.is_over {
            return;
        }
        if let Some(wire) = &mut self.wire {
            let mut rest = [0; READ_BYTES];
            let reading = async { while matches!(wire.read(&mut rest).await, Ok(1..)) {} };
            let _ = timeout(FAREWELL, reading).await;
        }
    }

    async fn begin(&mut self, work: Work) -> io::Result<()> {
        match work {
            // What is queued is not for a client that has gone.
            Work::Sum(_) if self.is_over => self.drop_sum(GONE),
            Work::Files(task) | Work::Sum(task) => match self.files() {
                Some(files) => {
                    let doing = task.run(files);
                    self.work = Some(Box::pin(async move { Outcome::Done(doing.await) }));
                }
                None => self.core.worked(Outcome::Refused(not_in())),
            },
            Work::Host(name) => {
                let found = self.desk.host(&name).await;
                let found = found.map(|()| Outcome::HostKnown);
                self.core.worked(found.unwrap_or_else(Outcome::Refused));
            }
            Work::Listen(family) => {
                let listening = self.listen(family).await.map(Outcome::Listening);
                self.core.worked(listening.unwrap_or_else(Outcome::Refused));
            }
            Work::LogIn(credential) => {
                if self.parts.drain.is_cancelled() {
                    let closing = Outcome::Refused(Reply::new(421, CLOSING));
                    self.core.worked(closing);
                    return Ok(());
                }
                let channel = self.core.state.channel;
                let outcome = self.desk.step(credential, channel).await;
                self.core.worked(Outcome::Login(outcome));
                if matches!(self.core.state.stage, Stage::In(_)) {
                    self.place = None;
                }
            }
            Work::LogOut => {
                self.log_out();
                self.core.worked(Outcome::LoggedOut);
            }
            Work::StartTls => {
                self.flush().await?;
                self.log_out();
                if let Some(Wire::Clear(stream)) = self.wire.take() {
                    let wire = secure(&self.parts, stream, self.mark, &mut self.desk).await?;
                    self.wire = Some(wire);
                }
                self.core.worked(Outcome::Channel(Channel::Sealed));
            }
            Work::StopTls => {
                self.flush().await?;
                if let Some(wire) = self.wire.take() {
                    self.wire = Some(timeout(REPLIES, wire.unseal()).await??);
                }
                self.core.worked(Outcome::Channel(Channel::Clear));
            }
            Work::Transfer(plan) => self.begin_transfer(plan),
        }
        Ok(())
    }

    fn log_out(&mut self) {
        if self.desk.principal().is_some() {
            self.stranger_since = Instant::now();
            self.has_changed = false;
        }
        self.desk.log_out();
        self.passive = None;
    }

    async fn listen(&mut self, family: Family) -> Result<Reply, Reply> {
        // The old port is free before a new one is looked for.
        self.passive = None;
        let settings = &self.passive_settings;
        let passive = Passive::listen(settings, self.ends, self.parts.proxies.clone())?;
        let port = passive
            .port()
            .map_err(|_| Reply::new(425, "no port is free for data; try again in a moment"))?;
        let reply = data_connection::told(port, family, settings, self.ends).await?;
        self.passive = Some(passive);
        Ok(reply)
    }

    fn begin_transfer(&mut self, plan: Plan) {
        let state = &self.core.state;
        let line = match (self.core.active(), self.passive.take()) {
            (Some(address), _) => Some(Line::Active(address, self.ends)),
            (None, Some(passive)) => Some(Line::Passive(passive)),
            (None, None) => None,
        };
        let (Some(files), Some(line)) = (self.files(), line) else {
            let reply = Reply::new(425, "send PASV, EPSV, PORT or EPRT first");
            return self.core.transfer_ended(reply);
        };
        let tls = (state.protection == Channel::Sealed).then(|| DataTls {
            server: self.parts.tls.clone(),
            kin: self.kin.clone(),
            resumption: state.options.resumption,
            budget: self.parts.vfs.budget().clone(),
        });
        let (told, news) = unbounded_channel();
        let transfer = Transfer {
            plan,
            files,
            line: Some(line),
            tls,
            stall: state.options.stall,
            abrupt_end: state.options.abrupt_end,
            budget: self.parts.vfs.budget().clone(),
            told,
            tasks: self.tasks.clone(),
        };
        self.transfer = Some(Running::start(transfer, news));
    }

    /// Whether the client has hung up, also when that is still to be read.
    fn is_lost(&self) -> bool {
        self.is_over || self.wire.as_ref().is_none_or(Wire::has_ended)
    }

    fn files(&self) -> Option<Files> {
        let principal = self.desk.principal()?;
        Some(Files {
            session: self.parts.vfs.session(principal.clone()),
            clock: self.parts.clock.clone(),
            charset: self.core.state.options.charset,
            told: self.told.clone(),
            most_summed: self.parts.settings.checksum_limit,
        })
    }

    /// Ends the transfer under way, if there is one, and waits for it.
    async fn end_transfer(&mut self) {
        if let Some(running) = self.transfer.take() {
            running.cuts.lost.cancel();
            running.wait().await;
        }
    }
}

/// Returns when the time has come.
async fn until(deadline: Option<Instant>) {
    match deadline {
        // A timer may be late when there is always something else to do.
        Some(deadline) if deadline <= Instant::now() => {}
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Returns when the session of whoever logged in must end.
async fn ended(accounts: &Accounts, principal: Option<&Principal>) -> Ended {
    match principal {
        Some(principal) => accounts.ended(principal).await,
        None => std::future::pending().await,
    }
}

fn not_in() -> Reply {
    Reply::new(530, "log in first: USER and PASS")
}
