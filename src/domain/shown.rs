//! Text that others wrote, as it stands in the audit log.

/// The text as it is, but for control characters, which are written out: no log is to have more lines than records,
/// and PostgreSQL takes no NUL.
pub fn line(text: &str) -> String {
    let shown = text.chars().map(|c| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_control_characters_are_written_out() {
        assert_eq!(
            line("ann's \"lap\\top\" \u{e4}"),
            "ann's \"lap\\top\" \u{e4}"
        );
        assert_eq!(
            line("a\nb\0c\u{1b}[2J\u{9b}"),
            "a\\nb\\u{0}c\\u{1b}[2J\\u{9b}"
        );
    }
}
