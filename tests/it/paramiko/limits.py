"""What one connection gets and what it does not. The first argument names the case."""

import paramiko
from paramiko.sftp import CMD_CLOSE

from connect import arguments, sftp, transport

RESOURCE_SHORTAGE = 4


def channels():
    """The server gives two."""
    made = transport()
    held = [made.open_session(timeout=60) for _ in range(2)]
    for _ in range(3):
        try:
            made.open_session(timeout=60)
            raise AssertionError("one more was opened")
        except paramiko.ChannelException as refused:
            assert refused.code == RESOURCE_SHORTAGE, refused
    held[0].close()
    client = paramiko.SFTPClient.from_transport(made)
    assert client.normalize(".").startswith("/")
    made.close()


def no_complaints():
    """There is no room for the file. Only OpenSSH's programs are told on standard error."""
    client = sftp()
    try:
        file = client.open("large", "wb")
        file.write(bytes(3_000_000))
        # Its own way of closing does not tell.
        client._request(CMD_CLOSE, file.handle)
        raise AssertionError("it was stored")
    except IOError as refused:
        assert "quota of account reached" in str(refused), refused
    assert not client.get_channel().recv_stderr_ready()


{"channels": channels, "no_complaints": no_complaints}[arguments()[0]]()
