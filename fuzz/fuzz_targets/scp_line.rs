//! Whatever control line a client sends, names in it are plain names and numbers fit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealift::sftp::scp_line::Control;

fuzz_target!(|line: &[u8]| {
    match Control::parse(line) {
        Ok(Control::File { mode, size, name }) => {
            assert!(mode <= 0o7777 && i64::try_from(size).is_ok());
            assert!(line.ends_with(name.as_str().as_bytes()));
        }
        Ok(Control::Folder { mode, name }) => {
            assert!(mode <= 0o7777);
            assert!(!matches!(name.as_str(), "." | "..") && !name.as_str().contains('/'));
        }
        Ok(Control::Warning(text) | Control::Fatal(text)) => {
            assert!(!text.chars().any(char::is_control));
        }
        Ok(Control::Times { modified, accessed }) => {
            assert!(modified.0 >= 0 && accessed.0 >= 0);
        }
        Ok(Control::End) => assert_eq!(line, b"E"),
        Err(error) => assert!(!error.context().is_empty()),
    }
});
