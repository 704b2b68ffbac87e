//! Ordering certificates from an authority by ACME (RFC 8555), with http-01: the authority asks port 80 of
//! the host whether it is ours.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{Request, Uri};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType,
    Error as AcmeError, HttpClient, Identifier, NewAccount, NewOrder, Order, OrderStatus, Problem,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ClientConfig;
use zeroize::Zeroizing;

use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::host::HostName;
use crate::net::outgoing::{Limits, Outgoing, Trust, client_tls};

/// How long an authority may take for each step of an order.
const PATIENCE: Duration = Duration::from_secs(90);
/// What is waited for of one answer: a chain of certificates is some kilobytes long.
const ANSWER: Limits = Limits {
    time: Duration::from_secs(30),
    bytes: 256 * 1024,
};
const HTTPS: u16 = 443;
/// Let's Encrypt, if nothing else is said.
pub const DEFAULT_DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Which certificates are ordered where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeSettings {
    /// The hosts, each of which gets a certificate of its own; none is ordered without.
    pub hosts: Vec<HostName>,
    /// The address of the authority's directory.
    pub directory: String,
    /// Where the authority writes to, as in `mailto:ops@example.org`.
    pub contact: Option<String>,
    /// A file of certificates to trust instead of the system's, for an authority of one's own.
    pub ca: Option<PathBuf>,
}

impl Default for AcmeSettings {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            directory: DEFAULT_DIRECTORY.to_owned(),
            contact: None,
            ca: None,
        }
    }
}

/// A certificate that an authority issued.
pub struct Issued {
    /// The certificate first, then those that lead to its authority: PEM.
    pub chain: String,
    /// Its private key: PEM.
    pub key: Zeroizing<String>,
}

/// An account at an authority.
pub struct Authority {
    account: Account,
}

impl Authority {
    /// Goes on with an account, from what [`Authority::register`] handed out.
    ///
    /// # Errors
    /// Unavailable when the authority does not answer; Corrupt when that is not what was handed out.
    pub async fn open(settings: &AcmeSettings, credentials: &[u8]) -> Result<Self> {
        let credentials: AccountCredentials = serde_json::from_slice(credentials)
            .map_err(|error| Error::new(ErrorKind::Corrupt, "a damaged account").because(error))?;
        let builder = Account::builder_with_http(client(settings).await?);
        let account = builder.from_credentials(credentials).await;
        Ok(Self {
            account: account.map_err(|error| refused(settings, error))?,
        })
    }

    /// Makes an account, which agrees to the authority's terms; the bytes open it again.
    ///
    /// # Errors
    /// Unavailable when the authority does not answer or refuses.
    pub async fn register(settings: &AcmeSettings) -> Result<(Self, Zeroizing<Vec<u8>>)> {
        let contact: Vec<&str> = settings.contact.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let builder = Account::builder_with_http(client(settings).await?);
        let made = builder
            .create(&wanted, settings.directory.clone(), None)
            .await;
        let (account, credentials) = made.map_err(|error| refused(settings, error))?;
        let credentials = serde_json::to_vec(&credentials).map_err(Error::internal)?;
        Ok((Self { account }, Zeroizing::new(credentials)))
    }

    /// Orders a certificate of a host. `publish` is told the token and the answer that the authority will ask
    /// for, and returns when every instance gives it.
    ///
    /// # Errors
    /// Unavailable when the authority does not answer or refuses, with what to do.
    pub async fn order<Publishing>(
        &self,
        settings: &AcmeSettings,
        host: &HostName,
        publish: impl Fn(String, String) -> Publishing,
    ) -> Result<Issued>
    where
        Publishing: Future<Output = Result<()>>,
    {
        let failed = |error| match error {
            AcmeError::Api(problem) if is_about_proof(&problem) => unproven(host, &said(&problem)),
            error => refused(settings, error),
        };
        let identifiers = [Identifier::Dns(host.as_str().to_owned())];
        let order = self.account.new_order(&NewOrder::new(&identifiers)).await;
        let mut order = order.map_err(failed)?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(failed)?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let Some(mut challenge) = authorization.challenge(ChallengeType::Http01) else {
                let detail =
                    "the authority does not offer http-01, the only way that is known here";
                return Err(Error::new(ErrorKind::Unsupported, detail));
            };
            let answer = challenge.key_authorization().as_str().to_owned();
            publish(challenge.token.clone(), answer).await?;
            challenge.set_ready().await.map_err(failed)?;
        }
        let policy = RetryPolicy::new().timeout(PATIENCE);
        let status = order.poll_ready(&policy).await.map_err(failed)?;
        if status != OrderStatus::Ready {
            return Err(not_proven(&mut order, host).await);
        }
        let (key, request) = request_for(host)?;
        order.finalize_csr(&request).await.map_err(failed)?;
        let chain = order.poll_certificate(&policy).await.map_err(failed)?;
        Ok(Issued { chain, key })
    }
}

/// A new key and the request for a certificate of it.
fn request_for(host: &HostName) -> Result<(Zeroizing<String>, Vec<u8>)> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::internal)?;
    let mut params =
        CertificateParams::new(vec![host.as_str().to_owned()]).map_err(Error::internal)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(Error::internal)?;
    let request = request.der().to_vec();
    Ok((Zeroizing::new(key.serialize_pem()), request))
}

/// Why the authority does not believe that the host is ours.
async fn not_proven(order: &mut Order, host: &HostName) -> Error {
    let mut why = None;
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        // What it said before the host was looked at says nothing.
        if authorization.refresh().await.is_err() {
            continue;
        }
        let challenges = authorization.challenges.iter();
        let told = challenges.filter_map(|challenge| challenge.error.as_ref());
        why = why.or(told.map(said).next());
    }
    unproven(
        host,
        &why.unwrap_or_else(|| "it does not say why".to_owned()),
    )
}

/// Whether a problem is that the host could not be looked at, or did not answer right (RFC 8555 section 6.7).
fn is_about_proof(problem: &Problem) -> bool {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let kind = kind.rsplit(':').next().unwrap_or_default();
    [
        "connection",
        "dns",
        "incorrectResponse",
        "tls",
        "unauthorized",
    ]
    .contains(&kind)
}

fn unproven(host: &HostName, why: &str) -> Error {
    let detail = format!(
        "the authority could not see that '{host}' is this installation: {why}; let the name lead to it, and port \
         80 of that address to an address of http.listen"
    );
    Error::new(ErrorKind::Unavailable, detail)
}

fn refused(settings: &AcmeSettings, error: AcmeError) -> Error {
    let directory = &settings.directory;
    let detail = match &error {
        AcmeError::Api(problem) => format!(
            "the authority at '{directory}' refused: {}; see tls.acme_hosts, tls.acme_contact and the authority's \
             limits",
            said(problem)
        ),
        AcmeError::Timeout(_) => format!("the authority at '{directory}' took too long"),
        _ => format!(
            "the authority at '{directory}' does not answer as one; check tls.acme_directory and tls.acme_ca, and \
             whether this machine may reach it"
        ),
    };
    Error::new(ErrorKind::Unavailable, detail).because(error)
}

/// A problem as the authority words it.
fn said(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let kind = kind.rsplit(':').next().unwrap_or_default();
    let detail = problem.detail.as_deref().unwrap_or_default();
    format!("{kind} ({detail})")
}

/// What asks the authority over HTTPS.
async fn client(settings: &AcmeSettings) -> Result<Box<dyn HttpClient>> {
    let ca = settings.ca.clone();
    let config = tokio::task::spawn_blocking(move || {
        client_tls(Trust::instead(ca.as_deref()), "tls.acme_ca", None)
    });
    Ok(Box::new(Asking(config.await.map_err(Error::internal)??)))
}

/// The HTTPS client as the protocol's crate wants it.
struct Asking(Arc<ClientConfig>);

impl Asking {
    /// The server of an address, which may be another than the directory's.
    fn server(&self, uri: &Uri) -> Result<Outgoing> {
        match (uri.scheme_str(), uri.host()) {
            (Some("https"), Some(host)) => {
                let port = uri.port_u16().unwrap_or(HTTPS);
                Ok(Outgoing::new(host, port, Some(self.0.clone())))
            }
            _ => Err(Error::invalid(format!("'{uri}' is no address of HTTPS"))),
        }
    }
}

impl HttpClient for Asking {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = std::result::Result<BytesResponse, AcmeError>> + Send>> {
        let server = self.server(request.uri());
        let asking = async move {
            let (head, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let request = Request::from_parts(head, body.to_bytes());
            let answer = match server {
                Ok(server) => server.ask(request, ANSWER).await,
                Err(error) => Err(error),
            };
            let answer = answer.map_err(|error| AcmeError::Other(Box::new(error)))?;
            let (parts, body) = answer.into_parts();
            let body = Box::new(body);
            Ok(BytesResponse { parts, body })
        };
        Box::pin(asking)
    }
}
