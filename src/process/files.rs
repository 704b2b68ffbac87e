//! How many files, which connections are too, this process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// As many as no server needs; systems refuse limits that are higher than their own.
const ENOUGH: u64 = 1 << 20;

/// Raises the limit as far as the system lets this process, and warns when not even one file for each of so many
/// `sessions` may be open.
pub fn raise_limit(sessions: u64) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return;
    };
    let most = hard.min(ENOUGH).max(soft);
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, most, hard) {
        Ok(()) => most,
        Err(_) => soft,
    };
    if limit < sessions {
        tracing::warn!(
            "this process may have {limit} files open, and the settings allow {sessions} sessions, each of which takes at \
             least one: raise the limit (LimitNOFILE= in a unit of systemd, ulimit -n in a shell), or lower \
             sftp.sessions, ftp.sessions and https.connections"
        );
    }
}
