//! What operators are told when a bucket cannot be used: one sentence that names the setting or
//! the permission to mend.

use aws_config::SdkConfig;

use crate::domain::error::{Error, ErrorKind};
use crate::storage::s3_error::{Fault, Trouble};
use crate::storage::s3_settings::{Encryption, S3Settings};

/// A bucket as the settings describe it.
pub struct Place {
    bucket: String,
    endpoint: String,
    aws_region: String,
    kms_key: Option<String>,
}

impl Place {
    /// Takes what sentences need to name.
    pub fn new(config: &SdkConfig, settings: &S3Settings) -> Self {
        let aws_region = config.region().map(ToString::to_string);
        let aws_region = aws_region.unwrap_or_default();
        let endpoint = config.endpoint_url().map(str::to_owned);
        Self {
            bucket: settings.bucket.clone(),
            endpoint: endpoint.unwrap_or_else(|| format!("AWS ({aws_region})")),
            aws_region,
            kms_key: match &settings.encryption {
                Encryption::Kms(key) => key.clone(),
                Encryption::None | Encryption::S3 => None,
            },
        }
    }

    /// Where it is.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A sentence about the bucket that goes on with `what`.
    pub fn mistake(&self, what: &str) -> Error {
        let Self {
            bucket, endpoint, ..
        } = self;
        Error::invalid(format!("bucket '{bucket}' at {endpoint} {what}"))
    }

    /// What to mend so that a call that takes `permission` succeeds.
    pub fn advice(&self, permission: &str, fault: Fault) -> Error {
        let kind = match fault.trouble() {
            Trouble::Full => ErrorKind::StorageFull,
            Trouble::AccessDenied
            | Trouble::BadSecret
            | Trouble::ClockSkew
            | Trouble::ExpiredLogin
            | Trouble::KmsKey
            | Trouble::Missing
            | Trouble::NoBucket
            | Trouble::NoCredentials
            | Trouble::UnknownKeyId
            | Trouble::Untrusted
            | Trouble::WrongRegion(_) => ErrorKind::Invalid,
            // The operator is shown its answer as well.
            Trouble::Busy
            | Trouble::Conflict
            | Trouble::NoUpload
            | Trouble::Occupied
            | Trouble::Other
            | Trouble::Overloaded
            | Trouble::Range
            | Trouble::Sum
            | Trouble::Unreachable
            | Trouble::Unsupported => ErrorKind::Unavailable,
        };
        Error::new(kind, self.sentence(permission, &fault)).because(fault)
    }

    fn sentence(&self, permission: &str, fault: &Fault) -> String {
        let Self {
            bucket,
            endpoint,
            aws_region,
            kms_key,
        } = self;
        let kms_key = kms_key.as_deref().unwrap_or("of the bucket");
        match fault.trouble() {
            Trouble::AccessDenied if fault.to_string().contains("kms:") => format!(
                "the access key lacks kms:GenerateDataKey or kms:Decrypt on the KMS key '{kms_key}', with which bucket '{bucket}' encrypts; grant both"
            ),
            Trouble::AccessDenied => format!(
                "the access key lacks {permission} on bucket '{bucket}' at {endpoint}; grant it"
            ),
            Trouble::BadSecret => format!(
                "{endpoint} refuses the signature: the secret access key does not belong to the access key id; set both again"
            ),
            Trouble::Busy | Trouble::Unreachable => format!(
                "{endpoint} does not answer; check endpoint (http or https, name, port), the network and firewalls"
            ),
            Trouble::ClockSkew => format!(
                "the clocks of this machine and of {endpoint} differ by minutes; set this machine's clock"
            ),
            Trouble::ExpiredLogin => {
                format!("{endpoint} says that the temporary access key has expired; get a new one")
            }
            Trouble::Full => format!("bucket '{bucket}' at {endpoint} is full; make room"),
            Trouble::KmsKey => format!(
                "bucket '{bucket}' cannot encrypt with the KMS key '{kms_key}'; check that it exists, is enabled, and is in the bucket's AWS region"
            ),
            Trouble::Missing | Trouble::NoBucket => {
                format!("there is no bucket '{bucket}' at {endpoint}; check bucket and endpoint")
            }
            Trouble::NoCredentials => "no access key was found; name one in the settings, in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in a profile, or give the machine a role".to_owned(),
            Trouble::Overloaded => format!(
                "{endpoint} answers that it has too much to do or fails; it was tried for some seconds: try again, and look at that service if it stays so"
            ),
            Trouble::UnknownKeyId => {
                format!("{endpoint} does not know the access key id; check it")
            }
            Trouble::Untrusted => format!(
                "the certificate of {endpoint} is not trusted; name its authority in ca_file, and use the name that the certificate has"
            ),
            Trouble::WrongRegion(Some(region)) => format!(
                "bucket '{bucket}' is in AWS region {region}, not in {aws_region}; set aws_region"
            ),
            Trouble::WrongRegion(None) => format!(
                "bucket '{bucket}' is not in AWS region {aws_region}; check aws_region and endpoint"
            ),
            Trouble::Conflict
            | Trouble::NoUpload
            | Trouble::Occupied
            | Trouble::Other
            | Trouble::Range
            | Trouble::Sum
            | Trouble::Unsupported => format!(
                "bucket '{bucket}' at {endpoint} does not do what {permission} allows"
            ),
        }
    }
}
