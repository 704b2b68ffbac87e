//! The command line, and what becomes of a command's end.

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::cli::account::Account;
use crate::cli::admin::Admin;
use crate::cli::audit::Audit;
use crate::cli::check_config::CheckConfig;
use crate::cli::deleted::Deleted;
use crate::cli::fsck::Fsck;
use crate::cli::grant::Grant;
use crate::cli::group::Group;
use crate::cli::keys::Keys;
use crate::cli::migrate::Migrate;
use crate::cli::output;
use crate::cli::serve::Serve;
use crate::cli::tenant::Tenant;
use crate::cli::up::Up;
use crate::cli::webhook::Webhook;
use crate::domain::error::{Error, Result};

/// A secure multi-tenant file transfer server
#[derive(Parser, Debug)]
#[command(name = "sealift", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Up(Up),
    Serve(Serve),
    CheckConfig(CheckConfig),
    Migrate(Migrate),
    #[command(subcommand)]
    Tenant(Tenant),
    #[command(subcommand)]
    Account(Account),
    #[command(subcommand)]
    Group(Group),
    #[command(subcommand)]
    Grant(Grant),
    #[command(subcommand)]
    Keys(Keys),
    #[command(subcommand)]
    Webhook(Webhook),
    #[command(subcommand)]
    Deleted(Deleted),
    #[command(subcommand)]
    Audit(Audit),
    #[command(subcommand)]
    Admin(Admin),
    Fsck(Fsck),
}

/// Runs the command that the process was started with, and returns its exit code: 0 when it did
/// what was asked, 1 when it says why not, 2 for a command it does not understand.
pub fn run() -> u8 {
    let parsed = reading_negatives(Cli::command()).try_get_matches();
    let command = match parsed.and_then(|words| Cli::from_arg_matches(&words)) {
        Ok(cli) => cli.command,
        Err(error) => {
            // Help and version are for standard output, refusals for standard error.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(execute(command));
            // After a second signal nobody waits for what is still under way.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(Error::internal(error)),
    };
    outcome.unwrap_or_else(|error| {
        output::refusal(&error);
        1
    })
}

/// Has a number below zero be a value, of which is said what is wrong, and not an option that there is not.
fn reading_negatives(command: clap::Command) -> clap::Command {
    let of_values = |arg: clap::Arg| match arg.get_action().takes_values() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    };
    command
        .mut_args(of_values)
        .mut_subcommands(reading_negatives)
}

async fn execute(command: Command) -> Result<u8> {
    match command {
        Command::Up(up) => return Box::pin(up.run()).await,
        Command::Serve(serve) => return Box::pin(serve.run()).await,
        Command::CheckConfig(check) => check.run().await,
        Command::Migrate(migrate) => migrate.run().await,
        Command::Tenant(tenant) => tenant.run().await,
        Command::Account(account) => account.run().await,
        Command::Group(group) => Box::pin(group.run()).await,
        Command::Grant(grant) => grant.run().await,
        Command::Keys(keys) => keys.run().await,
        Command::Webhook(webhook) => webhook.run().await,
        Command::Deleted(deleted) => deleted.run().await,
        Command::Audit(audit) => audit.run().await,
        Command::Admin(admin) => admin.run().await,
        Command::Fsck(fsck) => fsck.run().await,
    }
    .map(|()| 0)
}
