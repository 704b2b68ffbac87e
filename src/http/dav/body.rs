//! The XML that requests carry.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use roxmltree::{Document, Node};

use crate::http::dav::xml::{self, DAV};
use crate::http::extract::whole;
use crate::http::reply::Problem;

/// Most bytes of a body, most properties that it may name, most bytes of such a name with its namespace, and
/// of who holds a lock.
const BYTES: usize = 64 * 1024;
const NAMES: usize = 200;
/// Most namespaces that may be declared around one element: looking a name up takes the parser the time of all
/// of them, for each of them.
const SPACES: usize = 32;
const NAME_BYTES: usize = 1000;
const OWNER_BYTES: usize = 4 * 1024;

/// The name of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyName {
    /// The namespace; empty for none.
    pub space: String,
    /// The name in it.
    pub name: String,
}

/// Which properties are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All that say something of the file or folder itself, and these.
    All(Vec<PropertyName>),
    /// The names of those there are.
    Names,
    /// These.
    Some(Vec<PropertyName>),
}

/// One thing to do to a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Whose.
    pub name: PropertyName,
    /// The whole element and the text in it; none removes the property.
    pub value: Option<(String, String)>,
}

/// What lock is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockInfo {
    /// Whether others may lock it so as well.
    pub shared: bool,
    /// Who holds it, as the client says: XML.
    pub owner: String,
}

/// The body of a request, which is XML or nothing, and comes within `time`.
///
/// # Errors
/// 400, 408, 413.
pub async fn read(body: Body, time: Duration) -> Result<Bytes, Problem> {
    whole(body, BYTES, time).await
}

/// Reads a PROPFIND; nothing asks for all.
///
/// # Errors
/// 400.
pub fn propfind(bytes: &[u8]) -> Result<Wanted, Problem> {
    if bytes.is_empty() {
        return Ok(Wanted::All(Vec::new()));
    }
    let text = text(bytes)?;
    let document = parse(text)?;
    let root = root(&document, "propfind")?;
    let has = |name| children(root).any(|child| is(child, name));
    let of = |name| children(root).find(|child| is(*child, name)).map(names);
    match (of("prop"), has("allprop"), has("propname")) {
        (Some(names), false, false) => Ok(Wanted::Some(names?)),
        (None, true, false) => Ok(Wanted::All(of("include").unwrap_or(Ok(Vec::new()))?)),
        (None, false, true) => Ok(Wanted::Names),
        _ => Err(Problem::malformed(
            "a propfind holds one of prop, allprop and propname",
        )),
    }
}

/// Reads a PROPPATCH.
///
/// # Errors
/// 400.
pub fn proppatch(bytes: &[u8]) -> Result<Vec<Instruction>, Problem> {
    let text = text(bytes)?;
    let document = parse(text)?;
    let root = root(&document, "propertyupdate")?;
    let (mut instructions, mut kept) = (Vec::new(), 0);
    for action in children(root) {
        let sets = match (is(action, "set"), is(action, "remove")) {
            (true, _) => true,
            (_, true) => false,
            _ => continue,
        };
        let properties = children(action).filter(|child| is(*child, "prop"));
        for property in properties.flat_map(children) {
            let value = match sets {
                true => Some((xml::whole(property)?, inner_text(property))),
                false => None,
            };
            let name = name(property)?;
            kept += value.as_ref().map_or(0, |(element, _)| element.len());
            if kept > BYTES {
                return Err(Problem::malformed(format!(
                    "the properties of a propertyupdate must not be longer than {BYTES} bytes when each name \
                     stands with its namespace"
                )));
            }
            instructions.push(Instruction { name, value });
        }
    }
    match (1..=NAMES).contains(&instructions.len()) {
        true => Ok(instructions),
        false => Err(Problem::malformed(format!(
            "a propertyupdate changes 1 to {NAMES} properties"
        ))),
    }
}

/// Reads a LOCK that asks for a new lock.
///
/// # Errors
/// 400; 422 when it is no lock that the standard knows.
pub fn lock(bytes: &[u8]) -> Result<LockInfo, Problem> {
    let text = text(bytes)?;
    let document = parse(text)?;
    let root = root(&document, "lockinfo")?;
    let of = |name| children(root).find(|child| is(*child, name));
    let holds =
        |name, inner| of(name).is_some_and(|found| children(found).any(|child| is(child, inner)));
    let scope = (
        holds("lockscope", "exclusive"),
        holds("lockscope", "shared"),
    );
    let shared = match (scope, holds("locktype", "write")) {
        ((true, false), true) => false,
        ((false, true), true) => true,
        _ => {
            let detail = "a lock is exclusive or shared, and its type is write";
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                detail,
            ));
        }
    };
    let owner = of("owner").map_or(Ok(String::new()), xml::within)?;
    match owner.len() <= OWNER_BYTES {
        true => Ok(LockInfo { shared, owner }),
        false => Err(Problem::malformed(format!(
            "the owner of a lock is at most {OWNER_BYTES} bytes long"
        ))),
    }
}

fn text(bytes: &[u8]) -> Result<&str, Problem> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| Problem::malformed("the body must be XML in UTF-8"))?;
    Ok(text.trim_start_matches('\u{feff}'))
}

fn parse(text: &str) -> Result<Document<'_>, Problem> {
    if most_spaces(text) > SPACES {
        return Err(Problem::malformed(format!(
            "the body declares more than {SPACES} namespaces around one element; declare each where it is used"
        )));
    }
    let document = Document::parse(text)
        .map_err(|error| Problem::malformed(format!("the body is not well-formed XML: {error}")))?;
    // Names in XML 1.0 section 2: a prefix cannot be taken back.
    let mut spaces = document.descendants().flat_map(|node| node.namespaces());
    match spaces.any(|space| space.name().is_some() && space.uri().is_empty()) {
        true => Err(Problem::malformed("a prefix stands for an empty namespace")),
        false => Ok(document),
    }
}

/// How many declarations of namespaces hold at once, where they are most; of what is not well-formed, perhaps
/// fewer.
fn most_spaces(text: &str) -> usize {
    let (mut open, mut now, mut most) = (Vec::new(), 0, 0);
    let mut rest = text;
    while let Some((_, tag)) = rest.split_once('<') {
        let end = match tag {
            _ if tag.starts_with("!--") => "-->",
            _ if tag.starts_with("![CDATA[") => "]]>",
            _ if tag.starts_with('?') => "?>",
            _ => ">",
        };
        let (tag, behind) = match end {
            ">" => tag.split_at(end_of_tag(tag)),
            _ => ("", tag.split_once(end).map_or("", |(_, behind)| behind)),
        };
        rest = behind;
        match tag.strip_prefix('/') {
            Some(_) => now -= open.pop().unwrap_or(0),
            None => {
                let declared = tag.matches("xmlns").count();
                most = most.max(now + declared);
                if end == ">" && !tag.ends_with('/') {
                    now += declared;
                    open.push(declared);
                }
            }
        }
    }
    most
}

/// Where a tag ends: at the first `>` that is not in the value of an attribute.
fn end_of_tag(tag: &str) -> usize {
    let mut quote = None;
    let mut bytes = tag.bytes();
    let end = bytes.position(|byte| match (quote, byte) {
        (None, b'>') => true,
        (None, b'"' | b'\'') => {
            quote = Some(byte);
            false
        }
        (Some(open), _) if open == byte => {
            quote = None;
            false
        }
        _ => false,
    });
    end.unwrap_or(tag.len())
}

fn root<'a>(document: &'a Document<'a>, wanted: &str) -> Result<Node<'a, 'a>, Problem> {
    let root = document.root_element();
    match is(root, wanted) {
        true => Ok(root),
        false => Err(Problem::malformed(format!(
            "the body must be a '{wanted}' of the namespace DAV:"
        ))),
    }
}

fn children<'a, 'b>(node: Node<'a, 'b>) -> impl Iterator<Item = Node<'a, 'b>> {
    node.children().filter(Node::is_element)
}

fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.has_tag_name((DAV, name))
}

fn name(node: Node<'_, '_>) -> Result<PropertyName, Problem> {
    let tag = node.tag_name();
    let (space, name) = (tag.namespace().unwrap_or_default(), tag.name());
    match space.len() + name.len() <= NAME_BYTES {
        true => Ok(PropertyName {
            space: space.to_owned(),
            name: name.to_owned(),
        }),
        false => Err(Problem::malformed(format!(
            "the name of a property is at most {NAME_BYTES} bytes long with its namespace"
        ))),
    }
}

fn names(node: Node<'_, '_>) -> Result<Vec<PropertyName>, Problem> {
    match children(node).count() <= NAMES {
        true => children(node).map(name).collect(),
        false => Err(Problem::malformed(format!(
            "at most {NAMES} properties can be asked for at once"
        ))),
    }
}

fn inner_text(node: Node<'_, '_>) -> String {
    let texts = node.descendants().filter(Node::is_text);
    texts.filter_map(|text| text.text()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read() {
        assert_eq!(propfind(b"").unwrap(), Wanted::All(Vec::new()));
        let some =
            propfind(b"<propfind xmlns='DAV:'><prop><getetag/><x xmlns='y'/></prop></propfind>");
        let Ok(Wanted::Some(names)) = some else {
            panic!("{some:?}");
        };
        assert_eq!(
            (names[1].space.as_str(), names[1].name.as_str()),
            ("y", "x")
        );
        let names =
            propfind("\u{feff}<a:propfind xmlns:a='DAV:'><a:propname/></a:propfind>".as_bytes());
        assert_eq!(names.unwrap(), Wanted::Names);
    }

    #[test]
    fn namespaces_are_many_only_where_each_is_used() {
        let each: String = (0..200)
            .map(|n| {
                format!(
                    "<x{n} xmlns='urn:{n}'/><!-- <a xmlns:b='c'> --><p:y xmlns:p='urn:>{n}'></p:y>"
                )
            })
            .collect();
        assert_eq!(most_spaces(&format!("<a xmlns='DAV:'>{each}</a>")), 2);
        let around: String = (0..40).map(|n| format!(" xmlns:a{n}='u'")).collect();
        let nested: String = (0..40).map(|n| format!("<a xmlns:a{n}='u'>")).collect();
        for text in [
            format!("<propfind xmlns='DAV:'{around}><allprop/></propfind>"),
            format!("<propfind xmlns='DAV:'><allprop/>{nested}"),
            format!("<propfind xmlns='DAV:'><?a ?><![CDATA[>]]>{nested}"),
        ] {
            assert!(most_spaces(&text) > 40, "{text}");
            assert!(propfind(text.as_bytes()).is_err());
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for bad in [
            "<propfind",
            "<propfind/>",
            "<propfind xmlns='DAV:'/>",
            "<propfind xmlns='DAV:'><prop/><allprop/></propfind>",
            "<D:propfind xmlns:D='DAV:'><D:prop><b:x xmlns:b=''/></D:prop></D:propfind>",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><propfind xmlns='DAV:'><prop/></propfind>",
        ] {
            assert!(propfind(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(propfind(b"\xff").is_err());
        assert!(proppatch(b"<propertyupdate xmlns='DAV:'/>").is_err());
        assert!(lock(b"<lockinfo xmlns='DAV:'/>").is_err());
    }

    #[test]
    fn names_of_properties_are_short() {
        for (length, is_read) in [(998, true), (999, false)] {
            let space = "n".repeat(length);
            let find =
                format!("<propfind xmlns='DAV:'><prop><ab xmlns='{space}'/></prop></propfind>");
            assert_eq!(propfind(find.as_bytes()).is_ok(), is_read, "{length}");
            let patch = format!(
                "<propertyupdate xmlns='DAV:'><remove><prop><ab xmlns='{space}'/></prop></remove></propertyupdate>"
            );
            assert_eq!(proppatch(patch.as_bytes()).is_ok(), is_read, "{length}");
        }
    }

    #[test]
    fn properties_together_grow_no_further_than_one() {
        let property = format!("<a:b xmlns:a='x' xmlns:c='{}' c:d=''/>", "n".repeat(500));
        let all = |count| {
            let prop = property.repeat(count);
            format!("<propertyupdate xmlns='DAV:'><set><prop>{prop}</prop></set></propertyupdate>")
        };
        assert!(proppatch(all(100).as_bytes()).is_ok());
        assert!(proppatch(all(130).as_bytes()).is_err());
    }

    #[test]
    fn instructions_keep_their_order() {
        let text = "<D:propertyupdate xmlns:D='DAV:' xmlns:Z='urn:z'><D:set><D:prop><Z:a>1</Z:a></D:prop>\
                    </D:set><D:remove><D:prop><Z:a/></D:prop></D:remove></D:propertyupdate>";
        let read = proppatch(text.as_bytes()).unwrap();
        let (element, text) = read[0].value.clone().unwrap();
        assert_eq!(element, "<n:a xmlns:n=\"urn:z\">1</n:a>");
        assert_eq!(text, "1");
        assert_eq!(read[1].value, None);
    }
}
