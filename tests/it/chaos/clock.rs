//! The clock of a machine, which somebody sets while programs run.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct MachineClock {
    file: fs::File,
    variables: [(&'static str, PathBuf); 2],
}

impl MachineClock {
    /// A right one, that keeps what it needs in a folder.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/chaos/clock.c");
        let library = folder.join(format!("{name}-clock.so"));
        let made = Command::new("cc")
            .args(["-O", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .status();
        assert!(made.unwrap().success());
        let wrong_by = folder.join(format!("{name}-clock"));
        let clock = Self {
            file: fs::File::create(&wrong_by).unwrap(),
            variables: [("LD_PRELOAD", library), ("WRONG_BY", wrong_by)],
        };
        clock.set(0);
        clock
    }

    /// Has it be ahead by so many seconds from now on.
    pub(crate) fn set(&self, seconds: i64) {
        self.file.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }

    /// What the environment of its programs says.
    pub(crate) fn variables(&self) -> &[(&'static str, PathBuf)] {
        &self.variables
    }
}
