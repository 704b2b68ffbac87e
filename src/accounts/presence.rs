//! Somebody who is logged in, for as long as somebody else has this.

use crate::accounts::login::Accounts;
use crate::domain::principal::Principal;

/// Somebody who is logged in. Dropped, it logs them out, also when the task that has it panics: a place
/// among the sessions of an account is never lost.
pub struct Presence {
    accounts: Accounts,
    principal: Principal,
}

impl Accounts {
    /// Has whoever was admitted logged out at the end of what this returns.
    pub fn presence(&self, principal: Principal) -> Presence {
        Presence {
            accounts: self.clone(),
            principal,
        }
    }
}

impl Presence {
    /// Who it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let principal = &self.principal;
        self.accounts.forget(principal);
        tracing::info!(user.id = %principal.login, peer = %principal.address, session = %principal.session, tenant.id = %principal.tenant, protocol = principal.protocol.as_str(), "session ended");
    }
}
