//! What SSH calls: logging in, channels, the SFTP subsystem. Nothing here waits once somebody has
//! logged in, or replies, key exchanges and keep-alives would wait too.

use std::collections::HashMap;
use std::sync::Arc;

use russh::keys::{Algorithm, Certificate, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Handle, Handler, Msg, PublicKeyOffer, Response, Session,
    VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, Disconnect, Pty};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::clock::Clock;
use crate::domain::principal::Principal;
use crate::sftp::attrs::Viewer;
use crate::sftp::complaints::Complaints;
use crate::sftp::context::Context;
use crate::sftp::exec::ExecSession;
use crate::sftp::gate::Gate;
use crate::sftp::ledger::Ledger;
use crate::sftp::login::Login;
use crate::sftp::opened::Opened;
use crate::sftp::outlet::{Outlet, Replies};
use crate::sftp::pipe::{Output, Said, Speech};
use crate::sftp::room::Room;
use crate::sftp::session::SftpSession;
use crate::sftp::settings::SftpSettings;
use crate::vfs::service::Vfs;

const NO_SHELL: &str = "this server offers file transfer only: use sftp, or scp\r\n";
const STDERR: u32 = 1;

/// One SSH connection, as russh sees it.
pub struct SshHandler {
    /// What the operator chose.
    pub settings: Arc<SftpSettings>,
    /// Who it is.
    pub login: Login,
    /// The files of those who log in.
    pub vfs: Vfs,
    /// The time, for listings.
    pub clock: Arc<dyn Clock>,
    /// What waits to be stored.
    pub gate: Gate,
    /// Room for replies.
    pub room: Room,
    /// Room for what was fetched before it was asked for.
    pub ahead: Room,
    /// What is under way.
    pub ledger: Ledger,
    /// Owns the tasks of the channels.
    pub tasks: TaskTracker,
    /// Channels that were ever opened.
    pub opened: Opened,
    /// The channels, and what runs in them.
    pub channels: HashMap<ChannelId, Running>,
}

/// An open channel.
pub struct Running {
    /// What it is used for.
    pub usage: Use,
    /// Cancelled when we have closed it: russh does not tell when the client does the same then.
    pub over: CancellationToken,
}

/// What a channel is used for.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all channels are of the largest"
)]
pub enum Use {
    /// A line of commands.
    Exec(ExecSession),
    /// Nothing yet.
    Nothing,
    /// No more input; answers may still be on their way.
    Over,
    /// The subsystem.
    Sftp(SftpSession),
}

impl SshHandler {
    /// Tells those who want a shell that there is none, and closes.
    fn refuse_shell(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(channel)?;
        session.extended_data(channel, STDERR, NO_SHELL)?;
        session.exit_status_request(channel, 1)?;
        session.eof(channel)?;
        self.channels.remove(&channel);
        session.close(channel)
    }

    fn start(&self, principal: &Principal, channel: ChannelId, session: &Session) -> Running {
        let handle = session.handle();
        let short_cut = handle.clone();
        let (mut replies, outlet) = Replies::new(move |bytes| short_cut.try_data(channel, bytes));
        if is_openssh(session) {
            let aside = handle.clone();
            let say = move |line| aside.try_extended_data(channel, STDERR, line);
            replies = replies.complaining(Complaints::new(say));
        }
        let context = self.context(principal, replies);
        let over = self.send(&context, deliver(outlet, handle, channel));
        let started = SftpSession::start(context, self.settings.handles, &self.tasks);
        Running {
            usage: Use::Sftp(started),
            over,
        }
    }

    /// Owns the sending of what a channel says; the token tells that it has ended.
    fn send(
        &self,
        context: &Context,
        sending: impl Future<Output = ()> + Send + 'static,
    ) -> CancellationToken {
        let over = CancellationToken::new();
        let (broken, ended) = (context.broken.clone(), over.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = broken.cancelled() => {}
                () = sending => {}
            }
            ended.cancel();
        });
        over
    }

    fn exec(
        &self,
        principal: &Principal,
        channel: ChannelId,
        handle: Handle,
        line: &[u8],
    ) -> Running {
        let (replies, _) = Replies::new(Err);
        let context = self.context(principal, replies);
        let (output, said) = Output::new(self.ledger.clone(), self.room.clone());
        let over = self.send(&context, tell(said, handle, channel));
        let started = ExecSession::start(&context, output, line, &self.tasks);
        Running {
            usage: Use::Exec(started),
            over,
        }
    }

    fn is_free(&self, channel: ChannelId) -> bool {
        let running = self.channels.get(&channel);
        running.is_some_and(|running| matches!(running.usage, Use::Nothing))
    }

    fn context(&self, principal: &Principal, replies: Replies) -> Context {
        Context {
            files: self.vfs.session(principal.clone()),
            viewer: Arc::new(Viewer::new(principal)),
            replies,
            room: self.room.clone(),
            ahead: self.ahead.clone(),
            gate: self.gate.clone(),
            ledger: self.ledger.clone(),
            clock: self.clock.clone(),
            broken: CancellationToken::new(),
        }
    }
}

/// Whether the client is one of OpenSSH's programs, or runs one.
fn is_openssh(session: &Session) -> bool {
    session.remote_sshid().starts_with(b"SSH-2.0-OpenSSH")
}

/// Sends what a command says until it ends, then its status, and closes the channel.
async fn tell(mut said: UnboundedReceiver<Said>, handle: Handle, channel: ChannelId) {
    while let Some(Said { speech, .. }) = said.recv().await {
        let sent = match speech {
            Speech::Error(bytes) => handle.extended_data(channel, STDERR, bytes).await,
            Speech::Output(bytes) => handle.data(channel, bytes).await,
            Speech::Exit(status) => {
                // When one of these fails the connection is gone, and so fail the others.
                let _ = handle.exit_status_request(channel, status).await;
                let _ = handle.eof(channel).await;
                let _ = handle.close(channel).await;
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Sends replies until there can be no more, then closes the channel as a program would that ended.
async fn deliver(outlet: Outlet, handle: Handle, channel: ChannelId) {
    let send = |bytes| {
        let handle = handle.clone();
        async move { handle.data(channel, bytes).await.is_ok() }
    };
    outlet.run(send).await;
    // When one of these fails the connection is gone, and so fail the others.
    let _ = handle.exit_status_request(channel, 0).await;
    let _ = handle.eof(channel).await;
    let _ = handle.close(channel).await;
}

impl Handler for SshHandler {
    type Error = russh::Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, Self::Error> {
        let banner = self.settings.banner.as_ref();
        Ok(banner.map(|text| format!("{}\r\n", text.trim_end())))
    }

    fn farewell(&mut self) -> Option<String> {
        self.login.farewell()
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        // Boxed, as what every session has room for all the time: so are the others.
        Ok(Box::pin(self.login.password(user, password)).await)
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(Box::pin(self.login.offer(user, offer)).await)
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let (key, algorithm): (&PublicKey, &Algorithm) = (key.public_key, key.algorithm);
        Ok(Box::pin(self.login.key(user, key, algorithm)).await)
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, Self::Error> {
        Ok(Box::pin(self.login.certificate(user, certificate)).await)
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        answers: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        Ok(Box::pin(self.login.interact(user, answers)).await)
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), Self::Error> {
        match self.login.principal() {
            Some(_) => self.gate.welcome(),
            None => return Err(russh::Error::NotAuthenticated),
        }
        // Others have no use for it, and some old ones hang up.
        match is_openssh(session) {
            true => session.announce_host_keys(),
            false => Ok(()),
        }
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.login.principal().is_none() {
            return Err(russh::Error::NotAuthenticated);
        }
        self.channels
            .retain(|_, running| !running.over.is_cancelled());
        if self.channels.len() >= self.settings.channels {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        if !self.opened.add() {
            if self.ledger.is_quiet() {
                let why = "this connection had very many channels; connect again";
                self.login.turn_away(why.to_owned());
            }
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let opened = Running {
            usage: Use::Nothing,
            over: CancellationToken::new(),
        };
        self.channels.insert(channel.id(), opened);
        reply.accept().await;
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.remove(&channel);
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(running) = self.channels.get_mut(&channel) else {
            return Ok(());
        };
        match std::mem::replace(&mut running.usage, Use::Over) {
            Use::Exec(exec) => exec.finish(),
            Use::Nothing => {
                self.channels.remove(&channel);
                session.close(channel)?;
            }
            Use::Over => {}
            Use::Sftp(sftp) => sftp.finish(),
        }
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let running = self.channels.get_mut(&channel);
        let fed = match running.map(|running| &mut running.usage) {
            Some(Use::Exec(exec)) => exec.feed(data),
            Some(Use::Sftp(sftp)) => sftp.feed(data),
            Some(Use::Nothing | Use::Over) | None => Ok(()),
        };
        if let Err(error) = fed {
            tracing::info!(reason = %error, "a session was ended for what the client sent");
            session.disconnect(Disconnect::ProtocolError, error.context(), "en")?;
            // For those who do not hang up then.
            self.login.turn_away(error.context().to_owned());
        }
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let is_free = self.is_free(channel);
        let Some(principal) = self.login.principal() else {
            return Err(russh::Error::NotAuthenticated);
        };
        if name != "sftp" || !is_free {
            return session.channel_failure(channel);
        }
        session.channel_success(channel)?;
        let started = self.start(principal, channel, session);
        self.channels.insert(channel, started);
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let is_free = self.is_free(channel);
        let Some(principal) = self.login.principal() else {
            return Err(russh::Error::NotAuthenticated);
        };
        if !is_free {
            return session.channel_failure(channel);
        }
        session.channel_success(channel)?;
        let started = self.exec(principal, channel, session.handle(), command);
        self.channels.insert(channel, started);
        Ok(())
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refuse_shell(channel, session)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _single_connection: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }
}
