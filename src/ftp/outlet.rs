//! Bytes on their way to the client over a data connection, packed if MODE Z was chosen.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::ftp::deflate::Packer;
use crate::ftp::ending::Ending;
use crate::ftp::wire::Wire;
use crate::net::read_ahead::ReadAhead;

/// A data connection as it is used.
pub type DataWire = Wire<ReadAhead<TcpStream>>;

/// The sending end of a data connection.
pub struct Outlet<'a> {
    wire: &'a mut DataWire,
    packer: Option<Packer>,
    /// Nothing may be taken for so long.
    stall: Duration,
}

impl<'a> Outlet<'a> {
    /// Sends over a connection.
    pub fn new(wire: &'a mut DataWire, packer: Option<Packer>, stall: Duration) -> Self {
        Self {
            wire,
            packer,
            stall,
        }
    }

    /// Sends bytes, or has them packed.
    ///
    /// # Errors
    /// When the client takes nothing for too long, or is gone.
    pub async fn send(&mut self, mut bytes: &[u8]) -> Result<(), Ending> {
        let Some(packer) = &mut self.packer else {
            return write(self.wire, bytes, self.stall).await;
        };
        while !bytes.is_empty() {
            write(self.wire, packer.step(&mut bytes), self.stall).await?;
            // What packs well is work without a wait.
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    /// Sends what packing has held back.
    ///
    /// # Errors
    /// As [`Outlet::send`].
    pub async fn finish(mut self) -> Result<(), Ending> {
        while let Some(packer) = &mut self.packer {
            let (bytes, is_over) = packer.end();
            write(self.wire, bytes, self.stall).await?;
            if is_over {
                break;
            }
        }
        Ok(())
    }
}

async fn write(wire: &mut DataWire, mut bytes: &[u8], stall: Duration) -> Result<(), Ending> {
    while !bytes.is_empty() {
        let sent = timeout(stall, wire.write(bytes))
            .await
            .map_err(|_| Ending::Stalled)?
            .map_err(|_| Ending::Reset)?;
        if sent == 0 {
            return Err(Ending::Reset);
        }
        bytes = bytes.get(sent..).unwrap_or_default();
    }
    Ok(())
}
