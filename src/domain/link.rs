//! What links are for, and what they are held to.

use crate::domain::clock::Timestamp;
use crate::domain::rights::Rights;

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A file or folder can be read.
    Download,
    /// Files can be sent into a folder, which is not seen.
    Upload,
}

/// What a link is held to; none is to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkLimits {
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Most downloads, or most files that may be sent.
    pub uses: Option<u64>,
    /// Most bytes that may be sent in all.
    pub bytes: Option<u64>,
    /// Most bytes of one file that is sent.
    pub size: Option<u64>,
    /// Names that files may have which are sent, as shells have patterns; all, if there are none.
    pub patterns: Vec<String>,
}

impl LinkKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Upload => "upload",
        }
    }

    /// What its maker must be allowed to do where it leads, and all that is done by it.
    pub fn needed(self) -> Rights {
        match self {
            Self::Download => Rights::READ_ONLY,
            Self::Upload => Rights::WRITE,
        }
    }
}
