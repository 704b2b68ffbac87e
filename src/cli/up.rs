//! `sealift up`

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::observed::observed;
use crate::cli::{output, place};
use crate::config::settings::Settings;
use crate::domain::error::Result;
use crate::server::bootstrap::{self, ACCOUNT, PASSWORD_FILE, READY_FILE};
use crate::server::doors::Ports;
use crate::server::ready::Ready;
use crate::server::run;

/// Serves everything from one folder of this machine, making what is missing
#[derive(Args, Debug)]
pub struct Up {
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    /// Listen on free ports; DIR/ready.json says on which, whatever settings and environment say of ports, those for operators and
    /// metrics as well
    #[arg(long)]
    any_port: bool,
}

impl Up {
    /// Runs it until a signal asks for the end.
    ///
    /// # Errors
    /// What kept it from starting, with what to do.
    pub async fn run(self) -> Result<u8> {
        let settings = place::embedded(&self.data)?;
        let server = self.serve(settings.clone());
        observed(&settings, Box::pin(server)).await
    }

    async fn serve(&self, settings: Settings) -> Result<u8> {
        let ports = match self.any_port {
            true => Ports::Any,
            false => Ports::Set,
        };
        let prepared = bootstrap::prepare(&self.data, settings, ports).await?;
        let ready_file = Some(self.data.join(READY_FILE));
        let directory = prepared.installation.directory();
        let rules = directory.login_rules(&ACCOUNT.parse()?).await;
        let is_plain = rules.is_ok_and(|rules| rules.clear_text);
        let announce = |ready: &Ready| {
            // It serves, whoever is told.
            let _ = output::text(&banner(&self.data, ready, is_plain));
        };
        // The future is that of the whole server.
        let code = Box::pin(run::run(
            prepared.installation,
            prepared.doors,
            ready_file,
            announce,
        ))
        .await;
        drop(prepared.lock);
        code
    }
}

/// What to try first. OpenSSH's client takes all before the last '@' as the user.
fn banner(data: &Path, ready: &Ready, is_plain: bool) -> String {
    let shown = quoted(data);
    let password = quoted(&data.join(PASSWORD_FILE));
    let mut text = format!("Sealift is ready. Everything is kept in {shown}; Ctrl-C ends it.\n\n");
    if let Some(sftp) = ready.listeners.get("sftp") {
        let target = format!("sftp -P {} {ACCOUNT}@{}", sftp.port(), sftp.ip());
        text += &format!("  {target}\n  sshpass -f {password} {target}\n\n");
    }
    if let Some(ftps) = ready.listeners.get("ftps") {
        let user = format!("--user {ACCOUNT}:$(cat {password})");
        text += &format!("  curl --insecure {user} ftps://{ftps}/\n\n");
    }
    if let Some(https) = ready.listeners.get("https") {
        text += &format!("  https://{https}/api/v1/openapi.json\n\n");
    }
    if let Some(admin) = ready.listeners.get("admin") {
        text += &format!(
            "  https://{admin}/api/v1/ is for operators; a token for it:\n  \
             sealift admin token create --name me --role operator --data {shown}\n\n"
        );
    }
    if let Some(ftp) = ready.listeners.get("ftp").filter(|_| is_plain) {
        text += &format!(
            "Warning: {ACCOUNT} may log in by plain FTP (ftp://{ftp}/), where everybody on the way reads the password \
             and\nthe files. It is for a trial on this machine; to forbid it:\n  \
             sealift account methods {ACCOUNT} --clear-text false --data {shown}\n\n"
        );
    }
    // It may have been taken away, or not be in the backup that was restored.
    if data.join(PASSWORD_FILE).exists() {
        text += &format!("The password of {ACCOUNT} is in {password}.\n");
    }
    text + &format!("In another terminal: sealift account list demo --data {shown}")
}

fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:".contains(c);
    match text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
