//! Where uploads are handed in: by an account, or by somebody who came by a link.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::domain::error::{Error, Result as Outcome};
use crate::domain::id::UploadAddress;
use crate::domain::path::{Name, VfsPath};
use crate::http::files::place::percent;
use crate::http::reply::Problem;
use crate::http::uploads::metadata::Metadata;
use crate::http::web::{API, Web};
use crate::vfs::session::Session;

/// The name that a file got which came by a link, with all but unreserved characters encoded.
pub const GIVEN_NAME: HeaderName = HeaderName::from_static("x-sealift-name");

/// Longest name of a sender, in bytes.
const SENDER_BYTES: usize = 200;

/// Who hands in, and where.
pub struct Desk<'a> {
    /// The parts of the server.
    pub web: &'a Web,
    /// Who.
    pub session: &'a Session,
    /// What stands before the ids in the addresses of uploads.
    pub base: String,
    /// Most bytes of one file, where a link says so.
    pub most: Option<u64>,
}

impl<'a> Desk<'a> {
    /// An account's own.
    pub fn own(web: &'a Web, session: &'a Session) -> Self {
        Self {
            web,
            session,
            base: format!("{API}/uploads/"),
            most: None,
        }
    }

    /// Where a file is to be: by a link, by its bare name in the folder that the link leads to.
    ///
    /// # Errors
    /// 400 when nothing names it, or by a name that it may not have.
    pub fn place(&self, metadata: &Metadata) -> Result<VfsPath, Problem> {
        let principal = self.session.principal();
        let home = &principal.home;
        Ok(match principal.link {
            None => metadata.place(home)?,
            Some(_) => home.clone().join(plain_name(metadata.bare_name()?)?)?,
        })
    }

    /// Who sends it by a link, as they call themselves.
    pub fn sender(&self, metadata: &Metadata) -> Option<String> {
        let by_link = self.session.principal().link.is_some();
        metadata
            .sender()
            .filter(|_| by_link)
            .and_then(|said| called(&said))
    }

    /// Fails when a file is longer than may come here.
    ///
    /// # Errors
    /// 413.
    pub fn check_length(&self, length: Option<u64>) -> Result<(), Problem> {
        match (length, self.most) {
            (Some(length), Some(most)) if length > most => Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-long",
                format!("this link takes only files of at most {most} bytes"),
            )),
            _ => Ok(()),
        }
    }

    /// Where an upload is asked for.
    pub fn location(&self, id: UploadAddress) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Ok(at) = HeaderValue::try_from(format!("{}{id}", self.base)) {
            headers.insert(header::LOCATION, at);
        }
        headers
    }

    /// The name that something got which came by a link, once it is published.
    ///
    /// # Errors
    /// As looking an upload up.
    pub async fn name_of(&self, id: UploadAddress) -> Result<HeaderMap, Problem> {
        let mut headers = HeaderMap::new();
        if self.session.principal().link.is_some() {
            let standing = self.session.upload_standing(id).await?;
            let name = standing.name.filter(|_| standing.done);
            headers.extend(name.map(|name| (GIVEN_NAME, told(&name))));
        }
        Ok(headers)
    }
}

/// A name as the header has it.
pub fn told(name: &str) -> HeaderValue {
    // Of ASCII letters, digits and percent signs.
    HeaderValue::try_from(percent(name)).unwrap_or(HeaderValue::from_static(""))
}

/// A name of a file that came by a link. What means a folder, or nothing that can be read, to some system
/// is refused beside what no name may have here.
///
/// # Errors
/// Invalid, with the rule that is broken.
pub fn plain_name(bytes: &[u8]) -> Outcome<Name> {
    let name = Name::parse(bytes)?;
    match name.as_str().chars().any(|c| c == '\\' || c.is_control()) {
        true => Err(Error::invalid(
            "a file that is sent by a link is called by a plain name, without '\\' and control \
             characters",
        )),
        false => Ok(name),
    }
}

/// What somebody calls themselves, as far as it is kept; none when they do not.
pub fn called(said: &str) -> Option<String> {
    let mut sender = said.replace('\0', "");
    sender.truncate(sender.floor_char_boundary(SENDER_BYTES));
    (!sender.is_empty()).then_some(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for name in [
            "", ".", "..", "a/b", "../a", "..\\a", "a\nb", "a\0", "C:\\x", "\u{7f}",
        ] {
            assert!(plain_name(name.as_bytes()).is_err(), "{name:?}");
        }
        for name in ["a", ".a", "a b", "\u{e4}.txt", "a:b"] {
            assert!(plain_name(name.as_bytes()).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn a_long_sender_is_cut_between_characters() {
        let kept = called(&"\u{20ac}".repeat(100));
        assert_eq!(kept.map(|kept| kept.len()), Some(198));
        assert_eq!(called("\0"), None);
        assert_eq!(called("Ann\0"), Some("Ann".to_owned()));
    }
}
