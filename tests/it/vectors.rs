//! Sealed blobs and wrapped keys made from `docs/format.md` by other code, each with the result
//! that it must give. See `tests/vectors/make.py`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use data_encoding::HEXLOWER;
use sealift::crypto::keyring::{KeyRing, WrappedKey, is_not_set_up};
use sealift::crypto::open::{Opener, frame_range, frames};
use sealift::crypto::seal::{DataKey, FRAME_BYTES, HEADER_BYTES, Position, TAG_BYTES};
use sealift::domain::error::{Error, ErrorKind};
use sealift::domain::id::TenantId;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::support::folder::TempFolder;

#[test]
fn every_sealed_vector_gives_the_result_it_names() {
    let all = read_json("sealed.json");
    let vectors = all["vectors"].as_array().unwrap();
    assert!(vectors.len() > 40);
    for vector in vectors {
        let view = View::of(&all["blobs"], vector);
        let result = match view.read(edited(vector)) {
            Ok(plain) => json!({"ok": HEXLOWER.encode(&Sha256::digest(plain))}),
            Err(place) => json!({ "corrupt": place }),
        };
        assert_eq!(result, vector["expect"], "{}", vector["name"]);
    }
}

#[tokio::test]
async fn every_wrapped_key_gives_the_result_it_names() {
    let all = read_json("wrapped.json");
    let folder = TempFolder::new();
    let path = folder.join("key");
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&path);
    let text = all["file"].as_str().unwrap();
    file.unwrap().write_all(text.as_bytes()).unwrap();
    let ring = KeyRing::open_local(&path).unwrap();
    assert_eq!(ring.fingerprint(), all["fingerprint"].as_str());
    for vector in all["vectors"].as_array().unwrap() {
        let wrapped = WrappedKey {
            provider: vector["provider"].as_str().unwrap().to_owned(),
            bytes: hex(&vector["bytes"]),
        };
        let tenant = TenantId(vector["tenant"].as_i64().unwrap());
        let version = vector["version"].as_u64().unwrap() as u32;
        let result = match ring.unwrap(tenant, version, &wrapped).await {
            Ok(key) => {
                let blobs = &read_json("sealed.json")["blobs"];
                let blob = all["opens"].as_str().unwrap();
                let vector = json!({"blob": blob, "edits": [], "reader": {}});
                let mut view = View::of(blobs, &vector);
                view.key = key;
                view.read(edited(&vector)).unwrap();
                "ok"
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => "corrupt",
            Err(error) if is_not_set_up(&error) => "unsupported",
            Err(error) => panic!("{error:?}"),
        };
        assert_eq!(result, vector["expect"], "{}", vector["name"]);
    }
}

/// What a reader believes about a blob.
struct View {
    facts: Map<String, Value>,
    key: DataKey,
}

impl View {
    fn of(blobs: &Value, vector: &Value) -> Self {
        let mut facts = blobs[vector["blob"].as_str().unwrap()]
            .as_object()
            .unwrap()
            .clone();
        facts.extend(vector["reader"].as_object().unwrap().clone());
        let secret = hex(&facts["key"]).try_into().unwrap();
        let version = facts["version"].as_u64().unwrap() as u32;
        let key = DataKey::new(version, secret);
        Self { facts, key }
    }

    /// The plain text, or the place that is corrupt.
    fn read(&self, sealed: Vec<u8>) -> Result<Vec<u8>, Value> {
        let tenant = TenantId(self.facts["tenant"].as_i64().unwrap());
        let id = self.facts["id"].as_str().unwrap().parse().unwrap();
        let opener = Opener::new(tenant, id, &sealed, &self.key).map_err(|error| {
            assert_corrupt(&error, "header");
            json!("header")
        })?;
        assert_eq!(Opener::key_version(&sealed).unwrap(), self.key.version);
        let length = self.facts["plain"].as_u64().unwrap();
        let positions = self.positions(length);
        let named = self.facts.contains_key("frames");
        let end = frame_range(length, 0, frames(length)).end;
        if !named && sealed.len() as u64 != end {
            return Err(json!("length"));
        }
        let mut plain = BytesMut::new();
        let mut rest = &sealed[HEADER_BYTES..];
        for (index, position) in (0..).zip(positions) {
            let frame = rest.len().min(FRAME_BYTES + TAG_BYTES);
            let (frame, behind) = rest.split_at(frame);
            rest = behind;
            let mut opened = [0; FRAME_BYTES];
            let length = opener.open(index, position, frame, &mut opened);
            let length = length.map_err(|error| {
                assert_corrupt(&error, &format!("frame {index}"));
                json!(index)
            })?;
            plain.extend_from_slice(&opened[..length]);
        }
        Ok(plain.into())
    }

    /// One frame after the other, as the vector names them or the length demands.
    fn positions(&self, length: u64) -> Vec<Position> {
        if let Some(named) = self.facts.get("frames") {
            let named = named.as_array().unwrap().iter();
            return named
                .map(|name| match name == "final" {
                    true => Position::Final,
                    false => Position::Middle,
                })
                .collect();
        }
        let mut positions = vec![Position::Middle; frames(length) as usize];
        if self.facts["finished"].as_bool().unwrap() {
            positions.pop();
            positions.push(Position::Final);
        }
        positions
    }
}

fn assert_corrupt(error: &Error, place: &str) {
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.context().contains(place), "{error} names {place}");
}

/// The blob of a vector after the vector's edits.
fn edited(vector: &Value) -> Vec<u8> {
    let mut sealed = blob(&vector["blob"]);
    for edit in vector["edits"].as_array().unwrap() {
        let number = |name: &str| edit[name].as_u64().unwrap() as usize;
        if edit["flip"].is_u64() {
            sealed[number("flip")] ^= 1;
        } else if edit["cut"].is_u64() {
            sealed.truncate(number("cut"));
        } else {
            let source = blob(&edit["copy"]);
            let part = &source[number("start")..][..number("length")];
            let end = number("to") + part.len();
            sealed.resize(sealed.len().max(end), 0);
            sealed[number("to")..end].copy_from_slice(part);
        }
    }
    sealed
}

fn blob(name: &Value) -> Vec<u8> {
    fs::read(vectors().join(format!("{}.blob", name.as_str().unwrap()))).unwrap()
}

fn read_json(name: &str) -> Value {
    serde_json::from_slice(&fs::read(vectors().join(name)).unwrap()).unwrap()
}

fn hex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}
