//! How AWS and whatever speaks its protocols is reached: credentials, certificates, time limits.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig, profile};
use aws_credential_types::Credentials;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_types::os_shim_internal::{Env, Fs};

use crate::domain::error::{Error, Result};
use crate::domain::secret::Secret;

const CONNECT: Duration = Duration::from_secs(5);
/// One attempt at one call, as far as its answer's first byte: 64 MiB on a slow line, or a store
/// that takes its time.
const ATTEMPT: Duration = Duration::from_secs(30);
/// A call with all its attempts.
const CALL: Duration = Duration::from_secs(75);
const ATTEMPTS: u32 = 4;

/// What the sentences of [`sdk_config`] begin with.
pub const SETTINGS: [&str; 2] = ["ca_file: ", "profile: "];

/// Where a service is and how to log in to it.
#[derive(Clone, Debug, Default)]
pub struct CloudSettings {
    /// The AWS region, which signatures name.
    pub aws_region: String,
    /// Another address than AWS's own.
    pub endpoint: Option<String>,
    /// Certificates (PEM) to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// A section of the AWS configuration files.
    pub profile: Option<String>,
    /// A fixed access key; none is the usual chain (environment, files, container, machine).
    pub access_key: Option<AccessKey>,
}

/// A fixed access key.
#[derive(Clone)]
pub struct AccessKey {
    /// Its public part.
    pub id: String,
    /// Its secret part.
    pub secret: Secret,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "access key {}", self.id)
    }
}

/// What AWS clients are made of. Calls nobody: credentials are looked for at the first call.
///
/// Every call has a time limit and is repeated with jitter, with the same bytes, when that may help.
///
/// # Errors
/// Invalid when there is no such profile, or the file of certificates cannot be read or holds none. The
/// sentence begins with the setting.
pub async fn sdk_config(settings: &CloudSettings) -> Result<SdkConfig> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(settings.aws_region.clone()))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT)
                .operation_attempt_timeout(ATTEMPT)
                .operation_timeout(CALL)
                .build(),
        )
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled()
                .grace_period(Duration::from_secs(10))
                .build(),
        );
    if let Some(endpoint) = &settings.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(profile) = &settings.profile {
        require_profile(profile).await?;
        loader = loader.profile_name(profile);
    }
    if let Some(key) = &settings.access_key {
        let secret = String::from_utf8_lossy(key.secret.expose());
        loader =
            loader.credentials_provider(Credentials::new(&key.id, secret, None, None, "settings"));
    }
    if let Some(file) = &settings.ca_file {
        let trust = trusting(file)?;
        let client = aws_smithy_http_client::Builder::new();
        // As the SDK's own does, it takes the proxy from the environment.
        loader = loader.http_client(client.build_with_connector_fn(move |settings, components| {
            let mut connector = Connector::builder()
                .proxy_config(ProxyConfig::from_env())
                .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                .tls_context(trust.clone());
            connector.set_connector_settings(settings.cloned());
            connector.set_sleep_impl(components.and_then(|known| known.sleep_impl()));
            connector.build()
        }));
    }
    Ok(loader.load().await)
}

/// The chain would go on without it, and use whatever login it finds.
async fn require_profile(name: &str) -> Result<()> {
    let shown = name.escape_debug();
    let (files, environment) = (Fs::real(), Env::real());
    let known = profile::load(&files, &environment, &Default::default(), None).await;
    let known = known.map_err(|error| {
        let sentence = format!(
            "profile: '{shown}' cannot be looked up, as the AWS configuration files cannot be read: {error}"
        );
        Error::invalid(sentence)
    })?;
    match known.get_profile(name) {
        Some(_) => Ok(()),
        None => Err(Error::invalid(format!(
            "profile: there is no '{shown}' in the AWS configuration files (AWS_CONFIG_FILE and \
             AWS_SHARED_CREDENTIALS_FILE, or ~/.aws/config and ~/.aws/credentials)"
        ))),
    }
}

fn trusting(file: &std::path::Path) -> Result<TlsContext> {
    let shown = file.display();
    let pem = std::fs::read(file).map_err(|error| {
        Error::invalid(format!("ca_file: '{shown}' cannot be read")).because(error)
    })?;
    let no_certificate = || Error::invalid(format!("ca_file: '{shown}' holds no certificate"));
    if !String::from_utf8_lossy(&pem).contains("BEGIN CERTIFICATE") {
        return Err(no_certificate());
    }
    TlsContext::builder()
        .with_trust_store(TrustStore::empty().with_pem_certificate(pem))
        .build()
        .map_err(|error| no_certificate().because(error))
}
