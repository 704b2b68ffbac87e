//! Whatever line a client sends for exec, it is words or a refusal, and no word is longer than the line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealift::domain::pattern;
use sealift::sftp::scp_options;
use sealift::sftp::words::{self, When};

fuzz_target!(|line: &[u8]| {
    let commands = match words::parse(line) {
        Ok(commands) => commands,
        Err(error) => return assert!(!error.context().is_empty()),
    };
    let mut total = 0;
    for (index, command) in commands.iter().enumerate() {
        assert!(!command.words.is_empty());
        assert!(index > 0 || command.when == When::Always);
        total += command
            .words
            .iter()
            .map(|word| word.bytes.len())
            .sum::<usize>();
        if let Ok((_, _, paths)) = scp_options::parse(&command.words) {
            assert!(!paths.is_empty() && paths.iter().all(|path| !path.bytes.is_empty()));
        }
        if let [first, second, ..] = command.words.as_slice() {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            let (first, second) = (text(&first.bytes), text(&second.bytes));
            pattern::matches(&first, &second);
            assert!(pattern::matches("*", &second) || second.starts_with('.'));
        }
    }
    assert!(total <= line.len());
});
