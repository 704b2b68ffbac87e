//! One connection from TCP to its end: who may stay, how long, and how it is told to go.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use russh::Disconnect;
use russh::server::{self, Config, Handle, RunningSession};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::door::{Door, Secrecy};
use crate::accounts::login::Accounts;
use crate::accounts::presence::Presence;
use crate::domain::clock::Clock;
use crate::domain::principal::Protocol;
use crate::net::budget::Budget;
use crate::net::limit::Place;
use crate::net::read_ahead::ReadAhead;
use crate::sftp::gate::{Gate, GatedStream};
use crate::sftp::handler::SshHandler;
use crate::sftp::ledger::Ledger;
use crate::sftp::login::{Login, Notice};
use crate::sftp::opened::Opened;
use crate::sftp::room::Room;
use crate::sftp::settings::SftpSettings;
use crate::vfs::service::Vfs;

/// What strangers may send before they have logged in, in bytes.
const STRANGER_BYTES: usize = 128 * 1024;
/// How long russh may take to send a farewell, and the client to hang up after it.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often a draining connection looks whether it may go.
const DRAIN_STEP: Duration = Duration::from_millis(100);

/// How often it is looked whether something was asked, in the time without it that ends a session.
const IDLE_STEPS: u32 = 16;

/// What connections need.
pub struct Parts {
    /// What the operator chose.
    pub settings: Arc<SftpSettings>,
    /// The same for SSH.
    pub ssh: Arc<Config>,
    /// The files.
    pub vfs: Vfs,
    /// Who may log in.
    pub accounts: Accounts,
    /// Memory for all.
    pub budget: Budget,
    /// The time, for listings.
    pub clock: Arc<dyn Clock>,
    /// Cancelled when sessions shall end as soon as nothing is broken off by it.
    pub drain: CancellationToken,
    /// Cancelled when sessions shall end now.
    pub end: CancellationToken,
}

/// Serves one connection to its end. `place` is given back once somebody has logged in.
pub async fn serve<S>(parts: Arc<Parts>, stream: S, peer: SocketAddr, place: Option<Place>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let gate = Gate::new(parts.budget.clone(), STRANGER_BYTES);
    let ledger = Ledger::new(parts.budget.clone());
    let tasks = TaskTracker::new();
    let (notices, mut told) = unbounded_channel();
    let door = Door {
        protocol: Protocol::Sftp,
        address: peer.ip().to_canonical(),
        secrecy: Secrecy::Sealed,
    };
    let handler = SshHandler {
        settings: parts.settings.clone(),
        login: Login::new(parts.accounts.clone(), door, notices),
        vfs: parts.vfs.clone(),
        clock: parts.clock.clone(),
        gate: gate.clone(),
        room: Room::new(parts.budget.clone()),
        ahead: Room::new(parts.budget.clone()),
        ledger: ledger.clone(),
        tasks: tasks.clone(),
        opened: Opened::new(parts.budget.clone()),
        channels: HashMap::new(),
    };
    let deadline = Instant::now() + parts.settings.login_time;
    let stream = ReadAhead::new(stream, parts.budget.clone());
    let stream = GatedStream::new(stream, gate.clone());
    let starting = server::run_stream(parts.ssh.clone(), stream, handler);
    let starting = timeout_at(deadline, starting);
    let started = tokio::select! {
        started = starting => started,
        // Nothing is broken off, and no words would be understood yet.
        () = parts.drain.cancelled() => return,
    };
    let ssh = match started {
        Ok(Ok(running)) => Ssh {
            handle: running.handle(),
            running: Box::pin(running),
            gate,
            peer,
        },
        Ok(Err(error)) => {
            tracing::debug!(peer = %peer, error = %error, "a connection ended before its greeting");
            return;
        }
        Err(_) => {
            tracing::debug!(peer = %peer, "a connection sent no greeting in time");
            return;
        }
    };
    let presence = meet(&parts, ssh, &mut told, deadline, place, &ledger).await;
    tasks.close();
    tasks.wait().await;
    // A login that came in while the connection was being ended goes with the notices.
    drop((presence, told));
}

/// Waits for a login, then for the end. Returns who is logged in.
async fn meet(
    parts: &Parts,
    mut ssh: Ssh,
    told: &mut UnboundedReceiver<Notice>,
    deadline: Instant,
    place: Option<Place>,
    ledger: &Ledger,
) -> Option<Presence> {
    let notice = tokio::select! {
        () = ssh.ended() => return None,
        notice = told.recv() => notice,
        () = sleep_until(deadline) => {
            let seconds = parts.settings.login_time.as_secs();
            Some(Notice::TurnedAway(format!("log in within {seconds} seconds")))
        }
        () = parts.drain.cancelled() => Some(Notice::TurnedAway(CLOSING.to_owned())),
    };
    let presence = match notice {
        Some(Notice::LoggedIn(presence)) => *presence,
        Some(Notice::TurnedAway(why)) => {
            ssh.end(&why).await;
            return None;
        }
        None => {
            ssh.end("the connection is broken").await;
            return None;
        }
    };
    drop(place);
    let principal = presence.principal();
    let why = tokio::select! {
        () = ssh.ended() => return Some(presence),
        why = parts.accounts.ended(principal) => why.sentence().to_owned(),
        () = idle(parts.settings.idle_time, ledger) => {
            "nothing was asked for a long time; connect again when needed".to_owned()
        }
        () = drained(parts, ledger) => CLOSING.to_owned(),
        why = turned_away(told) => why,
    };
    tracing::info!(user.id = %principal.login, session = %principal.session, reason = %why, "ending a session");
    ssh.end(&why).await;
    Some(presence)
}

const CLOSING: &str = "the server is closing; connect again in a moment";

/// Returns when the client is turned away although it has logged in.
async fn turned_away(told: &mut UnboundedReceiver<Notice>) -> String {
    while let Some(notice) = told.recv().await {
        if let Notice::TurnedAway(why) = notice {
            return why;
        }
    }
    // The handler is gone, and the connection ends by itself.
    std::future::pending().await
}

/// Returns when nothing was asked for `time`, or an eighth more.
async fn idle(time: Option<Duration>, ledger: &Ledger) {
    let Some(time) = time else {
        return std::future::pending().await;
    };
    let step = time / IDLE_STEPS;
    let (mut seen, mut since) = (ledger.seen(), Instant::now());
    // What was seen to be under way may have gone on for a step.
    while since.elapsed() < time + step {
        sleep(step).await;
        let now = ledger.seen();
        if now != seen || !ledger.is_waiting_for_client() {
            (seen, since) = (now, Instant::now());
        }
    }
}

/// Returns when the server drains and nothing would be broken off, or when it ends.
async fn drained(parts: &Parts, ledger: &Ledger) {
    parts.drain.cancelled().await;
    while !ledger.is_quiet() {
        tokio::select! {
            () = parts.end.cancelled() => return,
            () = sleep(DRAIN_STEP) => {}
        }
    }
}

/// A running SSH connection.
struct Ssh {
    handle: Handle,
    running: Pin<Box<RunningSession<SshHandler>>>,
    gate: Gate,
    peer: SocketAddr,
}

impl Ssh {
    /// Returns when the connection has ended. Not to be called again after that.
    async fn ended(&mut self) {
        match self.running.as_mut().await {
            Ok(()) => tracing::debug!(peer = %self.peer, "disconnected"),
            Err(error) => {
                tracing::debug!(peer = %self.peer, error = %error, "a connection broke");
            }
        }
    }

    /// Ends the connection: with words if the client takes them, else without.
    async fn end(mut self, why: &str) {
        let reason = Disconnect::ByApplication;
        let farewell = self
            .handle
            .disconnect(reason, why.to_owned(), "en".to_owned());
        // russh takes no message during a key exchange or while the client takes no replies.
        let _ = timeout(FAREWELL, farewell).await;
        if timeout(FAREWELL, self.ended()).await.is_err() {
            self.gate.cut();
            self.ended().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_nothing_stays_for_the_time_and_little_longer() {
        const TIME: Duration = Duration::from_secs(800);
        let ledger = Ledger::new(Budget::new(0));
        let start = Instant::now();
        let asking = async {
            sleep(TIME / 100).await;
            drop(ledger.request());
            sleep(TIME / 2).await;
            let request = ledger.request();
            sleep(TIME * 3).await;
            drop(request);
            Instant::now()
        };
        let ended = async {
            idle(Some(TIME), &ledger).await;
            Instant::now()
        };
        let (asked, ended) = tokio::join!(asking, ended);
        assert!(asked > start + TIME * 3);
        assert!(ended >= asked + TIME);
        assert!(ended <= asked + TIME + TIME / 8);
    }
}
