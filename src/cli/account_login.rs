//! `sealift account methods`, `addresses` and `principals`

use clap::Args;

use crate::accounts::manage_logins::{LoginChange, LoginView};
use crate::accounts::methods::Policy;
use crate::cli::output;
use crate::cli::place::Place;
use crate::domain::error::{Error, Result};
use crate::domain::principal::LoginName;
use crate::ftp::settings::LoginTls;
use crate::net::network::Network;
use crate::server::installation::Installation;

/// The methods that open an account.
#[derive(Args, Debug)]
#[command(after_help = "\
Methods joined by commas must all be given, in this order; any of several such sequences opens the \
account. They are publickey (a key or a certificate), password, keyboard-interactive (questions about \
the password and a code, whichever the account has), keyboard-interactive:password and \
keyboard-interactive:totp. 'any' is any one of them. An account with a second factor is asked for a code \
wherever a password is given.

Examples:
  sealift account methods ann@acme publickey,password
  sealift account methods ann@acme publickey,keyboard-interactive:totp password,keyboard-interactive:totp
  sealift account methods ann@acme any")]
pub struct Methods {
    /// USER@TENANT
    account: LoginName,
    /// The sequences, or 'any'; without them they are shown
    methods: Vec<String>,
    /// A code may stand behind the password, for clients that cannot ask for it: true or false
    #[arg(long, value_name = "BOOL")]
    appended_code: Option<bool>,
    /// It may log in by plain FTP, where anybody on the way can read its password and its files: true or
    /// false
    #[arg(long, value_name = "BOOL")]
    clear_text: Option<bool>,
    #[command(flatten)]
    place: Place,
}

/// The networks that an account may log in from.
#[derive(Args, Debug)]
pub struct Addresses {
    /// USER@TENANT
    account: LoginName,
    /// Networks as in 192.0.2.0/24 or 2001:db8::/32, addresses, or 'any'; without them they are shown
    networks: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// The names in certificates that open an account.
#[derive(Args, Debug)]
pub struct Principals {
    /// USER@TENANT
    account: LoginName,
    /// The names in place of the account's own, or 'own'; without them they are shown
    names: Vec<String>,
    #[command(flatten)]
    place: Place,
}

impl Methods {
    /// Runs it.
    ///
    /// # Errors
    /// As [`Directory`](crate::accounts::manage::Directory) says.
    pub async fn run(self) -> Result<()> {
        let methods = match words(&self.methods).as_slice() {
            [] => None,
            ["any"] => Some(None),
            _ => Some(Some(self.methods.join(" ").parse::<Policy>()?)),
        };
        let change = LoginChange {
            methods,
            appended_code: self.appended_code,
            clear_text: self.clear_text,
            ..LoginChange::default()
        };
        apply(&self.place, &self.account, change).await
    }
}

impl Addresses {
    /// Runs it.
    ///
    /// # Errors
    /// As [`Directory`](crate::accounts::manage::Directory) says.
    pub async fn run(self) -> Result<()> {
        let networks = match words(&self.networks).as_slice() {
            [] => None,
            ["any"] => Some(Vec::new()),
            all => {
                let parse = |text: &&str| text.parse::<Network>().map_err(Error::invalid);
                Some(all.iter().map(parse).collect::<Result<_>>()?)
            }
        };
        let change = LoginChange {
            networks,
            ..LoginChange::default()
        };
        apply(&self.place, &self.account, change).await
    }
}

impl Principals {
    /// Runs it.
    ///
    /// # Errors
    /// As [`Directory`](crate::accounts::manage::Directory) says.
    pub async fn run(self) -> Result<()> {
        let principals = match words(&self.names).as_slice() {
            [] => None,
            ["own"] => Some(Vec::new()),
            _ => Some(self.names.clone()),
        };
        let change = LoginChange {
            principals,
            ..LoginChange::default()
        };
        apply(&self.place, &self.account, change).await
    }
}

/// Changes what is to be changed, and shows what is.
///
/// # Errors
/// As [`Directory`](crate::accounts::manage::Directory) says.
pub async fn apply(place: &Place, account: &LoginName, change: LoginChange) -> Result<()> {
    let installation = place.open().await?;
    let directory = installation.directory();
    if change != LoginChange::default() {
        directory.set_login_rules(account, change).await?;
    }
    let rules = directory.login_rules(account).await?;
    let tenant = directory.placed_tenant(&account.tenant).await?.tenant;
    let sentence =
        sentence(&rules) + kept_off(&installation, &rules, tenant.door_options.as_deref());
    output::result(place.format(), &rules, &sentence)?;
    installation.close().await;
    Ok(())
}

/// What keeps an account from plain FTP although its rule lets it in.
fn kept_off(
    installation: &Installation,
    rules: &LoginView,
    of_tenant: Option<&str>,
) -> &'static str {
    let demands = |words: Option<&str>| {
        let mut words = words.unwrap_or_default().split_whitespace();
        words.any(|word| word == "login-tls=required")
    };
    let by_settings = installation.settings.ftp.clear.policy.login_tls == LoginTls::Required;
    if !rules.clear_text {
        ""
    } else if demands(of_tenant) {
        "\n\nWarning: its tenant has login-tls=required ('sealift tenant ftp'), which refuses it in the clear all the same"
    } else if demands(rules.door_options.as_deref()) {
        "\n\nWarning: it has login-tls=required ('sealift account ftp'), which refuses it in the clear all the same"
    } else if by_settings {
        "\n\nWarning: the settings have ftp.login_tls = \"required\", which refuses it in the clear all the same"
    } else {
        ""
    }
}

fn sentence(rules: &LoginView) -> String {
    let closed = match rules.closed {
        true => {
            "\n\nNothing opens it now: every sequence asks for a password or a code that the account does not \
             have; see 'sealift account passwd' and 'sealift account totp add'"
        }
        false => "",
    };
    let list = |all: &Option<Vec<String>>, none: &str| match all {
        Some(all) => all.join(" "),
        None => none.to_owned(),
    };
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    [
        format!("account          {}", rules.login),
        format!(
            "methods          {}",
            rules.methods.as_deref().unwrap_or("any one")
        ),
        format!(
            "second factor    {} ({} recovery codes left)",
            yes(rules.second_factor),
            rules.recovery_codes
        ),
        format!("code appended    {}", yes(rules.appended_code)),
        format!("in the clear     {}", yes(rules.clear_text)),
        format!("from             {}", list(&rules.networks, "anywhere")),
        format!(
            "principals       {}",
            list(&rules.principals, "its own name")
        ),
        format!(
            "sessions         {}",
            rules
                .sessions
                .map_or("as set for all".to_owned(), |n| n.to_string())
        ),
        format!(
            "FTP              {}",
            rules.door_options.as_deref().unwrap_or("as set for all")
        ),
    ]
    .join("\n")
        + closed
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}
