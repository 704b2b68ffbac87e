"""The same random requests, sent without waiting, on OpenSSH's sftp-server and on ours: the same results.

Arguments: a folder for OpenSSH's files, the first seed, the number of sequences, bursts in each. What is asked in a
burst is decided by what OpenSSH's server answers, one request after the other; ours gets the whole burst at once.
"""

import os
import random
import stat
import sys

import paramiko
from connect import arguments, transport
from packets import APPEND, CREATE, EOF, EXCLUSIVE, OK, READ, TRUNCATE, WRITE
from packets import Client, Refused, attributes
from paramiko import sftp as wire
from paramiko.sftp import int64
from reference import reference

NAMES = ["a", "b", "d/c"]
FLAGS = [READ | WRITE | CREATE, READ | WRITE | CREATE | TRUNCATE, READ | WRITE, READ | WRITE | CREATE | EXCLUSIVE]
FLAGS += [READ | WRITE | CREATE | APPEND]
MOST_HANDLES = 6


class Different(Exception):
    pass


class Pipelined(Client):
    """Sends requests without waiting for their answers."""

    def begin(self, kind, *words):
        return self._async_request(type(None), kind, *words)

    def answers(self, count):
        """The next answers, by the numbers of the requests."""
        found = {}
        while len(found) < count:
            kind, data = self._read_packet()
            message = paramiko.Message(data)
            number = message.get_int()
            found[number] = self.understand(kind, message)
        return found

    def understand(self, kind, message):
        if kind == wire.CMD_STATUS:
            try:
                self._convert_status(message)
            except Refused as refused:
                return refused.args
            return OK, None
        if kind in (wire.CMD_HANDLE, wire.CMD_DATA):
            return OK, message.get_string()
        if kind == wire.CMD_ATTRS:
            return OK, paramiko.SFTPAttributes._from_msg(message)
        return OK, None


class File:
    """A file, whatever it is named now."""


class Handle:
    def __init__(self, file, name, flags, theirs):
        self.file, self.name, self.flags = file, name, flags
        # Ours is known at the end of the burst in which it was opened.
        self.theirs, self.ours = theirs, None


class Sequence:
    def __init__(self, seed, theirs, ours):
        self.dice = random.Random(seed)
        self.theirs, self.ours = theirs, ours
        self.top = f"pipelined-{seed}"
        self.files = {}
        self.handles = []
        self.lines = []
        self.pending = []

    def run(self, bursts):
        self.both(("mkdir",), wire.CMD_MKDIR, self.top, attributes())
        self.both(("mkdir",), wire.CMD_MKDIR, f"{self.top}/d", attributes())
        kinds = {
            self.open: 5, self.write: 12, self.read: 4, self.close: 4, self.fstat: 3, self.cut: 3, self.sync: 4,
            self.stat: 6, self.set: 4, self.rename: 4, self.remove: 3, self.list: 3, self.copy: 4, self.space: 1,
            self.folder: 2,
        }
        for _ in range(bursts):
            for _ in range(self.dice.randrange(3, 25)):
                self.dice.choices(list(kinds), kinds.values())[0]()
            self.settle()
        while self.handles:
            self.close()
        self.settle()
        for folder in (self.top, f"{self.top}/d"):
            self.same_tree(folder)

    # -- asking both, and comparing --

    def both(self, label, kind, *words, opens=None):
        """Asks OpenSSH's server, and ours without waiting; a handle among the words stands for its id."""
        ids = [[getattr(word, side, word) for word in words] for side in ("theirs", "ours")]
        answer = self.theirs.ask(kind, *ids[0])
        number = self.ours.begin(kind, *ids[1])
        self.lines.append(f"{' '.join(map(str, label))} -> {shown(answer)}")
        self.pending.append((number, label, answer, len(self.lines), opens))
        return answer

    def settle(self):
        """Takes the answers of ours, and compares them."""
        answers = self.ours.answers(len(self.pending))
        differences = []
        for number, label, theirs, line, opened in self.pending:
            ours = answers[number]
            if opened:
                opened[0].ours = ours[1]
            if not is_same(label[0], theirs, ours):
                differences.append(f"{line}: OpenSSH's server says {shown(theirs)}, ours {shown(ours)}")
        self.pending = []
        self.lines.append("--")
        if differences:
            raise Different("; ".join(differences))

    def same_tree(self, folder):
        (_, theirs), (_, ours) = (client.listed(folder) for client in (self.theirs, self.ours))
        for name in theirs.keys() | ours.keys():
            pair = [tree.get(name) for tree in (theirs, ours)]
            if None in pair:
                raise Different(f"{folder}/{name} is there once: {pair}")
            if stat.S_ISDIR(pair[0].st_mode):
                continue
            pair = [(oct(about.st_mode), about.st_size) for about in pair]
            pair = [(*about, self.content(client, f"{folder}/{name}"))
                    for about, client in zip(pair, (self.theirs, self.ours))]
            if pair[0] != pair[1]:
                raise Different(f"{folder}/{name}: {[(*about[:2], about[2][:20]) for about in pair]}")

    def content(self, client, path):
        code, handle = client.ask(wire.CMD_OPEN, path, READ, attributes())
        assert code == OK
        content = client.content(handle)
        assert client.ask(wire.CMD_CLOSE, handle)[0] == OK
        return content

    def name(self):
        return f"{self.top}/{self.dice.choice(NAMES)}"

    # -- requests about names --

    def open(self):
        if len(self.handles) >= MOST_HANDLES:
            return
        path, flags = self.name(), self.dice.choice(FLAGS)
        mode = self.dice.choice([None, 0o600, 0o755])
        opened = []
        answer = self.both(("open", path, flags), wire.CMD_OPEN, path, flags, attributes(mode=mode), opens=opened)
        if answer[0] == OK:
            file = self.files.setdefault(path, File())
            opened.append(Handle(file, path, flags, answer[1]))
            self.handles.append(opened[0])

    def stat(self):
        path = self.name()
        self.both(("stat", path), wire.CMD_STAT, path)

    def set(self):
        path = self.name()
        size, mode = self.dice.choice([(0, None), (self.dice.randrange(3000), None), (None, 0o640), (None, 0o700)])
        self.both(("set", path, size, mode), wire.CMD_SETSTAT, path, attributes(size, mode))

    def rename(self):
        old, new = self.name(), self.name()
        if old == new:
            return
        if self.dice.random() < 0.3:
            code, _ = self.both(("rename", old, new), wire.CMD_RENAME, old, new)
        else:
            words = (wire.CMD_EXTENDED, "posix-rename@openssh.com", old, new)
            code, _ = self.both(("posix-rename", old, new), *words)
        if code == OK:
            self.files[new] = self.files.pop(old)

    def remove(self):
        path = self.name()
        if self.both(("remove", path), wire.CMD_REMOVE, path)[0] == OK:
            del self.files[path]

    def list(self):
        path = self.dice.choice([self.top, f"{self.top}/d"])
        opened = []
        answer = self.both(("list", path), wire.CMD_OPENDIR, path, opens=opened)
        if answer[0] == OK:
            opened.append(Handle(None, path, 0, answer[1]))
            self.handles.append(opened[0])

    def space(self):
        path = self.name()
        self.both(("space", path), wire.CMD_EXTENDED, "statvfs@openssh.com", path)

    def folder(self):
        path = f"{self.top}/e"
        if self.dice.random() < 0.5:
            self.both(("mkdir", path), wire.CMD_MKDIR, path, attributes())
        else:
            self.both(("rmdir", path), wire.CMD_RMDIR, path)

    # -- requests through handles --

    def some(self, is_file=True):
        """One that was opened in an earlier burst: the id of another is not known yet."""
        fit = [handle for handle in self.handles if handle.ours and (handle.file or not is_file)]
        return self.dice.choice(fit) if fit else None

    def by_handle(self, label, kind, *words, before=()):
        handle = self.some()
        if handle:
            self.both((label, self.about(handle), *words), kind, *before, handle, *words)

    def write(self):
        data = self.dice.randbytes(self.dice.choice([1, 10, 900, 5000]))
        handle, offset = self.some(), self.dice.choice([0, self.dice.randrange(3000)])
        if handle:
            label = ("write", self.about(handle), offset, len(data))
            self.both(label, wire.CMD_WRITE, handle, int64(offset), data)

    def read(self):
        handle, offset = self.some(), self.dice.choice([0, self.dice.randrange(3000)])
        if handle:
            label = ("read", self.about(handle), offset)
            self.both(label, wire.CMD_READ, handle, int64(offset), 2000)

    def fstat(self):
        self.by_handle("fstat", wire.CMD_FSTAT)

    def sync(self):
        self.by_handle("sync", wire.CMD_EXTENDED, before=("fsync@openssh.com",))

    def cut(self):
        handle, size = self.some(), self.dice.choice([0, self.dice.randrange(3000)])
        if handle:
            self.both(("cut", self.about(handle), size), wire.CMD_FSETSTAT, handle, attributes(size))

    def copy(self):
        source, target = self.some(), self.some()
        # Within one file, or what was opened by the same name, OpenSSH's server refuses.
        if not source or source.file is target.file or source.name == target.name:
            return
        start, length, place = (self.dice.choice([0, self.dice.randrange(3000)]) for _ in range(3))
        label = ("copy", self.about(source), self.about(target), start, length, place)
        words = (int64(start), int64(length), target, int64(place))
        self.both(label, wire.CMD_EXTENDED, "copy-data", source, *words)

    def close(self):
        handle = self.some(is_file=False)
        if handle:
            label = ("close", self.about(handle))
            self.handles.remove(handle)
            self.both(label, wire.CMD_CLOSE, handle)

    def about(self, handle):
        names = [path for path, file in self.files.items() if file is handle.file]
        return f"{handle.theirs.hex()[-4:]}:{handle.flags}:{(names or ['nameless'])[0]}"


def shown(answer):
    code, what = answer
    if isinstance(what, paramiko.SFTPAttributes):
        what = "a folder" if stat.S_ISDIR(what.st_mode) else (what.st_size, oct(what.st_mode))
    elif isinstance(what, bytes):
        what = f"{len(what)} bytes {what[:4].hex()}"
    return code, what


def is_same(verb, theirs, ours):
    if theirs[0] != ours[0]:
        # Where less is there than asked for, it depends on the sizes of its buffers there.
        return verb == "copy" and {theirs[0], ours[0]} == {OK, EOF}
    if theirs[0] != OK or verb in ("open", "list"):
        return True
    if verb == "read":
        return theirs[1] == ours[1]
    return shown(theirs) == shown(ours)


folder, first, count, bursts = arguments()
connection = transport()
failures = 0
for seed in range(int(first), int(first) + int(count)):
    process, theirs = reference(folder, Pipelined)
    ours = Pipelined.from_transport(connection)
    sequence = Sequence(seed, theirs, ours)
    try:
        sequence.run(int(bursts))
    except Different as different:
        failures += 1
        print(f"seed {seed}, the last requests:")
        first_line = max(0, len(sequence.lines) - 60)
        print("\n".join(f"{first_line + at + 1}: {line}" for at, line in enumerate(sequence.lines[first_line:])))
        print(f"DIFFERENT: {different}\n", flush=True)
    theirs.sock.close()
    ours.close()
    process.wait()
print(f"{count} sequences, {failures} of them different", flush=True)
os._exit(min(failures, 1))
