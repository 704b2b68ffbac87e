//! Whatever bytes come over a control connection, in whatever pieces, lines come out the same: without
//! their ends, and no longer than they may be.
#![no_main]

use std::collections::VecDeque;

use libfuzzer_sys::fuzz_target;
use sealift::ftp::line::{Line, MAX_LINE_BYTES, Splitter};

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = split([bytes]);
    let pieces = split(bytes.chunks(1 + usize::from(size)));
    assert_eq!(whole, pieces);
    let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
    assert!(whole.len() <= ends);
    for line in whole {
        if let Line::Command(line) = line {
            assert!(line.len() <= MAX_LINE_BYTES + 1 && !line.contains(&b'\n'));
        }
    }
});

fn split<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> VecDeque<Line> {
    let (mut splitter, mut lines) = (Splitter::default(), VecDeque::new());
    for piece in pieces {
        splitter.feed(piece, &mut lines);
    }
    lines
}
