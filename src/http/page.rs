//! `/api/v1/`: the OpenAPI document as a page for people, made once. No scripts; by keyboard and on phones.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use data_encoding::BASE64;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--mark:#0b62a8}\
@media(prefers-color-scheme:dark){:root{--mark:#7cc0f7}}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}\
h1,h2,h3{line-height:1.2}h2{margin-top:2.5rem;text-transform:capitalize}\
a{color:var(--mark)}nav{display:flex;flex-wrap:wrap;gap:.25rem 1rem}\
code{font:.9em ui-monospace,monospace;overflow-wrap:anywhere}\
details{border:1px solid var(--line);border-radius:.4rem;margin:.5rem 0}\
summary{padding:.6rem .8rem;cursor:pointer}summary:focus-visible,a:focus-visible{outline:3px solid var(--mark)}\
details[open]>summary{border-bottom:1px solid var(--line);background:var(--soft)}\
details>div{padding:.2rem .8rem .8rem}\
.method{display:inline-block;min-width:4.2rem;font-weight:700;color:var(--mark)}\
.what{display:block;margin-left:4.2rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-top:1px solid var(--line)}\
th{font-weight:600}caption{text-align:left;font-weight:700;padding:.8rem 0 .2rem}\
@media(max-width:36rem){.what{margin-left:0}td,th{display:block;border:0;padding:.1rem 0}tr{display:block;border-top:1px solid var(--line);padding:.3rem 0}thead{display:none}}";

/// A page that is sent as it is.
#[derive(Clone)]
pub struct Page {
    html: bytes::Bytes,
    policy: HeaderValue,
}

impl Page {
    /// Renders a document.
    pub fn of(document: &Value) -> Self {
        let digest = BASE64.encode(&Sha256::digest(STYLE));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'; \
             base-uri 'none'; form-action 'none'"
        );
        Self {
            html: render(document).into(),
            policy: HeaderValue::try_from(policy)
                .unwrap_or(HeaderValue::from_static("default-src 'none'")),
        }
    }

    /// Answers with it.
    pub fn answer(&self) -> Response {
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        let told = [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_SECURITY_POLICY, self.policy.clone()),
        ];
        (told, self.html.clone()).into_response()
    }
}

fn render(document: &Value) -> String {
    let mut tags: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (path, item) in members(&document["paths"]) {
        for (method, operation) in members(item) {
            let tag = at(operation, "/tags/0").as_str().unwrap_or("other");
            let shown = operation_of(method, path, operation);
            tags.entry(tag).or_default().push(shown);
        }
    }
    let title = escaped(text(at(document, "/info/title")));
    let mut html = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        html,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title} API</title><style>{STYLE}</style></head><body>\
         <header><h1>{title} API</h1><p>{}</p>\
         <p>The same for programs: <a href=\"/api/v1/openapi.json\">openapi.json</a>.</p>\
         <nav aria-label=\"areas\">",
        prose(at(document, "/info/description"))
    );
    for tag in ["logins"]
        .into_iter()
        .chain(tags.keys().copied())
        .chain(["headers", "schemas"])
    {
        let _ = write!(html, "<a href=\"#{}\">{}</a>", id(tag), escaped(tag));
    }
    html.push_str("</nav></header><main>");
    html.push_str(&logins_of(document));
    for (tag, operations) in &tags {
        let (id, tag) = (id(tag), escaped(tag));
        let _ = write!(
            html,
            "<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{tag}</h2>"
        );
        html.extend(operations.iter().map(String::as_str));
        html.push_str("</section>");
    }
    html.push_str(&headers_of(document));
    html.push_str("<section aria-labelledby=\"schemas\"><h2 id=\"schemas\">schemas</h2>");
    for (name, schema) in members(at(document, "/components/schemas")) {
        html.push_str(&schema_of(name, schema));
    }
    html.push_str("</section></main></body></html>");
    html
}

/// With what requests log in.
fn logins_of(document: &Value) -> String {
    let schemes = members(at(document, "/components/securitySchemes"));
    let rows = schemes.map(|(name, scheme)| {
        let (place, sent) = match text(&scheme["type"]) {
            "http" => ("Authorization", text(&scheme["scheme"])),
            _ => (text(&scheme["in"]), text(&scheme["name"])),
        };
        [
            escaped(name),
            escaped(place),
            code(sent),
            prose(&scheme["description"]),
        ]
    });
    let ways = document["security"].as_array().into_iter().flatten();
    let ways: Vec<_> = ways
        .map(|way| {
            let both: Vec<_> = members(way).map(|(name, _)| escaped(name)).collect();
            both.join(" with ")
        })
        .collect();
    format!(
        "<section aria-labelledby=\"logins\"><h2 id=\"logins\">logins</h2>\
         <p>Unless an operation says otherwise: {}.</p>{}</section>",
        ways.join(", or "),
        table("Ways", ["name", "where", "sent", "what"], rows)
    )
}

/// With what an operation is asked for, if that is its own.
fn login_of(operation: &Value) -> &'static str {
    match operation["security"].as_array().map(Vec::as_slice) {
        Some([]) => "<p>Nobody has to log in.</p>",
        _ => "",
    }
}

fn operation_of(method: &str, path: &str, operation: &Value) -> String {
    let mut html = format!(
        "<details><summary><span class=\"method\">{}</span> <code>{}</code>\
         <span class=\"what\">{}</span></summary><div>",
        escaped(&method.to_uppercase()),
        escaped(path),
        prose(&operation["summary"]),
    );
    for paragraph in text(&operation["description"])
        .split("\n\n")
        .filter(|text| !text.is_empty())
    {
        html.push_str(&format!("<p>{}</p>", marked(paragraph)));
    }
    html.push_str(login_of(operation));
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let parameters = parameters.map(|parameter| {
        let is_needed = parameter["required"] == true;
        let wanted = if is_needed { ", needed" } else { "" };
        [
            code(text(&parameter["name"])),
            format!("{}{wanted}", escaped(text(&parameter["in"]))),
            kind_of(&parameter["schema"]),
            prose(&parameter["description"]),
        ]
    });
    html.push_str(&table(
        "Parameters",
        ["name", "where", "type", "what"],
        parameters,
    ));
    let bodies = members(at(operation, "/requestBody/content"));
    let bodies = bodies.map(|(media, body)| [code(media), kind_of(&body["schema"])]);
    html.push_str(&table("Body", ["type", "content"], bodies));
    let answers = members(&operation["responses"]).map(|(status, answer)| {
        let contents = members(&answer["content"]);
        let contents: Vec<_> = contents
            .map(|(media, body)| format!("{} {}", code(media), kind_of(&body["schema"])))
            .collect();
        [
            code(status),
            prose(&answer["description"]),
            contents.join("<br>"),
            sent_with(answer),
        ]
    });
    let names = ["status", "when", "content", "headers"];
    html.push_str(&table("Answers", names, answers));
    html.push_str("</div></details>");
    html
}

/// The headers that an answer names, each with a link to what it is.
fn sent_with(answer: &Value) -> String {
    let names = members(&answer["headers"]);
    let names =
        names.map(|(name, _)| format!("<a href=\"#header-{}\">{}</a>", id(name), code(name)));
    names.collect::<Vec<_>>().join(", ")
}

/// What comes with answers.
fn headers_of(document: &Value) -> String {
    let rows = members(at(document, "/components/headers")).map(|(name, header)| {
        [
            format!("<span id=\"header-{}\">{}</span>", id(name), code(name)),
            kind_of(&header["schema"]),
            prose(&header["description"]),
        ]
    });
    let rows = table("With answers", ["name", "type", "what"], rows);
    format!("<section aria-labelledby=\"headers\"><h2 id=\"headers\">headers</h2>{rows}</section>")
}

fn schema_of(name: &str, schema: &Value) -> String {
    let needed = schema["required"].as_array();
    let rows = members(&schema["properties"]).map(|(field, property)| {
        let is_needed = needed.is_some_and(|needed| needed.iter().any(|name| name == field));
        let wanted = if is_needed { "always" } else { "" };
        [
            code(field),
            kind_of(property),
            wanted.to_owned(),
            prose(&property["description"]),
        ]
    });
    let rows = table("Fields", ["name", "type", "there", "what"], rows);
    let name = escaped(name);
    let what = prose(&schema["description"]);
    format!(
        "<details id=\"schema-{name}\"><summary><code>{name}</code></summary>\
         <div><p>{what} {}</p>{rows}</div></details>",
        kind_of(schema)
    )
}

/// How a schema is called, with a link to it if it has a name.
fn kind_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        let name = escaped(name.rsplit('/').next().unwrap_or(name));
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<_> = values
            .iter()
            .map(|value| code(&value.to_string()))
            .collect();
        return values.join(", ");
    }
    let some = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    if let Some(some) = some {
        let kinds: Vec<_> = some.iter().map(kind_of).collect();
        return kinds.join(" or ");
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => format!("list of {}", kind_of(&schema["items"])),
        Value::String(kind) => escaped(kind),
        Value::Array(kinds) => {
            let kinds: Vec<_> = kinds.iter().map(|kind| escaped(text(kind))).collect();
            kinds.join(" or ")
        }
        _ => String::new(),
    }
}

fn table<const N: usize>(
    caption: &str,
    names: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let rows: Vec<_> = rows
        .map(|cells| cells.map(|cell| format!("<td>{cell}</td>")).concat())
        .map(|cells| format!("<tr>{cells}</tr>"))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let names = names
        .map(|name| format!("<th scope=\"col\">{name}</th>"))
        .concat();
    format!(
        "<table><caption>{caption}</caption><thead><tr>{names}</tr></thead><tbody>{}</tbody></table>",
        rows.concat()
    )
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.as_object().into_iter().flat_map(Map::iter);
    members.map(|(name, value)| (name.as_str(), value))
}

/// What a JSON pointer leads to; null when that is nowhere.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What stands in an `id`, and behind `#` in links to it: neither may hold a space.
fn id(name: &str) -> String {
    escaped(&name.replace(char::is_whitespace, "-"))
}

/// A description, as the document has it.
fn prose(value: &Value) -> String {
    marked(text(value))
}

/// Text in which backticks stand around code; one without its other stays.
fn marked(text: &str) -> String {
    let mut html = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('`')
        && let Some((inside, after)) = behind.split_once('`')
    {
        html.push_str(&escaped(before));
        html.push_str(&code(inside));
        rest = after;
    }
    html.push_str(&escaped(rest));
    html
}

fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_document_says_is_text_and_never_markup() {
        let document = serde_json::json!({
            "info": { "title": "<b>", "description": "a & b" },
            "paths": { "/x\"><script>": { "get": { "summary": "<i>", "tags": ["<u>"] } } },
        });
        let html = render(&document);
        for markup in ["<b>", "<script>", "<i>", "<u>"] {
            assert!(!html.contains(markup), "{html}");
        }
        assert!(html.contains("&lt;script&gt;"));
    }

    #[test]
    fn backticks_stand_around_code_and_links_lead_to_ids() {
        let document = serde_json::json!({
            "paths": { "/x": { "get": {
                "tags": ["audit log"],
                "summary": "Say `a<b` and `c`, or one ` alone",
                "responses": { "200": { "headers": { "ETag": {} } } },
            } } },
            "components": { "headers": { "ETag": { "description": "for `If-Match`" } } },
        });
        let html = render(&document);
        for markup in [
            "<a href=\"#audit-log\">audit log</a>",
            "<h2 id=\"audit-log\">audit log</h2>",
            "Say <code>a&lt;b</code> and <code>c</code>, or one ` alone",
            "<a href=\"#header-ETag\"><code>ETag</code></a>",
            "<span id=\"header-ETag\">",
            "for <code>If-Match</code>",
        ] {
            assert!(html.contains(markup), "{markup}: {html}");
        }
    }
}
