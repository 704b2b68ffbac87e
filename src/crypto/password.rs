//! Password hashes: ours, and those that accounts bring from other servers.

use std::fmt;
use std::num::NonZeroU32;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time;
use aws_lc_rs::pbkdf2;
use data_encoding::BASE64_NOPAD;
use sha_crypt::{PasswordVerifier, ShaCrypt};

use crate::domain::error::{Error, Result};
use crate::domain::random;
use crate::domain::secret::Secret;

/// Rounds of PBKDF2-HMAC-SHA-512 that new hashes get unless configured otherwise.
pub const DEFAULT_ROUNDS: u32 = 210_000;
/// Fewer rounds are never used for new hashes (NIST SP 800-132, 5.2).
pub const MIN_ROUNDS: u32 = 1_000;
/// More rounds (about ten seconds of a core) are refused.
pub const MAX_ROUNDS: u32 = 10_000_000;
/// A longer password is never right; whoever sets passwords refuses it.
pub const MAX_PASSWORD_BYTES: usize = 1_024;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// What a stored hash may cost to verify, so that one that was brought in cannot stop the server.
const MAX_ARGON2_MEMORY_KIB: u32 = 256 * 1024;
const MAX_ARGON2_PASSES: u32 = 16;
const MAX_ARGON2_LANES: u32 = 16;
const MAX_BCRYPT_COST: u32 = 15;
const MAX_SHA_CRYPT_ROUNDS: u32 = 5_000_000;
/// Those of a hash that says nothing of them.
const SHA_CRYPT_ROUNDS: u32 = 5_000;

/// A password's hash as it is stored: a PHC string, or a crypt(3) string that was brought in.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Takes a hash that was brought in or stored.
    ///
    /// # Errors
    /// Invalid, as [`check_format`].
    pub fn parse(stored: &str) -> Result<Self> {
        check_format(stored)?;
        Ok(Self(stored.to_owned()))
    }

    /// The string to store.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// What verifying a password came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password is right.
    Right,
    /// The password is right, and its hash of a scheme that [`hash`] does not make: store a new one.
    RightButOld,
    /// The password is wrong.
    Wrong,
}

/// Hashes a password with a fresh salt: `$pbkdf2-sha512$i=210000$<salt>$<hash>`.
///
/// Takes about 0.2 s at [`DEFAULT_ROUNDS`]; `rounds` outside [`MIN_ROUNDS`] to [`MAX_ROUNDS`] become the nearest that is
/// inside.
pub fn hash(password: &Secret, rounds: u32) -> PasswordHash {
    let rounds = rounds.clamp(MIN_ROUNDS, MAX_ROUNDS);
    let salt = random::bytes::<SALT_BYTES>();
    let mut hash = [0; HASH_BYTES];
    derive(password, rounds, &salt, &mut hash);
    let (salt, hash) = (BASE64_NOPAD.encode(&salt), BASE64_NOPAD.encode(&hash));
    PasswordHash(format!("$pbkdf2-sha512$i={rounds}${salt}${hash}"))
}

/// Whether somebody may have this password from now on, which is to have `least` characters.
///
/// # Errors
/// Invalid when it is empty, too short or too long.
pub fn check_new(password: &Secret, least: usize) -> Result<()> {
    let bytes = password.expose();
    // What is not UTF-8 has a character of another set in each byte.
    let characters = std::str::from_utf8(bytes).map_or(bytes.len(), |text| text.chars().count());
    match bytes.len() {
        0 => Err(Error::invalid("the password is empty; give one")),
        length if length > MAX_PASSWORD_BYTES => Err(Error::invalid(format!(
            "the password is longer than {MAX_PASSWORD_BYTES} bytes; give a shorter one"
        ))),
        _ if characters < least => Err(Error::invalid(format!(
            "the password has fewer than {least} characters; give a longer one"
        ))),
        _ => Ok(()),
    }
}

/// Compares a password with a stored hash, at the hash's cost.
///
/// # Errors
/// Invalid when the stored hash is of no scheme we verify, or would cost too much.
pub fn verify(password: &Secret, stored: &str) -> Result<Verdict> {
    let scheme = Scheme::parse(stored)?;
    let password_bytes = password.expose();
    if password_bytes.len() > MAX_PASSWORD_BYTES {
        return Ok(Verdict::Wrong);
    }
    let right = match &scheme {
        Scheme::Argon2id { params, salt, hash } => {
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
            let mut computed = vec![0; hash.len()];
            argon2
                .hash_password_into(password_bytes, salt, &mut computed)
                .map_err(|error| unknown(error.to_string()))?;
            equal(&computed, hash)
        }
        Scheme::Bcrypt { .. } => {
            bcrypt::verify(password_bytes, stored).map_err(|error| unknown(error.to_string()))?
        }
        Scheme::Pbkdf2 { rounds, salt, hash } => {
            let mut computed = vec![0; hash.len()];
            derive(password, *rounds, salt, &mut computed);
            equal(&computed, hash)
        }
        Scheme::ShaCrypt { .. } => {
            match ShaCrypt::default().verify_password(password_bytes, stored) {
                Ok(()) => true,
                Err(sha_crypt::password_hash::Error::PasswordInvalid) => false,
                Err(error) => return Err(unknown(error.to_string())),
            }
        }
    };
    Ok(match (right, scheme) {
        (false, _) => Verdict::Wrong,
        (true, Scheme::Pbkdf2 { .. }) => Verdict::Right,
        (true, _) => Verdict::RightButOld,
    })
}

/// Takes as long as is missing from a comparison with a stored hash to one with a hash of `rounds`, so that the cost
/// does not tell what is stored.
pub fn make_up(password: &Secret, stored: &str, rounds: u32) {
    let missing = missing(stored, rounds);
    if missing > 0 && password.expose().len() <= MAX_PASSWORD_BYTES {
        let mut nothing = [0; HASH_BYTES];
        derive(password, missing, &[0; SALT_BYTES], &mut nothing);
        std::hint::black_box(nothing);
    }
}

/// How many rounds of PBKDF2 a comparison with a stored hash takes less than one with a hash of `rounds`.
fn missing(stored: &str, rounds: u32) -> u32 {
    let wanted = rounds.clamp(MIN_ROUNDS, MAX_ROUNDS);
    Scheme::parse(stored).map_or(0, |scheme| wanted.saturating_sub(scheme.rounds_alike()))
}

/// Whether a stored hash is such as [`hash`] makes with `rounds`: when not, the next right
/// password is worth hashing anew.
pub fn is_current(stored: &str, rounds: u32) -> bool {
    let wanted = rounds.clamp(MIN_ROUNDS, MAX_ROUNDS);
    match Scheme::parse(stored) {
        Ok(Scheme::Pbkdf2 { rounds, salt, hash }) => {
            rounds == wanted && salt.len() == SALT_BYTES && hash.len() == HASH_BYTES
        }
        _ => false,
    }
}

/// Checks that [`verify`] will understand a hash and can afford it.
///
/// # Errors
/// Invalid, with the schemes that are known or the limit that is passed.
pub fn check_format(stored: &str) -> Result<()> {
    Scheme::parse(stored).map(|_| ())
}

enum Scheme {
    Argon2id {
        params: Params,
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
    Bcrypt {
        cost: u32,
    },
    Pbkdf2 {
        rounds: u32,
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
    ShaCrypt {
        rounds: u32,
    },
}

impl Scheme {
    fn parse(stored: &str) -> Result<Self> {
        let fields: Vec<_> = stored.split('$').collect();
        match fields.as_slice() {
            ["", "pbkdf2-sha512", parameters, salt, hash] => pbkdf2_scheme(parameters, salt, hash),
            ["", "argon2id", "v=19", parameters, salt, hash] => {
                argon2_scheme(parameters, salt, hash)
            }
            ["", "2a" | "2b" | "2y", cost, salt_and_hash] => bcrypt_scheme(cost, salt_and_hash),
            ["", "6", salt, hash] => sha_crypt_scheme(None, salt, hash),
            ["", "6", rounds, salt, hash] => sha_crypt_scheme(Some(rounds), salt, hash),
            _ => Err(unknown("no known prefix")),
        }
    }

    /// About how many rounds of PBKDF2 a comparison costs: exactly for PBKDF2, and for the others as measured on one
    /// core of x86-64, so that little is left to be told by.
    fn rounds_alike(&self) -> u32 {
        match self {
            Self::Argon2id { params, .. } => {
                let blocks = params.m_cost().saturating_mul(params.t_cost());
                blocks.saturating_add(blocks / 5)
            }
            Self::Bcrypt { cost } => 125_u32.saturating_mul(1 << cost),
            Self::Pbkdf2 { rounds, .. } => *rounds,
            Self::ShaCrypt { rounds } => rounds / 20 * 9,
        }
    }
}

fn pbkdf2_scheme(parameters: &str, salt: &str, hash: &str) -> Result<Scheme> {
    let (mut rounds, mut length) = (None, None);
    for (name, value) in numbers(parameters)? {
        match name {
            "i" if rounds.is_none() => rounds = Some(value),
            "l" if length.is_none() => length = Some(value),
            _ => return Err(unknown("parameters of pbkdf2-sha512")),
        }
    }
    let rounds = rounds.ok_or_else(|| unknown("no rounds"))?;
    at_most("rounds", rounds, MAX_ROUNDS)?;
    if rounds == 0 {
        return Err(unknown("no rounds"));
    }
    let (salt, hash) = (base64(salt, 8..=64)?, base64(hash, 16..=64)?);
    if length.is_some_and(|length| length as usize != hash.len()) {
        return Err(unknown("length of pbkdf2-sha512"));
    }
    Ok(Scheme::Pbkdf2 { rounds, salt, hash })
}

fn argon2_scheme(parameters: &str, salt: &str, hash: &str) -> Result<Scheme> {
    let (mut memory, mut passes, mut lanes) = (None, None, None);
    for (name, value) in numbers(parameters)? {
        match name {
            "m" if memory.is_none() => memory = Some(value),
            "t" if passes.is_none() => passes = Some(value),
            "p" if lanes.is_none() => lanes = Some(value),
            _ => return Err(unknown("parameters of argon2id")),
        }
    }
    let (Some(memory), Some(passes), Some(lanes)) = (memory, passes, lanes) else {
        return Err(unknown("parameters of argon2id"));
    };
    at_most("memory in KiB", memory, MAX_ARGON2_MEMORY_KIB)?;
    at_most("passes", passes, MAX_ARGON2_PASSES)?;
    at_most("lanes", lanes, MAX_ARGON2_LANES)?;
    let (salt, hash) = (base64(salt, 8..=64)?, base64(hash, 16..=64)?);
    let params = Params::new(memory, passes, lanes, Some(hash.len()))
        .map_err(|error| unknown(error.to_string()))?;
    Ok(Scheme::Argon2id { params, salt, hash })
}

fn bcrypt_scheme(cost: &str, salt_and_hash: &str) -> Result<Scheme> {
    if cost.len() != 2 || salt_and_hash.len() != 53 || !salt_and_hash.bytes().all(is_crypt_digit) {
        return Err(unknown("bcrypt"));
    }
    let cost = number(cost)?;
    at_most("cost", cost, MAX_BCRYPT_COST)?;
    match cost < 4 {
        true => Err(unknown("bcrypt of too little cost")),
        false => Ok(Scheme::Bcrypt { cost }),
    }
}

fn sha_crypt_scheme(rounds: Option<&str>, salt: &str, hash: &str) -> Result<Scheme> {
    let rounds = match rounds {
        Some(rounds) => {
            let digits = rounds.strip_prefix("rounds=");
            number(digits.ok_or_else(|| unknown("rounds of sha512-crypt"))?)?
        }
        None => SHA_CRYPT_ROUNDS,
    };
    at_most("rounds", rounds, MAX_SHA_CRYPT_ROUNDS)?;
    if rounds < 1_000 {
        return Err(unknown("sha512-crypt of too few rounds"));
    }
    let well_formed = (1..=16).contains(&salt.len())
        && hash.len() == 86
        && salt.bytes().chain(hash.bytes()).all(is_crypt_digit);
    match well_formed {
        true => Ok(Scheme::ShaCrypt { rounds }),
        false => Err(unknown("sha512-crypt")),
    }
}

fn is_crypt_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/')
}

/// Reads `name=number` pairs between commas.
fn numbers(parameters: &str) -> Result<Vec<(&str, u32)>> {
    let pairs = parameters.split(',').map(|pair| {
        let (name, value) = pair.split_once('=').ok_or_else(|| unknown("parameters"))?;
        Ok((name, number(value)?))
    });
    pairs.collect()
}

fn number(text: &str) -> Result<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| unknown("a number"))
}

fn base64(text: &str, lengths: std::ops::RangeInclusive<usize>) -> Result<Vec<u8>> {
    let bytes = BASE64_NOPAD.decode(text.as_bytes());
    let bytes = bytes.map_err(|error| unknown(error.to_string()))?;
    match lengths.contains(&bytes.len()) {
        true => Ok(bytes),
        false => Err(unknown("length of salt or hash")),
    }
}

fn derive(password: &Secret, rounds: u32, salt: &[u8], out: &mut [u8]) {
    let rounds = NonZeroU32::new(rounds).unwrap_or(NonZeroU32::MIN);
    let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
    pbkdf2::derive(algorithm, rounds, salt, password.expose(), out);
}

fn equal(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

fn at_most(what: &str, value: u32, limit: u32) -> Result<()> {
    match value > limit {
        true => Err(Error::invalid(format!(
            "the password hash costs too much: {what} {value}, and at most {limit} are verified here"
        ))),
        false => Ok(()),
    }
}

fn unknown(cause: impl Into<String>) -> Error {
    let context = "the password hash must be $pbkdf2-sha512$, $argon2id$v=19$, bcrypt ($2a$, $2b$, $2y$) or sha512-crypt ($6$)";
    Error::invalid(context).because(cause.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "correct horse \u{e9}";
    /// Like names that do not exist: a wrong password costs as much as one that is hashed now.
    #[test]
    fn what_a_cheaper_hash_saves_is_made_up_for_and_no_more() {
        assert_eq!(missing(PBKDF2, 5_000), 3_000);
        assert_eq!(missing(PBKDF2, 2_000), 0);
        assert_eq!(missing(PBKDF2, 1_000), 0);
        for cheap in FOREIGN {
            let missing = missing(cheap, DEFAULT_ROUNDS);
            assert!(
                (DEFAULT_ROUNDS / 2..DEFAULT_ROUNDS).contains(&missing),
                "{cheap}"
            );
        }
        let dear = FOREIGN[2].replace("$04$", "$12$");
        assert_eq!(missing(&dear, DEFAULT_ROUNDS), 0);
        assert_eq!(missing("no hash", DEFAULT_ROUNDS), 0);
        make_up(&Secret::new("x"), PBKDF2, 5_000);
    }

    const PBKDF2: &str =
        "$pbkdf2-sha512$i=2000$MDEyMzQ1Njc4OWFiY2RlZg$orgl9fNaI/i+6/3cyAKrv+4HCo8ngXXTRuiS5i9lEps";

    /// Made by Python's hashlib and crypt, argon2-cffi and bcrypt.
    const FOREIGN: [&str; 9] = [
        "$argon2id$v=19$m=256,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$U0eOBEEICDbiJprnHm1zBFs1X7/mC5R+UcAXrRyDdm4",
        "$argon2id$v=19$m=256,t=1,p=4$MDEyMzQ1Njc4OWFiY2RlZg$HM9HavOZ8lMlGPAsZhUNiw",
        "$2a$04$iSSMW3Urm0KQxuFrYCk62uo.dK0S4g9.SwlLu.UVt8r.C79x9qQ6q",
        "$2b$04$QFYpL3urrSVMdHQOZjYP9O/Lqpy/fiUxPbeRYJo3IFD8hMbzn31A2",
        "$2y$04$QFYpL3urrSVMdHQOZjYP9O/Lqpy/fiUxPbeRYJo3IFD8hMbzn31A2",
        "$6$saltstring$Vy1qkR4howG25g0MrA26uBcI9k9c5cxzfoR6VfYPEDH6Qz8CJGsLsSf6i7jmz6/3LKpWlmhxHaJqvorDx2KhI.",
        "$6$rounds=1500$saltstringsaltst$xKoCPQ/Ke9kEE0ZQnhZ1O5rAOTU3oscXgP3iVEJvsUYfwqfsvb64puJ2VdlunuLIp.vRlq3.aTjX1rgujLPsN0",
        PBKDF2,
        "$pbkdf2-sha512$i=2000,l=64$MDEyMzQ1Njc4OWFiY2RlZg$orgl9fNaI/i+6/3cyAKrv+4HCo8ngXXTRuiS5i9lEpvxsmbgaSKRl4dK4kWCkO/0Q6CppuI9sAFP8TQqKAjaBw",
    ];

    fn secret(text: &str) -> Secret {
        Secret::new(text)
    }

    #[test]
    fn a_hash_verifies_its_password_only() {
        let stored = hash(&secret("s3cret"), MIN_ROUNDS);
        let again = hash(&secret("s3cret"), MIN_ROUNDS);
        assert_ne!(stored, again);
        assert!(stored.as_str().starts_with("$pbkdf2-sha512$i=1000$"));
        let verify = |password: &str| verify(&secret(password), stored.as_str()).unwrap();
        assert_eq!(verify("s3cret"), Verdict::Right);
        for wrong in ["", "s3cre", "s3cret ", "S3cret"] {
            assert_eq!(verify(wrong), Verdict::Wrong);
        }
        assert_eq!(format!("{stored:?}"), "<secret>");
    }

    #[test]
    fn hashes_made_by_others_verify() {
        for stored in FOREIGN {
            let right = verify(&secret(PASSWORD), stored).unwrap();
            let expected = match stored.starts_with("$pbkdf2") {
                true => Verdict::Right,
                false => Verdict::RightButOld,
            };
            assert_eq!(right, expected, "{stored}");
            let wrong = verify(&secret("correct horse e"), stored).unwrap();
            assert_eq!(wrong, Verdict::Wrong, "{stored}");
            assert_eq!(PasswordHash::parse(stored).unwrap().as_str(), stored);
        }
    }

    #[test]
    fn only_a_hash_of_the_wanted_rounds_is_current() {
        assert!(is_current(PBKDF2, 2_000));
        assert!(!is_current(PBKDF2, DEFAULT_ROUNDS));
        assert!(!is_current(FOREIGN[0], 2_000));
        assert!(!is_current(FOREIGN[8], 2_000));
        let stored = hash(&secret("x"), 1);
        assert!(is_current(stored.as_str(), 1));
    }

    #[test]
    fn hashes_that_cost_too_much_are_refused_with_the_limit() {
        for (stored, limit) in [
            (PBKDF2.replace("2000", "4000000000"), "10000000"),
            (FOREIGN[0].replace("m=256", "m=1048576"), "262144"),
            (FOREIGN[0].replace("t=2", "t=1000000"), "16"),
            (FOREIGN[0].replace("p=1", "p=1000"), "16"),
            (FOREIGN[3].replace("$04$", "$31$"), "15"),
            (FOREIGN[6].replace("1500", "999999999"), "5000000"),
        ] {
            let error = verify(&secret("x"), &stored).unwrap_err();
            let text = error.context();
            assert!(text.contains("costs too much"), "{stored}: {text}");
            assert!(text.contains(&format!("at most {limit} ")), "{text}");
        }
    }

    #[test]
    fn what_is_no_hash_is_refused_without_panic() {
        let mut random = fastrand::Rng::with_seed(3);
        for stored in FOREIGN {
            for _ in 0..300 {
                let mut bytes = stored.as_bytes().to_vec();
                match random.u8(0..3) {
                    0 => bytes.truncate(random.usize(0..bytes.len())),
                    1 => drop(bytes.remove(random.usize(0..bytes.len()))),
                    _ => bytes.insert(random.usize(0..bytes.len()), b'$'),
                }
                drop(check_format(&String::from_utf8(bytes).unwrap()));
            }
        }
        for stored in [
            "",
            "$",
            "plain",
            "$1$abc$def",
            "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8",
            "$argon2i$v=19$m=256,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$E22Y60LIZw7ZBVNt4cvDNJpkf7/hIpLNuO+svO/fwQU",
            "$argon2id$v=16$m=256,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$U0eOBEEICDbiJprnHm1zBFs1X7/mC5R+UcAXrRyDdm4",
            &PBKDF2.replace("i=2000", "i=0"),
            &PBKDF2.replace("i=2000", "i=+2000"),
            &PBKDF2.replace("i=2000", "i=2000,i=1"),
            &FOREIGN[0].replace("m=256", "m=1"),
            &FOREIGN[3].replace("$04$", "$03$"),
            &FOREIGN[3].replace('Q', "\u{e9}"),
        ] {
            let error = verify(&secret("x"), stored).unwrap_err();
            assert!(error.context().contains("must be"), "{stored}: {error}");
        }
    }

    #[test]
    fn an_endless_password_is_wrong_at_once() {
        let long = "x".repeat(MAX_PASSWORD_BYTES + 1);
        let stored = hash(&secret(&long), MIN_ROUNDS);
        let verdict = verify(&secret(&long), stored.as_str()).unwrap();
        assert_eq!(verdict, Verdict::Wrong);
    }
}
