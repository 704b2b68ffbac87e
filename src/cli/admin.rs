//! `sealift admin`

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::accounts::operators::NewOperator;
use crate::cli::arguments;
use crate::cli::output;
use crate::cli::place::Place;
use crate::domain::error::{Error, ErrorKind, Result};
use crate::domain::role::Role;

/// Operators of the API for administration
#[derive(Subcommand, Debug)]
pub enum Admin {
    /// Tokens that operators show to the API for administration
    #[command(subcommand)]
    Token(Token),
}

/// Tokens that operators show to the API for administration
#[derive(Subcommand, Debug)]
pub enum Token {
    /// Makes a token and shows it once
    Create(Create),
    /// Shows all tokens, expired and revoked ones too
    List(List),
    /// Takes a token away, from the next request on
    Revoke(Revoke),
}

/// A new token.
#[derive(Args, Debug)]
pub struct Create {
    /// What the audit logs call the operator
    #[arg(long)]
    name: String,
    /// operator may do everything; support sees everything but secrets, ends sessions, unlocks accounts and
    /// brings back what was deleted; monitor reads figures of the server
    #[arg(long)]
    role: Role,
    /// How long it is good, as in 90d; for ever without
    #[arg(long, value_name = "TIME", value_parser = arguments::duration)]
    expires: Option<Duration>,
    #[command(flatten)]
    place: Place,
}

/// Which to show.
#[derive(Args, Debug)]
pub struct List {
    #[command(flatten)]
    place: Place,
}

/// A token to take away.
#[derive(Args, Debug)]
pub struct Revoke {
    /// The operator's name
    name: String,
    #[command(flatten)]
    place: Place,
}

impl Admin {
    /// Runs it, on PostgreSQL as the role that owns the tables: the server's may not make operators.
    ///
    /// # Errors
    /// As [`Operators`](crate::accounts::operators::Operators) says.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Token(Token::Create(create)) => create.run().await,
            Self::Token(Token::List(list)) => list.run().await,
            Self::Token(Token::Revoke(revoke)) => revoke.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> Result<()> {
        let installation = self.place.open_as_owner().await?;
        let new = NewOperator {
            name: self.name,
            role: self.role,
            life: self.expires,
        };
        let operators = installation.directory().operators();
        let (text, made) = operators.add(new).await.map_err(of_owner)?;
        let until = made
            .expires_at
            .as_ref()
            .map_or("for ever".to_owned(), |end| format!("until {end}"));
        let value = json!({ "token": text.as_str(), "operator": made });
        let sentence = format!(
            "{}\n\nThis is the token of {}, role {}, good {until}. It is not shown again; send it as\n\
             'Authorization: Bearer TOKEN' to the port for administration (admin.listen).",
            *text, made.name, made.role
        );
        let lost = format!(
            "a token of {name} was made, but could not be shown; take it away by 'sealift admin token revoke {name}', \
             and make another one",
            name = made.name
        );
        output::secret(self.place.format(), &value, &sentence, lost)?;
        installation.close().await;
        Ok(())
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let installation = self.place.open().await?;
        let operators = installation.directory().operators().list().await?;
        let head = ["NAME", "ROLE", "MADE", "EXPIRES", "LAST USED", "REVOKED"];
        output::list(self.place.format(), &operators, head, |operator| {
            let dash = |at: &Option<String>| at.clone().unwrap_or_else(|| "-".to_owned());
            [
                operator.name.clone(),
                operator.role.clone(),
                operator.made_at.clone(),
                dash(&operator.expires_at),
                dash(&operator.used_at),
                dash(&operator.revoked_at),
            ]
        })?;
        installation.close().await;
        Ok(())
    }
}

impl Revoke {
    async fn run(self) -> Result<()> {
        let installation = self.place.open_as_owner().await?;
        let operators = installation.directory().operators();
        operators.revoke(&self.name).await.map_err(of_owner)?;
        let value = json!({ "name": self.name, "revoked": true });
        let sentence = format!("the token of {} is good no more", self.name);
        output::result(self.place.format(), &value, &sentence)?;
        installation.close().await;
        Ok(())
    }
}

/// PostgreSQL refuses the server's role what it needs not, and calls that a defect.
fn of_owner(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Internal => Error::new(
            ErrorKind::Denied,
            "the tokens of operators are made and revoked by the role that owns the tables; set \
             database.owner_url for this command",
        )
        .because(error),
        _ => error,
    }
}
