//! A PROXY header is understood alike from a stream and from a slice, and nothing behind it is taken.
#![no_main]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use sealift::net::proxy_protocol::{parse, read};

fuzz_target!(|input: (u8, &[u8])| {
    let (version, bytes) = input;
    // Most inputs begin rightly, so that the rest is reached.
    let start: &[u8] = match version % 4 {
        0 => b"",
        1 => b"PROXY TCP",
        2 => b"\r\n\r\n\0\r\nQUIT\n\x21\x11",
        _ => b"\r\n\r\n\0\r\nQUIT\n\x21\x21",
    };
    let bytes = [start, bytes].concat();
    let mut stream = bytes.as_slice();
    // A slice never makes a reader wait.
    let polled = pin!(read(&mut stream)).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(read) = polled else {
        panic!("a slice made its reader wait");
    };
    match parse(&bytes) {
        Some((header, length)) => {
            assert_eq!(read.ok(), Some(header));
            assert_eq!(stream.len(), bytes.len() - length);
        }
        None => assert!(read.is_err()),
    }
});
