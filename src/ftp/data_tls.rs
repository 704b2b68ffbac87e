//! TLS on data connections: who shakes hands as the client of the control connection.

use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::ftp::ending::Ending;
use crate::ftp::kin::Kin;
use crate::ftp::outlet::DataWire;
use crate::ftp::passive::{MOST_KEPT, Passive};
use crate::ftp::settings::Demand;
use crate::ftp::wire::Wire;
use crate::net::budget::Budget;
use crate::net::read_ahead::ReadAhead;
use crate::net::tickets::Mark;
use crate::net::tls_server::{HANDSHAKE, TlsServer};

/// How a data connection is encrypted.
pub struct DataTls {
    /// By whom.
    pub server: TlsServer,
    /// The sessions that belong to its control connection.
    pub kin: Arc<Kin>,
    /// Whether it must be tied to it.
    pub resumption: Demand,
    /// Memory for reading ahead.
    pub budget: Budget,
}

/// Which way bytes flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// To us, after the handshake.
    FromClient,
    /// To the client.
    ToClient,
}

impl DataTls {
    /// Shakes hands over a connection.
    ///
    /// # Errors
    /// TlsFailed, or TlsNotResumed where the session must be resumed.
    pub async fn secure(&self, stream: TcpStream, flow: Flow) -> Result<DataWire, Ending> {
        let stream = ReadAhead::new(stream, self.budget.clone());
        let mark = Mark::random();
        let secured = match flow {
            Flow::FromClient => self.server.accept_writer(stream, mark).await,
            Flow::ToClient => self.server.accept(stream, mark).await,
        };
        let secured = secured.map_err(|error| {
            tracing::debug!(error = %error, "no TLS came about on a data connection");
            Ending::TlsFailed
        })?;
        match self.kin.admit(secured.resumed, mark) || self.resumption == Demand::Optional {
            true => Ok(Wire::Sealed(Box::new(secured.stream))),
            false => Err(Ending::TlsNotResumed),
        }
    }

    /// Shakes hands with all who came, at once, lest one who is silent keeps the client out; who is the
    /// first to do it as is demanded has the transfer.
    ///
    /// # Errors
    /// When all who came have failed, or none has made it within [`HANDSHAKE`]: what was wrong with them.
    pub async fn secure_one(&self, mut passive: Passive, flow: Flow) -> Result<DataWire, Ending> {
        let choosing = async {
            let mut shaking = FuturesUnordered::new();
            let mut failure = Ending::TlsFailed;
            loop {
                while shaking.len() < MOST_KEPT
                    && let Some(stream) = passive.take_next()
                {
                    shaking.push(self.secure(stream, flow));
                }
                let secured = tokio::select! {
                    biased;
                    secured = shaking.next() => secured,
                    () = passive.arrive(), if shaking.len() < MOST_KEPT => continue,
                };
                match secured {
                    Some(Ok(wire)) => return Ok(wire),
                    // What is wrong with somebody who speaks TLS tells more.
                    Some(Err(Ending::TlsNotResumed)) => failure = Ending::TlsNotResumed,
                    Some(Err(_)) => {}
                    None => return Err(failure),
                }
            }
        };
        let chosen = timeout(HANDSHAKE, choosing).await;
        chosen.unwrap_or(Err(Ending::TlsFailed))
    }
}
