"""Single requests through paramiko, with the status codes that its own files would hide."""

import paramiko
from paramiko import sftp as wire
from paramiko.sftp import int64

OK, EOF, NO_SUCH_FILE, DENIED, FAILURE, BAD_MESSAGE = range(6)
READ, WRITE, APPEND, CREATE, TRUNCATE, EXCLUSIVE = (1 << bit for bit in range(6))


class Refused(Exception):
    pass


class Client(paramiko.SFTPClient):
    """One request after the other."""

    def _convert_status(self, message):
        code, text = message.get_int(), message.get_text()
        if code != OK:
            raise Refused(code, text)

    def ask(self, kind, *words):
        """The status code, and what came with it."""
        try:
            answer, message = self._request(kind, *words)
        except Refused as refused:
            return refused.args
        if answer in (wire.CMD_HANDLE, wire.CMD_DATA):
            return OK, message.get_string()
        if answer == wire.CMD_ATTRS:
            return OK, paramiko.SFTPAttributes._from_msg(message)
        if answer == wire.CMD_NAME:
            names = {}
            for _ in range(message.get_int()):
                name, _ = message.get_text(), message.get_text()
                assert name not in names, f"{name!r} twice"
                names[name] = paramiko.SFTPAttributes._from_msg(message)
            return OK, names
        return OK, None

    def listed(self, path):
        code, handle = self.ask(wire.CMD_OPENDIR, path)
        if code != OK:
            return code, handle
        names = {}
        while (answer := self.ask(wire.CMD_READDIR, handle))[0] == OK:
            assert not names.keys() & answer[1].keys(), "a name twice"
            names.update(answer[1])
        assert answer[0] == EOF, answer
        assert self.ask(wire.CMD_CLOSE, handle)[0] == OK
        return OK, names

    def content(self, handle):
        """All bytes of an open file."""
        content = b""
        while (answer := self.ask(wire.CMD_READ, handle, int64(len(content)), 200_000))[0] == OK:
            assert answer[1], "no bytes and no end"
            content += answer[1]
        assert answer[0] == EOF, answer
        return content


def attributes(size=None, mode=None, mtime=None):
    made = paramiko.SFTPAttributes()
    made.st_size, made.st_mode = size, mode
    if mtime is not None:
        made.st_atime = made.st_mtime = mtime
    return made
