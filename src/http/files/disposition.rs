//! How browsers are told to store what they get (RFC 6266).

use axum::http::HeaderValue;

use crate::http::files::place::percent;

/// Stored under `name`: in ASCII for old clients, and as it is for the rest (RFC 8187).
pub fn attachment(name: &str) -> HeaderValue {
    named("attachment", name)
}

/// Shown, and called `name` when it is stored.
pub fn inline(name: &str) -> HeaderValue {
    named("inline", name)
}

fn named(form: &'static str, name: &str) -> HeaderValue {
    let plain = |c: char| match c {
        '"' | '\\' | '%' | '/' => '_',
        c if c.is_ascii_graphic() || c == ' ' => c,
        _ => '_',
    };
    let fallback: String = name.chars().map(plain).collect();
    let text = match fallback == name {
        true => format!("{form}; filename=\"{name}\""),
        false => format!(
            "{form}; filename=\"{fallback}\"; filename*=UTF-8''{}",
            percent(name)
        ),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(form))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_reach_old_clients_and_new_ones() {
        assert_eq!(attachment("a b.txt"), "attachment; filename=\"a b.txt\"");
        assert_eq!(
            attachment("\u{e4}\"\r\n.txt"),
            "attachment; filename=\"____.txt\"; filename*=UTF-8''%C3%A4%22%0D%0A.txt"
        );
    }
}
