//! A command that clients know: its name, and what it does.

use crate::ftp::argument::Argument;
use crate::ftp::reply::Reply;
use crate::ftp::state::State;
use crate::ftp::work::Action;

/// A command.
#[derive(Clone, Copy)]
pub struct Verb {
    /// Its name, in capitals.
    pub name: &'static str,
    /// What it is also known as.
    pub alias: Option<&'static str>,
    /// What may stand behind it, for HELP.
    pub usage: &'static str,
    /// Who may say it.
    pub who: Who,
    /// Whether it is answered during a transfer.
    pub during_transfer: bool,
    /// What it does. `Err` is a refusal.
    pub run: fn(&mut State, Argument<'_>) -> Result<Action, Reply>,
}

/// Who may say a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody.
    Anybody,
    /// Those who have logged in.
    Known,
}

impl Verb {
    /// A command of those who have logged in.
    pub const fn new(
        name: &'static str,
        usage: &'static str,
        run: fn(&mut State, Argument<'_>) -> Result<Action, Reply>,
    ) -> Self {
        Self {
            name,
            alias: None,
            usage,
            who: Who::Known,
            during_transfer: false,
            run,
        }
    }

    /// The same, of everybody.
    pub const fn for_anybody(self) -> Self {
        Self {
            who: Who::Anybody,
            ..self
        }
    }

    /// The same, answered during a transfer too.
    pub const fn at_any_time(self) -> Self {
        Self {
            during_transfer: true,
            ..self
        }
    }

    /// The same, with another name.
    pub const fn also(self, alias: &'static str) -> Self {
        Self {
            alias: Some(alias),
            ..self
        }
    }
}

/// What is answered at once.
pub fn reply(code: u16, text: impl Into<String>) -> Result<Action, Reply> {
    Ok(Action::Reply(Reply::new(code, text)))
}
