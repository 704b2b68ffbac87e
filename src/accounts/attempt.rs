//! One connection's way from stranger to principal, in as many steps as the account asks for.
//!
//! What was proven belongs to one name, one account and one generation of it; another name, or a
//! change of the account, leaves nothing of it. Only [`Course::after`] says that enough was proven.

use std::borrow::Cow;

use crate::accounts::caller::Caller;
use crate::accounts::certificate::{Certificate, EXPIRED, UNTRUSTED};
use crate::accounts::door::{Door, PublicKeyBlob};
use crate::accounts::login::{Accounts, unauthenticated};
use crate::accounts::methods::{Course, Method, Secrets, Stage, Standing};
use crate::accounts::public_key::fingerprint;
use crate::accounts::secrets::{Given, Proof};
use crate::accounts::x509_verify::Verdict;
use crate::crypto::totp::DIGITS;
use crate::domain::error::Result;
use crate::domain::id::{AccountId, TenantId};
use crate::domain::principal::{DoorOptions, LoginName, Principal};
use crate::domain::secret::Secret;

/// What comes of a step.
#[derive(Debug)]
pub enum Step {
    /// Enough was proven.
    Admitted(Box<Principal>),
    /// The client is to ask its user this.
    Ask(Question),
    /// It was right, and one of these methods must follow.
    Further(Vec<Method>),
}

/// What a client's user is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// A code of the second factor, or a recovery code.
    Code,
    /// The password.
    Password,
}

/// A stranger at a door, and what they have proven.
///
/// A door with one line for a password and one for a code after it (FTP's PASS and ACCT) makes a new
/// one for each name (USER), and calls [`Attempt::in_tenant`] where the client named a host, then:
/// - [`Attempt::may_ask`] at USER: false refuses before a password is sent;
/// - [`Attempt::tls_certificate`] then, if the client showed certificates: Admitted lets in without a
///   password; after Further and after Unauthenticated PASS follows;
/// - [`Attempt::password_line`] at PASS: Admitted lets in, Ask(Code) asks for ACCT (332); Further is
///   something this door cannot ask for: it is refused as a wrong password is;
/// - [`Attempt::answer`] at ACCT. After an error the login begins anew, at USER.
///
/// Unauthenticated means that the next try may follow, Busy that it has to wait.
pub struct Attempt {
    accounts: Accounts,
    from: Door,
    /// Names are those of this tenant.
    tenant: Option<String>,
    progress: Option<Progress>,
    talk: Option<Talk>,
}

/// What was proven of one account.
struct Progress {
    login: String,
    account: Identity,
    course: Course,
    /// For the audit log; not empty.
    by: Vec<String>,
}

/// An account as it was when something was proven.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    tenant: TenantId,
    account: AccountId,
    generation: i64,
}

/// Questions that were asked and not answered yet.
struct Talk {
    login: String,
    /// What they are about; none when they are asked for the looks of it.
    about: Option<Secrets>,
    /// The password was right, of this account.
    password_of: Option<Identity>,
}

/// Where a login stands before a step.
struct Now {
    caller: Caller,
    identity: Option<Identity>,
    course: Course,
    by: Vec<String>,
}

impl Attempt {
    /// A stranger.
    pub fn new(accounts: Accounts, from: Door) -> Self {
        Self {
            accounts,
            from,
            tenant: None,
            progress: None,
            talk: None,
        }
    }

    /// Chooses the tenant whose accounts are meant: a name without it is the user's name there, and
    /// no name reaches another tenant any more. Undoes what was proven. Without one, names are in
    /// full again.
    pub fn in_tenant(&mut self, tenant: Option<String>) {
        self.tenant = tenant;
        self.progress = None;
        self.talk = None;
    }

    /// As [`Accounts::may_ask`].
    ///
    /// # Errors
    /// As [`Accounts::may_ask`].
    pub async fn may_ask(&self, login: &str, suits: impl Fn(&DoorOptions) -> bool) -> Result<bool> {
        let login = self.in_full(login);
        self.accounts.may_ask(&login, self.from, suits).await
    }

    /// The methods that may follow what was proven; none says nothing was.
    pub fn methods(&self) -> Option<Vec<Method>> {
        let progress = self.progress.as_ref();
        progress.map(|progress| progress.course.methods())
    }

    /// The account of which something was proven so far; none says nothing was.
    pub fn account(&self) -> Option<(TenantId, AccountId)> {
        let talk = self.talk.as_ref().and_then(|talk| talk.password_of);
        let proven = talk.or(self.progress.as_ref().map(|progress| progress.account));
        proven.map(|identity| (identity.tenant, identity.account))
    }

    /// Takes a password.
    ///
    /// # Errors
    /// Unauthenticated, always in the same words and at the same cost; Busy after failures, with
    /// how long to wait, or when there are too many sessions; Unavailable.
    pub async fn password(&mut self, login: &str, password: &Secret) -> Result<Step> {
        self.talk = None;
        let Some(now) = self.now(login).await? else {
            let inner = &self.accounts.inner;
            return Err(inner
                .stranger(&self.in_full(login), password, self.from)
                .await?);
        };
        let secrets = now.course.password();
        let parts = match secrets {
            Some(Secrets::Both) => {
                let (password, code) = split(password);
                (password, Some(code))
            }
            Some(Secrets::Code | Secrets::Password) | None => (password.clone(), None),
        };
        let proof = self.prove(&now, Some(&parts.0), parts.1.as_ref(), secrets.is_some());
        match (proof.await, secrets) {
            (Ok(proof), Some(secrets)) => {
                let stage = Stage::Password(secrets);
                self.go_on(login, now, stage, proof).await
            }
            (proof, _) => Err(self.stay(login, now, proof)),
        }
    }

    /// Takes a password on a line of its own, whichever method of the account it serves, and asks for
    /// the code where one must follow; it may stand behind the password where the account says so.
    ///
    /// # Errors
    /// As [`Attempt::password`].
    pub async fn password_line(&mut self, login: &str, password: &Secret) -> Result<Step> {
        let now = self.now(login).await?;
        let course = now.as_ref().map(|now| now.course.clone());
        if let Some(now) = now {
            self.keep(login, now);
        }
        let (as_password, as_answer) = course.map_or((None, None), |course| {
            (course.password(), course.interactive())
        });
        let has_code = !split(password).1.expose().is_empty();
        let is_answer = match (as_password, as_answer) {
            (None, Some(_)) => true,
            // Without a code behind it, the code comes on the next line.
            (Some(Secrets::Both), Some(Secrets::Both)) => !has_code,
            _ => false,
        };
        let step = if is_answer {
            self.talk = Some(Talk {
                login: login.to_owned(),
                about: as_answer,
                password_of: None,
            });
            self.answer(login, password).await?
        } else {
            self.password(login, password).await?
        };
        match step {
            Step::Further(methods) if methods.contains(&Method::Interactive) => {
                self.ask(login).await
            }
            step => Ok(step),
        }
    }

    /// Whether a signature by `key` is worth making. Costs the same for names that do not exist.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn knows_key(&mut self, login: &str, key: &PublicKeyBlob) -> Result<bool> {
        self.talk = None;
        let now = self.now(login).await?;
        let caller = now.as_ref().map(|now| &now.caller);
        let known = self.accounts.inner.has_key(caller, key).await?;
        let Some(now) = now else {
            return Ok(false);
        };
        let wanted = now.course.wants_key();
        self.keep(login, now);
        Ok(known && wanted)
    }

    /// Whether a signature by the key of a certificate is worth making.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn knows_certificate(
        &mut self,
        login: &str,
        certificate: &Certificate,
    ) -> Result<bool> {
        self.talk = None;
        let Some(now) = self.now(login).await? else {
            return Ok(false);
        };
        let inner = &self.accounts.inner;
        let flaw = inner.flaw_of(&now.caller, certificate, self.from).await?;
        // Nothing was signed yet: only what the tenant's own authorities made is worth a record, and not those of
        // yesterday, which clients offer before whatever lets them in today.
        let unworthy = [UNTRUSTED, EXPIRED];
        let worth =
            |why: &&String| now.caller.barred.is_none() && !unworthy.contains(&why.as_str());
        if let Some(why) = flaw.as_ref().filter(worth) {
            inner.note_failure(&now.caller, self.from, &format!("{certificate}: {why}"));
        }
        let wanted = now.course.wants_key();
        self.keep(login, now);
        Ok(flaw.is_none() && wanted)
    }

    /// Takes a key by which a signature was verified.
    ///
    /// # Errors
    /// As [`Attempt::password`].
    pub async fn key(&mut self, login: &str, key: &PublicKeyBlob) -> Result<Step> {
        self.talk = None;
        let now = self.now(login).await?;
        let inner = &self.accounts.inner;
        let caller = now.as_ref().map(|now| &now.caller);
        let known = inner.has_key(caller, key).await?;
        let Some(now) = now else {
            return Err(unauthenticated());
        };
        let by = format!("key {}", fingerprint(&key.0));
        if let Some(why) = now.caller.barred {
            inner.note_failure(&now.caller, self.from, why);
            return Err(unauthenticated());
        }
        if !known || !now.course.wants_key() {
            let why = if known {
                "was not asked for"
            } else {
                "does not open it, or is revoked"
            };
            inner.note_failure(&now.caller, self.from, &format!("{by} {why}"));
            self.keep(login, now);
            return Err(unauthenticated());
        }
        let proof = inner.proof_by_key(&now.caller, by, self.from).await?;
        self.go_on(login, now, Stage::Key, proof).await
    }

    /// Takes a certificate whose signature was verified, and its owner's.
    ///
    /// # Errors
    /// As [`Attempt::password`].
    pub async fn certificate(&mut self, login: &str, certificate: &Certificate) -> Result<Step> {
        self.talk = None;
        let Some(now) = self.now(login).await? else {
            return Err(unauthenticated());
        };
        let inner = &self.accounts.inner;
        let mut flaw = inner.flaw_of(&now.caller, certificate, self.from).await?;
        if flaw.is_none() && !now.course.wants_key() {
            flaw = Some("was not asked for".to_owned());
        }
        if let Some(why) = flaw {
            inner.note_failure(&now.caller, self.from, &format!("{certificate}: {why}"));
            self.keep(login, now);
            return Err(unauthenticated());
        }
        let by = certificate.to_string();
        let proof = inner.proof_by_key(&now.caller, by, self.from).await?;
        self.go_on(login, now, Stage::Key, proof).await
    }

    /// Takes the certificates (X.509) that a client showed in its TLS handshake, its own first, of
    /// which it was proven that it has the key. Where the account is not opened by certificates, or a
    /// certificate is not what comes next, it is refused without a trace: clients cannot help showing
    /// theirs, and the password follows.
    ///
    /// # Errors
    /// As [`Attempt::password`].
    pub async fn tls_certificate(&mut self, login: &str, chain: &[Vec<u8>]) -> Result<Step> {
        self.talk = None;
        let Some(now) = self.now(login).await? else {
            return Err(unauthenticated());
        };
        let inner = &self.accounts.inner;
        let verdict = match now.course.wants_certificate() {
            true => inner.look_at_x509(&now.caller, chain).await?,
            false => Verdict::Beside,
        };
        let by = match verdict {
            Verdict::Good(by) => by,
            Verdict::Beside => return Err(self.stay(login, now, Err(unauthenticated()))),
            Verdict::Flawed(why) => {
                inner.note_failure(&now.caller, self.from, &why);
                return Err(self.stay(login, now, Err(unauthenticated())));
            }
        };
        let proof = inner.proof_by_key(&now.caller, by, self.from).await?;
        self.go_on(login, now, Stage::Certificate, proof).await
    }

    /// Begins questions and answers. Names that do not exist are asked as well.
    ///
    /// # Errors
    /// Unavailable when the database does not answer.
    pub async fn ask(&mut self, login: &str) -> Result<Step> {
        self.talk = None;
        let now = self.now(login).await?;
        let about = now.as_ref().and_then(|now| now.course.interactive());
        if let Some(now) = now {
            self.keep(login, now);
        }
        self.talk = Some(Talk {
            login: login.to_owned(),
            about,
            password_of: None,
        });
        Ok(Step::Ask(match about {
            Some(Secrets::Code) => Question::Code,
            Some(Secrets::Both | Secrets::Password) | None => Question::Password,
        }))
    }

    /// Takes the answer to the last question.
    ///
    /// # Errors
    /// As [`Attempt::password`]; Unauthenticated when nothing was asked.
    pub async fn answer(&mut self, login: &str, answer: &Secret) -> Result<Step> {
        let talk = self.talk.take().filter(|talk| talk.login == login);
        let Some(talk) = talk else {
            return Err(unauthenticated());
        };
        let Some(now) = self.now(login).await? else {
            let inner = &self.accounts.inner;
            return Err(inner
                .stranger(&self.in_full(login), answer, self.from)
                .await?);
        };
        let same = talk.about.is_some() && now.course.interactive() == talk.about;
        let password_known = talk.password_of.is_some();
        let asked = same && (!password_known || talk.password_of == now.identity);
        let is_code = match talk.about {
            Some(Secrets::Code) => true,
            Some(Secrets::Both) => password_known,
            Some(Secrets::Password) | None => false,
        };
        let proof = match is_code {
            true => self.prove(&now, None, Some(answer), asked).await,
            false => self.prove(&now, Some(answer), None, asked).await,
        };
        let (proof, about) = match (proof, talk.about) {
            (Ok(proof), Some(about)) => (proof, about),
            (proof, _) => return Err(self.stay(login, now, proof)),
        };
        if about == Secrets::Both && !is_code {
            self.accounts.inner.set_aside(&now.caller, &proof).await?;
            self.talk = Some(Talk {
                password_of: now.identity,
                ..talk
            });
            self.keep(login, now);
            return Ok(Step::Ask(Question::Code));
        }
        let proof = match password_known {
            true => proof.with("password"),
            false => proof,
        };
        self.go_on(login, now, Stage::Interactive(about), proof)
            .await
    }

    /// Who is meant by `login`, and what they have proven; none when there is no such tenant.
    async fn now(&mut self, login: &str) -> Result<Option<Now>> {
        let before = self.progress.take();
        let in_full = self.in_full(login);
        let Some(caller) = self.accounts.inner.caller(&in_full, self.from).await? else {
            return Ok(None);
        };
        let identity = caller.usable().map(|account| Identity {
            tenant: caller.tenant.id,
            account: account.id,
            generation: account.generation,
        });
        let before = before.filter(|p| p.login == login && Some(p.account) == identity);
        let (course, by) = match before {
            Some(progress) => (progress.course, progress.by),
            None => (caller.course(), Vec::new()),
        };
        Ok(Some(Now {
            caller,
            identity,
            course,
            by,
        }))
    }

    fn in_full<'a>(&self, login: &'a str) -> Cow<'a, str> {
        match &self.tenant {
            Some(tenant) => LoginName::in_full(login, tenant),
            None => Cow::Borrowed(login),
        }
    }

    async fn prove(
        &self,
        now: &Now,
        password: Option<&Secret>,
        code: Option<&Secret>,
        asked: bool,
    ) -> Result<Proof> {
        let given = Given {
            password,
            code,
            asked,
            after: &now.by,
        };
        let inner = &self.accounts.inner;
        inner.prove(&now.caller, given, self.from).await
    }

    /// What was given is right.
    async fn go_on(&mut self, login: &str, now: Now, stage: Stage, proof: Proof) -> Result<Step> {
        let inner = self.accounts.inner.clone();
        let Now {
            caller,
            identity,
            course,
            mut by,
        } = now;
        by.push(proof.by.clone());
        match (course.after(stage), identity) {
            (Standing::Done, Some(_)) => {
                inner.conclude(&caller, &proof, self.from).await?;
                let by = by.join(" and ");
                let principal = inner.admit(&caller, self.from, &by).await?;
                Ok(Step::Admitted(Box::new(principal)))
            }
            (Standing::Further(course), Some(account)) => {
                inner.set_aside(&caller, &proof).await?;
                let methods = course.methods();
                self.progress = Some(Progress {
                    login: login.to_owned(),
                    account,
                    course,
                    by,
                });
                Ok(Step::Further(methods))
            }
            (Standing::OffCourse, _) | (_, None) => Err(unauthenticated()),
        }
    }

    /// What was given is wrong: what was proven before stays.
    fn stay(&mut self, login: &str, now: Now, proof: Result<Proof>) -> crate::domain::error::Error {
        self.keep(login, now);
        proof.err().unwrap_or_else(unauthenticated)
    }

    fn keep(&mut self, login: &str, now: Now) {
        self.progress = match now.identity {
            Some(account) if !now.by.is_empty() => Some(Progress {
                login: login.to_owned(),
                account,
                course: now.course,
                by: now.by,
            }),
            _ => None,
        };
    }
}

/// Doors that ask for one thing only.
impl Accounts {
    /// Lets somebody in who knows the password of `login` (`user@tenant`, as it was typed), if no
    /// more is asked of them.
    ///
    /// # Errors
    /// As [`Attempt::password`].
    pub async fn login_password(
        &self,
        login: &str,
        password: &Secret,
        from: Door,
    ) -> Result<Principal> {
        let mut attempt = Attempt::new(self.clone(), from);
        admitted(attempt.password(login, password).await?)
    }

    /// Lets somebody in whose signature by `key` was verified, if no more is asked of them.
    ///
    /// # Errors
    /// As [`Attempt::key`].
    pub async fn login_key(
        &self,
        login: &str,
        key: &PublicKeyBlob,
        from: Door,
    ) -> Result<Principal> {
        let mut attempt = Attempt::new(self.clone(), from);
        admitted(attempt.key(login, key).await?)
    }
}

fn admitted(step: Step) -> Result<Principal> {
    match step {
        Step::Admitted(principal) => Ok(*principal),
        Step::Ask(_) | Step::Further(_) => Err(unauthenticated()),
    }
}

/// The code behind a password. Without six digits at its end there is none, and it is wrong.
fn split(password: &Secret) -> (Secret, Secret) {
    let bytes = password.expose();
    let cut = bytes.len().saturating_sub(DIGITS);
    match bytes.split_at_checked(cut) {
        Some((password, code)) if code.iter().all(u8::is_ascii_digit) => {
            (Secret::new(password), Secret::new(code))
        }
        _ => (password.clone(), Secret::new("")),
    }
}
