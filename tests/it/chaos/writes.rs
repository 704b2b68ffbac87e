//! What was asked for at a path, and what of it can be read.

use std::sync::Arc;

/// What a path holds; none is that there is no file.
pub(crate) type Content = Option<Arc<Vec<u8>>>;

/// Moments, in order.
pub(crate) type Moment = u64;

/// Something that a path was to hold from some moment on.
pub(crate) struct Write {
    /// What it is known by to who asked for it.
    pub(crate) number: Moment,
    /// Which life of an instance was asked.
    pub(crate) life: u64,
    pub(crate) content: Content,
    pub(crate) begun: Moment,
    /// None as long as it may be done yet.
    pub(crate) over: Option<Moment>,
    /// When it was refused.
    pub(crate) refused: Option<Moment>,
    pub(crate) is_certain: bool,
}

/// Before anything is asked for, there is no file.
pub(crate) fn nothing() -> Vec<Write> {
    vec![Write {
        number: 0,
        life: 0,
        content: None,
        begun: 0,
        over: Some(0),
        refused: None,
        is_certain: true,
    }]
}

/// What who begins to look at a moment can read.
pub(crate) fn possible(writes: &[Write], begun: Moment) -> impl Iterator<Item = &Write> {
    let last = last_certain(writes, begun);
    let is_current = move |write: &&Write| write.over.is_none_or(|over| over >= last);
    writes.iter().filter(is_current)
}

/// When the last of those began that were certainly done before a moment.
pub(crate) fn last_certain(writes: &[Write], before: Moment) -> Moment {
    let done = writes
        .iter()
        .filter(|write| write.is_certain && write.over.is_some_and(|over| over < before));
    done.map(|write| write.begun).max().unwrap_or(0)
}
