"""One story, told through SFTP, FTP, HTTPS or WebDAV: each step's outcome as a line of JSON.

parity.py PORT ACCOUNT PASSWORD sftp|ftp|ftps|https|webdav writer|reader
"""

import base64
import ftplib
import hashlib
import http.client
import io
import json
import ssl
import sys
import urllib.parse
import xml.etree.ElementTree

import paramiko


class Refused(Exception):
    """What a server of HTTP said."""


class NotOffered(Exception):
    """The protocol has no word for it."""


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

    remove_what_is_no_empty_folder = rmdir
    delete_what_is_no_file = delete

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

    remove_what_is_no_empty_folder = rmdir
    delete_what_is_no_file = delete

    def chmod(self, path):
        self.client.sendcmd("SITE CHMOD 640 " + path)

    def touch(self, path):
        self.client.sendcmd("MFMT 20231114221320 " + path)

    def close(self):
        self.client.quit()


class Http:
    """What HTTPS and WebDAV have in common. Neither appends: the whole file is sent again."""

    def __init__(self, port, account, password):
        context = ssl._create_unverified_context()
        self.client = http.client.HTTPSConnection("127.0.0.1", port, context=context)
        login = base64.b64encode(f"{account}:{password}".encode()).decode()
        self.login = {"Authorization": "Basic " + login}
        self.sent = {}

    def ask(self, method, address, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.client.request(method, address, body, self.login | headers)
        answer = self.client.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise Refused(self.sentence(content))
        return content

    def append(self, path, content):
        self.put(path, self.sent.get(path, b"") + content)

    def put(self, path, content):
        self.ask("PUT", self.file(path), content)
        self.sent[path] = content

    def get(self, path):
        return self.ask("GET", self.file(path))

    def delete_what_is_no_file(self, path):
        raise NotOffered

    remove_what_is_no_empty_folder = delete_what_is_no_file

    def close(self):
        self.client.close()


class Https(Http):
    def sentence(self, content):
        return json.loads(content)["detail"]

    def address(self, kind, path):
        return "/api/v1/" + kind + urllib.parse.quote(path)

    def file(self, path):
        return self.address("files", path)

    def json(self, method, address, value):
        return self.ask(method, address, json.dumps(value), Content_Type="application/json")

    def list(self, path):
        items = json.loads(self.ask("GET", self.address("folders", path)))["items"]
        return {item["name"]: None if item["kind"] == "folder" else item["size"] for item in items}

    def rename(self, old, new):
        self.json("POST", "/api/v1/move", {"from": old, "to": new, "overwrite": True})

    def mkdir(self, path):
        self.ask("POST", self.address("folders", path))

    def delete(self, path):
        self.ask("DELETE", self.address("entries", path))

    rmdir = delete

    def chmod(self, path):
        self.json("PATCH", self.address("entries", path), {"mode": "0640"})

    def touch(self, path):
        self.json("PATCH", self.address("entries", path), {"modified": "2023-11-14T22:13:20Z"})


DAV = "{DAV:}"


class Webdav(Http):
    def sentence(self, content):
        root = xml.etree.ElementTree.fromstring(content)
        return root.find("{urn:sealift}message").text

    def file(self, path):
        return "/dav" + urllib.parse.quote(path)

    def find(self, path):
        return xml.etree.ElementTree.fromstring(self.ask("PROPFIND", self.file(path), Depth="1"))

    def list(self, path):
        _, *found = self.find(path).findall(DAV + "response")
        sizes = [entry.find(f".//{DAV}getcontentlength") for entry in found]
        return {entry.find(f".//{DAV}displayname").text: None if size is None else int(size.text)
                for entry, size in zip(found, sizes)}

    def rename(self, old, new):
        self.ask("MOVE", self.file(old), Destination=self.file(new))

    def mkdir(self, path):
        self.ask("MKCOL", self.file(path))

    def delete(self, path):
        self.ask("DELETE", self.file(path))

    rmdir = delete

    def chmod(self, path):
        raise NotOffered

    def touch(self, path):
        date = "Tue, 14 Nov 2023 22:13:20 GMT"
        patch = (f'<propertyupdate xmlns="DAV:"><set><prop><getlastmodified>{date}</getlastmodified>'
                 "</prop></set></propertyupdate>")
        answer = xml.etree.ElementTree.fromstring(self.ask("PROPPATCH", self.file(path), patch))
        if "200" not in answer.find(f".//{DAV}status").text:
            raise Refused(answer.find(f".//{DAV}responsedescription").text)


def connect(port, account, password, door):
    if door == "sftp":
        return Sftp(port, account, password)
    if door in ("https", "webdav"):
        return {"https": Https, "webdav": Webdav}[door](port, account, password)
    context = ssl._create_unverified_context()
    client = ftplib.FTP() if door == "ftp" else Implicit(context=context)
    return Ftp(port, account, password, client)


def told(error):
    """The server's sentence, without what the protocol puts around it."""
    if isinstance(error, ftplib.Error):
        sentence = str(error)[4:]
    elif isinstance(error, Refused):
        sentence = str(error)
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
    yield "rmdir", door.remove_what_is_no_empty_folder, "/d"
    yield "rmdir", door.remove_what_is_no_empty_folder, "/d/c.txt"
    yield "delete", door.delete_what_is_no_file, "/d"
    yield "delete", door.delete, "/missing"
    yield "put", door.put, "/d/empty", bytes(2_400_000)
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
        except NotOffered:
            outcome = {"none": True}
        except (Refused, OSError, ftplib.Error) as error:
            outcome = {"refused": told(error)}
        print(json.dumps({"step": step, "path": arguments[0]} | outcome, sort_keys=True))
    door.close()


main()
