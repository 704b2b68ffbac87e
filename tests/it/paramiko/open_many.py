"""Opens files for writing until the server takes no more; then waits to be killed.

Prints how many were taken. The argument is how many are tried at most.
"""

import sys
import time

from connect import arguments, sftp

(most,) = (int(word) for word in arguments())
client = sftp()
held = []
try:
    for number in range(most):
        held.append(client.open(f"held-{number}", "wb"))
except IOError:
    pass
print(len(held), flush=True)
while True:
    time.sleep(1)
