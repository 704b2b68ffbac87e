//! What does not fit in a body or a query, in the words of JSON and of the API: serde's are those of Rust.

use std::error::Error;

use serde::de::{IgnoredAny, value};
use serde_json::error::Category;
use serde_path_to_error::Error as Placed;

/// What is wrong with a JSON body.
pub fn of_body(bytes: &[u8], error: &Placed<serde_json::Error>) -> String {
    let inner = error.inner();
    let (line, column) = (inner.line(), inner.column());
    let text = inner.to_string();
    let (said, place) = match text.strip_suffix(&format!(" at line {line} column {column}")) {
        Some(said) => (said, format!(" (line {line}, column {column})")),
        None => (text.as_str(), String::new()),
    };
    let sentence = match inner.classify() {
        Category::Data => sentence(&error.path().to_string(), said, "the body takes"),
        // What stands for one of several words is refused as no value at all when it is a number or the like.
        _ if serde_json::from_slice::<IgnoredAny>(bytes).is_ok() => {
            format!("'{}' must be a string", error.path())
        }
        Category::Eof => "the body ends in the middle of the JSON".to_owned(),
        Category::Io | Category::Syntax => format!("the body is no JSON: {said}"),
    };
    format!("{sentence}{place}")
}

/// What is wrong with what stands behind `?`.
pub fn of_query(error: &(dyn Error + 'static)) -> String {
    let mut cause = Some(error);
    while let Some(at) = cause {
        if let Some(error) = at.downcast_ref::<Placed<value::Error>>() {
            let said = error.inner().to_string();
            return sentence(&error.path().to_string(), &said, "the query takes");
        }
        cause = at.source();
    }
    "the query cannot be read; write it as name=value&name=value".to_owned()
}

/// What serde says of a field, in our words; what is in our words already stays.
fn sentence(field: &str, said: &str, takes: &str) -> String {
    if let Some(name) = said.strip_prefix("missing field ") {
        return format!("{} is missing", quoted(name));
    }
    if let Some(name) = said.strip_prefix("duplicate field ") {
        return format!("{} is there twice", quoted(name));
    }
    if let Some(rest) = said.strip_prefix("unknown field ") {
        return match rest.rsplit_once(", expected ") {
            Some((name, known)) => format!("{takes} no {}; it takes {}", quoted(name), any(known)),
            None => format!("{takes} no field at all"),
        };
    }
    if let Some(rest) = said.strip_prefix("unknown variant ")
        && let Some((word, known)) = rest.rsplit_once(", expected ")
    {
        return format!("'{field}' must be {}, not {}", any(known), quoted(word));
    }
    let kind = said.strip_prefix("invalid type: ");
    let kind = kind.or_else(|| said.strip_prefix("invalid value: "));
    if let Some((is, wanted)) = kind.and_then(|kind| kind.rsplit_once(", expected ")) {
        return format!("'{field}' must be {}, not {}", wanted_kind(wanted), own(is));
    }
    match said {
        "cannot parse integer from empty string" | "invalid digit found in string" => {
            format!("'{field}' must be a whole number, in digits")
        }
        "number too large to fit in target type" | "number too small to fit in target type" => {
            format!("'{field}' is a number out of all bounds")
        }
        "provided string was not `true` or `false`" => format!("'{field}' must be true or false"),
        _ if said.starts_with('\'') => said.to_owned(),
        _ => format!("'{field}': {said}"),
    }
}

/// What serde calls a kind of value that it wants.
fn wanted_kind(name: &str) -> &str {
    match name {
        "a boolean" => "true or false",
        "a map" => "an object",
        "a sequence" => "an array",
        "f32" | "f64" => "a number",
        "i8" | "i16" | "i32" => "a whole number",
        "i64" | "isize" => "a whole number below 2^63",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number of 0 or more",
        "unit" => "null",
        _ if name.starts_with("struct ") => "an object",
        _ => name,
    }
}

/// What serde calls a value. Texts are not repeated: they may be secrets.
fn own(value: &str) -> &str {
    let number = ["boolean `", "floating point `", "integer `"];
    let number = number.iter().find_map(|kind| value.strip_prefix(kind));
    match value {
        "map" => "an object",
        "sequence" => "an array",
        _ if value.starts_with("string ") => "a string",
        _ => number.map_or(value, |number| number.trim_end_matches('`')),
    }
}

/// Names as serde lists them.
fn any(names: &str) -> String {
    let names = names.strip_prefix("one of ").unwrap_or(names);
    names.replace('`', "'")
}

fn quoted(name: &str) -> String {
    format!("'{}'", name.trim_matches('`'))
}

#[cfg(test)]
mod tests {
    use axum::extract::Query;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Download,
        Upload,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "they are read, and that is all")]
    struct All {
        name: String,
        kind: Option<Kind>,
        days: Option<u8>,
        bytes: Option<u64>,
        most: Option<i64>,
        words: Option<Vec<String>>,
        is_own: Option<bool>,
    }

    fn body(text: &str) -> String {
        let mut reader = serde_json::Deserializer::from_str(text);
        let read: Result<All, _> = serde_path_to_error::deserialize(&mut reader);
        of_body(text.as_bytes(), &read.unwrap_err())
    }

    #[test]
    fn bodies_are_spoken_of_as_json() {
        let all = "'name', 'kind', 'days', 'bytes', 'most', 'words', 'is_own'";
        for (text, said) in [
            ("{}", "'name' is missing (line 1, column 2)"),
            (
                r#"{"name":{}}"#,
                "'name' must be a string, not an object (line 1, column 8)",
            ),
            (
                r#"{"name":null}"#,
                "'name' must be a string, not null (line 1, column 12)",
            ),
            (
                r#"{"name":"a","name":"b"}"#,
                "'name' is there twice (line 1, column 18)",
            ),
            (
                r#"{"kind":"other"}"#,
                "'kind' must be 'download' or 'upload', not 'other' (line 1, column 15)",
            ),
            (
                r#"{"kind":5}"#,
                "'kind' must be a string (line 1, column 9)",
            ),
            (
                "{\n\"days\":256}",
                "'days' must be a whole number from 0 to 255, not 256 (line 2, column 10)",
            ),
            (
                r#"{"bytes":"so, expected many"}"#,
                "'bytes' must be a whole number of 0 or more, not a string (line 1, column 28)",
            ),
            (
                r#"{"bytes":1.5}"#,
                "'bytes' must be a whole number of 0 or more, not 1.5 (line 1, column 12)",
            ),
            (
                r#"{"most":9223372036854775808}"#,
                "'most' must be a whole number below 2^63, not 9223372036854775808 (line 1, column 27)",
            ),
            (
                r#"{"words":[1]}"#,
                "'words[0]' must be a string, not 1 (line 1, column 11)",
            ),
            (
                r#"{"words":true}"#,
                "'words' must be an array, not true (line 1, column 13)",
            ),
            (
                r#"{"is_own":[]}"#,
                "'is_own' must be true or false, not an array (line 1, column 10)",
            ),
            (
                "{\"name\"",
                "the body ends in the middle of the JSON (line 1, column 7)",
            ),
            (
                "{\"name\";",
                "the body is no JSON: expected `:` (line 1, column 8)",
            ),
        ] {
            assert_eq!(body(text), said, "{text}");
        }
        let unknown = format!("the body takes no 'x'; it takes {all} (line 1, column 4)");
        assert_eq!(body(r#"{"x":1}"#), unknown);
    }

    #[test]
    fn queries_are_spoken_of_as_texts() {
        for (query, said) in [
            ("", "'name' is missing"),
            ("name=a&name=b", "'name' is there twice"),
            (
                "name=a&bytes=-1",
                "'bytes' must be a whole number, in digits",
            ),
            ("name=a&days=256", "'days' is a number out of all bounds"),
            ("name=a&is_own=yes", "'is_own' must be true or false"),
            (
                "kind=other",
                "'kind' must be 'download' or 'upload', not 'other'",
            ),
        ] {
            let uri = format!("/?{query}").parse().unwrap();
            let error = Query::<All>::try_from_uri(&uri).unwrap_err();
            assert_eq!(of_query(&error), said, "{query}");
        }
    }
}
