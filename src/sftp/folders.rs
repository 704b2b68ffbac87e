//! One folder being listed: a queue and a task that owns the listing, so that pipelined requests get
//! each name once, in order.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::task::TaskTracker;

use crate::domain::error::Result;
use crate::domain::node::Entry;
use crate::sftp::context::{Caller, Context};
use crate::sftp::reply::{self, Names};
use crate::sftp::room::Place;
use crate::vfs::listing::Listing;

/// A reply's names are at most so long together with what surrounds them.
const REPLY_BYTES: usize = 40_000;

/// The queue of one folder being listed. Cheap to clone.
#[derive(Clone)]
pub struct FolderLane(UnboundedSender<Caller>);

impl FolderLane {
    /// Gives `listing` of `folder` to a task of `tasks`; `own` is how the files in it that this session
    /// writes show themselves to it.
    pub fn start(
        context: Context,
        folder: Entry,
        listing: Listing,
        own: BTreeMap<String, Entry>,
        tasks: &TaskTracker,
    ) -> Self {
        let (requests, queue) = unbounded_channel();
        let lane = Lane {
            context,
            dots: VecDeque::from([(".", folder.clone()), ("..", folder)]),
            listing,
            own,
            page: VecDeque::new(),
            last: String::new(),
            held: None,
            is_over: false,
        };
        tasks.spawn(lane.run(queue));
        Self(requests)
    }

    /// Asks for the next names.
    pub fn push(&self, caller: Caller) {
        // The task ends only when no lane leads to it.
        let _ = self.0.send(caller);
    }
}

struct Lane {
    context: Context,
    /// The names that every folder has. The one above is shown with this one's attributes.
    dots: VecDeque<(&'static str, Entry)>,
    listing: Listing,
    /// Those that no page had yet.
    own: BTreeMap<String, Entry>,
    page: VecDeque<Entry>,
    /// The last name that was taken from a page.
    last: String,
    /// For what is left of the page until the next names are asked for.
    held: Option<Place>,
    is_over: bool,
}

impl Lane {
    async fn run(mut self, mut queue: UnboundedReceiver<Caller>) {
        while let Some(caller) = queue.recv().await {
            if self.context.broken.is_cancelled() {
                return;
            }
            let place = self.context.room.take(REPLY_BYTES).await;
            let next = self.next(caller.id).await;
            self.hold();
            match next {
                Ok(Some(bytes)) => {
                    self.context
                        .replies
                        .send_placed(caller.ticket, place, bytes);
                }
                Ok(None) => {
                    let bytes = reply::end(caller.id);
                    self.context.reply(caller, bytes);
                }
                Err(error) => self.context.reply_error(caller, &error),
            }
        }
    }

    async fn next(&mut self, id: u32) -> Result<Option<Bytes>> {
        let now = self.context.now();
        let mut names = Names::new();
        while let Some((name, entry)) = self.dots.pop_front() {
            names.push(&self.context.viewer, name, &entry, now);
        }
        while !names.is_full() {
            let Some(entry) = self.page.pop_front() else {
                if self.is_over || !self.turn(&names).await? {
                    break;
                }
                continue;
            };
            let entry = self.own.remove(&entry.name).unwrap_or(entry);
            names.push(&self.context.viewer, &entry.name, &entry, now);
            self.last = entry.name;
        }
        while self.is_over && !names.is_full() {
            let Some((name, entry)) = self.own.pop_first() else {
                break;
            };
            names.push(&self.context.viewer, &name, &entry, now);
        }
        Ok((!names.is_empty()).then(|| names.finish(id)))
    }

    /// Counts what is left of the page, which is there for as long as the client likes; without room it is fetched
    /// again.
    fn hold(&mut self) {
        self.held = None;
        if self.page.is_empty() {
            return;
        }
        let names: usize = self.page.iter().map(|entry| entry.name.len()).sum();
        let bytes = names + self.page.capacity() * size_of::<Entry>();
        let place = self.context.ahead.try_take(bytes);
        self.held = place.filter(|place| place.bytes() >= bytes);
        if self.held.is_none() {
            self.page = VecDeque::new();
            self.listing.go_on_after(&self.last);
        }
    }

    /// Gets the next page; false when there is none. What is gathered already is not lost to an
    /// error: it comes first, and the next request meets the error again.
    async fn turn(&mut self, gathered: &Names) -> Result<bool> {
        match self.listing.next_page().await {
            Ok(page) => {
                self.is_over = page.is_empty();
                self.page = page.into();
                Ok(!self.is_over)
            }
            Err(_) if !gathered.is_empty() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
