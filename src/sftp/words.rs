//! Command lines as clients send them for exec: words with quotes and backslashes, commands joined by
//! `;` and `&&`. Nothing is expanded and nothing is run but what we know.

use crate::domain::error::{Error, ErrorKind, Result};

/// Longest line, in bytes: a few dozen of the longest paths.
const MAX_LINE_BYTES: usize = 96 * 1024;
/// Most words of a line.
const MAX_WORDS: usize = 4096;

/// A word of a command.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Word {
    /// Its bytes, without quotes and backslashes.
    pub bytes: Vec<u8>,
    /// Whether it starts with a tilde that no quote takes its meaning from.
    pub from_home: bool,
    /// Whether it has a `*`, `?` or `[` that no quote takes its meaning from.
    pub is_pattern: bool,
}

/// When a command is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Whatever happened before.
    Always,
    /// When the one before succeeded.
    Success,
}

/// A command of a line: at least one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// When it is done.
    pub when: When,
    /// Its name and what follows.
    pub words: Vec<Word>,
}

/// Takes a line apart.
///
/// # Errors
/// Invalid when it is too long or a quote has no end; Unsupported when it asks for a shell.
pub fn parse(line: &[u8]) -> Result<Vec<Command>> {
    if line.len() > MAX_LINE_BYTES {
        return Err(Error::invalid(format!(
            "a command of {} bytes is too long; {MAX_LINE_BYTES} are taken",
            line.len()
        )));
    }
    let mut parser = Parser {
        line: line.iter().copied(),
        commands: Vec::new(),
        when: When::Always,
        words: Vec::new(),
        word: None,
        count: 0,
    };
    while let Some(byte) = parser.line.next() {
        parser.take(byte)?;
    }
    parser.end_command()?;
    Ok(parser.commands)
}

struct Parser<Line> {
    line: Line,
    commands: Vec<Command>,
    when: When,
    words: Vec<Word>,
    word: Option<Word>,
    count: usize,
}

impl<Line: Iterator<Item = u8> + Clone> Parser<Line> {
    fn take(&mut self, byte: u8) -> Result<()> {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => self.end_word()?,
            b';' => {
                self.end_command()?;
                self.when = When::Always;
            }
            b'&' => {
                if self.line.next() != Some(b'&') {
                    return Err(no_shell());
                }
                if self.words.is_empty() && self.word.is_none() {
                    return Err(Error::invalid("'&&' stands after a command"));
                }
                self.end_command()?;
                self.when = When::Success;
            }
            b'|' | b'<' | b'>' | b'(' | b')' | b'`' => return Err(no_shell()),
            b'\'' => self.single()?,
            b'"' => self.double()?,
            b'\\' => {
                let next = self.line.next().ok_or_else(cut)?;
                self.push(next);
            }
            b'$' => self.dollar()?,
            b'~' if self.word.is_none() => {
                self.push(byte);
                self.word.get_or_insert_default().from_home = true;
            }
            b'*' | b'?' | b'[' => {
                self.push(byte);
                self.word.get_or_insert_default().is_pattern = true;
            }
            _ => self.push(byte),
        }
        Ok(())
    }

    fn single(&mut self) -> Result<()> {
        self.word.get_or_insert_default();
        loop {
            match self.line.next().ok_or_else(cut)? {
                b'\'' => return Ok(()),
                byte => self.push(byte),
            }
        }
    }

    fn double(&mut self) -> Result<()> {
        self.word.get_or_insert_default();
        loop {
            match self.line.next().ok_or_else(cut)? {
                b'"' => return Ok(()),
                b'`' => return Err(no_shell()),
                b'$' => self.dollar()?,
                b'\\' => match self.line.next().ok_or_else(cut)? {
                    byte @ (b'$' | b'`' | b'"' | b'\\') => self.push(byte),
                    byte => {
                        self.push(b'\\');
                        self.push(byte);
                    }
                },
                byte => self.push(byte),
            }
        }
    }

    /// Variables there are none: their names stay as they are, which is what rclone, looking for
    /// the kind of shell, expects of all but Windows.
    fn dollar(&mut self) -> Result<()> {
        if self.line.clone().next() == Some(b'(') {
            return Err(no_shell());
        }
        self.push(b'$');
        Ok(())
    }

    fn push(&mut self, byte: u8) {
        self.word.get_or_insert_default().bytes.push(byte);
    }

    fn end_word(&mut self) -> Result<()> {
        let Some(word) = self.word.take() else {
            return Ok(());
        };
        self.count += 1;
        if self.count > MAX_WORDS {
            return Err(Error::invalid(format!(
                "a command of more than {MAX_WORDS} words is too long"
            )));
        }
        self.words.push(word);
        Ok(())
    }

    fn end_command(&mut self) -> Result<()> {
        self.end_word()?;
        if self.words.is_empty() {
            return match self.when {
                When::Always => Ok(()),
                When::Success => Err(Error::invalid("a command stands after '&&'")),
            };
        }
        self.commands.push(Command {
            when: self.when,
            words: std::mem::take(&mut self.words),
        });
        Ok(())
    }
}

fn cut() -> Error {
    Error::invalid("a quote has no end")
}

fn no_shell() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "there is no shell here, so no pipes, redirections and the like",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<String>> {
        let text = |word: &Word| String::from_utf8(word.bytes.clone()).unwrap();
        let commands = parse(line.as_bytes()).unwrap();
        commands
            .iter()
            .map(|command| command.words.iter().map(text).collect())
            .collect()
    }

    #[test]
    fn words_are_those_of_a_shell() {
        for (line, expected) in [
            ("", vec![]),
            ("  ;; ;", vec![]),
            ("a  b\tc\n", vec![vec!["a", "b", "c"]]),
            (r"a\ b 'c  d' '' e''f", vec![vec!["a b", "c  d", "", "ef"]]),
            (r#""a\"b\\c\d" "it's""#, vec![vec![r#"a"b\c\d"#, "it's"]]),
            (r"a\'b 'x'\''y'", vec![vec!["a'b", "x'y"]]),
            (
                "cd /x && pwd; echo ${ShellId}%ComSpec%",
                vec![
                    vec!["cd", "/x"],
                    vec!["pwd"],
                    vec!["echo", "${ShellId}%ComSpec%"],
                ],
            ),
            (
                "md5sum a'\n'b \u{e4}",
                vec![vec!["md5sum", "a\nb", "\u{e4}"]],
            ),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn quotes_take_the_meaning_from_patterns_and_tildes() {
        let kinds = |line: &str| {
            let command = parse(line.as_bytes()).unwrap().remove(0);
            let kind = |word: &Word| (word.from_home, word.is_pattern);
            command.words.iter().map(kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds("~/*.txt"), [(true, true)]);
        assert_eq!(kinds(r"\~ '*' a~ \*"), [(false, false); 4]);
        assert_eq!(kinds("''~ a[b]"), [(false, false), (false, true)]);
    }

    #[test]
    fn what_takes_a_shell_or_has_no_end_is_refused() {
        for line in [
            "a | b",
            "a > b",
            "a < b",
            "a & b",
            "a &",
            "$(a)",
            "\"$(a)\"",
            "`a`",
            "\"`a`\"",
            "(a)",
            "'a",
            "\"a",
            "a\\",
            "a &&",
            "&& a",
            "a && ; b",
            "a && && b",
        ] {
            assert!(parse(line.as_bytes()).is_err(), "{line}");
        }
        assert!(parse(&vec![b'a'; 1 << 20]).is_err());
        assert!(parse(&b"a ".repeat(MAX_WORDS + 1)).is_err());
        assert!(parse(&b"a ".repeat(MAX_WORDS)).is_ok());
    }
}
