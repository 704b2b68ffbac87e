"""Logins in several steps as paramiko does them. Arguments after the usual ones: the case, a key file,
and a code of the second factor."""

import base64
import hashlib
import sys

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PORT, USER, PASSWORD, CASE, KEY, CODE = sys.argv[1:7]


def start():
    transport = paramiko.Transport(("127.0.0.1", int(PORT)))
    transport.banner_timeout = transport.auth_timeout = 60
    transport.start_client(timeout=60)
    return transport


def key():
    return paramiko.Ed25519Key.from_private_key_file(KEY)


def refused(step, *arguments, **named):
    try:
        left = step(*arguments, **named)
    except paramiko.BadAuthenticationType:
        return
    except paramiko.AuthenticationException:
        return
    raise AssertionError(f"{step.__name__} went through: {left}")


def answers(prompts_seen, code=CODE, password=PASSWORD):
    def handler(title, instructions, prompts):
        prompts_seen.extend(prompts)
        return [code if "code" in prompt else password for prompt, _echo in prompts]

    return handler


def works(transport):
    sftp = paramiko.SFTPClient.from_transport(transport)
    assert sftp.normalize(".").startswith("/")
    transport.close()


def in_order():
    """The policy is publickey,password."""
    transport = start()
    refused(transport.auth_password, USER, PASSWORD)
    assert transport.auth_publickey(USER, key()) == ["password"]
    refused(transport.auth_publickey, USER, key())
    assert not transport.is_authenticated()
    assert transport.auth_password(USER, PASSWORD) == []
    works(transport)


def another_name():
    """The policy of USER is publickey,password."""
    transport = start()
    assert transport.auth_publickey(USER, key()) == ["password"]
    refused(transport.auth_password, "nobody@demo", PASSWORD)
    refused(transport.auth_password, USER, PASSWORD)
    assert not transport.is_authenticated()
    # Nobody may open a channel on the way.
    try:
        transport.open_session(timeout=5)
        raise AssertionError("a channel was opened")
    except paramiko.SSHException:
        pass


def interactive():
    """The account has a second factor."""
    transport = start()
    seen = []
    assert transport.auth_interactive(USER, answers(seen)) == []
    assert [prompt for prompt, echo in seen if not echo] == ["Password: ", "Verification code: "], seen
    works(transport)
    # The code was used.
    refused(start().auth_interactive, USER, answers([]))


def password_then_code():
    """The account has a second factor."""
    transport = start()
    assert transport.auth_password(USER, PASSWORD) == ["keyboard-interactive"]
    seen = []
    assert transport.auth_interactive(USER, answers(seen)) == []
    assert [prompt for prompt, _ in seen] == ["Verification code: "], seen
    works(transport)


def wrong_answers():
    """The account has a second factor."""
    for handler in [
        lambda *_: [],
        lambda _t, _i, prompts: [PASSWORD, CODE] if prompts else [],
        lambda _t, _i, prompts: [""] * len(prompts),
        answers([], password="x" * 30_000),
        answers([], code="x" * 30_000),
    ]:
        transport = start()
        refused(transport.auth_interactive, USER, handler)
        transport.close()


def refused_key():
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    stranger = paramiko.ECDSAKey.generate()
    client.connect(
        "127.0.0.1", int(PORT), USER, PASSWORD, pkey=stranger, allow_agent=False, look_for_keys=False, timeout=60
    )
    works(client.get_transport())


def flood():
    """However often the method is changed, the connection ends."""
    transport = start()
    for turn in range(100):
        steps = [
            lambda: transport.auth_password(USER, "x"),
            lambda: transport.auth_interactive(USER, lambda _t, _i, prompts: ["x"] * len(prompts)),
            lambda: transport.auth_publickey(USER, paramiko.ECDSAKey.generate()),
        ]
        try:
            steps[turn % 3]()
        except (paramiko.SSHException, EOFError):
            pass
        if not transport.is_active():
            return
    raise AssertionError("a hundred tries on one connection")


class SecurityKey(paramiko.PKey):
    """A FIDO key made of bytes, that says of each signature what it is told to (PROTOCOL.u2f)."""

    NAME = "sk-ssh-ed25519@openssh.com"
    APPLICATION = b"ssh:"

    def __init__(self, flags, file):
        self.flags = flags
        with open(file, "rb") as seed:
            self.key = Ed25519PrivateKey.from_private_bytes(seed.read())

    def asbytes(self):
        blob = paramiko.Message()
        blob.add_string(self.NAME)
        blob.add_string(self.key.public_key().public_bytes_raw())
        blob.add_string(self.APPLICATION)
        return blob.asbytes()

    def get_name(self):
        return self.NAME

    def can_sign(self):
        return True

    @property
    def public_blob(self):
        return None

    def sign_ssh_data(self, data, algorithm=None):
        said = bytes([self.flags]) + (1).to_bytes(4, "big")
        signed = hashlib.sha256(self.APPLICATION).digest() + said + hashlib.sha256(data).digest()
        signature = paramiko.Message()
        signature.add_string(self.NAME)
        signature.add_string(self.key.sign(signed))
        signature.add_bytes(said)
        return signature


def security_key():
    """KEY is a file of 32 bytes; its public key is written beside it."""
    key = SecurityKey(0, KEY)
    with open(KEY + ".pub", "w") as public:
        public.write(f"{key.NAME} {base64.b64encode(key.asbytes()).decode()} touch\n")


def touched(flags, step):
    transport = start()
    transport._preferred_pubkeys = (SecurityKey.NAME, *transport._preferred_pubkeys)
    step(transport.auth_publickey, USER, SecurityKey(flags, KEY))
    transport.close()


def touches():
    """The account has the public key that `security_key` wrote."""
    for flags in (1, 5):
        touched(flags, lambda step, *arguments: step(*arguments))
    for flags in (0, 4, 0xFE):
        touched(flags, refused)


{
    "security_key": security_key,
    "touches": touches,
    "in_order": in_order,
    "another_name": another_name,
    "interactive": interactive,
    "password_then_code": password_then_code,
    "wrong_answers": wrong_answers,
    "refused_key": refused_key,
    "flood": flood,
}[CASE]()
