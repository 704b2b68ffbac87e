//! What a command started by exec reads and writes. Nothing that a client sends is waited for but by the
//! command itself, and nothing waits for a client that takes no output but the command.

use bytes::{Buf, Bytes};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use crate::domain::error::{Error, Result};
use crate::sftp::gate::{Gate, Waiting};
use crate::sftp::ledger::{Ledger, Ticket};
use crate::sftp::room::{Place, Room};

/// What a piece of input counts beside its bytes.
const PIECE_BYTES: usize = 128;
/// Longest piece of output: what SSH holds beyond our counts is a few of these.
pub const OUTPUT_BYTES: usize = 64 * 1024;

/// A piece of input, counted until it is read to its end.
struct Piece {
    bytes: Bytes,
    _waiting: Waiting,
    _ticket: Ticket,
}

/// Where input is put.
pub struct Feeder {
    pieces: UnboundedSender<Piece>,
    gate: Gate,
    ledger: Ledger,
}

impl Feeder {
    /// The two ends of a command's input. It ends when the feeder is dropped, or `broken` is
    /// cancelled: the difference is told by [`Input::is_broken`].
    pub fn new(gate: Gate, ledger: Ledger, broken: CancellationToken) -> (Self, Input) {
        let (pieces, queue) = unbounded_channel();
        let feeder = Self {
            pieces,
            gate,
            ledger,
        };
        let input = Input {
            queue,
            piece: None,
            broken,
        };
        (feeder, input)
    }

    /// Puts what came; dropped when the command reads no more.
    ///
    /// # Errors
    /// Busy when far too much waits.
    pub fn put(&self, bytes: &[u8]) -> Result<()> {
        let ticket = self.ledger.request()?;
        if self.pieces.is_closed() {
            return Ok(());
        }
        let _ = self.pieces.send(Piece {
            _waiting: self.gate.hold(bytes.len() + PIECE_BYTES)?,
            _ticket: ticket,
            bytes: Bytes::copy_from_slice(bytes),
        });
        Ok(())
    }
}

/// A command's input.
pub struct Input {
    queue: UnboundedReceiver<Piece>,
    piece: Option<Piece>,
    broken: CancellationToken,
}

impl Input {
    /// The next bytes, `most` at most; none at the end.
    pub async fn take(&mut self, most: usize) -> Option<Bytes> {
        loop {
            if self.broken.is_cancelled() {
                return None;
            }
            if let Some(piece) = &mut self.piece
                && !piece.bytes.is_empty()
            {
                return Some(piece.bytes.split_to(piece.bytes.len().min(most)));
            }
            // Given back before the next is waited for.
            self.piece = None;
            self.piece = Some(self.queue.recv().await?);
        }
    }

    /// The next byte; none at the end.
    pub async fn byte(&mut self) -> Option<u8> {
        self.take(1).await.map(|mut byte| byte.get_u8())
    }

    /// The next line without its end; none at the end of the input, even if that is inside a line.
    ///
    /// # Errors
    /// Invalid when it is longer than `most`.
    pub async fn line(&mut self, most: usize) -> Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        while let Some(byte) = self.byte().await {
            match byte {
                b'\n' => return Ok(Some(line)),
                _ if line.len() == most => {
                    return Err(Error::invalid(format!(
                        "a line of more than {most} bytes was sent"
                    )));
                }
                _ => line.push(byte),
            }
        }
        Ok(None)
    }

    /// Whether the client is gone, and did not just end its input.
    pub fn is_broken(&self) -> bool {
        self.broken.is_cancelled()
    }
}

/// A piece of what a command says.
pub struct Said {
    /// What.
    pub speech: Speech,
    _ticket: Option<Ticket>,
    _place: Option<Place>,
}

/// Where it is said.
pub enum Speech {
    /// Standard error.
    Error(Bytes),
    /// The end, with the exit status: nothing follows.
    Exit(u32),
    /// Standard output.
    Output(Bytes),
}

/// A command's output. Cheap to clone.
#[derive(Clone)]
pub struct Output {
    said: UnboundedSender<Said>,
    ledger: Ledger,
    room: Room,
}

impl Output {
    /// The two ends of an output.
    pub fn new(ledger: Ledger, room: Room) -> (Self, UnboundedReceiver<Said>) {
        let (said, queue) = unbounded_channel();
        (Self { said, ledger, room }, queue)
    }

    /// Says little on standard output, without waiting.
    ///
    /// # Errors
    /// Busy when the client takes nothing and far too much waits for it.
    pub fn say(&self, bytes: impl Into<Bytes>) -> Result<()> {
        let ticket = self.ledger.request()?;
        self.put(Speech::Output(bytes.into()), Some(ticket), None);
        Ok(())
    }

    /// Says a line on standard error, without waiting.
    ///
    /// # Errors
    /// As [`Output::say`].
    pub fn complain(&self, line: &str) -> Result<()> {
        let ticket = self.ledger.request()?;
        let bytes = Bytes::from(format!("{line}\n"));
        self.put(Speech::Error(bytes), Some(ticket), None);
        Ok(())
    }

    /// Waits for room for output.
    pub async fn room(&self, bytes: usize) -> Place {
        self.room.take(bytes).await
    }

    /// Says much on standard output, for which there is room.
    ///
    /// # Errors
    /// As [`Output::say`].
    pub fn say_placed(&self, place: Place, mut bytes: Bytes) -> Result<()> {
        while bytes.len() > OUTPUT_BYTES {
            self.say(bytes.split_to(OUTPUT_BYTES))?;
        }
        let ticket = self.ledger.request()?;
        // In order, so that the room is free when all of it has gone.
        self.put(Speech::Output(bytes), Some(ticket), Some(place));
        Ok(())
    }

    /// Says that the command is over.
    pub fn exit(&self, status: u32) {
        self.put(Speech::Exit(status), None, None);
    }

    fn put(&self, speech: Speech, _ticket: Option<Ticket>, _place: Option<Place>) {
        // When the other end is gone, so is the client.
        let _ = self.said.send(Said {
            speech,
            _ticket,
            _place,
        });
    }
}
