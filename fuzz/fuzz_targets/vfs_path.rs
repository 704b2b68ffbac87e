//! Whatever a client sends, a path stays inside its root and has one form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealift::domain::path::{MAX_LEVELS, MAX_NAME_BYTES, MAX_PATH_BYTES, Name, VfsPath};

fuzz_target!(|input: (&[u8], &[u8])| {
    let (base, raw) = input;
    let base = VfsPath::resolve(&VfsPath::root(), base).unwrap_or_default();
    let Ok(path) = VfsPath::resolve(&base, raw) else {
        return;
    };
    let text = path.to_string();
    assert!(text.starts_with('/') && text.len() <= MAX_PATH_BYTES);
    assert!(path.names().len() <= MAX_LEVELS);
    for name in path.names() {
        let name = name.as_str();
        assert!(!matches!(name, "" | "." | ".."));
        assert!(!name.contains(['/', '\0']) && name.len() <= MAX_NAME_BYTES);
        assert!(Name::parse(name.as_bytes()).is_ok());
    }
    assert!(VfsPath::parse(&text).is_ok_and(|again| again == path));
    assert!(path.starts_with(&VfsPath::root()));
    if let (Some(parent), Some(name)) = (path.parent(), path.name()) {
        assert!(path.starts_with(&parent));
        assert!(parent.join(name.clone()).is_ok_and(|again| again == path));
    }
});
