//! PROPPATCH: properties that clients keep with files and folders, and the times that they set so
//! (RFC 4918 section 9.2).

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;

use crate::domain::clock::Timestamp;
use crate::domain::node::{AttributeUpdate, NodeKind};
use crate::domain::property::Property;
use crate::http::dav::asked::Asked;
use crate::http::dav::body::{self, Instruction};
use crate::http::dav::fault::{Condition, Fault};
use crate::http::dav::live::{self, propstat};
use crate::http::dav::{place, propfind, xml};
use crate::http::files::condition;
use crate::http::reply::Problem;
use crate::vfs::properties::Patch;

/// The namespace of what Explorer sets with each file.
const MICROSOFT: &str = "urn:schemas-microsoft-com:";

/// What is done about an instruction.
enum Deed {
    /// Times and mode are set.
    Attributes(AttributeUpdate),
    /// The client may not do it.
    Forbidden,
    /// It may, and not so.
    Malformed,
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
    if let Some(bad) = deeds
        .iter()
        .position(|deed| matches!(deed, Deed::Malformed))
    {
        let why = Problem::malformed(
            "this is no time; write one as HTTP does ('Sun, 06 Nov 1994 08:49:37 GMT'), for ownCloud's as seconds since 1970",
        );
        return Ok(told(
            &href,
            &instructions,
            |at| match at == bad {
                true => "409 Conflict",
                false => "424 Failed Dependency",
            },
            Some(&why.into()),
        ));
    }
    if refused.contains(&true) {
        let why = Fault::of(
            StatusCode::FORBIDDEN,
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
            Deed::Forbidden | Deed::Malformed => {}
        }
    }
    let session = asked.conditioned()?;
    let done = match patches.is_empty() {
        true => session.set_attributes(&asked.path, update).await,
        false => {
            let patched = session.patch_properties(&asked.path, patches, update);
            patched.await
        }
    };
    done.map_err(|error| Fault::from(error).of_looking())
}

fn deed(instruction: &Instruction) -> Deed {
    let Instruction { name, value } = instruction;
    let text = value.as_ref().map(|(_, text)| text.trim());
    let read: fn(&str) -> Option<AttributeUpdate> = match (name.space.as_str(), name.name.as_str())
    {
        (xml::DAV, "getlastmodified") | (MICROSOFT, "Win32LastModifiedTime") => {
            |text| condition::time(text).map(modified)
        }
        // As clients of ownCloud have it: seconds since 1970.
        (xml::DAV, "lastmodified") => |text| seconds(text).map(modified),
        (MICROSOFT, "Win32LastAccessTime") => |text| condition::time(text).map(accessed),
        (MICROSOFT, "Win32CreationTime") => |text| condition::time(text).map(created),
        _ => return other(instruction),
    };
    match text {
        Some(text) => read(text).map_or(Deed::Malformed, Deed::Attributes),
        None => other(instruction),
    }
}

/// Of what sets no time.
fn other(instruction: &Instruction) -> Deed {
    let Instruction { name, value } = instruction;
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

fn created(time: Timestamp) -> AttributeUpdate {
    AttributeUpdate {
        created: Some(time),
        ..AttributeUpdate::default()
    }
}

/// Seconds since 1970, perhaps with a part of a second, within the years that are four digits long.
pub fn seconds(text: &str) -> Option<Timestamp> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let known = jiff::Timestamp::from_second(seconds).ok()?;
    Some(Timestamp::from_seconds(known.as_second()))
}
