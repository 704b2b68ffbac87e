"""Logging in, as every script here does: arguments are port, user and password, then the script's own."""

import sys

import paramiko

MIB = 1 << 20


def transport(rekey_bytes=None):
    port, user, password = sys.argv[1:4]
    made = paramiko.Transport(("127.0.0.1", int(port)))
    if rekey_bytes:
        made.packetizer.REKEY_BYTES = rekey_bytes
    made.banner_timeout = 60
    made.auth_timeout = 60
    made.connect(username=user, password=password)
    return made


def sftp(kind=paramiko.SFTPClient, rekey_bytes=None):
    return kind.from_transport(transport(rekey_bytes))


def arguments():
    return sys.argv[4:]
