//! A server in the cloud whose lines may be harmed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sealift::storage::s3_settings::S3Settings;

use crate::support::client::{SshOptions, quote, sftp, sftp_ok};
use crate::support::cloud;
use crate::support::folder::{TempFolder, write_random};
use crate::support::kms::{Kind, Kms};
use crate::support::proxy::Proxy;
use crate::support::seaweed::{Seaweed, s3_settings};
use crate::support::server::Server;

/// A server whose lines to S3 and to the key service can be harmed.
pub(crate) struct Ground {
    pub(crate) folder: TempFolder,
    pub(crate) s3: Proxy,
    pub(crate) keys: Proxy,
    pub(crate) variables: Vec<(String, String)>,
}

impl Ground {
    /// Nothing is harmed yet.
    pub(crate) fn new() -> Self {
        Self::over(Seaweed::shared().http_port())
    }

    /// The same, with whatever leads to S3 from a port of this machine.
    pub(crate) fn over(s3: u16) -> Self {
        let seaweed = Seaweed::shared();
        let s3 = Proxy::before(s3);
        let keys = Proxy::before(Kms::shared(Kind::Moto).port);
        let settings = S3Settings {
            prefix: String::new(),
            ..s3_settings(&seaweed.fresh_bucket())
        };
        let mut variables = cloud::variables(&seaweed.cloud(&s3.http()), &settings);
        variables.extend(cloud::keys(&cloud::key_service().0, keys.port()));
        Self {
            folder: TempFolder::new(),
            s3,
            keys,
            variables,
        }
    }

    /// Starts it, with a key that opens the account.
    pub(crate) fn start(&self) -> (Server, SshOptions) {
        let server = Server::up_with(&self.folder.join("data"), &self.variables);
        let client = format!("client-{}", server.ready.pid);
        let options = SshOptions::with_new_key(&server, &self.folder.folder(&client));
        (server, options)
    }

    /// Three files on both sides of what one call stores.
    pub(crate) fn files(&self, name: &str) -> PathBuf {
        let files = self.folder.folder(name);
        for (number, size) in [1_000, 1 << 20, 20 << 20].into_iter().enumerate() {
            write_random(&files.join(format!("{number}")), size);
        }
        files
    }

    /// Fetches all files into a new folder.
    pub(crate) fn fetch(&self, server: &Server, options: &SshOptions, name: &str) -> PathBuf {
        let back = self.folder.folder(name);
        sftp_ok(server, options, &format!("get * {}/\n", quote(&back)));
        back
    }
}

/// A batch that stores all files of a folder.
pub(crate) fn put(files: &Path) -> String {
    format!("put {}/* .\n", quote(files))
}

/// Repeats what a client does until it works, as its user would.
pub(crate) fn until_it_works(server: &Server, options: &SshOptions, batch: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let tried = sftp(server, options, &[], batch);
        if tried.status.success() {
            return;
        }
        let said = String::from_utf8_lossy(&tried.stderr).into_owned();
        assert!(Instant::now() < deadline, "{said}");
    }
}
