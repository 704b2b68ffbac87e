"""Takes files away as soon as they are there, as a program does that watches a folder.

Arguments: the folder, where to, how many; they are named 1, 2 and so on, and come in this order."""

from connect import arguments, sftp

folder, to, count = arguments()
client = sftp()
print("ready", flush=True)
for number in range(1, int(count) + 1):
    while True:
        try:
            client.posix_rename(f"{folder}/{number}", f"{to}/{number}")
            break
        except FileNotFoundError:
            pass
