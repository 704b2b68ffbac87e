//! What the bytes of names mean: UTF-8 (RFC 2640), or what an old client speaks instead.

use std::borrow::Cow;

use encoding_rs::Encoding;

/// How names and texts are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charset(Option<&'static Encoding>);

impl Charset {
    /// UTF-8, and nothing else is a name.
    pub const UTF_8: Self = Self(None);

    /// The character set of this name, as the Encoding Standard has them (`shift_jis`, `euc-kr`,
    /// `latin1`); none for those that are unknown or do not hold ASCII.
    pub fn named(name: &str) -> Option<Self> {
        let encoding = Encoding::for_label(name.trim().as_bytes())?;
        match encoding {
            _ if encoding == encoding_rs::UTF_8 => Some(Self::UTF_8),
            _ if encoding.is_ascii_compatible() => Some(Self(Some(encoding))),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.map_or("UTF-8", Encoding::name)
    }

    /// The text that bytes stand for; none when they are not of this character set.
    pub fn decode(self, bytes: &[u8]) -> Option<String> {
        match self.0 {
            None => String::from_utf8(bytes.to_vec()).ok(),
            Some(encoding) => {
                let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
                Some(text.into_owned())
            }
        }
    }

    /// The bytes of a text. What the character set lacks becomes `?`.
    pub fn encode(self, text: &str) -> Cow<'_, [u8]> {
        let Some(encoding) = self.0 else {
            return Cow::Borrowed(text.as_bytes());
        };
        let (bytes, _, lacks) = encoding.encode(text);
        if !lacks {
            return Cow::Owned(bytes.into_owned());
        }
        let mut out = Vec::with_capacity(text.len());
        for c in text.chars() {
            let mut one = [0; 4];
            match encoding.encode(c.encode_utf8(&mut one)) {
                (_, _, true) => out.push(b'?'),
                (bytes, _, false) => out.extend_from_slice(&bytes),
            }
        }
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for (charset, text, bytes) in [
            ("utf-8", "\u{e4}", b"\xc3\xa4".as_slice()),
            ("latin1", "\u{e4}", b"\xe4"),
            ("Shift_JIS", "\u{8868}", b"\x95\x5c"),
            ("euc-kr", "\u{ac00}", b"\xb0\xa1"),
        ] {
            let charset = Charset::named(charset).unwrap();
            assert_eq!(charset.encode(text), bytes);
            assert_eq!(charset.decode(bytes).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_not_of_the_character_set_is_no_name() {
        assert_eq!(Charset::UTF_8.decode(b"\xe4"), None);
        assert_eq!(Charset::named("shift_jis").unwrap().decode(b"\x81"), None);
        assert_eq!(Charset::named("utf-16le"), None);
        assert_eq!(Charset::named("klingon"), None);
        let latin = Charset::named("latin1").unwrap();
        assert_eq!(latin.encode("a\u{8868}\u{e4}"), b"a?\xe4".as_slice());
    }
}
