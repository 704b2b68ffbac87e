//! What S3 answers when it refuses, and what clients and operators are told.

use std::error::Error as StdError;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::domain::error::{Error, ErrorKind};
use crate::domain::id::BlobId;
use crate::storage::refusal;

/// Why a call failed, as far as anybody treats it differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The login may not do this.
    AccessDenied,
    /// The secret does not belong to the key id.
    BadSecret,
    /// Time-outs, answers that break off: the same call may succeed later.
    Busy,
    /// The clocks differ.
    ClockSkew,
    /// Somebody else writes the same object at the moment.
    Conflict,
    /// A temporary login is over.
    ExpiredLogin,
    /// No room left.
    Full,
    /// The key service refuses the key that objects are to be encrypted with.
    KmsKey,
    /// There is no such object (or, where the answer does not tell, no such bucket).
    Missing,
    /// No such bucket.
    NoBucket,
    /// No login was found.
    NoCredentials,
    /// The upload was completed or aborted.
    NoUpload,
    /// `If-None-Match` found an object.
    Occupied,
    /// Anything else.
    Other,
    /// The service says that it has too much to do, or fails inside: the same call may succeed later.
    Overloaded,
    /// The range lies behind the end.
    Range,
    /// The bytes that arrived are not those that were sent.
    Sum,
    /// Nobody by that key id.
    UnknownKeyId,
    /// Nobody answers there.
    Unreachable,
    /// The call is not offered.
    Unsupported,
    /// The certificate does not come from anybody we trust.
    Untrusted,
    /// The bucket is elsewhere; where, if the answer told.
    WrongRegion(Option<String>),
}

/// A failed call.
#[derive(Debug)]
pub struct Fault {
    trouble: Trouble,
    /// The call, and all that is known, for the log.
    detail: String,
}

impl Fault {
    /// Sorts out what `call` answered.
    pub fn new<E>(call: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let detail = format!("s3:{call}: {}", words(error));
        let trouble = match error {
            SdkError::TimeoutError(_) => Trouble::Busy,
            SdkError::ResponseError(_) => Trouble::Busy,
            SdkError::ServiceError(answer) => {
                let raw = answer.raw();
                let region = raw.headers().get("x-amz-bucket-region").map(str::to_owned);
                of_answer(answer.err().code(), raw.status().as_u16(), region)
            }
            _ => of_sources(error),
        };
        Self { trouble, detail }
    }

    /// An answer that makes no sense.
    pub fn odd(call: &str, what: &str) -> Self {
        Self {
            trouble: Trouble::Other,
            detail: format!("s3:{call}: {what}"),
        }
    }

    /// An answer that broke off or did not come.
    pub fn broken(call: &str, what: impl fmt::Display) -> Self {
        Self {
            trouble: Trouble::Busy,
            detail: format!("s3:{call}: {what}"),
        }
    }

    /// Why.
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// What a client is told when a call about a blob fails.
    pub fn about(self, id: BlobId) -> Error {
        match self.trouble {
            Trouble::Occupied => refusal::taken(id).because(self.detail),
            Trouble::Missing | Trouble::NoUpload => refusal::missing(id).because(self.detail),
            _ => self.refusal(),
        }
    }

    /// What a client is told when any call fails: mistakes in the settings are the operator's to
    /// mend, and may be mended while we run, so that trying again is right in most cases.
    pub fn refusal(self) -> Error {
        match self.trouble {
            Trouble::Full => refusal::full().because(self.detail),
            Trouble::Busy
            | Trouble::Conflict
            | Trouble::Missing
            | Trouble::NoUpload
            | Trouble::Occupied
            | Trouble::Other
            | Trouble::Overloaded
            | Trouble::Range
            | Trouble::Sum
            | Trouble::Unreachable => refusal::unavailable().because(self.detail),
            Trouble::AccessDenied
            | Trouble::BadSecret
            | Trouble::ClockSkew
            | Trouble::ExpiredLogin
            | Trouble::KmsKey
            | Trouble::NoBucket
            | Trouble::NoCredentials
            | Trouble::UnknownKeyId
            | Trouble::Unsupported
            | Trouble::Untrusted
            | Trouble::WrongRegion(_) => {
                let context =
                    "the server cannot use its storage; tell the operator, and try again later";
                Error::new(ErrorKind::Unavailable, context).because(self.detail)
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl StdError for Fault {}

/// Whether a bucket cannot be used because of what its service answers, or that it does not: nothing about
/// what would happen to what is stored there if it could.
pub fn is_fault(error: &Error) -> bool {
    error.source().is_some_and(|source| source.is::<Fault>())
}

/// What the service said, or why nothing came of it: each thing once.
fn words<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    if let SdkError::ServiceError(answer) = error {
        let (raw, said) = (answer.raw(), answer.err());
        let status = raw.status().as_u16();
        let request = raw.headers().get("x-amz-request-id");
        return format!(
            "{status} {}: {} (request {})",
            said.code().unwrap_or("without a code"),
            said.message().unwrap_or("no reason given"),
            request.unwrap_or("without an id")
        );
    }
    let mut words: Vec<String> = Vec::new();
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.iter().any(|known| known.contains(&text)) {
            words.push(text);
        }
        cause = error.source();
    }
    words.join(": ")
}

/// Answers without a body (to HEAD) have no code.
fn of_answer(code: Option<&str>, status: u16, region: Option<String>) -> Trouble {
    match code.unwrap_or_default() {
        "AccessDenied" | "AccountProblem" | "AllAccessDisabled" => Trouble::AccessDenied,
        "SignatureDoesNotMatch" => Trouble::BadSecret,
        "RequestTimeTooSkewed" | "RequestExpired" => Trouble::ClockSkew,
        "ConditionalRequestConflict" | "OperationAborted" => Trouble::Conflict,
        "ExpiredToken" | "ExpiredTokenException" | "InvalidToken" | "TokenRefreshRequired" => {
            Trouble::ExpiredLogin
        }
        "InsufficientStorage" | "QuotaExceeded" | "XMinioStorageFull" => Trouble::Full,
        "NoSuchKey" => Trouble::Missing,
        "NoSuchBucket" => Trouble::NoBucket,
        "NoSuchUpload" => Trouble::NoUpload,
        "PreconditionFailed" => Trouble::Occupied,
        "InvalidRange" => Trouble::Range,
        "BadDigest" | "InvalidDigest" | "XAmzContentChecksumMismatch" | "IncompleteBody" => {
            Trouble::Sum
        }
        "InvalidAccessKeyId" => Trouble::UnknownKeyId,
        "NotImplemented" | "MethodNotAllowed" => Trouble::Unsupported,
        "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException"
        | "PermanentRedirect"
        | "TemporaryRedirect" => Trouble::WrongRegion(region),
        code if code.starts_with("KMS.") || code.starts_with("Kms") => Trouble::KmsKey,
        _ => match status {
            301 | 307 => Trouble::WrongRegion(region),
            400 if region.is_some() => Trouble::WrongRegion(region),
            401 | 403 => Trouble::AccessDenied,
            404 => Trouble::Missing,
            405 | 501 => Trouble::Unsupported,
            409 => Trouble::Conflict,
            412 => Trouble::Occupied,
            416 => Trouble::Range,
            507 => Trouble::Full,
            408 | 429 | 500..=599 => Trouble::Overloaded,
            _ => Trouble::Other,
        },
    }
}

/// Calls that never got an answer tell why in their causes.
fn of_sources(error: &(dyn StdError + 'static)) -> Trouble {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<CredentialsError>() {
            return match error {
                CredentialsError::ProviderTimedOut(_) => Trouble::Busy,
                _ => Trouble::NoCredentials,
            };
        }
        // The TLS library's error types are not ours to name.
        if error.to_string().contains("certificate") {
            return Trouble::Untrusted;
        }
        cause = error.source();
    }
    Trouble::Unreachable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_code_is_told_by_its_status() {
        let region = Some("eu-west-1".to_owned());
        for (status, region, expected) in [
            (403, None, Trouble::AccessDenied),
            (404, None, Trouble::Missing),
            (412, None, Trouble::Occupied),
            (416, None, Trouble::Range),
            (503, None, Trouble::Overloaded),
            (507, None, Trouble::Full),
            (400, None, Trouble::Other),
            (301, region.clone(), Trouble::WrongRegion(region.clone())),
            (400, region.clone(), Trouble::WrongRegion(region)),
        ] {
            assert_eq!(of_answer(None, status, region), expected);
        }
    }

    #[test]
    fn a_code_counts_for_more_than_the_status() {
        let trouble = |code| of_answer(Some(code), 403, None);
        assert_eq!(trouble("InvalidAccessKeyId"), Trouble::UnknownKeyId);
        assert_eq!(trouble("SignatureDoesNotMatch"), Trouble::BadSecret);
        assert_eq!(trouble("RequestTimeTooSkewed"), Trouble::ClockSkew);
        assert_eq!(trouble("NobodyKnows"), Trouble::AccessDenied);
    }

    #[test]
    fn mistakes_in_the_settings_do_not_reach_clients() {
        let fault = Fault {
            trouble: Trouble::BadSecret,
            detail: "s3:PutObject: SignatureDoesNotMatch".to_owned(),
        };
        let error = fault.refusal();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(!error.context().contains("Signature"));
        assert!(format!("{error:?}").contains("s3:PutObject"));
    }
}
