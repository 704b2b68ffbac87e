//! Public keys as OpenSSH writes them into a file (`ssh-ed25519 AAAA... comment`).

use std::fmt;

use sha2::{Digest, Sha256};

use crate::domain::error::{Error, Result};

/// Shortest RSA key that is taken (NIST SP 800-131A).
const MIN_RSA_BITS: usize = 2048;
/// Longest, so that checking a signature stays cheap.
const MAX_RSA_BITS: usize = 16_384;
const MAX_COMMENT_BYTES: usize = 255;

/// A public key that may open an account.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// SSH's wire encoding (RFC 4253 section 6.6).
    pub blob: Vec<u8>,
    /// What stands behind it in the file.
    pub comment: String,
}

impl PublicKey {
    /// Reads a `.pub` file: one key, beside empty lines and comments.
    ///
    /// # Errors
    /// Invalid, with what is wrong with it and what to do.
    pub fn parse(text: &str) -> Result<Self> {
        if text.contains("PRIVATE KEY-----") {
            return Err(Error::invalid(
                "this is a private key: never give it away; add the public key, the file that ends in .pub",
            ));
        }
        if text.contains("---- BEGIN SSH2 PUBLIC KEY ----") {
            return Err(Error::invalid(
                "this key is in RFC 4716 form; convert it with 'ssh-keygen -i -f FILE'",
            ));
        }
        let mut lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let line = lines.next().ok_or_else(|| {
            Error::invalid("there is no key; give a line such as 'ssh-ed25519 AAAA... comment'")
        })?;
        if lines.next().is_some() {
            return Err(Error::invalid(
                "there are several keys; add them one by one",
            ));
        }
        parse_line(line)
    }

    /// Takes a key in SSH's wire encoding, by the rules for those in files.
    ///
    /// # Errors
    /// Invalid, with what is wrong with it.
    pub fn from_blob(blob: &[u8]) -> Result<Self> {
        let mut fields = Fields(blob);
        let word = std::str::from_utf8(fields.next().unwrap_or_default()).unwrap_or_default();
        check_word(word)?;
        check_fields(word, &mut fields)?;
        match fields.0.is_empty() {
            true => Ok(Self {
                blob: blob.to_owned(),
                comment: String::new(),
            }),
            false => Err(damaged()),
        }
    }

    /// The algorithm's name, as in the blob.
    pub fn algorithm(&self) -> &str {
        let mut fields = Fields(&self.blob);
        let name = fields.next().unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }

    /// `SHA256:...`, as OpenSSH prints it.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.blob)
    }
}

/// The fingerprint and the algorithm.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm(), self.fingerprint())
    }
}

/// The fingerprint of a key in wire encoding, as OpenSSH prints it.
pub fn fingerprint(blob: &[u8]) -> String {
    let digest = data_encoding::BASE64_NOPAD.encode(&Sha256::digest(blob));
    format!("SHA256:{digest}")
}

fn parse_line(line: &str) -> Result<PublicKey> {
    let mut words = line.splitn(3, [' ', '\t']);
    let (word, encoded) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let comment = words.next().unwrap_or("").trim();
    check_word(word)?;
    let blob = data_encoding::BASE64
        .decode(encoded.as_bytes())
        .map_err(|error| {
            Error::invalid("the key's base64 is damaged; copy the whole line again").because(error)
        })?;
    let mut fields = Fields(&blob);
    if fields.next() != Some(word.as_bytes()) {
        return Err(damaged());
    }
    check_fields(word, &mut fields)?;
    if !fields.0.is_empty() {
        return Err(damaged());
    }
    if comment.len() > MAX_COMMENT_BYTES || comment.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "the comment behind the key must be at most {MAX_COMMENT_BYTES} bytes of plain text; shorten it"
        )));
    }
    Ok(PublicKey {
        comment: comment.to_owned(),
        blob,
    })
}

fn check_word(word: &str) -> Result<()> {
    match word {
        "ssh-ed25519"
        | "ssh-rsa"
        | "ecdsa-sha2-nistp256"
        | "ecdsa-sha2-nistp384"
        | "ecdsa-sha2-nistp521"
        | "sk-ssh-ed25519@openssh.com"
        | "sk-ecdsa-sha2-nistp256@openssh.com" => Ok(()),
        "ssh-dss" => Err(Error::invalid(
            "DSA keys are too weak; make a new key with 'ssh-keygen -t ed25519'",
        )),
        _ if word.contains("-cert-v01@") => Err(Error::invalid(
            "this is a certificate; add the public key it was made for",
        )),
        _ => Err(Error::invalid(
            "this is not an OpenSSH public key; give a line that starts with ssh-ed25519, ssh-rsa, ecdsa-sha2-... or sk-..., without options before it",
        )),
    }
}

fn check_fields(word: &str, fields: &mut Fields<'_>) -> Result<()> {
    match word {
        "ssh-ed25519" => ed25519(fields),
        "sk-ssh-ed25519@openssh.com" => ed25519(fields).and_then(|()| application(fields)),
        "ecdsa-sha2-nistp384" => point(fields, b"nistp384", 97),
        "ecdsa-sha2-nistp521" => point(fields, b"nistp521", 133),
        "ssh-rsa" => rsa(fields),
        "sk-ecdsa-sha2-nistp256@openssh.com" => {
            point(fields, b"nistp256", 65).and_then(|()| application(fields))
        }
        _ => point(fields, b"nistp256", 65),
    }
}

fn ed25519(fields: &mut Fields<'_>) -> Result<()> {
    match fields.next() {
        Some(key) if key.len() == 32 => Ok(()),
        _ => Err(damaged()),
    }
}

fn point(fields: &mut Fields<'_>, curve: &[u8], length: usize) -> Result<()> {
    let named = fields.next() == Some(curve);
    match fields.next() {
        Some(point) if named && point.len() == length && point.first() == Some(&4) => Ok(()),
        _ => Err(damaged()),
    }
}

/// What a security key was registered for, usually `ssh:`.
fn application(fields: &mut Fields<'_>) -> Result<()> {
    fields.next().map(|_| ()).ok_or_else(damaged)
}

fn rsa(fields: &mut Fields<'_>) -> Result<()> {
    let (Some(exponent), Some(modulus)) = (fields.next(), fields.next()) else {
        return Err(damaged());
    };
    let bits = bits(modulus);
    if bits < MIN_RSA_BITS {
        return Err(Error::invalid(format!(
            "this RSA key has {bits} bits, which is too weak; use {MIN_RSA_BITS} or more, or 'ssh-keygen -t ed25519'"
        )));
    }
    if bits > MAX_RSA_BITS {
        return Err(Error::invalid(format!(
            "this RSA key has {bits} bits; use at most {MAX_RSA_BITS}"
        )));
    }
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    match odd(modulus) && odd(exponent) && self::bits(exponent) > 1 {
        true => Ok(()),
        false => Err(damaged()),
    }
}

/// The length of a number in bits, its leading zeros left out.
fn bits(number: &[u8]) -> usize {
    let start = number.iter().position(|byte| *byte != 0);
    let digits = start.and_then(|start| number.get(start..)).unwrap_or(&[]);
    let first = digits.first().map_or(0, |byte| byte.leading_zeros());
    (digits.len() * 8).saturating_sub(first as usize)
}

fn damaged() -> Error {
    Error::invalid(
        "the key is damaged: its inside does not fit its name; copy the whole line again",
    )
}

/// The length-prefixed fields of a blob.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (field, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(word: &str, fields: &[&[u8]]) -> String {
        let mut blob = Vec::new();
        for field in [&[word.as_bytes()], fields].concat() {
            blob.extend_from_slice(&u32::try_from(field.len()).unwrap().to_be_bytes());
            blob.extend_from_slice(field);
        }
        format!("{word} {} me@host", data_encoding::BASE64.encode(&blob))
    }

    fn refusal(text: &str) -> String {
        PublicKey::parse(text).unwrap_err().context().to_owned()
    }

    #[test]
    fn a_key_is_read_with_the_fingerprint_openssh_prints() {
        let text = "# mine\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl github\n";
        let key = PublicKey::parse(text).unwrap();
        assert_eq!(
            key.fingerprint(),
            "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
        );
        assert_eq!(
            (key.algorithm(), key.comment.as_str()),
            ("ssh-ed25519", "github")
        );
    }

    #[test]
    fn all_kinds_of_good_keys_are_taken() {
        let (mut rsa, exponent) = (vec![0xff; 256], [1, 0, 1]);
        rsa.insert(0, 0);
        let point = |length: usize| [vec![4], vec![7; length - 1]].concat();
        for text in [
            line("ssh-ed25519", &[&[7; 32]]),
            line("ssh-rsa", &[&exponent, &rsa]),
            line("ecdsa-sha2-nistp256", &[b"nistp256", &point(65)]),
            line("ecdsa-sha2-nistp384", &[b"nistp384", &point(97)]),
            line("ecdsa-sha2-nistp521", &[b"nistp521", &point(133)]),
            line("sk-ssh-ed25519@openssh.com", &[&[7; 32], b"ssh:"]),
            line(
                "sk-ecdsa-sha2-nistp256@openssh.com",
                &[b"nistp256", &point(65), b"ssh:"],
            ),
        ] {
            PublicKey::parse(&text).unwrap();
        }
    }

    #[test]
    fn weak_keys_are_refused_with_what_to_do() {
        let short = line("ssh-rsa", &[&[1, 0, 1], &[0xff; 128]]);
        assert!(refusal(&short).contains("1024 bits"));
        assert!(refusal(&line("ssh-dss", &[&[1]])).contains("ssh-keygen -t ed25519"));
    }

    #[test]
    fn a_private_key_is_refused_with_a_warning() {
        let text = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----";
        assert!(refusal(text).starts_with("this is a private key"));
    }

    #[test]
    fn a_key_that_is_not_what_it_says_is_refused() {
        let honest = line("ssh-ed25519", &[&[7; 32]]);
        let encoded = honest.split(' ').nth(1).unwrap();
        assert!(refusal(&format!("ecdsa-sha2-nistp256 {encoded}")).contains("damaged"));
        assert!(refusal(&line("ssh-ed25519", &[&[7; 31]])).contains("damaged"));
        assert!(refusal(&line("ssh-ed25519", &[&[7; 32], b"more"])).contains("damaged"));
        assert!(refusal("ssh-ed25519 AAA=B").contains("damaged"));
        assert!(refusal("from=\"1.2.3.4\" ssh-ed25519 AAAA").contains("without options"));
        assert!(refusal("").contains("there is no key"));
        assert!(refusal(&format!("{honest}\n{honest}")).contains("several"));
    }
}
