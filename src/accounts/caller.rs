//! Who a name stands for that was typed, and why nothing may open the account.

use crate::accounts::door::{Door, Secrecy};
use crate::accounts::methods::{Course, Equipment, Policy};
use crate::db::accounts::Account;
use crate::db::second_factors::SecondFactor;
use crate::db::tenants::Tenant;
use crate::domain::id::AccountId;
use crate::domain::principal::{DoorOptions, LoginName};
use crate::net::network::Network;

/// What a name that was typed stands for.
pub(in crate::accounts) struct Caller {
    pub(in crate::accounts) login: LoginName,
    pub(in crate::accounts) tenant: Tenant,
    /// None when there is no such account.
    pub(in crate::accounts) account: Option<Account>,
    pub(in crate::accounts) second_factor: Option<SecondFactor>,
    /// The account, or the made-up one that counts the failures of a name that does not exist.
    pub(in crate::accounts) counted: AccountId,
    /// Why nothing opens it now, for the operator.
    pub(in crate::accounts) barred: Option<&'static str>,
}

impl Caller {
    /// The account, unless nothing opens it.
    pub(in crate::accounts) fn usable(&self) -> Option<&Account> {
        self.account.as_ref().filter(|_| self.barred.is_none())
    }

    /// What must be proven to be let in. Nothing leads in where the account's rules make no sense.
    pub(in crate::accounts) fn course(&self) -> Course {
        let Some(account) = self.usable() else {
            return Course::nowhere();
        };
        let policy = match account.rules.methods.as_deref() {
            None => Ok(Policy::default()),
            Some(text) => text.parse(),
        };
        match policy {
            Ok(policy) => Course::new(&policy, self.equipment(account)),
            Err(error) => {
                tracing::error!(user.id = %self.login, error = ?error, "an account's login methods make no sense");
                Course::nowhere()
            }
        }
    }

    pub(in crate::accounts) fn door_options(&self) -> DoorOptions {
        let account = self.account.as_ref();
        DoorOptions {
            account: account.and_then(|account| account.rules.door_options.clone()),
            tenant: self.tenant.door_options.clone(),
        }
    }

    fn equipment(&self, account: &Account) -> Equipment {
        Equipment {
            password: account.password.is_some(),
            second_factor: self.second_factor.is_some(),
            appended_code: account.rules.appended_code,
        }
    }
}

pub(in crate::accounts) const NOT_IN_THE_CLEAR: &str = "it may not log in in the clear";

/// Why nothing opens the account from there.
pub(in crate::accounts) fn barred(
    tenant: &Tenant,
    account: Option<&Account>,
    from: Door,
) -> Option<&'static str> {
    let Some(account) = account else {
        return Some("no such account");
    };
    if account.disabled {
        return Some("the account is disabled");
    }
    if tenant.disabled {
        return Some("the tenant is disabled");
    }
    if from.secrecy == Secrecy::Clear && !account.rules.clear_text {
        return Some(NOT_IN_THE_CLEAR);
    }
    let networks = account.rules.networks.as_deref()?;
    let from = from.address;
    let is_listed = |text: &str| text.parse::<Network>().is_ok_and(|net| net.contains(from));
    match networks.split_ascii_whitespace().any(is_listed) {
        true => None,
        false => Some("it may not log in from this address"),
    }
}
