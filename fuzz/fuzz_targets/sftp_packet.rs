//! Whatever bytes a client sends, in whatever pieces, packets come out the same and parsing ends in
//! a request or a refusal.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sealift::sftp::decode::Packet;
use sealift::sftp::packet::Packets;
use sealift::sftp::request::{HandleRequest, PathRequest, Request};

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = cut([bytes]);
    let pieces = cut(bytes.chunks(1 + usize::from(size)));
    assert_eq!(whole, pieces);
    let (packets, _) = whole;
    for packet in packets {
        parse(packet);
    }
    // And without the framing, which few inputs pass.
    parse(Bytes::copy_from_slice(bytes));
});

/// The packets, and whether the stream can go on after them.
fn cut<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Bytes>, bool) {
    let mut packets = Packets::default();
    let mut found = Vec::new();
    for mut piece in pieces {
        loop {
            match packets.next(&mut piece) {
                Ok(Some(packet)) => {
                    assert!(!packet.is_empty());
                    found.push(packet);
                }
                Ok(None) => break,
                Err(_) => return (found, false),
            }
        }
        assert!(piece.is_empty());
    }
    (found, true)
}

fn parse(packet: Bytes) {
    let length = packet.len();
    match Packet::parse(packet) {
        Ok(Packet::Request(_, Ok(request))) => check(&request, length),
        Ok(Packet::Request(_, Err(error))) => assert!(!error.context().is_empty()),
        Ok(Packet::Init(_)) => {}
        Err(_) => assert!(length < 5),
    }
}

/// Nothing in a request is longer than the packet it came in.
fn check(request: &Request, length: usize) {
    match request {
        Request::Handle(_, HandleRequest::Write { data, .. }) => assert!(data.len() < length),
        Request::Path(request) => {
            assert!(request.bytes() < length);
            if let PathRequest::Open { flags, .. } = request {
                assert!(flags.reads() || flags.writes());
            }
        }
        Request::Unsupported(why) => assert!(!why.is_empty()),
        Request::Names { users, groups } => assert!(users.len() + groups.len() < length),
        Request::Copy(_) | Request::Handle(..) | Request::Limits | Request::Vendor => {}
    }
}
