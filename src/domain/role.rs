//! What operators may do, and administrators of tenants.

use std::fmt;
use std::str::FromStr;

use crate::domain::error::{Error, Result};

/// What an operator's token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Figures and health only.
    Monitor,
    /// Everything.
    Operator,
    /// Sees everything but secrets, ends sessions, unlocks accounts, brings back what was deleted.
    Support,
}

/// What is demanded of whoever asks for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Power {
    /// To change accounts, groups, rights and keys of a tenant.
    Alter,
    /// To change tenants themselves: their limits, where they are, their data keys.
    Govern,
    /// To end sessions, unlock accounts and bring back what was deleted.
    Help,
    /// To read figures of the whole server.
    Measure,
    /// To see everything but secrets.
    See,
}

const WORDS: [(&str, Role); 3] = [
    ("monitor", Role::Monitor),
    ("operator", Role::Operator),
    ("support", Role::Support),
];

impl Role {
    /// Whether it has a power.
    pub fn may(self, power: Power) -> bool {
        match self {
            Self::Operator => true,
            Self::Support => matches!(power, Power::Help | Power::Measure | Power::See),
            Self::Monitor => power == Power::Measure,
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        let found = WORDS.iter().find(|(_, role)| *role == self);
        found.map_or("monitor", |(word, _)| word)
    }
}

impl Power {
    /// Whether the administrators of a tenant have it, over that tenant.
    pub fn is_of_administrators(self) -> bool {
        matches!(self, Self::Alter | Self::Help | Self::See)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = WORDS.iter().find(|(word, _)| *word == text);
        found.map(|(_, role)| *role).ok_or_else(|| {
            Error::invalid(format!(
                "'{}' is no role; roles are operator, support, monitor",
                text.escape_debug()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_survive_their_text_form() {
        for (word, role) in WORDS {
            assert_eq!(word.parse::<Role>().unwrap(), role);
            assert_eq!(role.to_string(), word);
        }
        assert!("root".parse::<Role>().is_err());
    }

    #[test]
    fn support_alters_and_governs_nothing_and_a_monitor_sees_nothing_of_tenants() {
        for power in [Power::Alter, Power::Govern] {
            assert!(!Role::Support.may(power));
            assert!(Role::Operator.may(power));
        }
        assert!(!Role::Monitor.may(Power::See));
        assert!(!Power::Govern.is_of_administrators());
        assert!(!Power::Measure.is_of_administrators());
    }
}
