"""An upload that stops halfway until it is told to go on.

Prints "half" when half is written, waits for a line, writes the rest, prints when the close was asked
for and when it was answered, in seconds since the epoch. The argument is the size.
"""

import os
import random
import sys
import time

from connect import arguments, sftp

(size,) = (int(word) for word in arguments())
content = random.Random(5).randbytes(size)
client = sftp()
file = client.open("held", "wb")
file.write(content[: size // 2])
print("half", flush=True)
if not sys.stdin.readline():
    os._exit(1)
file.write(content[size // 2 :])
asked = time.time()
file.close()
print(asked, time.time(), flush=True)
os._exit(0)
