//! Passwords come by standard input or are made here; never by an argument, which others can see.

use std::io::Read as _;

use clap::Args;

use crate::accounts::manage_accounts::NewPassword;
use crate::domain::error::{Error, Result};
use crate::domain::secret::Secret;
use crate::server::bootstrap;

/// Most bytes that are read as a password.
const MAX_BYTES: u64 = 64 * 1024;

/// Where a password comes from.
#[derive(Args, Debug)]
#[group(required = false, multiple = false)]
pub struct PasswordFrom {
    /// Read the password from standard input; a line break at its end does not count
    #[arg(long)]
    password_stdin: bool,
    /// Read a password hash of another server from standard input
    #[arg(long)]
    hash_stdin: bool,
    /// Make a password and show it once
    #[arg(long)]
    generate: bool,
    /// No password: keys only
    #[arg(long)]
    no_password: bool,
}

/// A password, and what has to be shown.
pub struct Chosen {
    /// To be stored.
    pub password: NewPassword,
    /// To be shown once: nobody else knows it.
    pub made: Option<String>,
}

impl PasswordFrom {
    /// Whether nothing was said about it.
    pub fn is_unsaid(&self) -> bool {
        !(self.password_stdin || self.hash_stdin || self.generate || self.no_password)
    }

    /// Whether there is to be none.
    pub fn is_none(&self) -> bool {
        self.no_password
    }

    /// Reads or makes it.
    ///
    /// # Errors
    /// Invalid when standard input is empty or too long.
    pub fn choose(&self) -> Result<Chosen> {
        let typed = |password| Chosen {
            password,
            made: None,
        };
        if self.password_stdin {
            return Ok(typed(NewPassword::Plain(read()?)));
        }
        if self.hash_stdin {
            return Ok(typed(NewPassword::Hashed(read()?)));
        }
        if self.generate {
            let made = bootstrap::generate();
            return Ok(Chosen {
                password: NewPassword::Plain(Secret::new(made.as_bytes())),
                made: Some(made),
            });
        }
        Ok(typed(NewPassword::None))
    }
}

fn read() -> Result<Secret> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().take(MAX_BYTES).read_to_end(&mut bytes);
    read.map_err(|error| {
        Error::invalid(format!(
            "the password on standard input cannot be read: {error}"
        ))
    })?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    match bytes.is_empty() {
        true => Err(Error::invalid(
            "there is no password on standard input; write it there",
        )),
        false => Ok(Secret::new(bytes)),
    }
}
