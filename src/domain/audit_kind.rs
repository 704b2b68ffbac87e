//! Kinds of records of the audit log; docs/audit.md says what each is.

use std::fmt;
use std::str::FromStr;

use crate::domain::error::{Error, Result};

macro_rules! kinds {
    ($($(#[$about:meta])* $kind:ident = $word:literal,)*) => {
        /// What a record tells of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum AuditKind {
            $($(#[$about])* $kind,)*
        }

        impl AuditKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The stored and shown form.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)*
                }
            }
        }
    };
}

kinds! {
    /// An account was added.
    AccountAdd = "account-add",
    /// A password was set or taken away.
    AccountPassword = "account-password",
    /// An account was removed; it tells its number.
    AccountRemove = "account-remove",
    /// Something else about an account was changed.
    AccountSet = "account-set",
    /// Failed logins of an account were forgotten.
    AccountUnlock = "account-unlock",
    /// Somebody was to administer and may not.
    AdminRefused = "admin-refused",
    /// An authority of SSH certificates is trusted.
    CaAdd = "ca-add",
    /// An authority of SSH certificates is trusted no more.
    CaRemove = "ca-remove",
    /// SSH certificates were revoked.
    CaRevoke = "ca-revoke",
    /// A certificate (X.509) opens an account.
    CertificateAdd = "certificate-add",
    /// A certificate (X.509) opens an account no more.
    CertificateRemove = "certificate-remove",
    /// A file was read for its checksum.
    Checksum = "checksum",
    /// A file or folder was copied on the server.
    Copy = "copy",
    /// A file or folder was deleted.
    Delete = "delete",
    /// A file was sent.
    Download = "download",
    /// Rights on a folder were given.
    Grant = "grant",
    /// Rights on a folder were taken away.
    GrantRemove = "grant-remove",
    /// A group was added.
    GroupAdd = "group-add",
    /// A group was removed.
    GroupRemove = "group-remove",
    /// A public key opens an account.
    KeyAdd = "key-add",
    /// A public key opens an account no more.
    KeyRemove = "key-remove",
    /// Data keys were wrapped for a region once more.
    KeysCopy = "keys-copy",
    /// Data keys wrapped for a region were removed.
    KeysCopyRemove = "keys-copy-remove",
    /// Data keys were destroyed.
    KeysDestroy = "keys-destroy",
    /// Data keys were wrapped anew.
    KeysRewrap = "keys-rewrap",
    /// There is a new version of the data key.
    KeysRotate = "keys-rotate",
    /// A tenant's KMS key is to be deleted.
    KmsKeyDeletion = "kms-key-deletion",
    /// A link was made.
    LinkAdd = "link-add",
    /// A link was changed.
    LinkAlter = "link-alter",
    /// The password of a link was wrong.
    LinkFailed = "link-failed",
    /// A link was opened.
    LinkOpen = "link-open",
    /// A link was revoked.
    LinkRevoke = "link-revoke",
    /// A file or folder was locked.
    Lock = "lock",
    /// Somebody was let in.
    Login = "login",
    /// Somebody was not let in.
    LoginFailed = "login-failed",
    /// A session ended by itself.
    Logout = "logout",
    /// A folder was made.
    MakeFolder = "make-folder",
    /// An account is in a group.
    MemberAdd = "member-add",
    /// An account is in a group no more.
    MemberRemove = "member-remove",
    /// The past beyond retention was forgotten.
    Purge = "purge",
    /// Somebody was refused for want of a right or of quota.
    Refused = "refused",
    /// A file or folder was renamed or moved.
    Rename = "rename",
    /// What was deleted was brought back.
    Restore = "restore",
    /// A session was ended by somebody.
    SessionEnd = "session-end",
    /// Times or modes of a file or folder were set.
    SetAttributes = "set-attributes",
    /// Properties (WebDAV) of a file or folder were set.
    SetProperties = "set-properties",
    /// A file was stored.
    Store = "store",
    /// Names of files of which webhooks are not told were set.
    TemporaryNames = "temporary-names",
    /// The tenant was added.
    TenantAdd = "tenant-add",
    /// The tenant was suspended.
    TenantDisable = "tenant-disable",
    /// Words for FTP of the tenant were set.
    TenantDoors = "tenant-doors",
    /// The tenant was resumed.
    TenantEnable = "tenant-enable",
    /// A name of a host leads to the tenant.
    TenantHostAdd = "tenant-host-add",
    /// A name of a host leads to the tenant no more.
    TenantHostRemove = "tenant-host-remove",
    /// The tenant's KMS key was chosen.
    TenantKmsKey = "tenant-kms-key",
    /// Quota or retention of the tenant were set.
    TenantLimits = "tenant-limits",
    /// The tenant moves to another region.
    TenantMove = "tenant-move",
    /// The tenant's replica was chosen.
    TenantReplica = "tenant-replica",
    /// The most sessions of the tenant were set.
    TenantSessions = "tenant-sessions",
    /// A token was made.
    TokenAdd = "token-add",
    /// A token was revoked.
    TokenRemove = "token-remove",
    /// An authenticator app makes codes for an account.
    TotpAdd = "totp-add",
    /// A second factor was taken away.
    TotpRemove = "totp-remove",
    /// A lock was taken away.
    Unlock = "unlock",
    /// A webhook was added.
    WebhookAdd = "webhook-add",
    /// A webhook was changed.
    WebhookAlter = "webhook-alter",
    /// A webhook was turned off, as its receiver is gone.
    WebhookGone = "webhook-gone",
    /// A webhook was removed.
    WebhookRemove = "webhook-remove",
    /// Webhooks are told again.
    WebhookReplay = "webhook-replay",
    /// A webhook has a new secret.
    WebhookSecret = "webhook-secret",
    /// A webhook was tried.
    WebhookTest = "webhook-test",
    /// An authority of certificates (X.509) is trusted.
    X509Add = "x509-add",
    /// Lists of revoked certificates (X.509) were set.
    X509Crl = "x509-crl",
    /// An authority of certificates (X.509) is trusted no more.
    X509Remove = "x509-remove",
}

impl fmt::Display for AuditKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AuditKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|kind| kind.as_str() == text);
        found.copied().ok_or_else(|| {
            let words: Vec<_> = Self::ALL.iter().map(|kind| kind.as_str()).collect();
            let shown: String = text.chars().take(64).collect();
            Error::invalid(format!(
                "no record is of the kind \"{}\"; there are {}",
                shown.escape_debug(),
                words.join(", ")
            ))
        })
    }
}
