"""Sends the first part of a file and then nothing more, until it is killed.

Arguments: remote name, local file, how many bytes."""

import sys
import time

from connect import arguments, sftp

name, local, length = arguments()
with open(local, "rb") as source:
    part = source.read(int(length))
client = sftp()
remote = client.open(name, "wb")
remote.write(part)
# Answered: all of it is with the server.
remote.flush()
remote.stat()
print("sent", flush=True)
while True:
    time.sleep(1)
