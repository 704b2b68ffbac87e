"""The same random operations through paramiko on OpenSSH's sftp-server and on ours: the same results.

Arguments: a folder for OpenSSH's files, the first seed, the number of sequences, operations in each.
What differs on purpose is named in EXCEPTIONS and ALLOWANCES; docs/sftp.md tells users of it.
"""

import os
import posixpath
import random
import stat
import sys

from connect import arguments, sftp
from packets import APPEND, BAD_MESSAGE, CREATE, FAILURE, NO_SUCH_FILE, OK, READ, TRUNCATE, WRITE
from packets import Client, attributes
from paramiko import sftp as wire
from paramiko.sftp import int64
from reference import reference

BLOCK = 4096
# Times that the script sets are before this; all others are what the clocks say.
SET_BEFORE = 1_200_000_000

# Status codes that differ on purpose: why, in which operations, which codes (OpenSSH's, ours).
EXCEPTIONS = [
    ("a folder is not opened as a file, instead of failing when it is read", ["open"], (OK, FAILURE)),
    ("a handle that was not opened for it is there", ["write", "read", "resize"], (NO_SUCH_FILE, FAILURE)),
    ("nothing is half done: a handle for reading cannot set a size", ["resize"], (BAD_MESSAGE, FAILURE)),
    ("a folder cannot be moved into itself, be the name free or not", ["rename"], (FAILURE, BAD_MESSAGE)),
    ("a new name that is the old one is no change", ["rename-to-itself"], (FAILURE, OK)),
    ("what is not there has a path all the same", ["realpath"], (NO_SUCH_FILE, OK)),
]
# All else that differs on purpose.
ALLOWANCES = """
owners: they are the account and its tenant
times of access: reading does not change them
size and times of folders: a folder has no size, and its time is not changed by what is put into it
flags: APPEND, CREATE and TRUNCATE ask for writing without WRITE
versions: a handle for reading shows one version of the file from open to close
times of files: one that is set through a handle stays until it is closed, whatever is written after it
changes: a request that cannot do all that it asks for does nothing
paths: `x/..` is nothing and a slash at the end says nothing, whether `x` is there or not
uploads: other sessions see what a handle writes when it is closed
"""


class Different(Exception):
    pass


class File:
    """A file, whatever it is named now."""

    def __init__(self):
        self.handles = []
        # Whether the time is the same: not after a time was set and more was written.
        self.is_timed = True
        # Whether that happened since it was opened for writing.
        self.has_set_time = False

    def writers(self):
        return [handle for handle in self.handles if handle.flags & WRITE]


class Handle:
    def __init__(self, file, name, flags, ids):
        self.file, self.name, self.flags, self.ids = file, name, flags, ids
        # What is shown from open to close, of a handle that only reads.
        self.version = None


class Sequence:
    FOLDERS = ["d", "d/e", "f"]
    FILES = ["a", "b", "c", "d/a", "d/b", "d/e/a", "f/a"]
    ODD = ["d", "d/e", "f", "missing/a", "a/b", "a/b/c", "./a", "d//a", "d/./b"]

    def __init__(self, seed, theirs, ours):
        self.dice = random.Random(seed)
        self.clients = theirs, ours
        self.top = f"sequence-{seed}"
        self.files = {}
        self.handles = []
        self.lines = []

    def run(self, count):
        code, *_ = self.both(("mkdir",), wire.CMD_MKDIR, self.top, attributes())
        assert code == OK
        kinds = {
            self.open: 20, self.write: 30, self.read: 15, self.close: 10, self.fstat: 6, self.fset: 6,
            self.stat: 10, self.set: 8, self.rename: 8, self.remove: 6, self.mkdir: 8, self.rmdir: 3,
            self.list: 5, self.real_path: 2, self.copy: 6,
        }
        for _ in range(count):
            self.dice.choices(list(kinds), kinds.values())[0]()
        while self.handles:
            self.close()
        self.tree(self.top)

    # -- asking both, and comparing --

    def both(self, label, kind, *words):
        return self.compare(label, *(client.ask(kind, *words) for client in self.clients))

    def by_handle(self, label, handle, kind, *words):
        pairs = zip(self.clients, handle.ids)
        return self.compare(label, *(client.ask(kind, which, *words) for client, which in pairs))

    def compare(self, label, theirs, ours):
        """The code that both gave, None when they differ on purpose, and what came with it."""
        self.lines.append(f"{' '.join(map(str, label))} -> {theirs[0]}")
        if theirs[0] == ours[0]:
            return theirs[0], theirs[1], ours[1]
        for _, operations, codes in EXCEPTIONS:
            if label[0] in operations and codes == (theirs[0], ours[0]):
                return None, theirs[1], ours[1]
        raise Different(f"OpenSSH's server says {theirs}, ours {ours}")

    def same_attributes(self, theirs, ours, file=None):
        is_timed = file is None or (file.is_timed and not file.writers())
        shown = []
        for about in (theirs, ours):
            is_folder = stat.S_ISDIR(about.st_mode)
            size = None if is_folder else about.st_size
            is_set = about.st_mtime < SET_BEFORE and not is_folder
            time = about.st_mtime if is_set and is_timed else None
            shown.append((oct(about.st_mode), size, time))
        if shown[0] != shown[1]:
            raise Different(f"OpenSSH's server shows {shown[0]}, ours {shown[1]}")

    def same_bytes(self, theirs, ours):
        if theirs != ours:
            pairs = enumerate(zip(theirs, ours))
            at = next((at for at, (one, other) in pairs if one != other), min(len(theirs), len(ours)))
            raise Different(f"bytes differ from {at} on; there are {len(theirs)} and {len(ours)}")

    def tree(self, folder):
        code, theirs, ours = self.compare(("tree", folder), *(c.listed(folder) for c in self.clients))
        assert code == OK
        if theirs.keys() != ours.keys():
            raise Different(f"OpenSSH's server lists {sorted(theirs)}, ours {sorted(ours)}")
        for name in theirs.keys() - {".", ".."}:
            path = f"{folder}/{name}"
            self.same_attributes(theirs[name], ours[name], self.file_at(path))
            if stat.S_ISDIR(theirs[name].st_mode):
                self.tree(path)
                continue
            label = ("content", path)
            code, *ids = self.both(label, wire.CMD_OPEN, path, READ, attributes())
            assert code == OK
            self.same_bytes(*(client.content(which) for client, which in zip(self.clients, ids)))
            for client, which in zip(self.clients, ids):
                assert client.ask(wire.CMD_CLOSE, which)[0] == OK

    # -- names --

    def path(self, *pools):
        pool = self.ODD if self.dice.random() < 0.1 else self.dice.choice(pools)
        name = self.dice.choice(pool)
        return f"{self.top}/{name}"

    def file_at(self, path):
        return self.files.get(posixpath.normpath(path))

    def moved(self, old, new):
        """Files are known by their names; `new` may be None."""
        old, new = posixpath.normpath(old), new and posixpath.normpath(new)
        if old == new:
            return
        if new:
            self.files.pop(new, None)
        for path in [path for path in self.files if path == old or path.startswith(f"{old}/")]:
            file = self.files.pop(path)
            if new:
                self.files[new + path[len(old):]] = file

    # -- operations on names --

    def open(self):
        path, flags = self.path(self.FILES), self.dice.randrange(64)
        if self.dice.random() < 0.6:
            usual = [READ, WRITE | CREATE | TRUNCATE, READ | WRITE | CREATE, READ | WRITE, WRITE | CREATE | APPEND]
            flags = self.dice.choice(usual)
        mode = self.dice.choice([None, None, 0o600, 0o640, 0o755, 0o777])
        file, is_new = self.file_at(path), self.file_at(path) is None
        file = file or File()
        changes = flags & (WRITE | APPEND | CREATE | TRUNCATE)
        label = ("open", path, flags, mode and oct(mode))
        code, *ids = self.both(label, wire.CMD_OPEN, path, flags, attributes(mode=mode))
        if code is None:
            _, about = self.clients[0].ask(wire.CMD_FSTAT, ids[0])
            if not stat.S_ISDIR(about.st_mode):
                raise Different(f"ours says {ids[1]}")
            assert self.clients[0].ask(wire.CMD_CLOSE, ids[0])[0] == OK
        if code != OK:
            return
        if is_new:
            self.files[posixpath.normpath(path)] = file
        if flags & TRUNCATE:
            # Where a handle writes already, it is a new size, and may be the old one.
            file.is_timed &= not (file.has_set_time or file.writers())
        handle = Handle(file, posixpath.normpath(path), flags, ids)
        self.handles.append(handle)
        file.handles.append(handle)
        if changes and not flags & WRITE:
            self.close(handle)
        elif not flags & WRITE:
            theirs, ours = (client.content(which) for client, which in zip(self.clients, ids))
            self.same_bytes(theirs, ours)
            handle.version = ours

    def stat(self):
        path = self.path(self.FILES, self.FOLDERS)
        kind = self.dice.choice([wire.CMD_STAT, wire.CMD_LSTAT])
        code, *about = self.both(("stat", path), kind, path)
        file = self.file_at(path)
        if code == OK:
            self.same_attributes(*about, file)

    def wanted(self, all_at_once):
        size = mode = mtime = None
        kind = self.dice.randrange(4 if all_at_once else 3)
        if kind in (0, 3):
            size = self.dice.choice([0, 1, BLOCK, self.dice.randrange(300_000)])
        if kind in (1, 3):
            mode = self.dice.choice([0o600, 0o644, 0o755, 0o700])
        if kind in (2, 3):
            mtime = self.dice.randrange(1_000_000_000, SET_BEFORE)
        return size, mode, mtime

    def set(self):
        path = self.path(self.FILES, self.FOLDERS)
        file = self.file_at(path)
        size, mode, mtime = self.wanted(all_at_once=file is not None)
        if not file and mode:
            mode |= 0o700
        label = ("resize" if size is not None else "set", path, size, mode and oct(mode), mtime)
        self.both(label, wire.CMD_SETSTAT, path, attributes(size, mode, mtime))
        if file:
            self.note_time(file, size, mtime)

    def note_time(self, file, size, mtime):
        """What is written through an open handle from now on makes the time differ, if one is set; and
        so does a size that is the old one."""
        file.is_timed = mtime is not None or (file.is_timed and size is None)
        file.has_set_time |= mtime is not None and bool(file.writers())

    def rename(self):
        old, new = self.path(self.FILES, self.FOLDERS), self.path(self.FILES, self.FOLDERS)
        if self.dice.random() < 0.5:
            verb = "rename-to-itself" if posixpath.normpath(old) == posixpath.normpath(new) else "rename"
            code, *_ = self.both((verb, old, new), wire.CMD_RENAME, old, new)
        else:
            label = ("posix-rename", old, new)
            code, *_ = self.both(label, wire.CMD_EXTENDED, "posix-rename@openssh.com", old, new)
        if code == OK:
            self.moved(old, new)

    def remove(self):
        path = self.path(self.FILES, self.FILES, self.FOLDERS)
        code, *_ = self.both(("remove", path), wire.CMD_REMOVE, path)
        if code == OK:
            self.moved(path, None)

    def mkdir(self):
        path = self.path(self.FOLDERS, self.FOLDERS, self.FILES)
        mode = self.dice.choice([None, 0o700, 0o755, 0o777])
        self.both(("mkdir", path, mode and oct(mode)), wire.CMD_MKDIR, path, attributes(mode=mode))

    def rmdir(self):
        path = self.path(self.FOLDERS, self.FOLDERS, self.FILES)
        self.both(("rmdir", path), wire.CMD_RMDIR, path)

    def list(self):
        path = self.path(self.FOLDERS, [""], self.FILES)
        code, theirs, ours = self.compare(("list", path), *(c.listed(path) for c in self.clients))
        if code != OK:
            return
        if theirs.keys() != ours.keys():
            raise Different(f"OpenSSH's server lists {sorted(theirs)}, ours {sorted(ours)}")
        for name in theirs.keys() - {".", ".."}:
            file = self.file_at(f"{path}/{name}")
            self.same_attributes(theirs[name], ours[name], file)

    def real_path(self):
        path = self.path(self.FOLDERS, ["missing/x"])
        code, theirs, ours = self.both(("realpath", path), wire.CMD_REALPATH, path)
        if code == OK:
            (theirs,), (ours,) = theirs, ours
            if theirs.partition(self.top)[2] != ours.partition(self.top)[2]:
                raise Different(f"OpenSSH's server says {theirs}, ours {ours}")

    # -- operations on handles --

    def some(self, flags=READ | WRITE):
        fit = [handle for handle in self.handles if handle.flags & flags or flags & READ]
        return self.dice.choice(fit) if fit else None

    def write(self):
        handle = self.some(WRITE if self.dice.random() < 0.95 else READ)
        if handle is None:
            return
        offset = self.dice.randrange(200_000)
        length = self.dice.choice([0, 1, 7, 1000, BLOCK, 33_000, 70_000])
        if self.dice.random() < 0.5:
            # At the end, as most clients write.
            offset = self.clients[0].ask(wire.CMD_FSTAT, handle.ids[0])[1].st_size
        data = self.dice.randbytes(length)
        label = ("write", *self.about(handle), offset, length)
        self.by_handle(label, handle, wire.CMD_WRITE, int64(offset), data)
        handle.file.is_timed &= not handle.file.has_set_time

    def copy(self):
        source, target = self.some(READ), self.some(WRITE)
        if source is None or target is None or not (source.flags & READ and target.flags & WRITE):
            return
        # Within one file, or what was opened by the same name, OpenSSH's server refuses.
        if source.file is target.file or source.name == target.name:
            return
        content = self.clients[0].content(source.ids[0])
        if not content or source.version not in (None, content):
            # What OpenSSH's server shows has changed since.
            return
        start = self.dice.randrange(len(content))
        length = self.dice.choice([0, 1, self.dice.randrange(len(content) - start) + 1])
        offset = self.dice.randrange(200_000)
        self.lines.append(f"copy {self.about(source)} {self.about(target)} {start} {length} {offset}")
        words = int64(start), int64(length)
        codes = []
        for client, read, write in zip(self.clients, source.ids, target.ids):
            answer = client.ask(wire.CMD_EXTENDED, "copy-data", read, *words, write, int64(offset))
            codes.append(answer)
        code, *_ = self.compare(("copy",), *codes)
        assert code == OK, code
        target.file.is_timed &= not target.file.has_set_time

    def read(self):
        handle = self.some()
        if handle is None:
            return
        offset, length = self.dice.randrange(250_000), self.dice.choice([0, 1, 1000, 32_768, 100_000])
        if not handle.flags & READ:
            # No bytes may be had from any handle there.
            length = max(length, 1)
        label = ("read", *self.about(handle), offset, length)
        words = (wire.CMD_READ, int64(offset), length)
        if handle.version is not None:
            # What OpenSSH's server shows may have changed since.
            (_, which), (_, client) = handle.ids, self.clients
            self.lines.append(" ".join(map(str, label)))
            code, data = client.ask(wire.CMD_READ, which, int64(offset), length)
            expected = handle.version[offset : offset + length]
            self.same_bytes(expected, data if code == OK else b"")
        else:
            code, theirs, ours = self.by_handle(label, handle, *words)
            if code == OK:
                self.same_bytes(theirs, ours)

    def fstat(self):
        handle = self.some()
        if handle is None:
            return
        label = ("fstat", *self.about(handle))
        code, theirs, ours = self.by_handle(label, handle, wire.CMD_FSTAT)
        assert code == OK, code
        if handle.version is not None:
            if ours.st_size != len(handle.version):
                raise Different(f"{ours.st_size} bytes are shown of {len(handle.version)}")
        else:
            self.same_attributes(theirs, ours, handle.file)

    def fset(self):
        handle = self.some()
        if handle is None:
            return
        size, mode, mtime = self.wanted(all_at_once=handle.flags & WRITE)
        label = ("resize" if size is not None else "set", *self.about(handle), size, mode, mtime)
        self.by_handle(label, handle, wire.CMD_FSETSTAT, attributes(size, mode, mtime))
        self.note_time(handle.file, size, mtime)

    def close(self, handle=None):
        handle = handle or self.some()
        if handle is None:
            return
        label = ("close", *self.about(handle))
        self.handles.remove(handle)
        handle.file.handles.remove(handle)
        handle.file.has_set_time &= bool(handle.file.writers())
        self.by_handle(label, handle, wire.CMD_CLOSE)

    def about(self, handle):
        names = [path for path, file in self.files.items() if file is handle.file]
        return self.handles.index(handle), handle.flags, *(names or ["nameless"])


folder, first, count, operations = arguments()
failures = 0
for seed in range(int(first), int(first) + int(count)):
    process, theirs = reference(folder, Client)
    ours = sftp(Client)
    sequence = Sequence(seed, theirs, ours)
    try:
        sequence.run(int(operations))
    except Different as different:
        failures += 1
        print(f"seed {seed}, {len(sequence.lines)} operations; the last ones:")
        print("\n".join(sequence.lines[-40:]))
        print(f"DIFFERENT: {different}\n", flush=True)
    theirs.sock.close()
    ours.get_channel().get_transport().close()
    process.wait()
sys.stdout.flush()
os._exit(min(failures, 1))
