"""Key exchanges out of their turn, after login, and proofs of host keys. The first argument names the case."""

import os
import struct

import paramiko

from connect import arguments, transport

KEXINIT, NEWKEYS, ECDH_INIT, ECDH_REPLY, CHANNEL_DATA = 20, 21, 30, 31, 94
PROVE = "hostkeys-prove-00@openssh.com"


def string(value):
    return struct.pack(">I", len(value)) + value


def kexinit():
    lists = [
        "curve25519-sha256,kex-strict-c-v00@openssh.com",
        "ssh-ed25519",
        *["aes128-gcm@openssh.com"] * 2,
        *["hmac-sha2-256-etm@openssh.com"] * 2,
        *["none"] * 2,
        *[""] * 2,
    ]
    return bytes([KEXINIT]) + os.urandom(16) + b"".join(string(one.encode()) for one in lists) + bytes(5)


def send(made, packet):
    made.packetizer.send_message(paramiko.Message(packet))


def ends(*packets):
    made = transport()
    for packet in packets:
        try:
            send(made, packet)
        except (EOFError, OSError):
            pass
    made.join(60)
    assert not made.is_alive()


def out_of_turn():
    """What belongs to no exchange changes nothing: neither keys nor numbers of packets."""
    made = transport()
    for kind, body in [(NEWKEYS, b""), (ECDH_INIT, string(bytes([9] * 32))), (ECDH_REPLY, string(b"x") * 3)] * 3:
        send(made, bytes([kind]) + body)
    client = paramiko.SFTPClient.from_transport(made)
    assert client.normalize(".").startswith("/")
    made.renegotiate_keys()
    assert client.normalize(".").startswith("/")
    made.close()


def begun_twice():
    ends(kexinit(), kexinit())


def data_meanwhile():
    ends(kexinit(), bytes([CHANNEL_DATA]) + struct.pack(">I", 0) + string(b"x"))


def new_keys_at_once():
    ends(kexinit(), bytes([NEWKEYS]))


def proofs():
    """Only for keys of the server, only over this session, only once."""
    made = transport()
    key = made.get_remote_server_key()
    stranger = paramiko.ECDSAKey.generate()
    for refused in [(), (stranger.asbytes(),), (key.asbytes(), key.asbytes()), (b"",)]:
        assert made.global_request(PROVE, refused) is None, refused
    answer = made.global_request(PROVE, (key.asbytes(),))
    signed = paramiko.Message()
    signed.add_string(PROVE)
    signed.add_string(made.session_id)
    signed.add_string(key.asbytes())
    assert key.verify_ssh_sig(signed.asbytes(), paramiko.Message(answer.get_string()))
    assert made.global_request(PROVE, (key.asbytes(),)) is None
    made.close()


{
    "out_of_turn": out_of_turn,
    "begun_twice": begun_twice,
    "data_meanwhile": data_meanwhile,
    "new_keys_at_once": new_keys_at_once,
    "proofs": proofs,
}[arguments()[0]]()
