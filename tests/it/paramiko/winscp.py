"""WinSCP's requests for an upload that breaks off and is resumed, as its source sends them over version 3.

The first argument is `first`, which prints when half is sent and is killed then, or `second`.
"""

import os
import random
import sys

from connect import arguments, sftp
from packets import CREATE, EOF, NO_SUCH_FILE, OK, READ, TRUNCATE, WRITE, Client, attributes
from paramiko import sftp as wire
from paramiko.sftp import int64

CHUNK = 32_000
TARGET, PART = "/folder/report.bin", "/folder/report.bin.filepart"
MTIME = 1_100_000_000
content = random.Random(3).randbytes(9_000_001)
client = sftp(Client)


def ask(kind, *words):
    code, answer = client.ask(kind, *words)
    assert code == OK, (kind, words, code, answer)
    return answer


def start():
    """After logging in, and on entering a folder."""
    client.ask(wire.CMD_EXTENDED, "vendor-id", "whatever it says")
    assert list(ask(wire.CMD_REALPATH, ".")) == ["/"]
    assert client.ask(wire.CMD_MKDIR, "/folder", attributes())[0] in (OK, 4)
    assert list(ask(wire.CMD_REALPATH, "/folder/")) == ["/folder"]
    return client.listed("/folder")[1]


def send(handle, offset, end):
    """Pipelined: the answers are awaited at the end."""
    numbers = []
    while offset < end:
        data = content[offset : min(offset + CHUNK, end)]
        words = (handle, int64(offset), data)
        numbers.append(client._async_request(client, wire.CMD_WRITE, *words))
        offset += len(data)
    for number in numbers:
        client._read_response(number)


def first():
    start()
    assert client.ask(wire.CMD_LSTAT, TARGET)[0] == NO_SUCH_FILE
    # An older version is there when the upload begins.
    handle = ask(wire.CMD_OPEN, TARGET, WRITE | CREATE | TRUNCATE, attributes())
    ask(wire.CMD_WRITE, handle, int64(0), b"old")
    ask(wire.CMD_CLOSE, handle)
    assert client.ask(wire.CMD_LSTAT, PART)[0] == NO_SUCH_FILE
    handle = ask(wire.CMD_OPEN, PART, WRITE | CREATE | TRUNCATE, attributes(mode=0o644))
    send(handle, 0, len(content) // 2)
    print("half", flush=True)
    sys.stdin.readline()


def second():
    names = start()
    assert "report.bin.filepart" in names, names
    size = ask(wire.CMD_LSTAT, PART).st_size
    assert 0 < size <= len(content) // 2, size
    free = ask(wire.CMD_EXTENDED, "space-available", "/folder")
    handle = ask(wire.CMD_OPEN, PART, WRITE, attributes())
    send(handle, size, len(content))
    ask(wire.CMD_FSETSTAT, handle, attributes(mode=0o640, mtime=MTIME))
    ask(wire.CMD_CLOSE, handle)
    ask(wire.CMD_REMOVE, TARGET)
    ask(wire.CMD_RENAME, PART, TARGET)
    ask(wire.CMD_SETSTAT, TARGET, attributes(mtime=MTIME))
    assert client.ask(wire.CMD_LSTAT, PART)[0] == NO_SUCH_FILE
    about = ask(wire.CMD_LSTAT, TARGET)
    assert (about.st_size, about.st_mtime, about.st_mode & 0o777) == (len(content), MTIME, 0o640), about
    handle = ask(wire.CMD_OPEN, TARGET, READ, attributes())
    assert client.content(handle) == content
    assert client.ask(wire.CMD_READ, handle, int64(len(content)), 1)[0] == EOF
    ask(wire.CMD_CLOSE, handle)
    assert set(client.listed("/folder")[1]) == {".", "..", "report.bin"}


globals()[arguments()[0]]()
os._exit(0)
