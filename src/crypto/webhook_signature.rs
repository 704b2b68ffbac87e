//! Signatures of what is sent to webhooks: the scheme of "Standard Webhooks", HMAC-SHA256 over
//! `id.timestamp.body`.

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use zeroize::Zeroizing;

use crate::domain::error::{Error, Result};
use crate::domain::random;

/// Bytes of a secret.
const SECRET_BYTES: usize = 32;
const PREFIX: &str = "whsec_";

/// A secret that signs.
pub struct SigningSecret(Zeroizing<Vec<u8>>);

impl SigningSecret {
    /// Draws one.
    pub fn random() -> Self {
        Self(Zeroizing::new(random::bytes::<SECRET_BYTES>().to_vec()))
    }

    /// Takes one that was stored.
    pub fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes, as they are stored.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Its text, as receivers are given it.
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}", BASE64.encode(&self.0)))
    }

    /// Reads the text.
    ///
    /// # Errors
    /// Invalid when it is none, or shorter than 24 or longer than 64 bytes.
    pub fn parse(text: &str) -> Result<Self> {
        let bytes = text.strip_prefix(PREFIX);
        let bytes = bytes.and_then(|text| BASE64.decode(text.as_bytes()).ok());
        match bytes.filter(|bytes| (24..=64).contains(&bytes.len())) {
            Some(bytes) => Ok(Self(Zeroizing::new(bytes))),
            None => Err(Error::invalid(
                "a secret is whsec_ and base64 of 24 to 64 random bytes",
            )),
        }
    }

    /// One signature of a message.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut context = hmac::Context::with_key(&key);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", BASE64.encode(context.sign().as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's libraries.
    #[test]
    fn a_signature_is_the_one_that_others_make() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_survives_its_text_form() {
        let secret = SigningSecret::random();
        let again = SigningSecret::parse(&secret.text()).unwrap();
        assert_eq!(secret.expose(), again.expose());
        for text in [
            "",
            "whsec_",
            "whsec_AAAA",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            assert!(SigningSecret::parse(text).is_err(), "{text}");
        }
    }
}
