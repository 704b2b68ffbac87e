//! What authorities are answered that ask whether a host is ours (RFC 8555 section 8.3).

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::domain::error::Result;

/// Longest token; those of authorities are much shorter.
const LONGEST: usize = 256;

type Asking = BoxFuture<'static, Result<Option<String>>>;

/// Where the answers come from. Cheap to clone.
#[derive(Clone)]
pub struct Challenges(Arc<dyn Fn(String) -> Asking + Send + Sync>);

impl Challenges {
    /// Asks `answer`.
    pub fn new(answer: impl Fn(String) -> Asking + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }

    /// What is answered to a token; none when it is none of ours.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn answer(&self, token: &str) -> Result<Option<String>> {
        // Base64url, as the standard has it: all else is not worth a look.
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        match token.len() <= LONGEST && !token.is_empty() && token.bytes().all(fits) {
            true => (self.0)(token.to_owned()).await,
            false => Ok(None),
        }
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<challenges>")
    }
}
