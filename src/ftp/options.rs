//! What an account or a tenant has otherwise than the server's settings, as words of a short text.

use std::time::Duration;

use crate::domain::error::{Error, Result};
use crate::domain::principal::DoorOptions;
use crate::ftp::charset::Charset;
use crate::ftp::settings::{Demand, FtpSettings, LoginTls, Policy};

/// What holds for a session once its account is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Who may log in where nothing is encrypted.
    pub login_tls: LoginTls,
    /// Whether transfers must be encrypted when the control connection is.
    pub data_tls: Demand,
    /// Whether data connections must resume the TLS session of the control connection.
    pub resumption: Demand,
    /// Whether an upload over TLS that ends without close_notify is taken for whole (clients that
    /// never send it).
    pub abrupt_end: bool,
    /// Whether the control connection may go back to clear text (CCC).
    pub ccc: bool,
    /// How names are written.
    pub charset: Charset,
    /// A session in which nothing is asked for so long is ended.
    pub idle: Duration,
    /// A transfer in which nothing moves for so long is broken off.
    pub stall: Duration,
}

const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// Fails unless FTP knows what the words mean that an account or a tenant is to have.
///
/// # Errors
/// Invalid, naming the word that is wrong and what to write.
pub fn check(text: &str) -> Result<()> {
    let options = Options::of(&FtpSettings::default(), Policy::default());
    options.with(text).map(drop)
}

impl Options {
    /// What the settings say, for a listener with this policy.
    pub fn of(settings: &FtpSettings, policy: Policy) -> Self {
        Self {
            login_tls: policy.login_tls,
            data_tls: policy.data_tls,
            resumption: policy.resumption,
            abrupt_end: false,
            ccc: false,
            charset: Charset::UTF_8,
            idle: settings.idle_time,
            stall: settings.stall_time,
        }
    }

    /// These with those of the tenant over them, and those of the account over both. What makes no sense
    /// is left out, and the strictest holds in its place: nobody knows what it demands.
    pub fn under(self, known: &DoorOptions) -> Self {
        let texts = [known.tenant.as_deref(), known.account.as_deref()];
        texts.into_iter().flatten().fold(self, |options, text| {
            options.with(text).unwrap_or_else(|error| {
                tracing::error!(options = %text, error = %error, "options for FTP make no sense and are not used");
                Self {
                    login_tls: LoginTls::Required,
                    data_tls: Demand::Required,
                    resumption: Demand::Required,
                    abrupt_end: false,
                    ccc: false,
                    ..options
                }
            })
        })
    }

    /// These with the words of `text` over them: `login-tls=required` (which no later word takes back),
    /// `data-tls=required`, `resumption=optional`, `abrupt-end=allowed`, `ccc=refused`, `charset=shift_jis`, `idle=15m`, `stall=60s`.
    ///
    /// # Errors
    /// Invalid, naming the word that is wrong and what to write.
    pub fn with(self, text: &str) -> Result<Self> {
        text.split_ascii_whitespace().try_fold(self, Self::word)
    }

    fn word(mut self, word: &str) -> Result<Self> {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let wrong = |wanted: &str| Error::invalid(format!("'{word}' is not right; write {wanted}"));
        let demand = || match value {
            "optional" => Ok(Demand::Optional),
            "required" => Ok(Demand::Required),
            _ => Err(wrong(&format!("{key}=required or {key}=optional"))),
        };
        let allowed = || match value {
            "allowed" => Ok(true),
            "refused" => Ok(false),
            _ => Err(wrong(&format!("{key}=allowed or {key}=refused"))),
        };
        let time = || {
            let time = duration(value).filter(|time| !time.is_zero() && *time <= LONGEST);
            time.ok_or_else(|| wrong(&format!("{key}= and a number with s, m or h, up to 168h")))
        };
        match key {
            "abrupt-end" => self.abrupt_end = allowed()?,
            "ccc" => self.ccc = allowed()?,
            "charset" => {
                let named = Charset::named(value);
                self.charset = named.ok_or_else(|| {
                    wrong("charset= and one like utf-8, latin1, shift_jis, euc-kr")
                })?;
            }
            "data-tls" => self.data_tls = demand()?,
            "idle" => self.idle = time()?,
            "login-tls" => match value {
                "required" => self.login_tls = LoginTls::Required,
                "by-account" => {}
                _ => return Err(wrong("login-tls=required or login-tls=by-account")),
            },
            "resumption" => self.resumption = demand()?,
            "stall" => self.stall = time()?,
            _ => {
                return Err(wrong(
                    "login-tls, data-tls, resumption, abrupt-end, ccc, charset, idle or stall, `=` and a value",
                ));
            }
        }
        Ok(self)
    }
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let number: u64 = digits.parse().ok()?;
    let unit = match text.get(digits.len()..)? {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    number.checked_mul(unit).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lie_over_what_was_there() {
        let options = Options::of(&FtpSettings::default(), Policy::default());
        let text = "data-tls=optional stall=90s charset=latin1 ccc=allowed";
        let with = options.with(text).unwrap();
        assert_eq!(with.data_tls, Demand::Optional);
        assert_eq!(with.stall, Duration::from_secs(90));
        assert_eq!(with.charset.name(), "windows-1252");
        assert!(with.ccc && !with.abrupt_end);
        assert_eq!(options.with("").unwrap(), options);
    }

    #[test]
    fn an_account_goes_before_its_tenant_but_for_logins_where_the_strictest_counts() {
        let options = Options::of(&FtpSettings::default(), Policy::default());
        let under = |tenant: &str, account: &str| {
            let [tenant, account] = [tenant, account].map(|text| Some(text.to_owned()));
            options.under(&DoorOptions { account, tenant })
        };
        let both = under("resumption=required", "resumption=optional");
        assert_eq!(both.resumption, Demand::Optional);
        for (tenant, account, expected) in [
            ("", "", LoginTls::ByAccount),
            ("login-tls=by-account", "ccc=refused", LoginTls::ByAccount),
            (
                "login-tls=required",
                "login-tls=by-account",
                LoginTls::Required,
            ),
            (
                "login-tls=by-account",
                "login-tls=required",
                LoginTls::Required,
            ),
            // Nobody knows what this was to be.
            ("login-tls=reqired", "", LoginTls::Required),
        ] {
            let login_tls = under(tenant, account).login_tls;
            assert_eq!(login_tls, expected, "{tenant} {account}");
        }
    }

    #[test]
    fn what_makes_no_sense_demands_all_there_is() {
        let settings = FtpSettings::default();
        let lax = Policy {
            data_tls: Demand::Optional,
            resumption: Demand::Optional,
            ..Policy::default()
        };
        let lax = Options::of(&settings, lax).with("ccc=allowed abrupt-end=allowed");
        for account in ["data-tls=requird", "stall=60s resumption", "x"] {
            let under = lax.as_ref().unwrap().under(&DoorOptions {
                account: Some(account.to_owned()),
                tenant: None,
            });
            assert_eq!(under.login_tls, LoginTls::Required, "{account}");
            assert_eq!(under.data_tls, Demand::Required, "{account}");
            assert_eq!(under.resumption, Demand::Required, "{account}");
            assert!(!under.ccc && !under.abrupt_end, "{account}");
        }
    }

    #[test]
    fn a_wrong_word_is_named() {
        let options = Options::of(&FtpSettings::default(), Policy::default());
        for word in [
            "x",
            "data-tls",
            "stall=0s",
            "idle=5",
            "charset=utf-16le",
            "ccc=yes",
            "login-tls=optional",
        ] {
            let error = options.with(word).unwrap_err();
            assert!(error.context().contains(word), "{error}");
        }
    }
}
