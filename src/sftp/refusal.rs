//! Connections for which there is no place: they are told so in SSH, and the log hears of it now and then.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::sftp::settings::IDENTIFICATION;

const WORDS: &str = "this server has as many connections as it may; connect again in a moment";
/// How long a client may take for that.
const PATIENCE: Duration = Duration::from_secs(2);
/// What a client says until it has heard it: its identification and the begin of a key exchange.
const MAX_HEARD: u64 = 64 * 1024;
/// A line of the log at most so often.
const PAUSE: Duration = Duration::from_secs(60);

const DISCONNECT: u8 = 1;
const TOO_MANY_CONNECTIONS: u32 = 12;

/// Refuses connections.
#[derive(Default)]
pub struct Refusals(Mutex<Told>);

#[derive(Default)]
struct Told {
    next: Option<Instant>,
    untold: u64,
}

impl Refusals {
    /// Tells `stream` to go, and returns when it has gone or had its time.
    pub async fn refuse<S>(&self, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if let Some(count) = self.due() {
            tracing::warn!(peer = %peer, count, "connections were refused: all of sftp.sessions are taken; raise it if that is usual");
        }
        // Whoever does not listen is not waited for.
        let _ = timeout(PATIENCE, tell(stream)).await;
    }

    /// Counts a refusal. How many there were since the last line, if it is time for another.
    fn due(&self) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.untold += 1;
        let now = Instant::now();
        if told.next.is_some_and(|next| now < next) {
            return None;
        }
        told.next = Some(now + PAUSE);
        Some(std::mem::take(&mut told.untold))
    }
}

/// RFC 4253, sections 4.2 and 11.1: a disconnect message may come before the first key exchange.
async fn tell<S>(mut stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = format!("{IDENTIFICATION}\r\n").into_bytes();
    out.extend_from_slice(&disconnect(WORDS));
    stream.write_all(&out).await?;
    stream.shutdown().await?;
    // A socket that is closed while something is unread takes back what was sent.
    tokio::io::copy(&mut stream.take(MAX_HEARD), &mut tokio::io::sink()).await?;
    Ok(())
}

/// SSH_MSG_DISCONNECT as a packet without encryption (RFC 4253, section 6).
fn disconnect(words: &str) -> Vec<u8> {
    let mut payload = vec![DISCONNECT];
    payload.put_u32(TOO_MANY_CONNECTIONS);
    for string in [words, "en"] {
        payload.put_u32(u32::try_from(string.len()).unwrap_or(u32::MAX));
        payload.put_slice(string.as_bytes());
    }
    // Four bytes at least, up to a multiple of eight with the lengths.
    let padding = 4 + (8 - (4 + 1 + payload.len() + 4) % 8) % 8;
    let mut packet = Vec::new();
    packet.put_u32(u32::try_from(1 + payload.len() + padding).unwrap_or(u32::MAX));
    packet.put_u8(u8::try_from(padding).unwrap_or(u8::MAX));
    packet.put_slice(&payload);
    packet.put_bytes(0, padding);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_fills_whole_blocks() {
        for length in 0..40 {
            let packet = disconnect(&"x".repeat(length));
            assert_eq!(packet.len() % 8, 0);
            assert!(packet[4] >= 4);
            let said = u32::from_be_bytes(packet[..4].try_into().unwrap());
            assert_eq!(said as usize, packet.len() - 4);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_hears_of_a_flood_once_a_minute() {
        let refusals = Refusals::default();
        assert_eq!(refusals.due(), Some(1));
        for _ in 0..500 {
            assert_eq!(refusals.due(), None);
        }
        tokio::time::advance(PAUSE).await;
        assert_eq!(refusals.due(), Some(501));
        assert_eq!(refusals.due(), None);
    }
}
