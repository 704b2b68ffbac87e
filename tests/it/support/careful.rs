//! tests/it/webhooks/receiver.py: a receiver of its own, that may die.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::wait::wait_for;

/// The receiver; killed when dropped.
pub(crate) struct Careful {
    child: Child,
    pub(crate) port: u16,
    log: PathBuf,
}

impl Careful {
    /// Starts it at a port, 0 for a free one.
    pub(crate) fn start(port: u16, secret: &str, log: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/webhooks/receiver.py");
        let start = || {
            let mut child = Command::new("python3")
                .arg("-B")
                .arg(&script)
                .args([&port.to_string(), secret])
                .arg(log)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut said = String::new();
            let mut output = BufReader::new(child.stdout.take().unwrap());
            output.read_line(&mut said).unwrap();
            match said.trim().parse() {
                Ok(port) => Some((child, port)),
                Err(_) => {
                    // The port is not free again yet.
                    child.wait().unwrap();
                    None
                }
            }
        };
        let (child, port) = wait_for("the receiver", Duration::from_secs(60), start);
        Self {
            child,
            port,
            log: log.to_owned(),
        }
    }

    /// What it took: ids and bodies.
    pub(crate) fn taken(&self) -> Vec<(String, Value)> {
        taken(&self.log)
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Careful {
    fn drop(&mut self) {
        // It was killed already when the test wanted that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines that are whole.
fn taken(log: &Path) -> Vec<(String, Value)> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    lines
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            (
                line["id"].as_str().unwrap().to_owned(),
                line["body"].clone(),
            )
        })
        .collect()
}
