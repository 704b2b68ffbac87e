//! Which part of a file is asked for (RFC 9110 section 14).

use std::ops::Range;

/// What a `Range` comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// No byte of the file is in it: 416.
    Nothing,
    /// This part: 206.
    Some(Range<u64>),
    /// Everything: there is no range, one that we do not understand, or several.
    Whole,
}

/// The part of a file of `size` bytes that a `Range` header asks for. Several ranges at once are
/// answered with the whole, as section 14.2 allows.
pub fn part(header: Option<&str>, size: u64) -> Part {
    let Some(range) = header.and_then(|text| parse(text.trim())) else {
        return Part::Whole;
    };
    let (from, to) = match range {
        Asked::From(from) => (from, size),
        Asked::FromTo(from, last) => (from, size.min(last.saturating_add(1))),
        Asked::Last(count) => (size.saturating_sub(count), size),
    };
    match from < to {
        true => Part::Some(from..to),
        false => Part::Nothing,
    }
}

enum Asked {
    From(u64),
    FromTo(u64, u64),
    Last(u64),
}

fn parse(text: &str) -> Option<Asked> {
    let (unit, range) = text.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    match (first, last) {
        ("", last) => Some(Asked::Last(number(last)?)),
        (first, "") => Some(Asked::From(number(first)?)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Asked::FromTo(first, last))
        }
    }
}

/// Digits and nothing else; more than we can count is far behind every end.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_file() {
        for (header, size, part_of) in [
            ("bytes=0-0", 10, Part::Some(0..1)),
            ("bytes=5-", 10, Part::Some(5..10)),
            ("bytes=-3", 10, Part::Some(7..10)),
            ("bytes=-30", 10, Part::Some(0..10)),
            ("bytes=2-99", 10, Part::Some(2..10)),
            ("BYTES=2-3", 10, Part::Some(2..4)),
            ("bytes=0-99999999999999999999999", 10, Part::Some(0..10)),
            ("bytes=10-", 10, Part::Nothing),
            ("bytes=-0", 10, Part::Nothing),
            ("bytes=0-", 0, Part::Nothing),
            ("bytes=0-1,3-4", 10, Part::Whole),
            ("bytes=5-2", 10, Part::Whole),
            ("bytes=+1-2", 10, Part::Whole),
            ("bytes=-", 10, Part::Whole),
            ("lines=1-2", 10, Part::Whole),
        ] {
            assert_eq!(part(Some(header), size), part_of, "{header} of {size}");
        }
        assert_eq!(part(None, 10), Part::Whole);
    }
}
