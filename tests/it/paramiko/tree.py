"""Prints every file there is with its SHA-256, as one JSON object."""

import hashlib
import json
import os
import stat

from connect import sftp


def walk(client, folder):
    for entry in client.listdir_attr(folder or "/"):
        path = f"{folder}/{entry.filename}"
        if stat.S_ISDIR(entry.st_mode):
            yield from walk(client, path)
        else:
            with client.open(path, "rb") as file:
                file.prefetch(entry.st_size)
                content = file.read()
            assert len(content) == entry.st_size, (path, len(content), entry.st_size)
            yield path, hashlib.sha256(content).hexdigest()


print(json.dumps(dict(walk(sftp(), ""))), flush=True)
os._exit(0)
