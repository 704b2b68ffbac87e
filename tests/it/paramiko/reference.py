"""OpenSSH's server to compare with."""

import socket
import subprocess


class Pipe(socket.socket):
    """A socket that paramiko takes for a channel."""

    def get_name(self):
        return "reference"


def reference(folder, client):
    """OpenSSH's server at the other end of a pair of sockets, as sshd starts it."""
    here, there = socket.socketpair()
    program = ["/usr/lib/openssh/sftp-server", "-u", "022", "-d", folder]
    process = subprocess.Popen(program, stdin=there, stdout=there)
    there.close()
    return process, client(Pipe(fileno=here.detach()))
