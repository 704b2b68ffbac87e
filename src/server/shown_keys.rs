//! Whether the instances of an installation show clients the same SSH host keys.

use std::path::Path;

use crate::db::database::Database;
use crate::db::instances::{self, ShownKeys};
use crate::domain::error::Result;
use crate::domain::id::InstanceId;
use crate::sftp::host_keys::HostKeys;

/// Writes down by which keys from `folder` clients know this instance, which runs, and warns when another one
/// shows them others.
///
/// # Errors
/// Unavailable when the database does not answer.
pub async fn compare(
    db: &Database,
    instance: InstanceId,
    keys: &HostKeys,
    folder: &Path,
) -> Result<()> {
    let prints: Vec<String> = keys.fingerprints().into_iter().map(|key| key.1).collect();
    // A name that cannot be read is left out.
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let own = ShownKeys {
        instance,
        keys: prints.join(" "),
        kept: format!("{}:{}", machine.trim(), folder.display()),
    };
    // Before the look at the others: of two that start at once, one at least sees the other.
    instances::show_keys(db, &own).await?;
    for other in instances::keys_of_others(db, instance).await? {
        if other.keys != own.keys {
            tracing::warn!(
                "instance {} shows other SSH host keys ({}) than instance {} ({}): clients that know one of them refuse \
                 the other. Copy the folder of one in the place of the other's, with its owner and modes, and restart that \
                 instance",
                own.instance,
                own.kept,
                other.instance,
                other.kept
            );
        }
    }
    Ok(())
}
