//! One-time codes by the clock (RFC 6238: SHA-1, 6 digits, 30 seconds), as authenticator apps make
//! them.

use aws_lc_rs::hmac;
use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use crate::domain::clock::Timestamp;
use crate::domain::random;

/// Digits of a code.
pub const DIGITS: usize = 6;
const STEP_SECONDS: i64 = 30;
/// How many steps a client's clock may be off, either way.
const WINDOW: i64 = 1;
/// RFC 4226 section 4 recommends 160 bits.
const SECRET_BYTES: usize = 20;

/// The secret that an authenticator app shares with the server.
pub struct TotpSecret(Zeroizing<Vec<u8>>);

impl TotpSecret {
    /// Draws a new one.
    pub fn random() -> Self {
        Self(Zeroizing::new(random::bytes::<SECRET_BYTES>().to_vec()))
    }

    /// Takes one from what [`TotpSecret::expose`] gave.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes, to be sealed.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// What authenticator apps read, as text or as a QR code. `account` is shown in the app.
    pub fn uri(&self, account: &str) -> Zeroizing<String> {
        let secret = Zeroizing::new(BASE32_NOPAD.encode(&self.0));
        let account = percent_encoded(account);
        Zeroizing::new(format!(
            "otpauth://totp/Sealift:{account}?secret={}&issuer=Sealift&algorithm=SHA1&digits=6&period=30",
            *secret
        ))
    }

    /// The time steps around `now` whose code this is, oldest first; mostly none or one.
    pub fn steps_of(&self, code: &str, now: Timestamp) -> Vec<i64> {
        let code = code.as_bytes();
        if code.len() != DIGITS || !code.iter().all(u8::is_ascii_digit) {
            return Vec::new();
        }
        let step = step_at(now);
        (step - WINDOW..=step + WINDOW)
            .filter(|step| {
                let right = self.code(*step);
                aws_lc_rs::constant_time::verify_slices_are_equal(right.as_bytes(), code).is_ok()
            })
            .collect()
    }

    /// The code of a time step.
    pub fn code(&self, step: i64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        // RFC 4226 section 5.3: four bytes from where the last half byte says.
        let offset = usize::from(tag.last().copied().unwrap_or(0) & 0xf);
        let bytes = tag.get(offset..offset + 4).and_then(|b| b.first_chunk());
        let number = u32::from_be_bytes(bytes.copied().unwrap_or_default()) & 0x7fff_ffff;
        format!("{:06}", number % 1_000_000)
    }
}

/// The time step of a time.
pub fn step_at(time: Timestamp) -> i64 {
    time.seconds().div_euclid(STEP_SECONDS)
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte);
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match plain(byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> TotpSecret {
        TotpSecret::new(Zeroizing::new(b"12345678901234567890".to_vec()))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B, the last six of its eight digits.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret().code(step_at(at(seconds))), code);
            assert_eq!(secret().steps_of(code, at(seconds)), [seconds / 30]);
        }
    }

    #[test]
    fn a_clock_may_be_off_by_one_step_and_no_more() {
        let now = at(1_234_567_890);
        let step = step_at(now);
        for (off, found) in [(-2, 0), (-1, 1), (0, 1), (1, 1), (2, 0)] {
            let code = secret().code(step + off);
            assert_eq!(secret().steps_of(&code, now).len(), found, "{off}");
        }
    }

    #[test]
    fn what_is_not_six_digits_is_no_code() {
        for text in ["", "5924", "0005924", "00592a", " 05924", "００５９２４"] {
            assert!(secret().steps_of(text, at(1_234_567_890)).is_empty());
        }
    }

    #[test]
    fn the_uri_is_what_authenticator_apps_read() {
        assert_eq!(
            *secret().uri("ann+x@acme"),
            "otpauth://totp/Sealift:ann%2Bx@acme?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Sealift&algorithm=SHA1&digits=6&period=30"
        );
    }
}
