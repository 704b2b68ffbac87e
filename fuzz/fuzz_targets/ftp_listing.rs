//! Whatever names there are, each is one line of a listing, in each style and character set, and stands
//! at its end as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealift::domain::clock::Timestamp;
use sealift::domain::id::NodeId;
use sealift::domain::node::{Attributes, Entry, NodeKind};
use sealift::domain::rights::Rights;
use sealift::ftp::charset::Charset;
use sealift::ftp::facts::Facts;
use sealift::ftp::listing::{Style, Viewer};

fuzz_target!(|input: (&str, &str, u64, i64)| {
    let (name, owner, size, time) = input;
    for kind in [NodeKind::File, NodeKind::Folder] {
        let entry = Entry {
            node: NodeId::NIL,
            parent: NodeId::NIL,
            name: name.to_owned(),
            kind,
            content: None,
            size,
            owner: None,
            attributes: Attributes::file(Timestamp(time)),
            born: 0,
            died: None,
        };
        for charset in ["utf-8", "latin1", "shift_jis", "euc-kr"] {
            let viewer = Viewer {
                // Names of accounts hold no more than this.
                owners: (owner.replace(char::is_control, ""), "tenant".to_owned()),
                now: Timestamp(0),
                rights: Rights::NONE,
                charset: Charset::named(charset).unwrap(),
            };
            for style in [Style::Facts(Facts::default()), Style::Long, Style::Names] {
                let line = viewer.encoded(style, &entry, name);
                let inside = line.strip_suffix(b"\r\n").unwrap();
                assert!(!inside.iter().any(|byte| b"\0\r\n".contains(byte)));
                if !name.contains(['\0', '\r', '\n']) {
                    assert!(inside.ends_with(&viewer.charset.encode(name)));
                }
            }
        }
    }
});
