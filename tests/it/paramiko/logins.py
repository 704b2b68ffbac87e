"""Logins in several steps as paramiko does them. Arguments after the usual ones: the case, a key file,
and a code of the second factor."""

import sys

import paramiko

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


{
    "in_order": in_order,
    "another_name": another_name,
    "interactive": interactive,
    "password_then_code": password_then_code,
    "wrong_answers": wrong_answers,
    "refused_key": refused_key,
    "flood": flood,
}[CASE]()
