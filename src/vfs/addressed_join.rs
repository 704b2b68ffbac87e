//! Joining parts: uploads with an address become one file, and no byte moves.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::db::addressed::{self, Addressed, Purpose};
use crate::db::blobs::BlobInfo;
use crate::db::operation::{Operation, Record};
use crate::db::sql::TenantTx;
use crate::db::uploads::{self, Upload};
use crate::db::usage::{self, Amount};
use crate::db::{kept, upload_edits};
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::content::{Edit, Extent, ExtentMap};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{ContentId, InstanceId, NodeId, UploadAddress, UploadId};
use crate::domain::node::AttributeUpdate;
use crate::domain::path::VfsPath;
use crate::vfs::addressed::{found, no_such_upload, target};
use crate::vfs::landing;
use crate::vfs::publish::Publish;
use crate::vfs::published::Report;
use crate::vfs::rename::Overwrite;
use crate::vfs::session::Session;
use crate::vfs::target::Over;

/// Most pieces that a file may be joined of.
const MOST_RUNS: usize = 100_000;

/// A file to join.
#[derive(Clone, Debug)]
pub struct Joining {
    /// The addresses of the parts, in order; one may come again.
    pub parts: Vec<UploadAddress>,
    /// What the client called them, kept as it is.
    pub said: String,
    /// Where it will be.
    pub path: VfsPath,
    /// What happens when the name is taken.
    pub overwrite: Overwrite,
    /// What the client says about it, kept as it is.
    pub metadata: String,
    /// Time of last modification that it gets.
    pub modified: Option<Timestamp>,
    /// What whoever sends it by a link calls themselves.
    pub sender: Option<String>,
}

impl Session {
    /// Publishes a file of parts that are complete, and says the address that tells of it. The parts
    /// are used up: their addresses lead nowhere afterwards, but that who joins the same in the same
    /// words once more, as when the answer was lost, is told the same address while it is kept.
    ///
    /// # Errors
    /// NotFound when a part is not there; Invalid when one is not a part, or not complete; as
    /// [`crate::vfs::write::FileWriter::commit`].
    pub async fn join_uploads(&self, joining: Joining) -> Result<UploadAddress> {
        let path = joining.path.clone();
        let joined = self.try_join(joining).await;
        self.noted(joined, "store", &path)
    }

    async fn try_join(&self, joining: Joining) -> Result<UploadAddress> {
        let mut tx = self.vfs.database().snapshot(self.principal.tenant).await?;
        let before = addressed::joined_of(&mut tx, self.owner(), &joining.said).await?;
        if let Some(before) = before.filter(|before| before.metadata == joining.metadata) {
            return Ok(before.id);
        }
        drop(tx);
        let destination = self.destination(&joining.path, joining.overwrite).await?;
        let mut tx = self.vfs.database().snapshot(self.principal.tenant).await?;
        let mut parts: BTreeMap<UploadAddress, Part> = BTreeMap::new();
        let mut runs = 0;
        for id in &joining.parts {
            if !parts.contains_key(id) {
                let part = Part::load(&mut tx, self, *id).await?;
                parts.insert(*id, part);
            }
            runs += parts.get(id).map_or(0, |part| part.map.runs().len());
            if runs > MOST_RUNS {
                return Err(Error::invalid(
                    "the parts are in too many pieces; send them in larger ones",
                ));
            }
        }
        drop(tx);
        let (mut edits, mut size) = (Vec::with_capacity(runs), 0_u64);
        for part in joining.parts.iter().filter_map(|id| parts.get(id)) {
            let start = size;
            size = size
                .checked_add(part.map.size())
                .filter(|size| i64::try_from(*size).is_ok())
                .ok_or_else(|| Error::invalid("the parts are longer than a file can be"))?;
            edits.extend(part.map.runs().map(|run| {
                Edit::Lay(Extent {
                    start: start + run.start,
                    ..*run
                })
            }));
        }
        let now = self.now();
        let join = Join {
            addressed: Addressed {
                id: UploadAddress::random(),
                account: self.principal.account,
                upload: UploadId::mint(now),
                purpose: Purpose::Joined(joining.said, None),
                length: Some(size),
                metadata: joining.metadata,
                done: true,
                touched_at: now,
                link: self.owner().link,
                sender: joining.sender,
                is_told: true,
            },
            size,
            publish: Publish {
                principal: self.principal.clone(),
                target: target(&destination),
                new_node: NodeId::mint(now),
                own_node: None,
                content: ContentId::mint(now),
                over: Over::Nothing,
                edits,
                gathered: Vec::new(),
                most_pieces: usize::MAX,
                stored: parts.values().flat_map(|part| part.blobs.clone()).collect(),
                made: None,
                sha256: None,
                hashed_over: None,
                given: AttributeUpdate::default(),
                update: AttributeUpdate {
                    modified: joining.modified,
                    ..AttributeUpdate::default()
                },
                written_at: None,
                upload: None,
                report: Report::default(),
            },
            parts: parts
                .into_iter()
                .map(|(id, part)| (id, part.upload))
                .collect(),
        };
        let id = join.addressed.id;
        self.run(join).await?;
        Ok(id)
    }
}

/// A part that is complete.
struct Part {
    upload: Upload,
    map: ExtentMap,
    blobs: Vec<BlobInfo>,
}

impl Part {
    async fn load(tx: &mut TenantTx, session: &Session, id: UploadAddress) -> Result<Self> {
        let addressed = addressed::find(tx, session.owner(), id).await?;
        let addressed = addressed.ok_or_else(no_such_upload)?;
        if addressed.purpose != Purpose::Part {
            return Err(Error::invalid(
                "only partial uploads can be joined; begin them with 'Upload-Concat: partial'",
            ));
        }
        let upload = found(tx, &addressed).await?;
        if addressed.length != Some(upload.size) || upload.instance != InstanceId::NIL {
            return Err(Error::invalid(
                "a part is not complete yet; send the rest of it first",
            ));
        }
        let mut map = ExtentMap::default();
        for edit in upload_edits::load(tx, upload.id).await? {
            map.apply(&edit);
        }
        let blobs = kept::blobs(tx, upload.id).await?;
        Ok(Self {
            upload,
            map,
            blobs: blobs.into_iter().map(|(info, _)| info).collect(),
        })
    }
}

struct Join {
    addressed: Addressed,
    size: u64,
    publish: Publish,
    parts: Vec<(UploadAddress, Upload)>,
}

#[async_trait]
impl Operation for Join {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        for (_, part) in &self.parts {
            let there = uploads::find(tx, part.id).await?;
            if there.is_none_or(|there| there.epoch != part.epoch) {
                return Err(Error::new(
                    ErrorKind::Stale,
                    "a part was used, written to or ended meanwhile; look at the parts and try again",
                ));
            }
            // The file takes its place.
            let back = uploads::take_reservation(tx, part.id, part.epoch).await?;
            usage::charge(tx, Some(part.account), Amount::default(), back.negated()).await?;
        }
        let landed = landing::land(tx, &self.publish, self.size, next).await?;
        let publish = landed.as_ref().unwrap_or(&self.publish);
        let record = publish.apply(tx, next).await?;
        for (id, part) in &self.parts {
            uploads::end(tx, part.id, part.epoch, next.at).await?;
            addressed::remove(tx, *id).await?;
        }
        let mut addressed = Addressed {
            touched_at: next.at,
            ..self.addressed.clone()
        };
        if let Purpose::Joined(_, name) = &mut addressed.purpose {
            *name = Some(publish.target.name.clone());
        }
        addressed::insert(tx, &addressed).await?;
        let sender = addressed.sender.as_deref();
        Ok(landing::told(record, &publish.principal, sender))
    }
}
