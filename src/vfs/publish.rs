//! Publishing what was written: the change that makes it a version of a file.

use async_trait::async_trait;

use crate::db::audit::Happening;
use crate::db::blobs::BlobInfo;
use crate::db::known::{Known, Question};
use crate::db::operation::{Operation, Record};
use crate::db::plan::{NewContent, Plan};
use crate::db::sql::TenantTx;
use crate::db::superseded::supersede;
use crate::db::together::{Outcome, Planned};
use crate::db::usage::{self, Amount};
use crate::db::{contents, entries, uploads};
use crate::domain::audit_kind::AuditKind;
use crate::domain::change::Committed;
use crate::domain::clock::Timestamp;
use crate::domain::content::{Edit, ExtentMap};
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::id::{AccountId, ContentId, NodeId, UploadId};
use crate::domain::news::{Listening, News};
use crate::domain::node::{AttributeUpdate, Attributes, Entry, NodeKind};
use crate::domain::principal::Principal;
use crate::domain::rights::Rights;
use crate::vfs::access::{Access, below, is_a_folder, path_of};
use crate::vfs::attributes;
use crate::vfs::condition;
use crate::vfs::gather::{self, Gathered};
use crate::vfs::held::to_replace;
use crate::vfs::leftover::Made;
use crate::vfs::news::{self, By, Stored};
use crate::vfs::published::{Published, Report};
use crate::vfs::target::{Over, Target};

/// Makes what was written the current version of a file.
#[derive(Clone)]
pub struct Publish {
    /// Who.
    pub principal: Principal,
    /// Where.
    pub target: Target,
    /// The node that a new file will be.
    pub new_node: NodeId,
    /// The file that an earlier publish made.
    pub own_node: Option<NodeId>,
    /// The id of the new content.
    pub content: ContentId,
    /// What the edits are laid over.
    pub over: Over,
    /// What was written.
    pub edits: Vec<Edit>,
    /// What stands for much of that in few pieces.
    pub gathered: Vec<Gathered>,
    /// In how many pieces it may be, with what others wrote.
    pub most_pieces: usize,
    /// Blobs that were stored for it.
    pub stored: Vec<BlobInfo>,
    /// What is given up when the version does not name it.
    pub made: Option<Made>,
    /// SHA-256 of the whole, if the edits start from nothing or from `hashed_over`.
    pub sha256: Option<[u8; 32]>,
    /// The content over which `sha256` was computed on.
    pub hashed_over: Option<ContentId>,
    /// Mode and times of a file that this makes.
    pub given: AttributeUpdate,
    /// Mode and times to set.
    pub update: AttributeUpdate,
    /// When something was last written, if that counts as the time of the file: its handle has told it.
    pub written_at: Option<Timestamp>,
    /// The upload that this ends, with its epoch.
    pub upload: Option<(UploadId, i64)>,
    /// What came of it; set when the operation is committed.
    pub report: Report,
}

impl Publish {
    /// Of a file of which nothing is written yet.
    pub fn new(
        principal: &Principal,
        target: Target,
        over: Over,
        given: AttributeUpdate,
        now: Timestamp,
    ) -> Self {
        Self {
            principal: principal.clone(),
            target,
            new_node: NodeId::mint(now),
            own_node: None,
            content: ContentId::mint(now),
            over,
            edits: Vec::new(),
            gathered: Vec::new(),
            most_pieces: usize::MAX,
            stored: Vec::new(),
            made: None,
            sha256: None,
            hashed_over: None,
            given,
            update: AttributeUpdate::default(),
            written_at: None,
            upload: None,
            report: Report::default(),
        }
    }
}

#[async_trait]
impl Operation for Publish {
    fn grows(&self) -> bool {
        true
    }

    async fn apply(&self, tx: &mut TenantTx, next: Committed) -> Result<Record> {
        let mut known = Known::about(tx, self.asks()).await?;
        let needed = match known.current(&self.asks()) {
            Some(entry) => to_replace(tx, self.target.held.as_ref(), entry).await?,
            None => Rights::WRITE,
        };
        let mut place = self.place(&known, needed)?;
        if let Some(held) = &self.target.held {
            let mut chain = known.ancestors(place.folder);
            chain.reverse();
            chain.extend(place.current.clone());
            held.check(tx, &chain).await?;
            if let Some(entry) = &place.current {
                place.is_blank = news::is_untold(tx, entry).await?;
            }
        }
        if let Some(entry) = &place.current
            && self.edits.is_empty()
            && self.over != Over::Nothing
        {
            self.require_to_touch(&known, entry)?;
            return self.touch(tx, entry, place.path, next).await;
        }
        if self.is_plain() && self.starts_from_nothing(place.current.as_ref()) {
            let plan = self.plan_at(place, &mut known, next)?;
            plan.write(tx).await?;
            self.overtake(tx, &plan.entry, next.at).await?;
            return Ok(Record::Change(plan.happening));
        }
        let (replaced, path) = (place.replaces(), place.path.clone());
        let (entry, sha256) = self.write(tx, place, next).await?;
        let news = self.news(tx.listening(), &path, &entry, replaced, sha256);
        Ok(Record::Change(stored(&path, &entry).telling(news)))
    }

    fn planned(&self) -> Option<&dyn Planned> {
        let planned: &dyn Planned = self;
        // Locks are looked at where it is applied.
        let is_plain = self.is_plain() && self.over == Over::Nothing && self.target.held.is_none();
        is_plain.then_some(planned)
    }
}

impl Planned for Publish {
    fn question(&self) -> Option<Question<'_>> {
        Some(self.asks())
    }

    fn plan(&self, known: &mut Known, next: Committed) -> Result<Outcome> {
        let place = self.place(known, Rights::OVERWRITE)?;
        let plan = self.plan_at(place, known, next)?;
        Ok(Outcome::Version(Box::new(plan)))
    }
}

/// Where a version goes, and what is there.
struct Place {
    current: Option<Entry>,
    folder: NodeId,
    path: String,
    /// Whether what is there was made for a lock only, so that nobody was told of it.
    is_blank: bool,
}

impl Place {
    /// Whether something is there that others were told of.
    fn replaces(&self) -> bool {
        self.current.is_some() && !self.is_blank
    }
}

impl Publish {
    fn asks(&self) -> Question<'_> {
        Question {
            parent: self.target.parent,
            name: &self.target.name,
            node: self.target.node,
            account: self.principal.account,
        }
    }

    /// Whether what it makes needs nothing of what was there: a whole file, in blobs of its own, that
    /// was not written down before; and leaves none of these over.
    fn is_plain(&self) -> bool {
        let is_own = |edit: &Edit| {
            let blob = edit.run().and_then(|run| run.blob);
            blob.is_none_or(|blob| self.stored.iter().any(|info| info.id == blob))
        };
        let leaves_some = self.made.as_ref().is_some_and(|made| made.has_unshown);
        self.over != Over::Current
            && self.upload.is_none()
            && self.gathered.is_empty()
            && !leaves_some
            && self.edits.iter().all(is_own)
    }

    fn starts_from_nothing(&self, current: Option<&Entry>) -> bool {
        match self.over {
            Over::Current => false,
            Over::Nothing => true,
            Over::Vacant => current.is_none(),
        }
    }

    /// Finds the live file that is to get a new version, and checks the folder and the rights: what is there
    /// takes those that are `needed`.
    fn place(&self, known: &Known, needed: Rights) -> Result<Place> {
        let current = known.current(&self.asks()).cloned();
        if let Some(only) = self.target.only {
            condition::holds(&[only], current.as_ref())?;
        }
        if self.target.exclusive && self.target.node.is_none() && current.is_some() {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("'{}' was made by another meanwhile", self.target.name),
            ));
        }
        let folder = current.as_ref().map_or(self.target.parent, |e| e.parent);
        let mut chain = known.ancestors(folder);
        if chain.last().is_none_or(|top| top.parent != NodeId::NIL) {
            return Err(Error::not_found(
                "the folder was deleted while the file was written; make it again and send the file again",
            ));
        }
        chain.reverse();
        let grants = known.grants(self.principal.account);
        let access = Access::of(grants, &self.principal);
        let (end, needed) = match &current {
            Some(entry) => (below(&chain, entry), needed),
            None => (chain.clone(), Rights::WRITE),
        };
        if access.rights(&end).is_empty() {
            // Where it was moved to must not be told.
            return Err(Error::new(
                ErrorKind::Denied,
                format!(
                    "permission denied: '{}' would now be where you have no rights, since a folder was moved or a \
                     right withdrawn meanwhile",
                    self.target.name
                ),
            ));
        }
        access.require(&end, needed)?;
        let name = current.as_ref().map_or(&self.target.name, |e| &e.name);
        let folder_path = path_of(&chain);
        let path = format!("{}/{name}", folder_path.trim_end_matches('/'));
        match &current {
            Some(entry) if entry.kind == NodeKind::Folder => Err(is_a_folder(&path)),
            _ => Ok(Place {
                current,
                folder,
                path,
                is_blank: false,
            }),
        }
    }

    /// The version that it makes of a whole file.
    fn plan_at(&self, place: Place, known: &mut Known, next: Committed) -> Result<Plan> {
        let mut map = ExtentMap::default();
        self.edits.iter().for_each(|edit| map.apply(edit));
        let (account, old) = (self.principal.account, place.current.as_ref());
        let charges = charges(account, old, map.size());
        for (number, (owner, amount)) in charges.iter().enumerate() {
            if let Err(error) = known.charge(*owner, *amount) {
                for (owner, amount) in charges.iter().take(number) {
                    known.count(*owner, amount.negated());
                }
                known.take_crossed();
                return Err(error);
            }
        }
        let entry = self.version(place.current.as_ref(), place.folder, map.size(), next);
        self.report.write(Published {
            node: entry.node,
            path: place.path.clone(),
            is_new: place.current.is_none(),
            as_written: true,
            spared: Vec::new(),
        });
        // What grows is its own.
        let name = Some(self.principal.login.user.as_str());
        let crossed = known.take_crossed();
        let replaced = place.replaces();
        let news = self.news(
            known.listening(),
            &place.path,
            &entry,
            replaced,
            self.sha256,
        );
        let crossed = crossed.iter().map(|crossing| crossing.news(name));
        Ok(Plan {
            happening: stored(&place.path, &entry).telling(news.into_iter().chain(crossed)),
            replaces: place.current.is_some(),
            content: entry.content.map(|id| NewContent {
                id,
                map,
                sha256: self.sha256,
            }),
            entry,
            stored: self.stored.clone(),
            charges,
            at: next.at,
        })
    }

    /// The content that the edits are laid over: the file's own, even when it was deleted or
    /// replaced meanwhile. Edits over zeros, or over another file, would make a file that nobody wrote.
    async fn base(&self, tx: &mut TenantTx, current: Option<&Entry>) -> Result<Option<ContentId>> {
        if self.over == Over::Vacant {
            return Ok(current.and_then(|entry| entry.content));
        }
        let Some(node) = self.target.node.filter(|_| self.over == Over::Current) else {
            return Ok(None);
        };
        if let Some(entry) = current.filter(|entry| entry.node == node) {
            return Ok(entry.content);
        }
        let last = entries::last_past(tx, node).await?.ok_or_else(|| {
            Error::not_found("the file was deleted while it was changed; send it again as a whole")
        })?;
        Ok(last.content)
    }

    /// Mode and times belong to what one writes oneself; those of what was there need their own right.
    fn require_to_touch(&self, known: &Known, entry: &Entry) -> Result<()> {
        let is_own_file = self.own_node == Some(entry.node);
        let is_own_content = entry.content.is_some() && entry.content == self.hashed_over;
        if self.update.is_empty() || is_own_file || is_own_content {
            return Ok(());
        }
        let mut chain = known.ancestors(entry.parent);
        chain.reverse();
        let grants = known.grants(self.principal.account);
        let access = Access::of(grants, &self.principal);
        access.require(&below(&chain, entry), Rights::SET_ATTRIBUTES)
    }

    /// Nothing was written to a file that is there: at most its attributes change.
    async fn touch(
        &self,
        tx: &mut TenantTx,
        entry: &Entry,
        path: String,
        next: Committed,
    ) -> Result<Record> {
        if !attributes::set(tx, entry, self.update, next).await? {
            return Ok(Record::Nothing);
        }
        Ok(Record::Change(Happening::new(
            AuditKind::SetAttributes,
            path,
        )))
    }

    async fn write(
        &self,
        tx: &mut TenantTx,
        place: Place,
        next: Committed,
    ) -> Result<(Entry, Option<[u8; 32]>)> {
        let Place {
            current,
            folder: parent,
            path,
            ..
        } = place;
        let is_new = current.is_none();
        let before = self.base(tx, current.as_ref()).await?;
        let mut map = match before {
            Some(content) => contents::load(tx, content).await?.map,
            None => ExtentMap::default(),
        };
        for edit in &self.edits {
            map.apply(edit);
        }
        for gathered in &self.gathered {
            gathered.lay_over(&mut map);
        }
        gather::require_readable(map.runs().len(), self.most_pieces)?;
        let from_nothing = self.starts_from_nothing(current.as_ref());
        let hash_holds = from_nothing || before == self.hashed_over;
        let sha256 = self.sha256.filter(|_| hash_holds);
        let account = self.principal.account;
        charge(tx, account, current.as_ref(), map.size(), self.upload).await?;
        let entry = self.version(current.as_ref(), parent, map.size(), next);
        if let Some(id) = entry.content {
            contents::insert(tx, id, &map, &self.stored, sha256, next.at).await?;
        }
        match current {
            Some(old) => {
                entries::bury(tx, old.node, next.seq).await?;
                entries::replace(tx, &entry).await?;
            }
            None => entries::insert(tx, &entry).await?,
        }
        if let Some((upload, epoch)) = self.upload {
            // After the new content has linked the blobs, so that none is condemned in between.
            uploads::end(tx, upload, epoch, next.at).await?;
        }
        self.overtake(tx, &entry, next.at).await?;
        let spared = match &self.made {
            Some(made) => made.give_up(tx, &map, next.at).await?,
            None => Vec::new(),
        };
        self.report.write(Published {
            node: entry.node,
            path,
            is_new,
            as_written: hash_holds,
            spared,
        });
        Ok((entry, sha256))
    }

    /// What else the account is sending there began before this, or broke off. Who comes by a link has
    /// nothing to do with that.
    async fn overtake(&self, tx: &mut TenantTx, entry: &Entry, at: Timestamp) -> Result<()> {
        if self.principal.link.is_some() {
            return Ok(());
        }
        let place = (entry.parent, entry.name.as_str());
        supersede(tx, self.principal.account, place, Some(entry.node), at).await
    }

    fn news(
        &self,
        listening: Option<&Listening>,
        path: &str,
        entry: &Entry,
        replaced: bool,
        sha256: Option<[u8; 32]>,
    ) -> Option<News> {
        let by = Stored {
            by: By::Upload,
            path,
            from: None,
            entry,
            replaced,
            sha256,
        };
        news::stored(listening, &self.principal, by)
    }

    /// The version of `size` bytes that replaces `current`, or is the first.
    fn version(
        &self,
        current: Option<&Entry>,
        parent: NodeId,
        size: u64,
        next: Committed,
    ) -> Entry {
        let modified = self.written_at.map_or(next.at, |at| at.min(next.at));
        let attributes = match current {
            Some(entry) => Attributes {
                modified,
                ..entry.attributes
            },
            None => Attributes::file(modified).with(self.given),
        };
        Entry {
            node: current.map_or(self.new_node, |entry| entry.node),
            parent,
            name: current.map_or_else(|| self.target.name.clone(), |entry| entry.name.clone()),
            kind: NodeKind::File,
            content: (size > 0).then_some(self.content),
            size,
            owner: Some(self.principal.account),
            attributes: attributes.with(self.update),
            born: next.seq,
            died: None,
        }
    }
}

fn stored(path: &str, entry: &Entry) -> Happening {
    Happening::new(AuditKind::Store, format!("{path} {} bytes", entry.size))
}

/// What a file of `size` bytes of `account` adds to use, by account, when it replaces `old`.
fn charges(account: AccountId, old: Option<&Entry>, size: u64) -> Vec<(Option<AccountId>, Amount)> {
    let owner = Some(account);
    let mut used = Amount::one(size);
    match old {
        Some(old) if old.owner == owner => {
            let back = Amount::one(old.size);
            used.bytes -= back.bytes;
            used.files -= back.files;
            vec![(owner, used)]
        }
        Some(old) => vec![(old.owner, Amount::one(old.size).negated()), (owner, used)],
        None => vec![(owner, used)],
    }
}

/// Charges a file of `size` bytes that replaces `old` against the quota, with what the old version
/// and an upload's reservation give back.
///
/// # Errors
/// Quota when there is no room; Stale when the upload goes on elsewhere.
pub(in crate::vfs) async fn charge(
    tx: &mut TenantTx,
    account: AccountId,
    old: Option<&Entry>,
    size: u64,
    upload: Option<(UploadId, i64)>,
) -> Result<()> {
    let mut promised = match upload {
        Some((id, epoch)) => uploads::take_reservation(tx, id, epoch).await?,
        None => Amount::default(),
    };
    for (owner, used) in charges(account, old, size) {
        let back = match owner == Some(account) {
            true => std::mem::take(&mut promised),
            false => Amount::default(),
        };
        usage::charge(tx, owner, used, back.negated()).await?;
    }
    Ok(())
}
