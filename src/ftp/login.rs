//! Logging in over FTP: from USER, PASS and ACCT to a principal. Every error leaves a stranger.

use crate::accounts::attempt::{Attempt, Question, Step};
use crate::accounts::door::{Door, Secrecy};
use crate::accounts::login::Accounts;
use crate::accounts::presence::Presence;
use crate::domain::error::{Error, ErrorKind};
use crate::domain::measures;
use crate::domain::principal::{DoorOptions, Principal, Protocol};
use crate::ftp::files;
use crate::ftp::options::Options;
use crate::ftp::reply::Reply;
use crate::ftp::settings::{Ends, LoginTls};
use crate::ftp::state::{Channel, LoginOutcome, Stage};
use crate::ftp::work::Credential;

/// Where a connection's client shows who it is.
pub struct Desk {
    accounts: Accounts,
    ends: Ends,
    /// What holds unless the account or its tenant says otherwise.
    options: Options,
    /// The tenant that a host's name stands for, by SNI or HOST.
    tenant: Option<String>,
    /// That of SNI alone.
    tls_tenant: Option<String>,
    /// What the client showed in the handshake, its own certificate first.
    certificates: Vec<Vec<u8>>,
    attempt: Option<Attempt>,
    presence: Option<Presence>,
}

impl Desk {
    /// For a connection.
    pub fn new(accounts: Accounts, ends: Ends, options: Options) -> Self {
        Self {
            accounts,
            ends,
            options,
            tenant: None,
            tls_tenant: None,
            certificates: Vec::new(),
            attempt: None,
            presence: None,
        }
    }

    /// Counts an error that the client is told of.
    pub fn count(&self, reply: &Reply, channel: Channel) {
        let Some(kind) = reply.kind() else {
            return;
        };
        let protocol = match (self.principal(), channel) {
            (Some(principal), _) => principal.protocol,
            (None, Channel::Clear) => Protocol::Ftp,
            (None, Channel::Sealed) => Protocol::Ftps,
        };
        measures::error(protocol, kind);
    }

    /// Who logged in.
    pub fn principal(&self) -> Option<&Principal> {
        self.presence.as_ref().map(Presence::principal)
    }

    /// A host's name was told, by TLS: what it stands for holds, if it stands for anything.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn meet_at(&mut self, host: &str) -> Result<(), Error> {
        self.attempt = None;
        self.tls_tenant = self.accounts.tenant_of_host(host).await?;
        self.tenant.clone_from(&self.tls_tenant);
        Ok(())
    }

    /// The client showed certificates, and that it has the key of the first one.
    pub fn shown(&mut self, certificates: Vec<Vec<u8>>) {
        self.certificates = certificates;
    }

    /// A host's name was told by HOST (RFC 7151).
    ///
    /// # Errors
    /// 504 when it stands for nothing, or for another tenant than the name that TLS brought.
    pub async fn host(&mut self, host: &str) -> Result<(), Reply> {
        let tenant = self.accounts.tenant_of_host(host).await?;
        let unknown = || Reply::new(504, "no such host here; leave HOST out");
        let tenant = tenant.ok_or_else(unknown)?;
        match self
            .tls_tenant
            .as_ref()
            .is_none_or(|known| *known == tenant)
        {
            true => {
                self.tenant = Some(tenant);
                Ok(())
            }
            false => Err(unknown()),
        }
    }

    /// Takes a step.
    pub async fn step(&mut self, credential: Credential, channel: Channel) -> LoginOutcome {
        let taken = match credential {
            Credential::Code { name, code } => match &mut self.attempt {
                Some(attempt) => (attempt.answer(&name, &code).await, name),
                None => return out_of_order(),
            },
            Credential::Password { name, password } => match &mut self.attempt {
                Some(attempt) => (attempt.password_line(&name, &password).await, name),
                None => return out_of_order(),
            },
            Credential::User(name) => return self.begin(name, channel).await,
        };
        match taken {
            (Ok(Step::Admitted(principal)), _) => self.admit(*principal, 230),
            (Ok(Step::Ask(Question::Code)), name) => LoginOutcome::Further(
                Reply::new(332, "send ACCT and a code of your second factor"),
                Stage::Code(name),
            ),
            // Nothing that FTP could ask for.
            (Ok(Step::Ask(Question::Password) | Step::Further(_)), _) => self.refuse(&Error::new(
                ErrorKind::Unauthenticated,
                "the name or the password is wrong, or the account needs another way to log in",
            )),
            (Err(error), _) => self.refuse(&error),
        }
    }

    /// Logs out, if somebody has logged in, and forgets what HOST said (RFC 7151 section 3.3; in the
    /// clear, anybody on the way could have said it).
    pub fn log_out(&mut self) {
        self.attempt = None;
        self.tenant.clone_from(&self.tls_tenant);
        self.presence = None;
    }

    async fn begin(&mut self, name: String, channel: Channel) -> LoginOutcome {
        let (protocol, secrecy) = match channel {
            Channel::Clear => (Protocol::Ftp, Secrecy::Clear),
            Channel::Sealed => (Protocol::Ftps, Secrecy::Sealed),
        };
        let door = Door {
            protocol,
            address: self.ends.peer,
            secrecy,
        };
        let mut attempt = Attempt::new(self.accounts.clone(), door);
        attempt.in_tenant(self.tenant.clone());
        let options = self.options;
        let suits = |known: &DoorOptions| options.under(known).login_tls == LoginTls::ByAccount;
        match attempt.may_ask(&name, suits).await {
            Ok(true) => {
                if secrecy == Secrecy::Sealed && !self.certificates.is_empty() {
                    match attempt.tls_certificate(&name, &self.certificates).await {
                        // RFC 4217 section 4: no password is needed.
                        Ok(Step::Admitted(principal)) => return self.admit(*principal, 232),
                        // Proven or not: a password may follow.
                        Ok(Step::Ask(_) | Step::Further(_)) => {}
                        Err(error) if error.kind() == ErrorKind::Unauthenticated => {}
                        Err(error) => return self.refuse(&error),
                    }
                }
                self.attempt = Some(attempt);
                let reply = Reply::new(331, "send PASS and the password");
                LoginOutcome::Further(reply, Stage::Named(name))
            }
            Ok(false) => LoginOutcome::Refused(Reply::new(
                530,
                "passwords are not taken in the clear; send AUTH TLS first",
            )),
            Err(error) => self.refuse(&error),
        }
    }

    fn admit(&mut self, principal: Principal, code: u16) -> LoginOutcome {
        self.attempt = None;
        let options = self.options.under(&principal.door_options);
        tracing::info!(user.id = %principal.login, peer = %principal.address, session = %principal.session, tenant.id = %principal.tenant, protocol = principal.protocol.as_str(), "logged in");
        let outcome = LoginOutcome::In {
            reply: Reply::new(code, format!("welcome, {}", principal.login)),
            name: principal.login.to_string(),
            home: principal.home.clone(),
            options: Box::new(options),
        };
        self.presence = Some(self.accounts.presence(principal));
        outcome
    }

    fn refuse(&mut self, error: &Error) -> LoginOutcome {
        self.attempt = None;
        files::log(error);
        let code = match error.kind() {
            // There is no place: clients try again by themselves after 421, and take 530 for a wrong password.
            ErrorKind::Busy if error.wait().is_none() => 421,
            // After wrong passwords the connection stays; what must be waited for is said.
            ErrorKind::Busy | ErrorKind::Unauthenticated => 530,
            _ => 451,
        };
        LoginOutcome::Refused(Reply::new(code, error.context()).after(error))
    }
}

fn out_of_order() -> LoginOutcome {
    LoginOutcome::Further(Reply::new(503, "send USER first"), Stage::Stranger)
}
