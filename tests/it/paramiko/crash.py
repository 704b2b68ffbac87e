"""Puts, overwrites, renames and removes files in several threads until the server is gone.

Arguments: a seed and the names there are, as JSON. Each line printed is one event: what is about to
be asked ("try") or what was acknowledged ("ack"), in an order true for all threads.
"""

import hashlib
import json
import os
import random
import sys
import threading
import time

from paramiko.sftp import CMD_CLOSE

from connect import arguments, sftp

THREADS = 4
OWN_NAMES = 6
SHARED_NAMES = 3
SIZES = (0, 1, 100, 5_000, 40_000, 65_535, 65_536, 65_537, 200_000, 1_000_000, 3_000_000)

printing = threading.Lock()


def tell(**event):
    with printing:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


class Worker:
    def __init__(self, number, seed, names):
        self.number = number
        self.dice = random.Random(f"{seed} {number}")
        self.folder = f"/own{number}"
        self.names = {name for name in names if name.startswith(self.folder + "/")}
        self.client = sftp()
        self.ensure(self.folder)

    def ensure(self, folder):
        try:
            self.client.mkdir(folder)
        except OSError:
            self.client.stat(folder)

    def work(self):
        try:
            while True:
                self.step()
        except Exception as failure:  # the server is gone, or it refused what it must not refuse
            deadline = time.monotonic() + 3
            while self.client.get_channel().get_transport().is_active():
                if time.monotonic() > deadline:
                    tell(event="refused", thread=self.number, reason=repr(failure))
                    return
                time.sleep(0.05)

    def step(self):
        own = f"{self.folder}/name {self.dice.randrange(OWN_NAMES)}"
        roll = self.dice.random()
        if self.names and roll < 0.2:
            old = self.dice.choice(sorted(self.names))
            if old != own:
                self.rename(old, own)
        elif self.names and roll < 0.25:
            self.remove(self.dice.choice(sorted(self.names)))
        elif roll < 0.45:
            self.put(f"/shared/name {self.dice.randrange(SHARED_NAMES)}")
        else:
            self.put(own)

    def put(self, name):
        # Names that all threads write hold what tells one version from the other.
        sizes = SIZES if name.startswith(self.folder) else SIZES[2:]
        content = self.dice.randbytes(self.dice.choice(sizes))
        event = {"thread": self.number, "op": "put", "name": name}
        event["sha256"] = hashlib.sha256(content).hexdigest()
        tell(event="try", **event)
        file = self.client.open(name, "wb")
        file.set_pipelined(True)
        for at in range(0, len(content), 32_768):
            file.write(content[at : at + 32_768])
        self.close(file)
        tell(event="ack", **event)
        if name.startswith(self.folder):
            self.names.add(name)

    def close(self, file):
        """Closes and fails when there is no answer; paramiko's own close() passes over that."""
        file.flush()
        self.client._request(CMD_CLOSE, file.handle)
        file._closed = True

    def rename(self, old, new):
        event = {"thread": self.number, "op": "rename", "name": old, "to": new}
        tell(event="try", **event)
        self.client.posix_rename(old, new)
        tell(event="ack", **event)
        self.names.remove(old)
        self.names.add(new)

    def remove(self, name):
        event = {"thread": self.number, "op": "remove", "name": name}
        tell(event="try", **event)
        self.client.remove(name)
        tell(event="ack", **event)
        self.names.remove(name)


seed, names = arguments()
workers = [Worker(number, seed, json.loads(names)) for number in range(THREADS)]
workers[0].ensure("/shared")
tell(event="ready")
threads = [threading.Thread(target=worker.work) for worker in workers]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
os._exit(0)
