//! A piece of an upload that is addressed by an id: taken over, written, settled or published.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::db::addressed::{self, Addressed, Purpose};
use crate::db::entries;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::uploads::{Progress, Upload};
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{ContentId, InstanceId, NodeId, UploadAddress};
use crate::domain::node::AttributeUpdate;
use crate::domain::principal::Principal;
use crate::domain::traffic::{Direction, Ending, Transfer};
use crate::vfs::addressed::{MAX_SIZE, found, no_such_upload, target};
use crate::vfs::admission::Admission;
use crate::vfs::claim::{Claim, Size};
use crate::vfs::draft::{Draft, LastByte, Place};
use crate::vfs::gather::gather;
use crate::vfs::landing;
use crate::vfs::pieces::Hold;
use crate::vfs::publish::Publish;
use crate::vfs::published::Report;
use crate::vfs::resume;
use crate::vfs::service::Vfs;
use crate::vfs::session::Session;
use crate::vfs::sink;
use crate::vfs::target::Over;
use crate::vfs::upload::{Leave, Remains};

/// So much is written before the quota is asked for it.
const SMALL: u64 = 256 << 10;

/// What is to become of a piece whose client goes away, or errs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It is kept as far as it came.
    AsItComes,
    /// Only a client that has compared it with a sum may say that it counts.
    Checked,
}

/// How a piece ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts; with it, a complete upload is published.
    Counts,
    /// What came of it is kept, and nothing published.
    BrokeOff,
    /// It counts for nothing.
    Discard,
}

/// A piece being written. Dropped, it ends as one whose client went away.
pub struct PieceWriter {
    bytes: mpsc::Sender<Bytes>,
    verdict: oneshot::Sender<Verdict>,
    outcome: oneshot::Receiver<Result<u64>>,
}

impl PieceWriter {
    /// Writes bytes behind what is there. They may still be on their way when this returns.
    ///
    /// # Errors
    /// None here: what went wrong, [`PieceWriter::finish`] tells. False when nothing more is taken.
    pub async fn write(&mut self, bytes: Bytes) -> bool {
        self.bytes.send(bytes).await.is_ok()
    }

    /// Ends the piece and says how long the upload is now. When this returns `Ok`, so much is durable;
    /// and if it is complete, it is published.
    ///
    /// # Errors
    /// As [`crate::vfs::write::FileWriter::commit`]; what is durable stays.
    pub async fn finish(self, verdict: Verdict) -> Result<u64> {
        drop(self.bytes);
        // Who has ended with an error has no use for it.
        let _ = self.verdict.send(verdict);
        let ended = self.outcome.await;
        ended.unwrap_or_else(|_| Err(Error::internal("a piece ended without an answer")))
    }
}

impl Session {
    /// Takes an upload over, to write its next piece from `offset` on. `length` is how long the upload will
    /// be, where that is only known now; it is noted with what comes, and not when nothing of that counts.
    /// `modified` is the file's time of last modification by what is kept of what the client said about it.
    ///
    /// # Errors
    /// NotFound; Denied to who may write nothing; Stale when another request writes to it, or it is not at
    /// `offset` any more, or another length was said meanwhile; Busy when there is no memory.
    pub async fn write_piece(
        &self,
        id: UploadAddress,
        offset: u64,
        length: Option<u64>,
        trust: Trust,
        modified: fn(&str) -> Option<Timestamp>,
    ) -> Result<PieceWriter> {
        let admission = self.vfs.admit(&self.principal, sink::GRANTED)?;
        let hold = {
            let mut tx = self.vfs.database().read(self.principal.tenant).await?;
            let addressed = addressed::find(&mut tx, self.owner(), id).await?;
            let upload = addressed.ok_or_else(no_such_upload)?.upload;
            self.vfs.pieces().hold(upload).ok_or_else(held)?
        };
        // As the one left it who had the hold before.
        let mut tx = self.vfs.database().snapshot(self.principal.tenant).await?;
        self.require_to_send(&mut tx).await?;
        let addressed = addressed::find(&mut tx, self.owner(), id).await?;
        let mut addressed = addressed.ok_or_else(no_such_upload)?;
        if addressed.done {
            // Whoever had the hold sent the rest.
            return Err(moved_on());
        }
        let upload = found(&mut tx, &addressed).await?;
        let said = length.filter(|_| addressed.length.is_none());
        addressed.length = addressed.length.or(length);
        if upload.size != offset || (length.is_some() && length != addressed.length) {
            return Err(moved_on());
        }
        let old = match &addressed.purpose {
            Purpose::File(to) => match to.node {
                Some(node) => entries::live(&mut tx, node).await?,
                None => None,
            },
            Purpose::Part | Purpose::Joined(..) => None,
        };
        drop(tx);
        let own = old.filter(|old| old.owner == Some(self.principal.account));
        let taking = Taking {
            vfs: self.vfs.clone(),
            principal: self.principal.clone(),
            upload,
            modified: modified(&addressed.metadata),
            addressed,
            said,
            trust,
            credit: own.map_or(0, |own| own.size),
            hold,
            admission,
        };
        let (bytes, arriving) = mpsc::channel(1);
        let (verdict, judged) = oneshot::channel();
        let (begun, beginning) = oneshot::channel();
        let (told, outcome) = oneshot::channel();
        // Owned by the file system: a client that goes away must neither cut a write in two, nor leave an upload to
        // this instance that nobody here writes to. Nobody may be there to be told.
        self.vfs.tasks().spawn(async move {
            match Box::pin(taking.take_over()).await {
                Ok(piece) => {
                    let _ = begun.send(Ok(()));
                    let _ = told.send(Box::pin(piece.run(arriving, judged)).await);
                }
                Err(error) => {
                    let _ = begun.send(Err(error));
                }
            }
        });
        let writer = PieceWriter {
            bytes,
            verdict,
            outcome,
        };
        let begun = beginning.await;
        begun.unwrap_or_else(|_| Err(Error::internal("a piece ended without an answer")))?;
        Ok(writer)
    }
}

/// An upload that is about to be taken over.
struct Taking {
    vfs: Vfs,
    principal: Principal,
    upload: Upload,
    addressed: Addressed,
    modified: Option<Timestamp>,
    said: Option<u64>,
    trust: Trust,
    credit: u64,
    hold: Hold,
    admission: Admission,
}

impl Taking {
    async fn take_over(mut self) -> Result<Piece> {
        let (vfs, principal) = (self.vfs, self.principal);
        if self.upload.instance == vfs.instance() {
            // Nobody here writes to it: an earlier piece could not let it go, as when the database was away.
            let (tenant, actor) = (principal.tenant, principal.actor());
            let let_go = vfs.stranded().leave(tenant, &actor, let_go(&self.upload));
            let_go.await?;
            self.upload.epoch += 1;
            self.upload.instance = InstanceId::NIL;
        }
        let taken = resume::take_over(&vfs, &principal, self.upload).await;
        let resumed = match taken {
            Err(error) if error.kind() == ErrorKind::Busy => return Err(held()),
            taken => taken?.ok_or_else(no_such_upload)?,
        };
        let mut claim = Claim::new(vfs.clone(), principal.clone());
        claim.go_on(&resumed.upload);
        let mut draft = Draft::new(vfs.clone(), principal.tenant, true, None);
        let files = resumed.upload.reserved.files;
        if !resumed.edits.is_empty() {
            let edits = (resumed.edits, resumed.known);
            draft.replay(edits, &resumed.blobs, resumed.upload.hash_state);
        }
        let before = draft.settled(LastByte::Told);
        Ok(Piece {
            vfs,
            transfer: Transfer::new(&principal, Direction::In),
            principal,
            addressed: self.addressed,
            modified: self.modified,
            said: self.said,
            draft,
            claim,
            before,
            trust: self.trust,
            credit: self.credit,
            is_new: files > 0,
            _hold: self.hold,
            _admission: self.admission,
        })
    }
}

struct Piece {
    vfs: Vfs,
    principal: Principal,
    addressed: Addressed,
    /// What the file gets, if the client said it.
    modified: Option<Timestamp>,
    /// The length, if nobody knew it before.
    said: Option<u64>,
    draft: Draft,
    claim: Claim,
    /// What was durable when it began.
    before: Progress,
    trust: Trust,
    /// Bytes that come free when it is published.
    credit: u64,
    is_new: bool,
    transfer: Transfer,
    _hold: Hold,
    _admission: Admission,
}

impl Piece {
    async fn run(
        mut self,
        mut arriving: mpsc::Receiver<Bytes>,
        judged: oneshot::Receiver<Verdict>,
    ) -> Result<u64> {
        while let Some(bytes) = arriving.recv().await {
            if let Err(error) = self.write(&bytes).await {
                drop(arriving);
                return Box::pin(self.fail(error)).await;
            }
        }
        let judged = judged.await.unwrap_or(match self.trust {
            Trust::AsItComes => Verdict::BrokeOff,
            Trust::Checked => Verdict::Discard,
        });
        if let Some(length) = self.said.filter(|_| judged != Verdict::Discard) {
            let id = self.addressed.id;
            let (tenant, actor) = (self.principal.tenant, self.principal.actor());
            let noted = self
                .vfs
                .committer()
                .run(tenant, &actor, SetLength { id, length });
            if let Err(error) = noted.await {
                return Box::pin(self.fail(error)).await;
            }
        }
        match judged {
            Verdict::Discard => Box::pin(self.discard()).await,
            Verdict::BrokeOff => Box::pin(self.keep(LastByte::Withheld)).await,
            Verdict::Counts if self.is_complete_file() => Box::pin(self.publish()).await,
            Verdict::Counts => {
                self.transfer.goes_on_later();
                Box::pin(self.keep(LastByte::Told)).await
            }
        }
    }

    async fn write(&mut self, bytes: &Bytes) -> Result<()> {
        self.transfer.moved(bytes.len());
        let end = self.draft.size().checked_add(bytes.len() as u64);
        let most = self.addressed.length.unwrap_or(MAX_SIZE);
        let end = end.filter(|end| *end <= most).ok_or_else(|| {
            Error::invalid("this is more than the length that was said when the upload began")
        })?;
        let now = self.vfs.database().clock().now();
        let is_due = self.claim.is_due(self.draft.size(), now);
        let size = self.size(end);
        let unclaimed = !self.claim.covers(size) && end > self.before.size + SMALL;
        if unclaimed || (is_due && self.trust == Trust::AsItComes) {
            let progress = match self.trust {
                Trust::AsItComes => self.draft.checkpoint().await?,
                Trust::Checked => self.before.clone(),
            };
            let durable = progress.size;
            self.claim.advance(progress, size).await?;
            self.claim.checkpointed(durable, now);
        }
        self.draft.write(Place::At(self.draft.size()), bytes).await
    }

    fn size(&self, bytes: u64) -> Size {
        Size {
            bytes,
            credit: self.credit,
            new: self.is_new,
        }
    }

    /// Whether it has come to its end, and the end of parts is that they are joined.
    fn is_complete_file(&self) -> bool {
        self.addressed.length == Some(self.draft.size())
            && matches!(self.addressed.purpose, Purpose::File(_))
    }

    /// Ends a piece that met an error; what is durable of it is kept if anything of it may be.
    async fn fail(self, error: Error) -> Result<u64> {
        self.transfer.failed();
        let ended = match (error.kind(), self.trust) {
            (ErrorKind::Stale, _) => {
                self.vfs.sealers().discard(self.principal.tenant);
                self.let_go().await;
                Ok(0)
            }
            (_, Trust::Checked) => Box::pin(self.discard()).await,
            (ErrorKind::Invalid | ErrorKind::Quota, Trust::AsItComes) => {
                Box::pin(self.keep(LastByte::Withheld)).await
            }
            _ => {
                self.let_go().await;
                Ok(0)
            }
        };
        if let Err(second) = ended {
            tracing::debug!(error = ?second, "what came of a piece is kept as far as it was written down");
        }
        Err(error)
    }

    /// Leaves the upload at what is written down.
    async fn let_go(self) {
        let Self { draft, claim, .. } = self;
        claim.let_go(draft.made()).await;
    }

    async fn discard(self) -> Result<u64> {
        let before = self.before.clone();
        Box::pin(self.settle(before)).await
    }

    /// Writes down how far the upload is and lets it go.
    async fn settle(self, progress: Progress) -> Result<u64> {
        let (length, size) = (progress.size, self.size(progress.size));
        let settled = self.claim.settle(progress, size, self.draft.made()).await;
        match settled {
            Ok(()) => Ok(length),
            Err(error) => {
                self.let_go().await;
                Err(error)
            }
        }
    }

    /// Makes all durable that came, and lets the upload go.
    async fn keep(mut self, last_byte: LastByte) -> Result<u64> {
        if let Err(error) = self.draft.finish_blob().await {
            self.let_go().await;
            return Err(error);
        }
        let gathered = gather(&self.vfs, self.principal.tenant, &mut self.draft).await;
        if let Err(error) = gathered {
            tracing::debug!(error = ?error, "small blobs of an upload stay as they are");
        }
        let last_byte = match self.is_complete_file() {
            true => last_byte,
            false => LastByte::Told,
        };
        let progress = self.draft.settled(last_byte);
        Box::pin(self.settle(progress)).await
    }

    async fn publish(mut self) -> Result<u64> {
        if let Err(error) = self.draft.finish_blob().await {
            self.let_go().await;
            return Err(error);
        }
        let Purpose::File(destination) = &self.addressed.purpose else {
            return Err(Error::internal("a part was to be published"));
        };
        let now = self.vfs.database().clock().now();
        let publish = PublishAddressed {
            id: self.addressed.id,
            sender: self.addressed.sender.clone(),
            size: self.draft.size(),
            publish: Publish {
                principal: self.principal.clone(),
                target: target(destination),
                new_node: NodeId::mint(now),
                own_node: None,
                content: ContentId::mint(now),
                over: Over::Nothing,
                edits: self.draft.edits().to_vec(),
                gathered: Vec::new(),
                most_pieces: usize::MAX,
                stored: self.draft.linkable(),
                made: None,
                sha256: self.draft.sha256(),
                hashed_over: None,
                given: AttributeUpdate::default(),
                update: AttributeUpdate {
                    modified: self.modified,
                    ..AttributeUpdate::default()
                },
                written_at: None,
                upload: self.claim.row(),
                report: Report::default(),
            },
        };
        let (tenant, actor) = (self.principal.tenant, self.principal.actor());
        match self.vfs.committer().run(tenant, &actor, publish).await {
            Ok(_) => {
                self.transfer.end(Ending::Complete);
                Ok(self.draft.size())
            }
            // It is complete, and must not look so: what is lacking is sent again, and publishes it.
            Err(error) => {
                if error.kind() == ErrorKind::Stale {
                    self.vfs.sealers().discard(self.principal.tenant);
                }
                let progress = self.draft.settled(LastByte::Withheld);
                if let Err(second) = Box::pin(self.settle(progress)).await {
                    tracing::debug!(error = ?second, "what came of an upload is kept as far as it was written down");
                }
                Err(error)
            }
        }
    }
}

/// Publishes an upload and notes that at its address.
struct PublishAddressed {
    id: UploadAddress,
    sender: Option<String>,
    size: u64,
    publish: Publish,
}

#[async_trait]
impl Operation for PublishAddressed {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let landed = landing::land(tx, &self.publish, self.size, next).await?;
        let publish = landed.as_ref().unwrap_or(&self.publish);
        let record = publish.apply(tx, next).await?;
        addressed::finish(tx, self.id, &publish.target.name, next.at).await?;
        Ok(landing::told(
            record,
            &publish.principal,
            self.sender.as_deref(),
        ))
    }
}

struct SetLength {
    id: UploadAddress,
    length: u64,
}

#[async_trait]
impl Operation for SetLength {
    async fn apply(&self, tx: &mut TenantTx, _next: Committed) -> Result<Record> {
        addressed::set_length(tx, self.id, self.length).await?;
        Ok(Record::Nothing)
    }
}

fn let_go(upload: &Upload) -> Leave {
    Leave {
        upload: Some((upload.id, upload.epoch)),
        remains: Remains::Keep,
        blobs: Vec::new(),
        lent_by: None,
    }
}

fn held() -> Error {
    Error::new(
        ErrorKind::Stale,
        "another request is writing to this upload; wait until that ends, ask how far it is, and go on \
         from there",
    )
}

fn moved_on() -> Error {
    Error::new(
        ErrorKind::Stale,
        "the upload is at another offset by now; ask how far it is, and go on from there",
    )
}
