//! Writing XML: text as it may stand in a document, and elements that need no declaration around them.

use std::fmt::Write as _;

use roxmltree::{Node, NodeType};

use crate::http::reply::Problem;

/// How a document begins.
pub const HEAD: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n";
/// The namespace of the standard's own names.
pub const DAV: &str = "DAV:";
/// That of `xml:lang`, which needs no declaration.
const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Deepest nesting of what clients keep with us, and about the most bytes of it: namespaces are written out
/// with each name, so that it grows.
const DEEPEST: usize = 64;
const LONGEST: usize = 64 * 1024;

/// Text as it stands in content and in attributes. What XML 1.0 cannot hold is replaced.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push_str(&format!("&#{};", u32::from(c))),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

/// An empty element of any name.
pub fn empty(space: &str, name: &str) -> String {
    match space {
        DAV => format!("<D:{name}/>"),
        "" => format!("<{name}/>"),
        _ => format!("<x:{name} xmlns:x=\"{}\"/>", escaped(space)),
    }
}

/// An element with all that is in it, as XML that needs no declaration around it.
///
/// # Errors
/// 400 when it is nested too deeply, or becomes too long.
pub fn whole(element: Node<'_, '_>) -> Result<String, Problem> {
    let mut out = String::new();
    write_element(&mut out, element, 0)?;
    Ok(out)
}

/// The same for what is in an element.
///
/// # Errors
/// As [`whole`].
pub fn within(element: Node<'_, '_>) -> Result<String, Problem> {
    let mut out = String::new();
    write_children(&mut out, element, 0)?;
    Ok(out)
}

fn write_children(out: &mut String, element: Node<'_, '_>, depth: usize) -> Result<(), Problem> {
    if depth > DEEPEST {
        let detail = format!("elements must not be nested deeper than {DEEPEST}");
        return Err(Problem::malformed(detail));
    }
    for child in element.children() {
        match child.node_type() {
            NodeType::Element => write_element(out, child, depth + 1)?,
            NodeType::Text => out.push_str(&escaped(child.text().unwrap_or_default())),
            NodeType::Root | NodeType::PI | NodeType::Comment => {}
        }
        check_length(out)?;
    }
    Ok(())
}

fn write_element(out: &mut String, element: Node<'_, '_>, depth: usize) -> Result<(), Problem> {
    let name = element.tag_name();
    // `xmlns=""` is none as well.
    let (prefix, declared) = match name.namespace().filter(|space| !space.is_empty()) {
        None => ("", String::new()),
        Some(space) => ("n:", format!(" xmlns:n=\"{}\"", escaped(space))),
    };
    // Writing to a String cannot fail.
    let _ = write!(out, "<{prefix}{}{declared}", name.name());
    for (number, attribute) in element.attributes().enumerate() {
        let (name, value) = (attribute.name(), escaped(attribute.value()));
        let _ = match attribute.namespace() {
            None => write!(out, " {name}=\"{value}\""),
            Some(XML) => write!(out, " xml:{name}=\"{value}\""),
            Some(space) => {
                let space = escaped(space);
                write!(
                    out,
                    " xmlns:a{number}=\"{space}\" a{number}:{name}=\"{value}\""
                )
            }
        };
        check_length(out)?;
    }
    match element.has_children() {
        false => out.push_str("/>"),
        true => {
            out.push('>');
            write_children(out, element, depth)?;
            let _ = write!(out, "</{prefix}{}>", name.name());
        }
    }
    check_length(out)
}

fn check_length(out: &str) -> Result<(), Problem> {
    match out.len() <= LONGEST {
        true => Ok(()),
        false => Err(Problem::malformed(format!(
            "an element must not be longer than {LONGEST} bytes when each name in it stands with its namespace"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_keep_their_names_attributes_and_text() {
        let text = "<a xmlns='one' xmlns:t='two' t:u='v &amp; w' xml:lang='de'>\
                    x &lt; y<t:b/><!-- gone --><c xmlns=''>\u{10000}</c></a>";
        let document = roxmltree::Document::parse(text).unwrap();
        let written = whole(document.root_element()).unwrap();
        let again = roxmltree::Document::parse(&written).unwrap();
        let root = again.root_element();
        assert_eq!(root.tag_name().namespace(), Some("one"));
        assert_eq!(root.attribute(("two", "u")), Some("v & w"));
        assert_eq!(root.attribute((XML, "lang")), Some("de"));
        assert_eq!(root.text(), Some("x < y"));
        let names: Vec<_> = root.children().filter(Node::is_element).collect();
        assert_eq!(names[0].tag_name().namespace(), Some("two"));
        assert_eq!(names[1].tag_name().namespace(), None);
        assert_eq!(names[1].text(), Some("\u{10000}"));
        assert_eq!(whole(root).unwrap(), written);
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow() {
        let text = format!("{}{}", "<a>".repeat(9000), "</a>".repeat(9000));
        let document = roxmltree::Document::parse(&text).unwrap();
        assert!(whole(document.root_element()).is_err());
    }

    #[test]
    fn what_grows_when_namespaces_are_written_out_is_refused() {
        let space = "n".repeat(30_000);
        for text in [
            format!("<a xmlns='{space}'>{}</a>", "<b/>".repeat(5_000)),
            format!("<a xmlns:b='{space}'>{}</a>", "<c b:d=''/>".repeat(2_000)),
            format!("<a>{}</a>", "&lt;".repeat(16_385)),
        ] {
            let document = roxmltree::Document::parse(&text).unwrap();
            let root = document.root_element();
            assert_eq!(whole(root).unwrap_err().status(), 400);
            assert_eq!(within(root).unwrap_err().status(), 400);
        }
    }

    #[test]
    fn nothing_is_written_that_xml_cannot_hold() {
        assert_eq!(
            escaped("a\u{1}<&>\"\n\u{ffff}"),
            "a\u{fffd}&lt;&amp;&gt;&quot;&#10;\u{fffd}"
        );
    }
}
