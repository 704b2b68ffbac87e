//! What a transfer opens: a file, what a file will hold, or a list of names.

use crate::domain::node::{AttributeUpdate, Entry, NodeKind};
use crate::domain::path::VfsPath;
use crate::domain::rights::Rights;
use crate::ftp::files::Files;
use crate::ftp::listing::{ListRequest, Style, Viewer};
use crate::ftp::reply::Reply;
use crate::ftp::unique;
use crate::ftp::work::{How, What};
use crate::vfs::listing::Listing;
use crate::vfs::options::{Create, WriteOptions};
use crate::vfs::published::Published;
use crate::vfs::read::FileReader;
use crate::vfs::resume;
use crate::vfs::write::FileWriter;

/// What is open.
pub enum Opened {
    /// A folder, or a file that was asked for itself.
    List(Box<List>),
    /// A file, and from where.
    Read(FileReader, u64),
    /// What a file will hold.
    Write(Box<FileWriter>, Name),
}

/// The name of what is stored.
pub struct Name {
    /// In full.
    path: String,
    /// As the client is told, if it did not choose it.
    promised: Option<String>,
}

impl Name {
    /// What is said when it is stored: also where, if it was renamed while it came.
    pub fn stored(self, published: Option<Published>) -> String {
        let now = published.map(|published| published.path);
        match (now.filter(|now| *now != self.path), self.promised) {
            (Some(now), _) => format!("stored as '{now}', which it was renamed to meanwhile"),
            (None, Some(name)) => format!("stored; FILE: {name}"),
            (None, None) => "stored".to_owned(),
        }
    }
}

impl Opened {
    /// What is said before bytes flow.
    pub fn invitation(&self) -> String {
        match self {
            Self::List(_) => "here come the names".to_owned(),
            Self::Read(..) => "here comes the file".to_owned(),
            // RFC 1123 section 4.1.2.9: in these words.
            Self::Write(_, name) => match &name.promised {
                Some(name) => format!("FILE: {name}"),
                None => "send the file".to_owned(),
            },
        }
    }

    /// Opens what is transferred.
    ///
    /// # Errors
    /// The refusal, as the client is told it.
    pub async fn of(files: &Files, what: &What) -> Result<Self, Reply> {
        match what {
            What::List(request) => {
                let list = List::open(files, request.clone()).await?;
                Ok(Self::List(Box::new(list)))
            }
            What::Retrieve { path, from } => {
                let file = files.session.open_read(path).await?;
                let size = file.entry().size;
                files.told.check(path, size)?;
                if *from > size {
                    let sentence = format!("the file has {size} bytes, so that none is at {from}");
                    return Err(Reply::new(554, sentence));
                }
                Ok(Self::Read(file, *from))
            }
            What::Store { path, how } => open_write(files, path, *how).await,
        }
    }
}

/// What is listed.
pub struct List {
    /// What was asked for.
    pub request: ListRequest,
    /// For whom.
    pub viewer: Viewer,
    /// A file that was asked for itself.
    pub file: Option<Entry>,
    /// The names in a folder.
    pub names: Option<Listing>,
}

impl List {
    async fn open(files: &Files, request: ListRequest) -> Result<Self, Reply> {
        let session = &files.session;
        let request = request.settled(session).await;
        let is_for_programs = matches!(request.style, Style::Facts(_));
        let entry = session.stat(&request.path).await?;
        if entry.kind == NodeKind::File {
            if is_for_programs || request.pattern.is_some() {
                let sentence = format!("'{}' is a file; MLST tells of it", request.path);
                return Err(Reply::new(501, sentence));
            }
            return Ok(Self {
                viewer: files.viewer(Rights::NONE),
                request,
                file: Some(entry),
                names: None,
            });
        }
        let rights = match is_for_programs {
            true => session.rights(&request.path).await?,
            false => Rights::NONE,
        };
        Ok(Self {
            viewer: files.viewer(rights),
            names: Some(session.list(&request.path).await?),
            request,
            file: None,
        })
    }
}

async fn open_write(files: &Files, path: &VfsPath, how: How) -> Result<Opened, Reply> {
    let session = &files.session;
    let options = |create, truncate, append| WriteOptions {
        create,
        truncate,
        append,
        resumable: true,
        attributes: AttributeUpdate::default(),
    };
    if matches!(how, How::Append | How::From(_)) && session.is_being_sent(path).await? {
        return Err(Reply::error(&resume::held_elsewhere()));
    }
    // The session itself is about to change the file.
    let told = files.told.take(path);
    let mut name = Name {
        path: path.to_string(),
        promised: None,
    };
    let mut writer = match how {
        How::Append => {
            session
                .open_write(path, options(Create::IfMissing, false, true))
                .await?
        }
        How::From(_) => {
            session
                .open_write(path, options(Create::IfMissing, false, false))
                .await?
        }
        How::Replace => {
            session
                .open_write(path, options(Create::IfMissing, true, false))
                .await?
        }
        How::Unique(told) => {
            let path = unique::near(path)?;
            name.path = path.to_string();
            name.promised = Some(unique::told(&path, told));
            session
                .open_write(&path, options(Create::New, true, false))
                .await?
        }
    };
    writer.announce();
    if let (Some(told), How::Append | How::From(_)) = (told, how)
        && told != writer.entry().size
    {
        let size = writer.entry().size;
        writer.keep().await;
        let sentence = format!(
            "SIZE told {told} bytes, and {size} are here now: send SIZE again and go on from there"
        );
        return Err(Reply::new(450, sentence));
    }
    // What somebody else made of it meanwhile is not what the client goes on from.
    if matches!(how, How::From(_)) || told.is_some() {
        writer.pin();
    }
    if let How::From(from) = how {
        let size = writer.entry().size;
        if from > size {
            writer.keep().await;
            let sentence = format!("{size} bytes are here, so that nothing can go on at {from}");
            return Err(Reply::new(554, sentence));
        }
    }
    Ok(Opened::Write(Box::new(writer), name))
}
