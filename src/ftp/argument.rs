//! What stands behind a verb.

use crate::domain::path::VfsPath;
use crate::ftp::reply::Reply;
use crate::ftp::state::State;

/// What stands behind a verb.
#[derive(Clone, Copy, Debug)]
pub struct Argument<'a>(pub &'a [u8]);

impl<'a> Argument<'a> {
    /// As it came.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether there is nothing.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// As text.
    ///
    /// # Errors
    /// 501 when it is not of the session's character set, or has NUL or CR in it.
    pub fn text(self, state: &State) -> Result<String, Reply> {
        let charset = state.options.charset;
        if self.0.iter().any(|byte| matches!(byte, 0 | b'\r')) {
            return Err(Reply::new(501, "NUL and CR cannot be in a name"));
        }
        charset.decode(self.0).ok_or_else(|| {
            let sentence = format!(
                "this is not {}; set your client to it, or ask your administrator",
                charset.name()
            );
            Reply::new(501, sentence)
        })
    }

    /// The words in it, parted by spaces.
    ///
    /// # Errors
    /// As [`Argument::text`].
    pub fn words(self, state: &State) -> Result<Vec<String>, Reply> {
        let text = self.text(state)?;
        Ok(text.split_ascii_whitespace().map(str::to_owned).collect())
    }

    /// As a path.
    ///
    /// # Errors
    /// 501 when there is none; 553 when it breaks a rule on names.
    pub fn path(self, state: &State) -> Result<VfsPath, Reply> {
        path(&self.text(state)?, state)
    }

    /// As a path, or the folder that the session is in.
    ///
    /// # Errors
    /// As [`Argument::path`].
    pub fn path_or_here(self, state: &State) -> Result<VfsPath, Reply> {
        match self.is_empty() {
            true => Ok(state.folder.clone()),
            false => self.path(state),
        }
    }
}

/// A path from where the session is.
///
/// # Errors
/// As [`Argument::path`].
pub fn path(text: &str, state: &State) -> Result<VfsPath, Reply> {
    match text.is_empty() {
        true => Err(Reply::new(501, "a path is missing")),
        false => {
            VfsPath::resolve(&state.folder, text.as_bytes()).map_err(|error| Reply::error(&error))
        }
    }
}
