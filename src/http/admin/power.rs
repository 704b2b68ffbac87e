//! What an operation demands, as a part of its type: no handler can forget to ask.

use crate::domain::role::Power;

/// A power that whoever asks must have.
pub trait Demand: Send + Sync + 'static {
    /// Which.
    const POWER: Power;
}

macro_rules! demands {
    ($($(#[$doc:meta])* $name:ident = $power:ident;)+) => {
        $(
            $(#[$doc])*
            pub enum $name {}

            impl Demand for $name {
                const POWER: Power = Power::$power;
            }
        )+
    };
}

demands! {
    /// Changes accounts, groups, rights and keys of a tenant.
    Altering = Alter;
    /// Changes tenants themselves.
    Governing = Govern;
    /// Ends sessions, unlocks accounts, brings back what was deleted.
    Helping = Help;
    /// Reads figures of the server.
    Measuring = Measure;
    /// Looks at everything but secrets.
    Seeing = See;
}
