//! Who has no login at any cloud.

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};

/// A chain of credentials in which nothing was found.
#[derive(Debug)]
pub(crate) struct Nobody;

impl ProvideCredentials for Nobody {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let none: Result<Credentials, _> = Err(CredentialsError::not_loaded("no provider has any"));
        future::ProvideCredentials::ready(none)
    }
}
