//! Whatever stands in a settings file, it is taken or refused with reasons, never a crash.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealift::config::settings::Settings;

fuzz_target!(|input: (&str, &str, &str)| {
    let (file, key, value) = input;
    let variable = (format!("SEALIFT__{key}"), value.to_owned());
    if let Err(problems) = Settings::served().overlaid(Some(file), [variable]) {
        assert!(!problems.is_empty());
        for problem in problems {
            assert!(!problem.to_string().is_empty());
        }
    }
});
