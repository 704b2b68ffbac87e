//! What the operator says about a bucket.

/// Which bucket, and how it is used.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// The bucket's name.
    pub bucket: String,
    /// What the names of all objects begin with; usually empty or ending with a slash.
    pub prefix: String,
    /// Whether the bucket is named in the path, as most servers but AWS want it, or in the host.
    pub path_style: bool,
    /// How the service itself encrypts what it keeps, on top of our seal.
    pub encryption: Encryption,
}

/// How the service itself encrypts objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// With a KMS key: the one of this id, or the account's own for S3.
    Kms(Option<String>),
    /// As the bucket is set up.
    None,
    /// With keys of the service's own (SSE-S3).
    S3,
}
