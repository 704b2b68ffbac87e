"""SFTP packets that no honest client sends. The first argument names the case."""

import os
import struct
import time

from connect import MIB, arguments, transport

INIT, OPEN, CLOSE, READ, WRITE, STAT = 1, 3, 4, 5, 6, 17
STATUS = 101
OP_UNSUPPORTED = 8


def string(value):
    return struct.pack(">I", len(value)) + value


def packet(kind, body):
    return struct.pack(">IB", len(body) + 1, kind) + body


class Stream:
    """The SFTP subsystem without any library between."""

    def __init__(self, initialise=True):
        self.channel = transport().open_session()
        self.channel.settimeout(30)
        self.channel.invoke_subsystem("sftp")
        if initialise:
            self.channel.sendall(packet(INIT, struct.pack(">I", 3)))
            kind, body = self.receive()
            assert kind == 2 and body[:4] == struct.pack(">I", 3), (kind, body)

    def send(self, raw):
        self.channel.sendall(raw)

    def receive_exactly(self, length):
        got = b""
        while len(got) < length:
            more = self.channel.recv(length - len(got))
            if not more:
                raise EOFError(got)
            got += more
        return got

    def receive(self):
        length, kind = struct.unpack(">IB", self.receive_exactly(5))
        return kind, self.receive_exactly(length - 1)

    def ends(self):
        """Waits until the server ends the session; whatever it still says is thrown away."""
        try:
            while self.channel.recv(65536):
                pass
        except OSError as failure:
            assert not isinstance(failure, TimeoutError), "the session should have ended"

    def open(self, name, flags):
        self.send(packet(OPEN, struct.pack(">I", 7) + string(name) + struct.pack(">II", flags, 0)))
        kind, body = self.receive()
        assert kind == 102, (kind, body)
        return body[8:]


def fatal(_):
    """Lengths and starts after which nothing can be understood."""
    for raw in (
        struct.pack(">I", 0),
        struct.pack(">I", 0xFFFF_FFFF) + b"x" * 100,
        struct.pack(">I", 64 * MIB) + b"x" * 100_000,
        struct.pack(">I", 300_000) + b"x" * 10,
    ):
        stream = Stream()
        try:
            stream.send(raw)
        except OSError:
            pass
        stream.ends()
    stream = Stream(initialise=False)
    stream.send(packet(STAT, struct.pack(">I", 1) + string(b"/")))
    stream.ends()


def malformed(_):
    """Packets cut short or with lengths that lie: refused, or the session ends; never obeyed."""
    identified = struct.pack(">I", 9)
    for raw in (
        packet(STAT, b""),
        packet(STAT, identified),
        packet(STAT, identified + struct.pack(">I", 500) + b"short"),
        packet(STAT, identified + struct.pack(">I", 0xFFFF_FFFF)),
        packet(OPEN, identified + string(b"/x") + b"\0\0"),
        packet(OPEN, identified + string(b"/x") + struct.pack(">II", 0x1A, 0xF)),
        packet(WRITE, identified + string(b"h")),
        packet(WRITE, identified + string(b"h") + struct.pack(">QI", 0, 0x7FFF_FFFF)),
        packet(READ, identified + string(b"h") + struct.pack(">I", 1)),
        packet(CLOSE, identified + struct.pack(">I", 257) + b"h" * 257),
    ):
        stream = Stream()
        stream.send(raw)
        try:
            kind, body = stream.receive()
        except (EOFError, OSError) as failure:
            assert not isinstance(failure, TimeoutError), raw
            continue
        code = struct.unpack(">I", body[4:8])[0]
        assert kind == STATUS and code > 1, (raw, kind, body)


def unknown(_):
    """A request nobody knows is answered, and the session goes on."""
    stream = Stream()
    for kind in (0x63, 0xC7, 21, 255):
        stream.send(packet(kind, struct.pack(">I", kind) + b"whatever"))
        answer, body = stream.receive()
        number, code = struct.unpack(">II", body[:8])
        assert (answer, number, code) == (STATUS, kind, OP_UNSUPPORTED), (kind, answer, body)
    stream.send(packet(200, struct.pack(">I", 3) + string(b"no-such@example.com")))
    answer, body = stream.receive()
    assert struct.unpack(">II", body[:8]) == (3, OP_UNSUPPORTED), body
    for kind, rest in ((READ, struct.pack(">QI", 0, 10)), (CLOSE, b"")):
        stream.send(packet(kind, struct.pack(">I", 4) + string(b"no such handle") + rest))
        answer, body = stream.receive()
        number, code = struct.unpack(">II", body[:8])
        assert answer == STATUS and number == 4 and code > 1, body


def names(_):
    """Names the server must not keep are refused, each with a sentence."""
    stream = Stream()
    for name in (
        b"/nul\0inside",
        b"/not \xff utf-8",
        b"/" + b"x" * 256,
        b"/" + b"x/" * 201 + b"x",
        b"/" + (b"x" * 200 + b"/") * 21 + b"x",
    ):
        body = struct.pack(">I", 8) + string(name) + struct.pack(">II", 0x1A, 0)
        stream.send(packet(OPEN, body))
        kind, body = stream.receive()
        number, code, length = struct.unpack(">III", body[:12])
        assert kind == STATUS and code not in (0, 1), (name[:40], kind, body)
        assert length > 10, "a reason is given"


def never_reads(_):
    """Asks for far more than it takes; the caller looks at the server's memory meanwhile."""
    stream = Stream()
    handle = stream.open(b"/big", 0x1A)
    block = b"x" * 32768
    blocks = 1024
    for index in range(blocks):
        body = struct.pack(">I", index) + string(handle) + struct.pack(">Q", index * 32768)
        stream.send(packet(WRITE, body + string(block)))
        stream.receive()
    stream.send(packet(CLOSE, struct.pack(">I", 1) + string(handle)))
    stream.receive()
    handle = stream.open(b"/big", 1)
    stream.channel.settimeout(5)
    try:
        for index in range(40_000):
            offset = index % blocks * 32768
            body = struct.pack(">I", index) + string(handle) + struct.pack(">QI", offset, 32768)
            stream.send(packet(READ, body))
    except OSError:
        pass  # being made to wait, or thrown out, is right
    print("asked", flush=True)
    input()


def floods(_):
    """Writes as fast as it can and takes no reply; the server may make it wait or end the session."""
    stream = Stream()
    handle = stream.open(b"/flood", 0x1A)
    block = b"x" * 32768
    stream.channel.settimeout(5)
    started = time.monotonic()
    try:
        for index in range(8192):
            body = struct.pack(">I", index) + string(handle) + struct.pack(">Q", index * 32768)
            stream.send(packet(WRITE, body + string(block)))
            if time.monotonic() - started > 30:
                break
    except OSError:
        pass
    print("asked", flush=True)
    input()


case, *rest = arguments()
globals()[case](*rest or [None])
os._exit(0)
