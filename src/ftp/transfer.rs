//! One transfer, from the command to its end: opens what is transferred, waits for the data connection,
//! moves the bytes, and tells how it ended.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::ftp::ascii::{FromNetwork, ToNetwork};
use crate::ftp::cuts::Cuts;
use crate::ftp::data_connection;
use crate::ftp::data_tls::{DataTls, Flow};
use crate::ftp::deflate::{Packer, Unpacker};
use crate::ftp::ending::Ending;
use crate::ftp::files::Files;
use crate::ftp::intake::Intake;
use crate::ftp::listing;
use crate::ftp::opened::{List, Opened};
use crate::ftp::outlet::{DataWire, Outlet};
use crate::ftp::passive::Passive;
use crate::ftp::reply::Reply;
use crate::ftp::settings::Ends;
use crate::ftp::state::{Form, Mode};
use crate::ftp::wire::Wire;
use crate::ftp::work::{How, Plan, What};
use crate::net::budget::Budget;
use crate::net::read_ahead::ReadAhead;
use crate::vfs::read::FileReader;
use crate::vfs::write::FileWriter;

/// Bytes moved at a time when there is memory, and when there is not.
const PIECE_BYTES: usize = 256 * 1024;
const SMALL_PIECE_BYTES: usize = 16 * 1024;
/// How long we wait for the client's end of a data connection after ours.
const LINGER: Duration = Duration::from_secs(5);
/// How long after the end of an upload, where a client that was killed ends it like any other, the control
/// connection may end, so that it counts for broken off: the system closes one after the other. An upload that
/// took little time waits for no more than a tenth of that: few are killed within it, and many files are small.
const GRACE: Duration = Duration::from_millis(10);
const GRACE_SHARE: u32 = 10;
/// Less is not waited for.
const LEAST_GRACE: Duration = Duration::from_millis(1);
/// How long what a refused transfer would have come by stays open, and of how many at most.
const LEFT_OPEN: Duration = Duration::from_secs(1);
const MOST_LEFT_OPEN: usize = 4;
/// How long a reply waits for what came to be kept.
const KEEPING: Duration = Duration::from_secs(10);

/// All that a transfer needs.
pub struct Transfer {
    /// What is transferred.
    pub plan: Plan,
    /// From and to where.
    pub files: Files,
    /// Where the data connection comes from.
    pub line: Option<Line>,
    /// How it is encrypted; none leaves it in the clear.
    pub tls: Option<DataTls>,
    /// Nothing may move for so long.
    pub stall: Duration,
    /// An upload over TLS is whole without close_notify.
    pub abrupt_end: bool,
    /// Memory for pieces.
    pub budget: Budget,
    /// Who hears how it goes.
    pub told: UnboundedSender<News>,
    /// What outlives the transfer for a moment.
    pub tasks: TaskTracker,
}

/// What is heard of a transfer before its end.
pub enum News {
    /// Bytes are about to flow.
    Began(Reply),
    /// All of an upload came, as it seems, and is stored. It is published if the answer is yes, which is
    /// given at that time: a client that is killed closes its data connection as if that were all, and its
    /// control connection with it, or a moment later.
    Through(oneshot::Sender<bool>, Instant),
}

/// Where a data connection comes from.
pub enum Line {
    /// We connect.
    Active(SocketAddr, Ends),
    /// The client connects.
    Passive(Passive),
}

impl Transfer {
    /// Carries it out.
    pub async fn run(mut self, cuts: Cuts) -> Ending {
        let opened = match Opened::of(&self.files, &self.plan.what).await {
            Ok(opened) => opened,
            Err(reply) => {
                self.leave_open();
                return Ending::Refused(reply);
            }
        };
        let cut = cuts.cut();
        tokio::pin!(cut);
        let mut opened = opened;
        let moved = tokio::select! {
            biased;
            ending = &mut cut => Err(ending),
            moved = self.move_bytes(&mut opened) => moved,
        };
        self.finish(opened, moved).await
    }

    /// Keeps the port and the connection for a transfer that is refused open for a moment: curl makes its handshake there
    /// before it reads the reply, and takes the refusal for the answer to another PASV when it fails.
    fn leave_open(&mut self) {
        let line = self.line.take().filter(|_| self.tls.is_some());
        if let Some(Line::Passive(passive)) = line
            && self.tasks.len() < MOST_LEFT_OPEN
        {
            self.tasks.spawn(async move {
                sleep(LEFT_OPEN).await;
                drop(passive);
            });
        }
    }

    /// Tells the client `text` when the data connection is there, or about to be made.
    async fn connect(&mut self, text: String) -> Result<DataWire, Ending> {
        let flow = match &self.plan.what {
            What::Store { .. } => Flow::FromClient,
            What::List(_) | What::Retrieve { .. } => Flow::ToClient,
        };
        // Whoever is gone needs no reply.
        let begin = || self.told.send(News::Began(Reply::new(150, text)));
        let stream = match self.line.take() {
            None => return Err(Ending::NoConnection),
            Some(Line::Passive(mut passive)) => {
                passive.wait().await.map_err(|_| Ending::NoConnection)?;
                let _ = begin();
                match &self.tls {
                    Some(tls) => return tls.secure_one(passive, flow).await,
                    None => passive.choose().ok_or(Ending::NoConnection)?,
                }
            }
            Some(Line::Active(address, ends)) => {
                // RFC 959 section 5.4: the reply goes before the connection.
                let _ = begin();
                let connected = data_connection::connect(address, ends).await;
                connected.map_err(|error| {
                    tracing::debug!(to = %address, error = %error, "a client could not be connected to");
                    Ending::NoConnection
                })?
            }
        };
        match &self.tls {
            Some(tls) => tls.secure(stream, flow).await,
            None => Ok(Wire::Clear(ReadAhead::new(stream, self.budget.clone()))),
        }
    }

    /// `Ok` when all is through; of an upload, nothing is published yet.
    async fn move_bytes(&mut self, opened: &mut Opened) -> Result<(), Ending> {
        let mut wire = self.connect(opened.invitation()).await?;
        let began = Instant::now();
        match opened {
            Opened::List(list) => {
                let mut outlet = self.outlet(&mut wire)?;
                self.send_names(list, &mut outlet).await?;
                outlet.finish().await?;
            }
            Opened::Read(file, from) => {
                let mut outlet = self.outlet(&mut wire)?;
                self.send_file(file, *from, &mut outlet).await?;
                outlet.finish().await?;
            }
            Opened::Write(writer, _) => {
                if let What::Store {
                    how: How::From(from),
                    ..
                } = self.plan.what
                {
                    writer.resize(from).await.map_err(Ending::Failed)?;
                }
                let received = self.receive(writer, &mut wire).await;
                if let Err(ending) = received {
                    // A reset would keep most clients from reading why; close_notify ends it in good order.
                    if !matches!(ending, Ending::Reset) {
                        self.linger(wire);
                    }
                    return Err(ending);
                }
                let grace = (began.elapsed() / GRACE_SHARE).min(GRACE);
                let grace = match grace >= LEAST_GRACE && self.may_end_by_death(&wire) {
                    true => grace,
                    false => Duration::ZERO,
                };
                let until = Instant::now() + grace;
                self.close(wire, true).await?;
                if !grace.is_zero() {
                    // Storing takes a while, in which the other connection's end comes to be known.
                    writer.settle().await.map_err(Ending::Failed)?;
                }
                self.ask_whether_all_came(until).await?;
                // What broke off was whole already.
                writer.go_on();
                return Ok(());
            }
        }
        self.close(wire, false).await
    }

    /// Whether the end of an upload looks like that of a client that was killed.
    fn may_end_by_death(&self, wire: &DataWire) -> bool {
        self.abrupt_end || matches!(wire, Wire::Clear(_))
    }

    async fn send_file(
        &self,
        file: &FileReader,
        from: u64,
        outlet: &mut Outlet<'_>,
    ) -> Result<(), Ending> {
        let share = self.budget.try_take_spare(PIECE_BYTES);
        let piece = share.as_ref().map_or(SMALL_PIECE_BYTES, |_| PIECE_BYTES);
        let mut convert = ToNetwork::default();
        let mut converted = Vec::new();
        let mut at = from;
        loop {
            let bytes = file.read_at(at, piece).await.map_err(Ending::Failed)?;
            if bytes.is_empty() {
                return Ok(());
            }
            at += bytes.len() as u64;
            match self.plan.form {
                Form::Image => outlet.send(&bytes).await?,
                Form::Ascii => {
                    converted.clear();
                    convert.convert(&bytes, &mut converted);
                    outlet.send(&converted).await?;
                }
            }
        }
    }

    async fn send_names(&self, list: &mut List, outlet: &mut Outlet<'_>) -> Result<(), Ending> {
        let (request, viewer) = (&list.request, &list.viewer);
        if let Some(file) = &list.file {
            let name = listing::file_name(request, file);
            let line = viewer.encoded(request.style, file, &name);
            return outlet.send(&line).await;
        }
        let Some(names) = &mut list.names else {
            return Ok(());
        };
        loop {
            let page = names.next_page().await.map_err(Ending::Failed)?;
            if page.is_empty() {
                return Ok(());
            }
            let mut text = Vec::new();
            for entry in request.wanted(page).await {
                let name = listing::shown_name(request, &entry);
                text.extend_from_slice(&viewer.encoded(request.style, &entry, &name));
            }
            outlet.send(&text).await?;
        }
    }

    fn outlet<'a>(&self, wire: &'a mut DataWire) -> Result<Outlet<'a>, Ending> {
        let packer = match self.plan.mode {
            Mode::Deflate(level) => Some(Packer::new(&self.budget, level)),
            Mode::Stream => None,
        };
        let packer = packer.transpose().map_err(Ending::Refused)?;
        Ok(Outlet::new(wire, packer, self.stall))
    }

    async fn receive(&self, writer: &mut FileWriter, wire: &mut DataWire) -> Result<(), Ending> {
        let mut intake = Intake::new(self.budget.clone(), self.stall, self.abrupt_end);
        let mut unpacker = match self.plan.mode {
            Mode::Deflate(_) => Some(Unpacker::new(&self.budget).map_err(Ending::Refused)?),
            Mode::Stream => None,
        };
        let mut convert = (self.plan.form == Form::Ascii).then(FromNetwork::default);
        let mut at = writer.entry().size;
        loop {
            let (mut bytes, filled) = intake.piece(wire).await;
            match &mut unpacker {
                None => self.store(writer, &mut at, bytes, &mut convert).await?,
                Some(unpacker) => {
                    while let Some(bytes) =
                        unpacker.step(&mut bytes).map_err(|_| Ending::Garbled)?
                    {
                        self.store(writer, &mut at, bytes, &mut convert).await?;
                    }
                }
            }
            // Also what came before a connection broke is written.
            if filled? {
                if unpacker.is_some_and(|unpacker| !unpacker.is_whole()) {
                    return Err(Ending::Unfinished);
                }
                let mut rest = Vec::new();
                if let Some(mut convert) = convert.take() {
                    convert.finish(&mut rest);
                }
                return self.store(writer, &mut at, rest.into(), &mut None).await;
            }
        }
    }

    async fn store(
        &self,
        writer: &mut FileWriter,
        at: &mut u64,
        mut bytes: Bytes,
        convert: &mut Option<FromNetwork>,
    ) -> Result<(), Ending> {
        if let Some(convert) = convert {
            let mut converted = Vec::with_capacity(bytes.len() + 1);
            convert.convert(&bytes, &mut converted);
            bytes = converted.into();
        }
        let length = bytes.len() as u64;
        let written = match self.plan.what {
            What::Store {
                how: How::Append, ..
            } => writer.append(bytes).await,
            _ => writer.write_at(*at, bytes).await,
        };
        *at += length;
        written.map_err(Ending::Failed)
    }

    /// Says the end of a data connection: by close_notify where there is TLS.
    async fn close(&self, mut wire: DataWire, is_upload: bool) -> Result<(), Ending> {
        match timeout(self.stall, wire.shutdown()).await {
            Ok(Ok(())) => {}
            // All of it came; a client that does not wait for our end misses nothing.
            Ok(Err(_)) if is_upload => return Ok(()),
            Ok(Err(_)) => return Err(Ending::Reset),
            Err(_) => return Err(Ending::Stalled),
        }
        if let (Wire::Sealed(_), false) = (&wire, is_upload) {
            // Closing before the client's close_notify is read would reset what it has not read yet.
            self.linger(wire);
        }
        Ok(())
    }

    async fn ask_whether_all_came(&self, until: Instant) -> Result<(), Ending> {
        let (answer, answered) = oneshot::channel();
        let _ = self.told.send(News::Through(answer, until));
        match answered.await == Ok(true) {
            true => Ok(()),
            false => Err(Ending::ControlLost),
        }
    }

    /// Reads over what the client still sends, for a moment.
    fn linger(&self, mut wire: DataWire) {
        self.tasks.spawn(async move {
            let mut rest = vec![0; SMALL_PIECE_BYTES];
            let _ = timeout(LINGER, async {
                let _ = wire.shutdown().await;
                while matches!(wire.read(&mut rest).await, Ok(1..)) {}
            })
            .await;
        });
    }

    async fn finish(&self, opened: Opened, moved: Result<(), Ending>) -> Ending {
        match (opened, moved) {
            (Opened::List(_) | Opened::Read(..), Ok(())) => Ending::Complete("sent".to_owned()),
            (Opened::List(_) | Opened::Read(..), Err(ending)) => ending,
            (Opened::Write(writer, name), Ok(())) => {
                let report = writer.report();
                match writer.commit().await {
                    Ok(_) => Ending::Complete(name.stored(report.read())),
                    Err(error) => Ending::Failed(error),
                }
            }
            (Opened::Write(writer, _), Err(Ending::Garbled)) => {
                let _ = timeout(KEEPING, writer.revert()).await;
                Ending::Garbled
            }
            // Nothing began: the old file is not about to be replaced.
            (
                Opened::Write(writer, _),
                Err(ending @ (Ending::NoConnection | Ending::TlsFailed | Ending::TlsNotResumed)),
            ) if !writer.is_untouched() => {
                let _ = timeout(KEEPING, writer.discard()).await;
                ending
            }
            // Before the reply, lest a client that asks at once finds nothing to go on with.
            (Opened::Write(writer, _), Err(ending)) => {
                if timeout(KEEPING, writer.keep()).await.is_err() {
                    tracing::debug!("what an upload had on its way is still being kept");
                }
                ending
            }
        }
    }
}
