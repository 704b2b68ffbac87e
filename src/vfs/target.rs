//! Where what was written is to be published.

use crate::domain::id::NodeId;
use crate::domain::node::Version;
use crate::vfs::held::Held;

/// Where what was written is to be published.
#[derive(Clone, Debug)]
pub struct Target {
    /// The folder.
    pub parent: NodeId,
    /// The name in it.
    pub name: String,
    /// The file that was opened, or made by an earlier publish; it is followed when it is
    /// renamed meanwhile. When it is deleted meanwhile the name is used again, so that nothing
    /// acknowledged is lost.
    pub node: Option<NodeId>,
    /// Whether a file that is there under the name, and is not `node`, is an error.
    pub exclusive: bool,
    /// The version that this must replace, if it may not replace what it finds.
    pub only: Option<Version>,
    /// The locks that the client holds, if it goes by locks at all.
    pub held: Option<Held>,
    /// The number of the latest change that was seen when it was opened, or published last.
    pub since: i64,
}

impl Target {
    /// The folder, the name and the file.
    pub(in crate::vfs) fn place(&self) -> (NodeId, &str, Option<NodeId>) {
        (self.parent, &self.name, self.node)
    }
}

/// What the edits are laid over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The version of the file that is current then.
    Current,
    /// Nothing: they are all that the file will hold.
    Nothing,
    /// Nothing if the name is still free then, else the version that is there: two who append to a
    /// file that neither of them found lose nothing.
    Vacant,
}
