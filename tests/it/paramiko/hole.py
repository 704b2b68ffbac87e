"""Makes a file of which nothing was ever written. The arguments are its name and its size."""

from connect import arguments, sftp

name, size = arguments()
client = sftp()
client.open(name, "w").close()
client.truncate(name, int(size))
client.close()
