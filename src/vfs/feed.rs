//! The pieces of one blob on their way to the store, which takes one while the next is being made.

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::domain::error::{Error, Result};
use crate::storage::store::{BlobWriter, Checkpoint};

/// A writer that is waited for only when it is needed again. A call that is given up half-way loses
/// nothing: the next one goes on with it. Dropped, it stores nothing more.
pub struct Feed {
    state: State,
    /// Pieces that the writer was not given yet.
    waiting: VecDeque<Bytes>,
}

enum State {
    Idle(Box<dyn BlobWriter>),
    /// It is being given a piece.
    Busy(JoinSet<(Box<dyn BlobWriter>, Result<()>)>),
    /// It panicked.
    Gone,
}

impl Feed {
    /// Will give pieces to `writer`.
    pub fn new(writer: Box<dyn BlobWriter>) -> Self {
        Self {
            state: State::Idle(writer),
            waiting: VecDeque::new(),
        }
    }

    /// Gives it the next piece, once it has taken the one before.
    ///
    /// # Errors
    /// What the piece before came to.
    pub async fn give(&mut self, piece: Bytes) -> Result<()> {
        self.waiting.push_back(piece);
        while !self.waiting.is_empty() {
            self.taken().await?;
            self.go_on()?;
        }
        Ok(())
    }

    /// Waits until a piece that is on its way has arrived; false when none is.
    ///
    /// # Errors
    /// What the pieces came to.
    pub async fn relieve(&mut self) -> Result<bool> {
        let was_busy = matches!(self.state, State::Busy(_));
        let writer = self.settle().await?;
        Ok(writer.relieve().await? || was_busy)
    }

    /// See [`BlobWriter::checkpoint`].
    ///
    /// # Errors
    /// What the pieces came to.
    pub async fn checkpoint(&mut self) -> Result<Checkpoint> {
        self.settle().await?.checkpoint().await
    }

    /// Gives it the last piece, which may be empty, and completes the blob.
    ///
    /// # Errors
    /// What the pieces came to, and the completing.
    pub async fn finish(mut self, last: Bytes) -> Result<()> {
        if !last.is_empty() {
            self.give(last).await?;
        }
        self.settle().await?;
        match self.state {
            State::Idle(writer) => writer.finish().await,
            State::Busy(_) | State::Gone => Err(gone()),
        }
    }

    /// The writer, as soon as it has taken all that there is.
    async fn settle(&mut self) -> Result<&mut dyn BlobWriter> {
        self.taken().await?;
        while !self.waiting.is_empty() {
            self.go_on()?;
            self.taken().await?;
        }
        match &mut self.state {
            State::Idle(writer) => Ok(&mut **writer),
            State::Busy(_) | State::Gone => Err(gone()),
        }
    }

    /// Waits until it has taken the piece that it is being given.
    async fn taken(&mut self) -> Result<()> {
        if let State::Busy(task) = &mut self.state {
            let given = task.join_next().await.ok_or_else(gone)?;
            self.state = State::Gone;
            let (writer, taken) = given.map_err(Error::internal)?;
            // What it could not take it says again.
            self.state = State::Idle(writer);
            taken?;
        }
        Ok(())
    }

    /// Starts to give an idle writer the next piece.
    fn go_on(&mut self) -> Result<()> {
        match mem::replace(&mut self.state, State::Gone) {
            State::Idle(mut writer) => {
                let piece = self.waiting.pop_front().unwrap_or_default();
                let giving = async move {
                    let taken = writer.write(piece).await;
                    (writer, taken)
                };
                let mut task = JoinSet::new();
                task.spawn(giving.in_current_span());
                self.state = State::Busy(task);
                Ok(())
            }
            other => {
                self.state = other;
                Err(gone())
            }
        }
    }
}

fn gone() -> Error {
    Error::internal("the writer of the blob is gone")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::poll;

    use super::*;
    use crate::domain::error::ErrorKind;
    use crate::domain::id::BlobId;
    use crate::storage::faulty::{FaultyStore, Operation};
    use crate::storage::memory::MemoryStore;
    use crate::storage::store::BlobStore as _;

    fn faulty() -> FaultyStore {
        FaultyStore::new(Arc::new(MemoryStore::default()))
    }

    /// A writer that is being given its first piece, and takes it when writes are released.
    async fn busy(store: &FaultyStore, id: BlobId) -> Feed {
        let mut feed = Feed::new(store.begin(id).await.unwrap());
        store.faults().hold(Operation::Write);
        feed.give(Bytes::from_static(b"one ")).await.unwrap();
        feed
    }

    #[tokio::test]
    async fn the_next_piece_is_made_while_the_store_takes_its_time() {
        let (store, id) = (faulty(), BlobId::random());
        let mut feed = busy(&store, id).await;
        let mut second = Box::pin(feed.give(Bytes::from_static(b"two ")));
        assert!(poll!(&mut second).is_pending());
        store.faults().release(Operation::Write);
        second.await.unwrap();
        feed.finish(Bytes::from_static(b"three")).await.unwrap();
        assert_eq!(&store.read(id, 0..13).await.unwrap()[..], b"one two three");
    }

    #[tokio::test]
    async fn a_piece_that_was_not_taken_is_told_of_by_the_next_call() {
        let store = faulty();
        let mut feed = Feed::new(store.begin(BlobId::random()).await.unwrap());
        store
            .faults()
            .fail(Operation::Write, ErrorKind::StorageFull, 1);
        feed.give(Bytes::from_static(b"one")).await.unwrap();
        let refused = feed.relieve().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StorageFull);
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_loses_no_piece() {
        let (store, id) = (faulty(), BlobId::random());
        let mut feed = busy(&store, id).await;
        let mut second = Box::pin(feed.give(Bytes::from_static(b"two ")));
        assert!(poll!(&mut second).is_pending());
        drop(second);
        let mut checkpoint = Box::pin(feed.checkpoint());
        assert!(poll!(&mut checkpoint).is_pending());
        drop(checkpoint);
        store.faults().release(Operation::Write);
        assert_eq!(feed.checkpoint().await.unwrap().length, 8);
        feed.finish(Bytes::new()).await.unwrap();
        assert_eq!(&store.read(id, 0..8).await.unwrap()[..], b"one two ");
    }
}
