"""One story, told through SFTP or FTP: each step's outcome as a line of JSON.

parity.py PORT ACCOUNT PASSWORD sftp|ftp|ftps writer|reader
"""

import ftplib
import hashlib
import io
import json
import ssl
import sys

import paramiko


class Sftp:
    def __init__(self, port, account, password):
        self.transport = paramiko.Transport(("127.0.0.1", port))
        self.transport.connect(username=account, password=password)
        self.client = paramiko.SFTPClient.from_transport(self.transport)

    def put(self, path, content):
        with self.client.open(path, "w") as file:
            file.write(content)

    def append(self, path, content):
        with self.client.open(path, "a") as file:
            file.write(content)

    def get(self, path):
        with self.client.open(path, "r") as file:
            return file.read()

    def list(self, path):
        return {entry.filename: None if entry.st_mode & 0o40000 else entry.st_size
                for entry in self.client.listdir_attr(path)}

    def rename(self, old, new):
        self.client.posix_rename(old, new)

    def mkdir(self, path):
        self.client.mkdir(path)

    def rmdir(self, path):
        self.client.rmdir(path)

    def delete(self, path):
        self.client.remove(path)

    def chmod(self, path):
        self.client.chmod(path, 0o640)

    def touch(self, path):
        self.client.utime(path, (1_700_000_000, 1_700_000_000))

    def close(self):
        self.client.close()
        self.transport.close()


class Implicit(ftplib.FTP_TLS):
    """ftplib knows AUTH TLS only."""

    @property
    def sock(self):
        return self.raw

    @sock.setter
    def sock(self, value):
        if value is not None and not isinstance(value, ssl.SSLSocket):
            value = self.context.wrap_socket(value)
        self.raw = value


class Ftp:
    def __init__(self, port, account, password, client):
        self.client = client
        client.connect("127.0.0.1", port)
        if isinstance(client, Implicit):
            client.login(account, password, secure=False)
            client.prot_p()
        else:
            client.login(account, password)

    def put(self, path, content):
        self.client.storbinary("STOR " + path, io.BytesIO(content))

    def append(self, path, content):
        self.client.storbinary("APPE " + path, io.BytesIO(content))

    def get(self, path):
        pieces = []
        self.client.retrbinary("RETR " + path, pieces.append)
        return b"".join(pieces)

    def list(self, path):
        return {name: None if facts["type"] == "dir" else int(facts["size"])
                for name, facts in self.client.mlsd(path)}

    def rename(self, old, new):
        self.client.rename(old, new)

    def mkdir(self, path):
        self.client.mkd(path)

    def rmdir(self, path):
        self.client.rmd(path)

    def delete(self, path):
        self.client.delete(path)

    def chmod(self, path):
        self.client.sendcmd("SITE CHMOD 640 " + path)

    def touch(self, path):
        self.client.sendcmd("MFMT 20231114221320 " + path)

    def close(self):
        self.client.quit()


def connect(port, account, password, door):
    if door == "sftp":
        return Sftp(port, account, password)
    context = ssl._create_unverified_context()
    client = ftplib.FTP() if door == "ftp" else Implicit(context=context)
    return Ftp(port, account, password, client)


def told(error):
    """The server's sentence, without what the protocol puts around it."""
    if isinstance(error, ftplib.Error):
        sentence = str(error)[4:]
    else:
        sentence = error.strerror if error.strerror else str(error)
    # How much there was when it was too much depends on how much came at once.
    return sentence.partition(": ")[0] if sentence.startswith("quota") else sentence


def writer(door):
    yield "put", door.put, "/a.txt", b"one"
    yield "put", door.put, "/a.txt", b"two, longer"
    yield "append", door.append, "/a.txt", b" and more"
    yield "append", door.append, "/new.txt", b"made by appending"
    yield "mkdir", door.mkdir, "/d"
    yield "put", door.put, "/d/b.bin", bytes(range(256)) * 1200
    yield "put", door.put, "/d/empty", b""
    yield "rename", door.rename, "/a.txt", "/d/c.txt"
    yield "rename", door.rename, "/new.txt", "/d/c.txt"
    yield "rename", door.rename, "/missing", "/other"
    yield "list", door.list, "/"
    yield "list", door.list, "/d"
    yield "list", door.list, "/missing"
    yield "get", door.get, "/d/c.txt"
    yield "get", door.get, "/missing"
    yield "get", door.get, "/d"
    yield "mkdir", door.mkdir, "/d"
    yield "mkdir", door.mkdir, "/missing/below"
    yield "put", door.put, "/d", b"over a folder"
    yield "put", door.put, "/missing/file", b"nowhere"
    yield "rmdir", door.rmdir, "/d"
    yield "rmdir", door.rmdir, "/d/c.txt"
    yield "delete", door.delete, "/d"
    yield "delete", door.delete, "/missing"
    yield "put", door.put, "/d/empty", bytes(3_000_000)
    yield "chmod", door.chmod, "/d/c.txt"
    yield "touch", door.touch, "/d/c.txt"
    yield "delete", door.delete, "/d/b.bin"
    yield "mkdir", door.mkdir, "/e"
    yield "rmdir", door.rmdir, "/e"
    yield "list", door.list, "/d"


def reader(door):
    yield "list", door.list, "/d"
    yield "get", door.get, "/d/c.txt"
    yield "put", door.put, "/d/c.txt", b"denied"
    yield "put", door.put, "/new", b"denied"
    yield "append", door.append, "/d/c.txt", b"denied"
    yield "mkdir", door.mkdir, "/new"
    yield "rename", door.rename, "/d/c.txt", "/c.txt"
    yield "delete", door.delete, "/d/c.txt"
    yield "rmdir", door.rmdir, "/d"
    yield "chmod", door.chmod, "/d/c.txt"
    yield "touch", door.touch, "/d/c.txt"
    yield "list", door.list, "/d"


def main():
    port, account, password, kind, story = sys.argv[1:]
    door = connect(int(port), account, password, kind)
    for step, act, *arguments in {"writer": writer, "reader": reader}[story](door):
        try:
            came = act(*arguments)
            if isinstance(came, bytes):
                came = hashlib.sha256(came).hexdigest()
            outcome = {"came": came}
        except (OSError, ftplib.Error) as error:
            outcome = {"refused": told(error)}
        print(json.dumps({"step": step, "path": arguments[0]} | outcome, sort_keys=True))
    door.close()


main()
