//! Whatever a client of WebDAV sends, it is read or refused, and what we write of it is read as the same.
#![no_main]

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use sealift::http::dav::condition::If;
use sealift::http::dav::{body, place};

fuzz_target!(|text: &str| {
    if let Ok(value) = HeaderValue::from_str(text) {
        let mut headers = HeaderMap::new();
        headers.insert("if", value);
        if let Ok(Some(condition)) = If::read(&headers) {
            assert!(condition.tokens().len() <= text.len());
        }
    }
    if let Ok(path) = place::path(text) {
        let again = place::path(&place::href(&path, true));
        assert!(again.is_ok_and(|again| again == path));
    }
    let bytes = text.as_bytes();
    let _ = body::propfind(bytes);
    let _ = body::lock(bytes);
    let Ok(instructions) = body::proppatch(bytes) else {
        return;
    };
    for instruction in instructions {
        let Some((element, _)) = &instruction.value else {
            continue;
        };
        let shown = format!(
            "<D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop>{element}</D:prop></D:set></D:propertyupdate>"
        );
        let again = body::proppatch(shown.as_bytes()).expect("what is kept is well-formed");
        assert_eq!(again, [instruction]);
    }
});
