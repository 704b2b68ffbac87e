//! Hands out settings one by one, and remembers what was wrong and what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::config::source::{NAMED, Place, Problem, Values};
use crate::config::value::{Setting, Shape};

/// A setting that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its section; those of regions are `region.NAME`.
    pub section: String,
    /// Its key.
    pub key: &'static str,
    /// Its default as a settings file writes it.
    pub default: String,
}

/// Settings that are waiting to be asked for.
pub struct Reader {
    values: Values,
    problems: Vec<Problem>,
    known: Vec<Known>,
    /// Where the right ones stand, and where the headers of sections.
    given: BTreeMap<(String, String), Place>,
}

impl Reader {
    /// Starts with what the sources gave and what was wrong with them.
    pub fn new(values: Values, problems: Vec<Problem>) -> Self {
        let headers = values.iter().filter(|((_, key), _)| key.is_empty());
        let given = headers.map(|(id, raw)| (id.clone(), raw.place.clone()));
        Self {
            given: given.collect(),
            values,
            problems,
            known: Vec::new(),
        }
    }

    /// The names of the sections `[region.NAME]`. One whose name does not pass `check`, which says
    /// what to write instead, is reported and left out.
    pub fn names(&mut self, check: impl Fn(&str) -> Result<(), String>) -> Vec<String> {
        let mut sections = BTreeMap::new();
        for ((section, _), raw) in &self.values {
            if let Some((NAMED, name)) = section.split_once('.') {
                let place = sections.entry(name.to_owned()).or_insert(&raw.place);
                *place = (*place).min(&raw.place);
            }
        }
        let mut good = Vec::new();
        let mut bad = Vec::new();
        for (name, place) in sections {
            match check(&name) {
                Ok(()) => good.push(name),
                Err(message) => bad.push((name, place.clone(), message)),
            }
        }
        for (name, place, message) in bad {
            let section = format!("{NAMED}.{name}");
            self.values.retain(|(other, _), _| *other != section);
            let message = format!("\"{}\" is no name; {message}", name.escape_debug());
            self.problems.push(Problem {
                place,
                key: section,
                message,
            });
        }
        good
    }

    /// The value of a setting, or `default` when there is none or it is wrong.
    pub fn take<T: Setting>(&mut self, section: &str, key: &'static str, default: T) -> T {
        self.checked(section, key, default, |_| Ok(()))
    }

    /// As [`Reader::take`], for a value that must lie in `range`.
    pub fn within<T: Setting + PartialOrd>(
        &mut self,
        section: &str,
        key: &'static str,
        default: T,
        range: RangeInclusive<T>,
    ) -> T {
        self.checked(section, key, default, |value| {
            let (low, high) = (range.start().text(), range.end().text());
            match range.contains(value) {
                true => Ok(()),
                false => Err(format!("write a value from {low} to {high}")),
            }
        })
    }

    /// As [`Reader::within`], for how many of something there may be.
    pub fn count(
        &mut self,
        section: &str,
        key: &'static str,
        default: usize,
        range: RangeInclusive<u32>,
    ) -> usize {
        let default = u32::try_from(default).unwrap_or(u32::MAX);
        self.within(section, key, default, range) as usize
    }

    /// As [`Reader::take`], for a value that must pass `check`, which says what to write instead.
    pub fn checked<T: Setting>(
        &mut self,
        section: &str,
        key: &'static str,
        default: T,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> T {
        self.known.push(Known {
            section: section.to_owned(),
            key,
            default: quoted::<T>(&default),
        });
        let Some(raw) = self.values.remove(&(section.to_owned(), key.to_owned())) else {
            return default;
        };
        let text = match raw.text {
            // As a settings file writes it; else the environment has no brackets.
            Ok(text) if raw.shape.is_none() && T::SHAPE == Shape::List && text.trim() == "[]" => {
                Ok(String::new())
            }
            Ok(text) if raw.shape.is_none_or(|shape| shape == T::SHAPE) => Ok(text),
            Ok(_) => Err(format!("{}, {}", found(raw.shape), wanted(T::SHAPE))),
            Err(what) => Err(format!("{what} stands here; {}", wanted(T::SHAPE))),
        };
        let value = text.and_then(|text| {
            let value = T::parse(&text);
            let value = value.and_then(|value| check(&value).map(|()| value));
            value.map_err(
                |message| match message.starts_with('\'') || text.is_empty() {
                    true => message,
                    false => format!("{} is not right; {message}", shown(section, key, &text)),
                },
            )
        });
        match value {
            Ok(value) => {
                self.given
                    .insert((section.to_owned(), key.to_owned()), raw.place);
                value
            }
            Err(message) => {
                self.problems.push(Problem {
                    place: raw.place,
                    key: format!("{section}.{key}"),
                    message,
                });
                default
            }
        }
    }

    /// Whether the setting was given, rightly.
    pub fn is_given(&self, section: &str, key: &str) -> bool {
        self.place(section, key).is_some()
    }

    /// Reports what no single setting shows.
    pub fn report(&mut self, key: &str, message: impl Display) {
        self.problems.push(Problem {
            place: Place::File(None),
            key: key.to_owned(),
            message: message.to_string(),
        });
    }

    /// Reports what is wrong with a setting beside others, where it stands, or else its section.
    pub fn report_at(&mut self, section: &str, key: &str, message: impl Display) {
        let place = self.place(section, key).or(self.place(section, ""));
        self.problems.push(Problem {
            place: place.cloned().unwrap_or(Place::File(None)),
            key: format!("{section}.{key}"),
            message: message.to_string(),
        });
    }

    /// Whether something is wrong with a setting already.
    pub fn is_wrong(&self, section: &str, key: &str) -> bool {
        let key = format!("{section}.{key}");
        self.problems.iter().any(|problem| problem.key == key)
    }

    fn place(&self, section: &str, key: &str) -> Option<&Place> {
        self.given.get(&(section.to_owned(), key.to_owned()))
    }

    /// All settings that were asked for, and all problems by place: what is left is unknown.
    pub fn finish(mut self) -> (Vec<Known>, Vec<Problem>) {
        let unknown = std::mem::take(&mut self.values);
        let headless: Vec<_> = unknown.keys().map(|(section, _)| section.clone()).collect();
        for ((section, key), raw) in unknown {
            let known = self.known.iter();
            let mine = known.clone().filter(|known| known.section == section);
            let keys: BTreeSet<_> = mine.map(|known| known.key).collect();
            let message = match (keys.is_empty(), key.is_empty()) {
                // What stands below the header tells as much.
                (true, true) if headless.iter().filter(|other| **other == section).count() > 1 => {
                    continue;
                }
                (true, _) => {
                    let sections = known.map(|known| known.section.as_str());
                    let sections = sections.chain([NAMED]).collect();
                    let hint = hint(&section, &sections);
                    format!("there is no section [{section}]; {hint}")
                }
                (false, true) => continue,
                (false, false) => format!("there is no such setting; {}", hint(&key, &keys)),
            };
            self.problems.push(Problem {
                place: raw.place,
                key: match key.as_str() {
                    "" => section,
                    key => format!("{section}.{key}"),
                },
                message,
            });
        }
        self.problems
            .sort_by(|a, b| (&a.place, &a.key).cmp(&(&b.place, &b.key)));
        (self.known, self.problems)
    }
}

/// The value as a settings file writes it.
fn quoted<T: Setting>(value: &T) -> String {
    let text = value.text();
    let escaped = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    match T::SHAPE {
        Shape::Flag | Shape::Whole => text,
        Shape::Text => escaped(&text),
        Shape::List if text.is_empty() => "[]".to_owned(),
        Shape::List => {
            let parts: Vec<_> = text.split(", ").map(escaped).collect();
            format!("[{}]", parts.join(", "))
        }
    }
}

/// The value that is wrong, unless it may hold a password.
fn shown(section: &str, key: &str, text: &str) -> String {
    match (section, key) {
        ("database", "url" | "owner_url") => "the URL".to_owned(),
        (_, "access_key" | "secret_key") => "the key".to_owned(),
        ("telemetry", "otlp_headers") => "the text".to_owned(),
        _ => format!("\"{}\"", text.escape_debug()),
    }
}

fn found(shape: Option<Shape>) -> &'static str {
    match shape {
        Some(Shape::Flag) => "true or false stands here",
        Some(Shape::List) => "a list stands here",
        Some(Shape::Whole) => "a number stands here",
        Some(Shape::Text) | None => "a text stands here",
    }
}

fn wanted(shape: Shape) -> &'static str {
    match shape {
        Shape::Flag => "write true or false",
        Shape::List => "write a list of texts in quotes: [\"...\", \"...\"]",
        Shape::Text => "write a text in quotes: \"...\"",
        Shape::Whole => "write a whole number without quotes",
    }
}

/// The known name that is nearest, or all of them.
fn hint(name: &str, known: &BTreeSet<&str>) -> String {
    let nearest = known.iter().min_by_key(|other| distance(name, other));
    match nearest {
        Some(other) if distance(name, other) <= 2 => format!("did you mean {other}?"),
        _ => {
            let all: Vec<_> = known.iter().copied().collect();
            format!("there are {}", all.join(", "))
        }
    }
}

/// How many letters must be changed, added or taken away to make `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((to, above), diagonal) in b.iter().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or(0);
            let changed = diagonal + usize::from(from != *to);
            next.push(changed.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_letters() {
        assert_eq!(distance("budgte", "budget"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
