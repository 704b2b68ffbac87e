//! A folder of a server as a file system of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use crate::support::client::{run, succeed};
use crate::support::wait::wait_for;

const MOUNTED_WITHIN: Duration = Duration::from_secs(30);
const LEFT_WITHIN: Duration = Duration::from_secs(10);
const ENDED_WITHIN: Duration = Duration::from_secs(60);

/// What is mounted on a folder; taken away when dropped, whatever is still open there.
pub(crate) struct Mount {
    folder: PathBuf,
    child: Child,
}

impl Mount {
    /// Starts a program that mounts on `folder` and stays in the foreground; waits until it has.
    pub(crate) fn new(mut command: Command, folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let child = command
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut mount = Self {
            folder: folder.to_owned(),
            child,
        };
        wait_for("the mount", MOUNTED_WITHIN, || {
            if let Some(status) = mount.child.try_wait().unwrap() {
                panic!("{command:?} ended with {status}");
            }
            is_mounted(folder).then_some(())
        });
        mount
    }

    /// Takes it away in peace: all that was written is on the server then.
    ///
    /// A program that another test starts holds what is open here from its fork to its exec: that is waited for.
    pub(crate) fn unmount(mut self) {
        wait_for("the mount to be left", LEFT_WITHIN, || {
            let mut command = Command::new("fusermount3");
            command.arg("-u").arg(&self.folder);
            let ran = run(command, "");
            let is_busy = String::from_utf8_lossy(&ran.stderr).contains("busy");
            if !is_busy {
                succeed(&ran);
            }
            (!is_busy).then_some(())
        });
        wait_for("the mount's program to end", ENDED_WITHIN, || {
            self.child.try_wait().unwrap()
        });
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if is_mounted(&self.folder) {
            let mut command = Command::new("fusermount3");
            let _ = command.args(["-u", "-z"]).arg(&self.folder).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_mounted(folder: &Path) -> bool {
    let folder = folder.to_str().unwrap();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(folder))
}
