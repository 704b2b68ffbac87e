//! Why a key service did not do what it was asked, and what clients are told.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};

use crate::domain::error::{Error, ErrorKind};

/// What went wrong, as far as it matters to what is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The service's certificate is not trusted.
    Certificate,
    /// This machine's clock or the service's is wrong.
    ClockSkew,
    /// Who we say we are is not believed, or we have nothing to say it with.
    Credentials,
    /// The key awaits its deletion.
    Deleting,
    /// We may not do this with this key.
    Denied,
    /// The key is disabled.
    Disabled,
    /// The key is of another kind than is needed here.
    KeyUsage,
    /// There is no such key.
    Missing,
    /// The service is there and fails, or has too much to do.
    Overloaded,
    /// Any other refusal.
    Refused,
    /// Nobody answers.
    Silent,
    /// What answers is no key service.
    Stranger,
    /// The ciphertext is not one of this key and context.
    Undecipherable,
}

impl Trouble {
    /// Whether the service was asked and said no, so that what is in memory must not be used either.
    pub fn is_refusal(self) -> bool {
        match self {
            Self::Deleting
            | Self::Denied
            | Self::Disabled
            | Self::KeyUsage
            | Self::Missing
            | Self::Refused
            | Self::Undecipherable => true,
            Self::Certificate
            | Self::ClockSkew
            | Self::Credentials
            | Self::Overloaded
            | Self::Silent
            | Self::Stranger => false,
        }
    }
}

/// A call that failed: what is wrong, and the service's own words for the log.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What is wrong.
    pub trouble: Trouble,
    /// What was asked for, of which key, and the answer.
    pub words: String,
}

impl Failure {
    /// Reads the outcome of `call`, which was about `key`.
    pub fn of<E>(call: &str, key: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let (trouble, answer) = match error {
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let (code, message) = (service.err().code(), service.err().message());
                let trouble = match code {
                    // A key service says why it refuses, in words that can be read.
                    None if status < 500 && status != 429 => Trouble::Stranger,
                    code => from_code(code.unwrap_or(""), message.unwrap_or(""), status),
                };
                let shown = [code, message].map(|part| part.unwrap_or("no reason given"));
                (trouble, shown.join(": "))
            }
            SdkError::TimeoutError(_) => (Trouble::Silent, "no answer in time".to_owned()),
            _ => {
                let chain = chain(error);
                (from_chain(&chain), chain)
            }
        };
        Self {
            trouble,
            words: format!("{call} with key {key}: {answer}"),
        }
    }

    /// What clients are told.
    pub fn into_error(self) -> Error {
        let unavailable = "the keys of these files are not available; tell the operator";
        let (kind, context) = match self.trouble {
            Trouble::Overloaded | Trouble::Silent => (
                ErrorKind::Unavailable,
                "the key service does not answer; try again in a moment",
            ),
            Trouble::Undecipherable => (
                ErrorKind::Corrupt,
                "the key of these files cannot be unwrapped; tell the operator",
            ),
            Trouble::Certificate
            | Trouble::ClockSkew
            | Trouble::Credentials
            | Trouble::Deleting
            | Trouble::Denied
            | Trouble::Disabled
            | Trouble::KeyUsage
            | Trouble::Missing
            | Trouble::Refused
            | Trouble::Stranger => (ErrorKind::Unavailable, unavailable),
        };
        Error::new(kind, context).because(self)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl StdError for Failure {}

/// Whether the service said that there is no such key.
pub fn is_missing(error: &Error) -> bool {
    failure(error).is_some_and(|failure| failure.trouble == Trouble::Missing)
}

/// Whether unwrapping failed because nobody could be asked, so that asking again may help and what
/// is known already stays good.
pub fn is_outage(error: &Error) -> bool {
    match failure(error) {
        Some(failure) => !failure.trouble.is_refusal(),
        None => error.kind() == ErrorKind::Unavailable,
    }
}

/// Whether a key service was asked and said no: the key is disabled, gone, awaits its deletion or may not be used.
pub fn is_refusal(error: &Error) -> bool {
    failure(error).is_some_and(|failure| failure.trouble.is_refusal())
}

/// Whether it is about what a key service answered, or that it did not.
pub fn is_failure(error: &Error) -> bool {
    failure(error).is_some()
}

fn failure(error: &Error) -> Option<&Failure> {
    error.source().and_then(|source| source.downcast_ref())
}

fn from_code(code: &str, message: &str, status: u16) -> Trouble {
    let skewed = [
        "Signature expired",
        "not yet current",
        "Request has expired",
    ];
    match code {
        "AccessDenied" | "AccessDeniedException" | "NotAuthorized" | "OptInRequired" => {
            Trouble::Denied
        }
        "DisabledException" => Trouble::Disabled,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => match skewed.iter().any(|s| message.contains(s)) {
            true => Trouble::ClockSkew,
            false => Trouble::Credentials,
        },
        "IncorrectKeyException" | "InvalidCiphertextException" => Trouble::Undecipherable,
        "InvalidKeyUsageException" | "UnsupportedOperationException" => Trouble::KeyUsage,
        "KMSInvalidStateException" => Trouble::Deleting,
        "InvalidArnException" | "NotFoundException" => Trouble::Missing,
        "RequestExpired" | "RequestInTheFuture" | "RequestTimeTooSkewed" => Trouble::ClockSkew,
        "DependencyTimeoutException"
        | "KMSInternalException"
        | "KeyUnavailableException"
        | "LimitExceededException"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "TooManyRequestsException" => Trouble::Overloaded,
        _ if status >= 500 || status == 429 => Trouble::Overloaded,
        _ => Trouble::Refused,
    }
}

/// The connection's libraries tell these apart by their words only.
fn from_chain(chain: &str) -> Trouble {
    let lower = chain.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["certificate", "unknownissuer", "tls handshake"]) {
        Trouble::Certificate
    } else if says(&["credential", "identity"]) {
        Trouble::Credentials
    } else {
        Trouble::Silent
    }
}

/// An error with all its causes, each said once.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !words.iter().any(|known| known.contains(&text)) {
            words.push(text);
        }
        next = error.source();
    }
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_and_outages_are_told_apart() {
        for (code, message, status, expected) in [
            ("AccessDeniedException", "", 400, Trouble::Denied),
            ("ThrottlingException", "", 400, Trouble::Overloaded),
            ("SomethingNew", "", 503, Trouble::Overloaded),
            ("SomethingNew", "", 400, Trouble::Refused),
            (
                "InvalidSignatureException",
                "wrong",
                400,
                Trouble::Credentials,
            ),
            (
                "InvalidSignatureException",
                "Signature expired: 1 is now earlier than 2",
                400,
                Trouble::ClockSkew,
            ),
        ] {
            assert_eq!(from_code(code, message, status), expected, "{code}");
        }
        let failure = |trouble| Failure {
            trouble,
            words: String::new(),
        };
        assert!(is_outage(&failure(Trouble::Silent).into_error()));
        assert!(is_outage(&failure(Trouble::Credentials).into_error()));
        assert!(!is_outage(&failure(Trouble::Disabled).into_error()));
        assert!(!is_outage(&failure(Trouble::Undecipherable).into_error()));
        assert!(is_refusal(&failure(Trouble::Disabled).into_error()));
        assert!(!is_refusal(&failure(Trouble::Silent).into_error()));
        assert!(!is_outage(&Error::new(ErrorKind::Corrupt, "x")));
    }
}
