//! Patterns of names as shells have them, for clients that leave them to the other end (`scp -O`).

/// Whether `name` is one that `pattern` stands for: `*`, `?` and `[a-z]`; a leading dot has to be
/// said. Takes at most the product of both lengths.
pub fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut seen) = (0, 0);
    // Where to go on when what followed the last star did not fit.
    let mut star = None;
    loop {
        let step = match (pattern.get(at..).unwrap_or_default(), name.get(seen)) {
            ([], None) => return true,
            (['*', ..], _) => {
                star = Some((at + 1, seen));
                at += 1;
                continue;
            }
            ([first, rest @ ..], Some(c)) => one(*first, rest, *c),
            ([_, ..], None) | ([], Some(_)) => None,
        };
        match (step, star) {
            (Some(used), _) => {
                at += used;
                seen += 1;
            }
            (None, Some((after, from))) if from < name.len() => {
                star = Some((after, from + 1));
                (at, seen) = (after, from + 1);
            }
            (None, _) => return false,
        }
    }
}

/// How many characters of the pattern stand for `c`, if they do.
fn one(first: char, rest: &[char], c: char) -> Option<usize> {
    match first {
        '?' => Some(1),
        '[' => match class(rest, c) {
            Some((used, fits)) => fits.then_some(1 + used),
            None => (c == '[').then_some(1),
        },
        first => (first == c).then_some(1),
    }
}

/// A class after its bracket: how long it is, and whether `c` is in it; none when it has no end.
fn class(rest: &[char], c: char) -> Option<(usize, bool)> {
    let negated = matches!(rest.first(), Some('!' | '^'));
    let start = usize::from(negated);
    // A bracket that comes first is one of the class.
    let members = rest.get(start..)?;
    let length = 1 + members.iter().skip(1).position(|c| *c == ']')?;
    let mut members = members.get(..length)?;
    let mut found = false;
    while let [first, after @ ..] = members {
        match after {
            ['-', last, after @ ..] => {
                found |= (*first..=*last).contains(&c);
                members = after;
            }
            _ => {
                found |= *first == c;
                members = after;
            }
        }
    }
    Some((start + length + 1, found != negated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, name, fits) in [
            ("*", "abc", true),
            ("*", ".abc", false),
            (".*", ".abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*.txt", "a.txt.txt", true),
            ("?", "\u{e4}", true),
            ("?", "", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[a", "[a", true),
            ("a", "ab", false),
            ("**", "", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(120) + "b";
        assert!(!matches(&pattern, &"a".repeat(255)));
    }
}
