"""Makes the vectors in this folder from docs/format.md alone, without any code of Sealift.

Needs PyPI's `cryptography`. The same bytes come out each time; the tests only read them.
"""

import hashlib
import hmac
import json
import pathlib
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = pathlib.Path(__file__).parent
FRAME = 65_536
HEADER = 68
TAG = 16


def hkdf(secret, salt, info, length):
    prk = hmac.new(salt or bytes(64), secret, hashlib.sha512).digest()
    out, block, count = b"", b"", 0
    while len(out) < length:
        count += 1
        block = hmac.new(prk, block + info + bytes([count]), hashlib.sha512).digest()
        out += block
    return out[:length]


def draw(label, length):
    """Bytes that look random and are the same each time."""
    return hashlib.shake_256(label.encode()).digest(length)


def seal(tenant, version, data_key, blob_id, random, plain, finished, empty_end):
    header = b"SEALIFT\x01" + struct.pack(">qI", tenant, version) + blob_id + random
    key = AESGCM(hkdf(data_key, random, b"sealift blob v1" + header, 32))
    frames = [plain[at : at + FRAME] for at in range(0, len(plain), FRAME)] or [b""]
    if empty_end:
        frames.append(b"")
    out = header
    for index, frame in enumerate(frames):
        final = finished and index == len(frames) - 1
        nonce = bytes(3) + struct.pack(">QB", index, final)
        out += key.encrypt(nonce, frame, header)
    return out


TENANT, VERSION = 7, 3
DATA_KEY, OTHER_KEY = draw("data key", 32), draw("other data key", 32)
BLOBS = {}


def blob(name, length, tenant=TENANT, version=VERSION, data_key=DATA_KEY, finished=True, empty_end=False):
    blob_id, random = draw(f"id {name}", 16), draw(f"header {name}", 32)
    plain = draw(f"plain {name}", length)
    sealed = seal(tenant, version, data_key, blob_id, random, plain, finished, empty_end)
    (HERE / f"{name}.blob").write_bytes(sealed)
    BLOBS[name] = {
        "tenant": tenant,
        "version": version,
        "key": data_key.hex(),
        "id": blob_id.hex(),
        "plain": length,
        "finished": finished,
        "sha256": hashlib.sha256(plain).hexdigest(),
    }


blob("empty", 0)
blob("short", 5)
blob("full", FRAME)
blob("long", FRAME + 5)
blob("salvaged", FRAME, finished=False)
blob("another", FRAME + 5)
blob("other-tenant", 5, tenant=8, data_key=OTHER_KEY)
blob("other-version", 5, version=4, data_key=OTHER_KEY)

HEADER_FAILS = {"corrupt": "header"}
STORE_FAILS = {"corrupt": "length"}


def frame_fails(index):
    return {"corrupt": index}


VECTORS = []


def vector(name, blob, expect, edits=(), **reader):
    """`reader` is what differs between the reader's view and the blob as it was sealed."""
    if expect == "ok":
        expect = {"ok": BLOBS[blob]["sha256"]}
    VECTORS.append(
        {"name": name, "blob": blob, "edits": list(edits), "reader": reader, "expect": expect}
    )


def flip(at):
    return {"flip": at}


def cut(length):
    return {"cut": length}


def copy(source, start, length, to):
    return {"copy": source, "start": start, "length": length, "to": to}


LAST = HEADER + FRAME + TAG  # where the second frame of a long blob starts

for name in list(BLOBS):
    vector(f"{name} opens", name, "ok")

for at, what in [(0, "magic"), (7, "format version"), (15, "tenant"), (19, "key version"), (20, "id")]:
    vector(f"changed header: {what}", "short", HEADER_FAILS, [flip(at)])
vector("changed header: random bytes", "short", frame_fails(0), [flip(HEADER - 1)])
vector("header cut", "short", HEADER_FAILS, [cut(HEADER - 1)])
vector("nothing there", "short", HEADER_FAILS, [cut(0)])

vector("flipped bit in the text", "long", frame_fails(0), [flip(HEADER + 1000)])
vector("flipped bit in a tag", "long", frame_fails(0), [flip(LAST - 1)])
vector("flipped bit in the final frame", "long", frame_fails(1), [flip(LAST)])
vector("flipped bit in the final tag", "long", frame_fails(1), [flip(LAST + 20)])
vector("flipped bit in the tag of an empty blob", "empty", frame_fails(0), [flip(HEADER)])

vector("cut in the final frame", "long", STORE_FAILS, [cut(LAST + 20)])
vector("cut and believed shorter", "long", frame_fails(1), [cut(LAST + 20)], plain=FRAME + 4)
vector("last frame missing", "long", STORE_FAILS, [cut(LAST)])
vector("last frame missing and believed shorter", "long", frame_fails(0), [cut(LAST)], plain=FRAME)
vector("all frames missing and believed empty", "long", frame_fails(0), [cut(HEADER + TAG)], plain=0)
vector("final frame after the final one", "full", frame_fails(0), [copy("long", LAST, 21, LAST)], plain=FRAME + 5)
blob("empty-end", FRAME, empty_end=True)  # what no sealer makes: a sound, but empty, final frame
vector("empty final frame after a full one", "empty-end", frame_fails(1), frames=["middle", "final"])
vector("bytes after the final frame", "short", {"corrupt": "length"}, [copy("empty", HEADER, TAG, HEADER + 21)])
vector("salvaged blob believed finished", "salvaged", frame_fails(0), finished=True)
vector("finished blob believed salvaged", "full", frame_fails(0), finished=False)

vector("frame moved: the first one's place taken by the last", "long", frame_fails(0), [copy("long", LAST, 21, HEADER), cut(HEADER + 21)], plain=5)
vector("frame of another blob", "long", frame_fails(0), [copy("another", HEADER, FRAME + TAG, HEADER)])
vector("final frame of another blob", "long", frame_fails(1), [copy("another", LAST, 21, LAST)])
vector("whole of another blob", "another", HEADER_FAILS, id=BLOBS["long"]["id"])
vector("frame of another tenant", "short", frame_fails(0), [copy("other-tenant", HEADER, 21, HEADER)])
vector("blob of another tenant", "other-tenant", HEADER_FAILS, tenant=TENANT)
vector("wrong key version", "short", HEADER_FAILS, version=4)
vector("frame under another key version", "short", frame_fails(0), [copy("other-version", HEADER, 21, HEADER)])
vector("wrong key under the right version", "short", frame_fails(0), key=OTHER_KEY.hex())

# A longer blob is needed to move whole frames.
blob("longer", 2 * FRAME + 5)
FULL = FRAME + TAG
vector("longer opens", "longer", "ok")
vector("frames swapped", "longer", frame_fails(0), [copy("longer", HEADER + FULL, FULL, HEADER), copy("longer", HEADER, FULL, HEADER + FULL)])
vector("frame repeated", "longer", frame_fails(1), [copy("longer", HEADER, FULL, HEADER + FULL)])
vector("middle frame dropped", "longer", frame_fails(1), [copy("longer", HEADER + 2 * FULL, 21, HEADER + FULL), cut(HEADER + FULL + 21)], plain=FRAME + 5)

FILE_KEY = draw("file key", 32)
nonce = draw("wrapping nonce", 12)
context = b"sealift data key v1" + b"\x05local" + struct.pack(">qI", TENANT, VERSION)
wrapped = nonce + AESGCM(hkdf(FILE_KEY, b"", b"sealift wrap v1", 32)).encrypt(nonce, DATA_KEY, context)

(HERE / "sealed.json").write_text(json.dumps({"blobs": BLOBS, "vectors": VECTORS}, indent=1) + "\n")
(HERE / "wrapped.json").write_text(
    json.dumps(
        {
            "file": f"sealift-key-v1 {FILE_KEY.hex()}\n",
            "fingerprint": hkdf(FILE_KEY, b"", b"sealift fingerprint v1", 16).hex(),
            "opens": "short",
            "vectors": [
                {"name": "ok", "tenant": TENANT, "version": VERSION, "provider": "local", "bytes": wrapped.hex(), "expect": "ok"},
                {"name": "another tenant", "tenant": 8, "version": VERSION, "provider": "local", "bytes": wrapped.hex(), "expect": "corrupt"},
                {"name": "another version", "tenant": TENANT, "version": 4, "provider": "local", "bytes": wrapped.hex(), "expect": "corrupt"},
                {"name": "flipped bit", "tenant": TENANT, "version": VERSION, "provider": "local", "bytes": (wrapped[:-1] + bytes([wrapped[-1] ^ 1])).hex(), "expect": "corrupt"},
                {"name": "cut", "tenant": TENANT, "version": VERSION, "provider": "local", "bytes": wrapped[:-1].hex(), "expect": "corrupt"},
                {"name": "another provider", "tenant": TENANT, "version": VERSION, "provider": "aws-kms", "bytes": wrapped.hex(), "expect": "unsupported"},
            ],
        },
        indent=1,
    )
    + "\n"
)
