//! Patterns of names as shells have them, for clients that leave them to the other end (`scp -O`).

/// A pattern: `*`, `?` and `[a-z]`; a leading dot has to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
    takes_dot: bool,
}

/// What stands for a character, or for any number of them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Any,
    /// Those in these ranges, which are in order and apart; or those that are in none.
    Class(Vec<(char, char)>, bool),
    One(char),
    Star,
}

impl Pattern {
    /// Reads a pattern: every text is one.
    pub fn of(text: &str) -> Self {
        let characters: Vec<char> = text.chars().collect();
        let mut rest = characters.as_slice();
        let mut parts = Vec::new();
        let mut has_classes = true;
        while let [first, after @ ..] = rest {
            rest = after;
            let part = match first {
                '*' => Part::Star,
                '?' => Part::Any,
                '[' if has_classes => match class(after) {
                    Some((part, behind)) => {
                        rest = behind;
                        part
                    }
                    // No bracket that follows is closed either.
                    None => {
                        has_classes = false;
                        Part::One('[')
                    }
                },
                other => Part::One(*other),
            };
            if part != Part::Star || parts.last() != Some(&Part::Star) {
                parts.push(part);
            }
        }
        Self {
            parts,
            takes_dot: text.starts_with('.'),
        }
    }

    /// Whether `name` is one that it stands for. Takes at most the product of both lengths, and no more than
    /// the square of the name's.
    pub fn matches(&self, name: &str) -> bool {
        if name.starts_with('.') && !self.takes_dot {
            return false;
        }
        let name: Vec<char> = name.chars().collect();
        let least = self.parts.iter().filter(|part| **part != Part::Star);
        if least.count() > name.len() {
            return false;
        }
        let (mut at, mut seen) = (0, 0);
        // Where to go on when what followed the last star did not fit.
        let mut star = None;
        loop {
            let fits = match (self.parts.get(at), name.get(seen)) {
                (None, None) => return true,
                (Some(Part::Star), _) => {
                    at += 1;
                    star = Some((at, seen));
                    continue;
                }
                (Some(part), Some(c)) => part.fits(*c),
                (Some(_), None) | (None, Some(_)) => false,
            };
            match star {
                _ if fits => (at, seen) = (at + 1, seen + 1),
                Some((after, from)) if from < name.len() => {
                    star = Some((after, from + 1));
                    (at, seen) = (after, from + 1);
                }
                _ => return false,
            }
        }
    }
}

impl Part {
    fn fits(&self, c: char) -> bool {
        match self {
            Self::Any => true,
            Self::Class(ranges, negated) => {
                let before = ranges.partition_point(|(first, _)| *first <= c);
                let range = before.checked_sub(1).and_then(|at| ranges.get(at));
                range.is_some_and(|(_, last)| c <= *last) != *negated
            }
            Self::One(own) => *own == c,
            Self::Star => false,
        }
    }
}

/// Whether `name` is one that `pattern` stands for. Reads the pattern each time: many names are better asked
/// of a [`Pattern`].
pub fn matches(pattern: &str, name: &str) -> bool {
    Pattern::of(pattern).matches(name)
}

/// A class after its bracket, and what is behind it; none when it has no end.
fn class(rest: &[char]) -> Option<(Part, &[char])> {
    let negated = matches!(rest.first(), Some('!' | '^'));
    // A bracket that comes first is one of the class.
    let members = rest.get(usize::from(negated)..)?;
    let length = 1 + members.iter().skip(1).position(|c| *c == ']')?;
    let behind = members.get(length + 1..)?;
    let mut members = members.get(..length)?;
    let mut ranges = Vec::new();
    while let [first, after @ ..] = members {
        (ranges, members) = match after {
            ['-', last, after @ ..] => (with(ranges, *first, *last), after),
            _ => (with(ranges, *first, *first), after),
        };
    }
    ranges.sort_unstable();
    let mut apart: Vec<(char, char)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match apart.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => apart.push((first, last)),
        }
    }
    Some((Part::Class(apart, negated), behind))
}

fn with(mut ranges: Vec<(char, char)>, first: char, last: char) -> Vec<(char, char)> {
    if first <= last {
        ranges.push((first, last));
    }
    ranges
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
            ("*[!x]", "ax", false),
            ("[z-a]", "b", false),
            ("[c-ea-d]", "e", true),
            ("[[*", "[[a", true),
            ("a[", "a[", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(120) + "b";
        assert!(!matches(&pattern, &"a".repeat(255)));
    }

    #[test]
    fn long_classes_are_read_once() {
        let class = format!("[{}]", "ab".repeat(2000));
        let pattern = Pattern::of(&format!("*{}c", class.repeat(100)));
        let name = "a".repeat(255);
        for _ in 0..1000 {
            assert!(!pattern.matches(&name));
        }
        let open = "[".repeat(100_000);
        assert!(!matches(&open, "x"));
    }
}
