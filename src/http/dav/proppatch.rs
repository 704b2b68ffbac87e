//! PROPPATCH: properties that clients keep with files and folders, and the times that they set so
//! (RFC 4918 section 9.2).

use axum::body::Body;
use axum::response::Response;
use jiff::fmt::rfc2822::DateTimeParser;

use crate::domain::clock::Timestamp;
use crate::domain::error::ErrorKind;
use crate::domain::node::AttributeUpdate;
use crate::domain::node::NodeKind;
use crate::domain::property::Property;
use crate::http::dav::asked::Asked;
use crate::http::dav::body::{self, Instruction};
use crate::http::dav::fault::{Condition, Fault};
use crate::http::dav::live::{self, propstat};
use crate::http::dav::{place, propfind, xml};
use crate::http::files::entries;
use crate::vfs::properties::Patch;

/// The namespace of what Explorer sets with each file.
const MICROSOFT: &str = "urn:schemas-microsoft-com:";

/// What is done about an instruction.
enum Deed {
    /// Times and mode are set.
    Attributes(AttributeUpdate),
    /// The client may not do it.
    Forbidden,
    /// What the client keeps is changed.
    Keep(Patch),
}

/// Answers: all is done, or nothing.
///
/// # Errors
/// 400, 404, 412, 413, 423, 507; as setting attributes.
pub async fn answer(asked: Asked, body: Body) -> Result<Response, Fault> {
    let stall = asked.web.settings().stall_time;
    let instructions = body::proppatch(&body::read(body, stall).await?)?;
    let seen = asked.session.look(&asked.path).await;
    let seen = seen.map_err(|error| Fault::from(error).of_looking())?;
    let href = place::href(&asked.path, seen.entry.kind == NodeKind::Folder);
    let deeds: Vec<Deed> = instructions.iter().map(deed).collect();
    let refused: Vec<bool> = deeds
        .iter()
        .map(|deed| matches!(deed, Deed::Forbidden))
        .collect();
    if refused.contains(&true) {
        let why = Fault::of(
            axum::http::StatusCode::FORBIDDEN,
            Condition::CannotModifyProtectedProperty,
            "the server itself says this of files and folders",
        );
        return Ok(told(
            &href,
            &instructions,
            |at| match refused.get(at) {
                Some(true) => "403 Forbidden",
                _ => "424 Failed Dependency",
            },
            Some(&why),
        ));
    }
    match apply(&asked, deeds).await {
        Ok(()) => Ok(told(&href, &instructions, |_| "200 OK", None)),
        Err(fault) if fault.is("denied") => Ok(told(
            &href,
            &instructions,
            |_| "403 Forbidden",
            Some(&fault),
        )),
        Err(fault) => Err(fault),
    }
}

async fn apply(asked: &Asked, deeds: Vec<Deed>) -> Result<(), Fault> {
    let (mut patches, mut update) = (Vec::new(), AttributeUpdate::default());
    for deed in deeds {
        match deed {
            Deed::Attributes(more) => update = update.then(more),
            Deed::Keep(patch) => patches.push(patch),
            Deed::Forbidden => {}
        }
    }
    let session = entries::conditioned(&asked.session, &asked.headers)?;
    if !patches.is_empty() {
        session.patch_properties(&asked.path, patches).await?;
    }
    if !update.is_empty() {
        match session.set_attributes(&asked.path, update).await {
            // Gone meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Fault::from(error).of_looking());
            }
            set => set?,
        }
    }
    Ok(())
}

fn deed(instruction: &Instruction) -> Deed {
    let Instruction { name, value } = instruction;
    let text = value.as_ref().map(|(_, text)| text.trim());
    let time = match (name.space.as_str(), name.name.as_str()) {
        (xml::DAV, "getlastmodified") | (MICROSOFT, "Win32LastModifiedTime") => {
            text.and_then(date).map(modified)
        }
        // As clients of ownCloud have it: seconds since 1970.
        (xml::DAV, "lastmodified") => text.and_then(seconds).map(modified),
        (MICROSOFT, "Win32LastAccessTime") => text.and_then(date).map(accessed),
        _ => None,
    };
    if let Some(update) = time {
        return Deed::Attributes(update);
    }
    if live::is_ours(name) {
        return Deed::Forbidden;
    }
    Deed::Keep(match value {
        Some((element, _)) => Patch::Set(Property {
            space: name.space.clone(),
            name: name.name.clone(),
            value: element.clone(),
        }),
        None => Patch::Remove {
            space: name.space.clone(),
            name: name.name.clone(),
        },
    })
}

/// What came of each instruction.
fn told<'a>(
    href: &str,
    instructions: &[Instruction],
    status: impl Fn(usize) -> &'a str,
    why: Option<&Fault>,
) -> Response {
    let mut parts = String::new();
    for (at, instruction) in instructions.iter().enumerate() {
        let name = &instruction.name;
        parts.push_str(&propstat(&xml::empty(&name.space, &name.name), status(at)));
    }
    let why = why.map(|fault| {
        let detail = xml::escaped(fault.detail());
        format!(
            "{}<D:responsedescription>{detail}</D:responsedescription>",
            fault.element()
        )
    });
    propfind::of_responses(&format!(
        "<D:response><D:href>{}</D:href>{parts}{}</D:response>\n",
        xml::escaped(href),
        why.unwrap_or_default()
    ))
}

fn modified(time: Timestamp) -> AttributeUpdate {
    AttributeUpdate {
        modified: Some(time),
        ..AttributeUpdate::default()
    }
}

fn accessed(time: Timestamp) -> AttributeUpdate {
    AttributeUpdate {
        accessed: Some(time),
        ..AttributeUpdate::default()
    }
}

/// A date as HTTP has it.
fn date(text: &str) -> Option<Timestamp> {
    let parsed = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp::from_seconds(parsed.as_second()))
}

/// Seconds since 1970, perhaps with a part of a second, within the years that are four digits long.
pub fn seconds(text: &str) -> Option<Timestamp> {
    let whole = text.split('.').next()?;
    let seconds: i64 = whole.parse().ok()?;
    let known = jiff::Timestamp::from_second(seconds).ok()?;
    Some(Timestamp::from_seconds(known.as_second()))
}
