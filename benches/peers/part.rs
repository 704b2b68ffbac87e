//! This program again, as a process of its own that does one part of a case.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::report::Outcome;

/// A running part; ends when dropped.
pub(crate) struct Part {
    child: Child,
    /// The first line that it said: where it is.
    pub(crate) place: String,
    /// Held for its other end: the part ends when it closes.
    _alive: Option<ChildStdin>,
}

impl Part {
    /// Starts this program with `arguments`, the first of which says what it is to be, and waits for a line.
    pub(crate) fn start(arguments: &[&str]) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let out = child.stdout.take().ok_or("a part without output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        Ok(Self {
            place: line.trim().to_owned(),
            _alive: child.stdin.take(),
            child,
        })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
