//! How scp at the other end calls scp at this one.

use crate::sftp::scp_line::message;
use crate::sftp::words::Word;

/// How the client's scp was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// -r: folders with all that is in them.
    pub recursive: bool,
    /// -p: times and modes too.
    pub preserve: bool,
    /// -d: the target has to be a folder.
    pub to_folder: bool,
}

/// Which way files go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// -f: we send.
    From,
    /// -t: we receive.
    To,
}

/// Reads the words after `scp`: which way, how, and the paths, of which there is at least one.
///
/// # Errors
/// A sentence for the client.
pub fn parse(words: &[Word]) -> Result<(Direction, Options, Vec<Word>), String> {
    let mut options = Options::default();
    let mut direction = None;
    let mut rest = words;
    while let [first, after @ ..] = rest {
        let Some(letters) = first.bytes.strip_prefix(b"-") else {
            break;
        };
        if letters.is_empty() {
            break;
        }
        rest = after;
        if letters == b"-" {
            break;
        }
        for letter in letters {
            match letter {
                b'd' => options.to_folder = true,
                b'f' => direction = Some(Direction::From),
                b'p' => options.preserve = true,
                b'q' | b'v' => {}
                b'r' => options.recursive = true,
                b't' => direction = Some(Direction::To),
                other => {
                    let option = message(&[*other]);
                    return Err(format!("the option '-{option}' is not offered"));
                }
            }
        }
    }
    let direction = direction
        .ok_or("only what the scp program at the other end asks for (-t and -f) is offered here")?;
    // `host:` is the home folder.
    let home = |word: &Word| match word.bytes.is_empty() {
        true => Word {
            bytes: b".".to_vec(),
            ..Word::default()
        },
        false => word.clone(),
    };
    let mut paths: Vec<_> = rest.iter().map(home).collect();
    if paths.is_empty() {
        paths.push(home(&Word::default()));
    }
    Ok((direction, options, paths))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sftp::words;

    fn called(line: &str) -> Result<(Direction, Options, Vec<String>), String> {
        let command = words::parse(line.as_bytes()).unwrap().remove(0);
        let (direction, options, paths) = parse(&command.words[1..])?;
        let text = |word: &Word| String::from_utf8(word.bytes.clone()).unwrap();
        Ok((direction, options, paths.iter().map(text).collect()))
    }

    #[test]
    fn clients_are_understood() {
        let (direction, options, paths) = called(r"scp -v -r -p -d -t -- -a\ b").unwrap();
        assert_eq!(direction, Direction::To);
        assert!(options.recursive && options.preserve && options.to_folder);
        assert_eq!(paths, ["-a b"]);
        let (direction, options, paths) = called("scp -rpf a 'b c' ''").unwrap();
        assert_eq!(direction, Direction::From);
        assert!(options.recursive && options.preserve && !options.to_folder);
        assert_eq!(paths, ["a", "b c", "."]);
        assert_eq!(called("scp -t").unwrap().2, ["."]);
    }

    #[test]
    fn what_is_not_one_end_of_a_transfer_is_refused() {
        for line in [
            "scp",
            "scp a b",
            "scp -S evil -t x",
            "scp -o x -t y",
            "scp -3 a b",
        ] {
            assert!(called(line).is_err(), "{line}");
        }
    }
}
