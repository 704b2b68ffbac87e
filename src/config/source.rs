//! Where settings come from: a TOML document and the environment, each value with its place.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::value::Shape;

/// What every variable that overrides a setting starts with.
pub const PREFIX: &str = "SEALIFT__";

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the settings file: its line, from 1; none when it is missing there.
    File(Option<usize>),
    /// In the environment variable of this name.
    Variable(String),
}

/// Something wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// `section.key`; empty when the document itself is malformed.
    pub key: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// `line 12: memory.budget: ...` or `SEALIFT__MEMORY__BUDGET: ...`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(Some(line)) => write!(f, "line {line}: ")?,
            Place::File(None) => {}
            Place::Variable(name) => write!(f, "{name}: ")?,
        }
        match (&self.place, self.key.as_str()) {
            (Place::Variable(_), _) | (_, "") => {}
            (_, key) => write!(f, "{key}: ")?,
        }
        f.write_str(&self.message)
    }
}

/// A value that nobody has looked at yet.
#[derive(Clone, Debug)]
pub struct Raw {
    /// Where it stands.
    pub place: Place,
    /// The text to parse, or what kind of thing stands there instead.
    pub text: Result<String, &'static str>,
    /// How it was written; none for the environment, where everything is text.
    pub shape: Option<Shape>,
}

/// The section whose keys are sections of their own: `[region.eu]`.
pub const NAMED: &str = "region";

/// All values by section and key. The key "" stands for the header of a section.
pub type Values = BTreeMap<(String, String), Raw>;

/// Takes a settings file apart. What is malformed is reported; the rest is read nevertheless.
pub fn document(text: &str, problems: &mut Vec<Problem>) -> Values {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        problems.push(Problem {
            place: Place::File(error.span().map(|span| line(text, &span))),
            key: String::new(),
            message: error.message().trim().replace('\n', "; "),
        });
    }
    let mut values = Values::new();
    for (section, content) in table.get_ref() {
        let name = section.get_ref().to_string();
        let at = line(text, &section.span());
        match content.get_ref() {
            DeValue::Table(sections) if name == NAMED => {
                named(text, sections, at, &mut values, problems);
            }
            DeValue::Table(keys) => take(text, &name, keys, at, &mut values),
            _ => problems.push(Problem {
                place: Place::File(Some(at)),
                key: name,
                message: "stands outside any section; write it below a [section]".into(),
            }),
        }
    }
    values
}

/// Takes the sections `[region.eu]`, `[region.us]` and so on.
fn named(
    text: &str,
    sections: &DeTable<'_>,
    at: usize,
    values: &mut Values,
    problems: &mut Vec<Problem>,
) {
    if sections.is_empty() {
        problems.push(Problem {
            place: Place::File(Some(at)),
            key: NAMED.to_owned(),
            message: format!("name the {NAMED}, as in [{NAMED}.eu]"),
        });
    }
    for (name, content) in sections {
        let at = line(text, &name.span());
        let section = format!("{NAMED}.{}", name.get_ref());
        match content.get_ref() {
            DeValue::Table(keys) => take(text, &section, keys, at, values),
            _ => problems.push(Problem {
                place: Place::File(Some(at)),
                key: section,
                message: format!("stands below no name; write it below a [{NAMED}.NAME]"),
            }),
        }
    }
}

/// Takes one section. Its header counts too: an empty one may be misspelt or lack something.
fn take(text: &str, section: &str, keys: &DeTable<'_>, at: usize, values: &mut Values) {
    let header = Raw {
        place: Place::File(Some(at)),
        text: Ok(String::new()),
        shape: None,
    };
    values.insert((section.to_owned(), String::new()), header);
    for (key, value) in keys {
        let place = Place::File(Some(line(text, &key.span())));
        let id = (section.to_owned(), key.get_ref().to_string());
        values.insert(id, raw(place, value));
    }
}

/// Lays the variables that start with [`PREFIX`] over `values`.
pub fn environment(
    variables: impl IntoIterator<Item = (String, String)>,
    values: &mut Values,
    problems: &mut Vec<Problem>,
) {
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let rest = rest.to_ascii_lowercase();
        let parts: Vec<_> = rest.split("__").collect();
        let id = match parts.as_slice() {
            // No shell takes a '-' in the name of a variable.
            [NAMED, name, key] => (format!("{NAMED}.{}", name.replace('_', "-")), key),
            [section, key] if *section != NAMED => ((*section).to_owned(), key),
            _ => {
                let wanted = match parts.first() {
                    Some(&NAMED) => format!("{}__NAME__KEY", NAMED.to_ascii_uppercase()),
                    _ => "SECTION__KEY".to_owned(),
                };
                problems.push(Problem {
                    place: Place::Variable(name.clone()),
                    key: String::new(),
                    message: format!("write the name as {PREFIX}{wanted}"),
                });
                continue;
            }
        };
        let id = (id.0, (*id.1).to_owned());
        let raw = Raw {
            place: Place::Variable(name.clone()),
            text: Ok(text),
            shape: None,
        };
        values.insert(id, raw);
    }
}

fn raw(place: Place, value: &Spanned<DeValue<'_>>) -> Raw {
    let (text, shape) = match value.get_ref() {
        DeValue::Array(items) => {
            let texts: Option<Vec<_>> = items
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect();
            let text = texts.map(|texts| texts.join(","));
            (text.ok_or("a list of other things than texts"), Shape::List)
        }
        DeValue::Boolean(flag) => (Ok(flag.to_string()), Shape::Flag),
        DeValue::Integer(whole) => {
            let text = match whole.radix() {
                10 => Ok(whole.as_str().to_owned()),
                _ => Err("a number that is not decimal"),
            };
            (text, Shape::Whole)
        }
        DeValue::String(text) => (Ok(text.to_string()), Shape::Text),
        DeValue::Datetime(_) => (Err("a date"), Shape::Text),
        DeValue::Float(_) => (Err("a number with a fraction"), Shape::Whole),
        DeValue::Table(_) => (Err("a table"), Shape::Text),
    };
    Raw {
        place,
        text,
        shape: Some(shape),
    }
}

fn line(text: &str, span: &Range<usize>) -> usize {
    let before = text.get(..span.start).unwrap_or(text);
    before.matches('\n').count() + 1
}
