//! Checksums that a client asks for by check-file-name and check-file-handle: a few at once, beside
//! all else, since reading a file may take long.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::sftp::context::{Caller, Context};
use crate::sftp::reads::ReadFile;
use crate::sftp::reply;
use crate::sftp::request::SumRequest;

/// Files read at once for one channel.
const MAX_AT_ONCE: usize = 2;
/// Longest answer, in bytes: what clients take in a packet.
const MAX_SUMS_BYTES: u64 = 200 * 1024;

/// A request that waits.
pub struct SumWork {
    /// Who asks.
    pub caller: Caller,
    /// The file.
    pub file: Arc<ReadFile>,
    /// Which checksums.
    pub wanted: SumRequest,
}

/// Answers until no more can come, or the client is gone.
pub async fn run(context: Context, queue: UnboundedReceiver<SumWork>) {
    tokio::select! {
        () = context.broken.cancelled() => {}
        () = answer_all(&context, queue) => {}
    }
}

async fn answer_all(context: &Context, mut queue: UnboundedReceiver<SumWork>) {
    let mut under_way = FuturesUnordered::new();
    loop {
        let work = tokio::select! {
            Some(()) = under_way.next() => continue,
            work = queue.recv(), if under_way.len() < MAX_AT_ONCE => work,
        };
        let Some(work) = work else {
            break;
        };
        under_way.push(Box::pin(answer(context, work)));
    }
    while under_way.next().await.is_some() {}
}

async fn answer(context: &Context, work: SumWork) {
    let id = work.caller.id;
    match sums(context, id, &work.file, work.wanted).await {
        Ok(bytes) => {
            let place = context.room.take(bytes.len()).await;
            let replies = &context.replies;
            replies.send_placed(work.caller.ticket, place, bytes);
        }
        Err(error) => context.reply_error(work.caller, &error),
    }
}

async fn sums(context: &Context, id: u32, file: &ReadFile, wanted: SumRequest) -> Result<Bytes> {
    let size = file.reader.entry().size;
    let SumRequest {
        kind,
        start,
        length,
        block,
    } = wanted;
    if start > size || (start == size && size > 0) {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("the file has {size} bytes, so that none is at {start}"),
        ));
    }
    let end = match length {
        0 => size,
        _ => start.saturating_add(length).min(size),
    };
    let is_one = block == 0 || u64::from(block) >= end - start;
    if is_one && start == 0 && end == size {
        let sum = context.files.sum(&file.reader, kind).await?;
        return Ok(reply::sums(id, kind, &sum));
    }
    let block = match is_one {
        true => end - start,
        false => u64::from(block),
    };
    let blocks = (end - start).div_ceil(block);
    if blocks.saturating_mul(kind.bytes() as u64) > MAX_SUMS_BYTES {
        return Err(Error::invalid(format!(
            "{blocks} checksums do not fit a reply; ask for larger blocks or a part of the file"
        )));
    }
    let part = start..end;
    let sums = context
        .files
        .sums_of(&file.reader, kind, part, block)
        .await?;
    Ok(reply::sums(id, kind, &sums))
}
