//! Why a transfer is ended from outside.

use std::sync::Arc;

use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;

use crate::accounts::live::Ended;
use crate::ftp::ending::Ending;

/// Why a transfer is ended from outside. Clones are of the same transfer.
#[derive(Clone, Default)]
pub struct Cuts {
    /// ABOR.
    pub abort: CancellationToken,
    /// The control connection is gone.
    pub lost: CancellationToken,
    /// The server is ending.
    pub stop: CancellationToken,
    ended: Arc<SetOnce<Ended>>,
}

impl Cuts {
    /// The session must end; the first reason stays.
    pub fn session_ended(&self, why: Ended) {
        let _ = self.ended.set(why);
    }

    /// Returns when the transfer is to end.
    pub async fn cut(&self) -> Ending {
        tokio::select! {
            biased;
            () = self.abort.cancelled() => Ending::Aborted,
            () = self.lost.cancelled() => Ending::ControlLost,
            why = self.ended.wait() => Ending::SessionEnded(*why),
            () = self.stop.cancelled() => Ending::Stopped,
        }
    }
}
