"""What programs written with paramiko do. The first argument names the case; a failed assert fails it."""

import hashlib
import os
import random
import stat

from connect import MIB, arguments, sftp


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def upload(client, name, content, pipelined=True):
    with client.open(name, "wb") as file:
        file.set_pipelined(pipelined)
        file.write(content)


def download(client, name):
    with client.open(name, "rb") as file:
        file.prefetch(file.stat().st_size)
        return file.read()


def rekeying(_):
    """48 MiB up pipelined and down prefetched, with new keys every 16 MiB."""
    client = sftp(rekey_bytes=16 * MIB)
    content = noise(48 * MIB)
    upload(client, "rekeyed", content)
    assert client.stat("rekeyed").st_size == len(content)
    assert sha256(download(client, "rekeyed")) == sha256(content)


def put_and_get(folder):
    client = sftp()
    for size in (0, 1, 32768, 65535, 65536, 65537, MIB + 3, 20 * MIB):
        local, back = os.path.join(folder, "local"), os.path.join(folder, "back")
        content = noise(size)
        with open(local, "wb") as file:
            file.write(content)
        client.put(local, f"size {size}")
        client.get(f"size {size}", back)
        with open(back, "rb") as file:
            assert sha256(file.read()) == sha256(content), size


def partial_reads(_):
    client = sftp()
    content = noise(5 * MIB + 77)
    upload(client, "partial", content)
    dice = random.Random(2)
    pieces = [(dice.randrange(len(content)), dice.randrange(1, 200_000)) for _ in range(60)]
    pieces = [(at, min(length, len(content) - at)) for at, length in pieces]
    with client.open("partial", "rb") as file:
        for (at, length), piece in zip(pieces, file.readv(pieces)):
            assert piece == content[at : at + length], (at, length)
    with client.open("partial", "rb") as file:
        file.seek(len(content) - 10)
        assert file.read(100) == content[-10:]
        assert file.read(100) == b""


def offset_writes(_):
    """Pieces of a file in any order, some of them twice, and reading back before closing."""
    client = sftp()
    content = bytearray(noise(3 * MIB, seed=3))
    offsets = list(range(0, len(content), 50_000))
    random.Random(4).shuffle(offsets)
    with client.open("shuffled", "w+b") as file:
        for at in offsets:
            file.seek(at)
            file.write(content[at : at + 50_000])
        content[1_000_000:1_000_100] = b"!" * 100
        file.seek(1_000_000)
        file.write(b"!" * 100)
        file.seek(999_990)
        assert file.read(200) == content[999_990:1_000_190]
    assert sha256(download(client, "shuffled")) == sha256(content)
    with client.open("shuffled", "r+b") as file:
        file.seek(70_000)
        file.write(b"?" * 70_000)
        content[70_000:140_000] = b"?" * 70_000
    with client.open("shuffled", "ab") as file:
        file.write(b"the end")
        content += b"the end"
    assert sha256(download(client, "shuffled")) == sha256(content)
    client.truncate("shuffled", 100_001)
    assert sha256(download(client, "shuffled")) == sha256(content[:100_001])


def many_handles(_):
    client = sftp()
    client.mkdir("many")
    contents = {f"many/{index}": noise(10_000 + index, seed=index) for index in range(60)}
    writing = {name: client.open(name, "wb") for name in contents}
    for part in range(3):
        for name, file in writing.items():
            content = contents[name]
            third = len(content) // 3 + 1
            file.write(content[part * third : (part + 1) * third])
    for file in writing.values():
        file.close()
    reading = {name: client.open(name, "rb") for name in contents}
    for name, file in reading.items():
        assert file.read() == contents[name], name
    for file in reading.values():
        file.close()
    listed = {entry.filename: entry.st_size for entry in client.listdir_attr("many")}
    assert listed == {name[5:]: len(content) for name, content in contents.items()}


def attributes(_):
    client = sftp()
    upload(client, "about", b"twelve bytes")
    client.utime("about", (1_000_000_000, 1_100_000_000))
    client.chmod("about", 0o604)
    about = client.stat("about")
    assert about.st_size == 12 and about.st_mtime == 1_100_000_000
    assert stat.S_ISREG(about.st_mode) and stat.S_IMODE(about.st_mode) == 0o604
    assert client.lstat("about").st_size == 12
    client.mkdir("folder")
    assert stat.S_ISDIR(client.stat("folder").st_mode)
    assert client.normalize("folder/../about") == "/about"
    client.rename("about", "folder/about")
    client.posix_rename("folder/about", "about")
    with client.open("about", "rb") as file:
        assert file.stat().st_size == 12
    # Times set on the handle before it is closed are those that stay.
    with client.open("timed", "wb") as file:
        file.write(b"x")
        file.utime((1_000_000_000, 1_200_000_000))
    assert client.stat("timed").st_mtime == 1_200_000_000


def wide_listing(_):
    """Names that come and go while others list are not this test's; each name appears once."""
    client = sftp()
    client.mkdir("wide")
    names = {f"{index:05} ë" for index in range(2_345)}
    for name in names:
        client.open(f"wide/{name}", "wb").close()
    listed = [entry.filename for entry in client.listdir_attr("wide")]
    assert len(listed) == len(set(listed)) and set(listed) == names
    ahead = [entry.filename for entry in client.listdir_iter("wide", read_aheads=40)]
    assert len(ahead) == len(set(ahead)) and set(ahead) == names


def several_channels(_):
    """Concurrent uploads on one connection, each its own channel."""
    import threading

    from connect import transport

    import paramiko

    shared = transport()
    contents = [noise(4 * MIB + index, seed=index) for index in range(4)]
    failures = []

    def work(index):
        try:
            client = paramiko.SFTPClient.from_transport(shared)
            upload(client, f"parallel {index}", contents[index])
            assert download(client, f"parallel {index}") == contents[index]
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def checksums(_):
    """By the extension, of a whole file, a part and blocks; and by a command."""
    from connect import transport

    import paramiko

    shared = transport()
    client = paramiko.SFTPClient.from_transport(shared)
    content = noise(MIB + 77)
    upload(client, "summed file", content)
    with client.open("summed file", "rb") as file:
        for kind in ("sha1", "md5", "sha256"):
            assert file.check(kind) == hashlib.new(kind, content).digest(), kind
            part = hashlib.new(kind, content[10:100_010]).digest()
            assert file.check(kind, 10, 100_000) == part, kind
        blocks = [content[at : at + 65536] for at in range(0, len(content), 65536)]
        expected = b"".join(hashlib.md5(block).digest() for block in blocks)
        assert file.check("md5", 0, 0, 65536) == expected
        try:
            file.check("md5", 0, 0, 100)
        except IOError as refused:
            assert "256" in str(refused), refused
        else:
            assert False, "a block of 100 bytes"

    def command(line, sent=b""):
        channel = shared.open_session()
        channel.exec_command(line)
        channel.sendall(sent)
        channel.shutdown_write()
        said = channel.makefile("rb").read(), channel.makefile_stderr("rb").read()
        return (*said, channel.recv_exit_status())

    expected = f"{sha256(content)}  summed file\n".encode()
    assert command("sha256sum 'summed file'") == (expected, b"", 0)
    expected = f"{hashlib.md5(content).hexdigest()}  -\n".encode()
    assert command("md5sum", content) == (expected, b"", 0)
    said, complained, status = command("rm -rf /")
    assert (said, status) == (b"", 127) and b"not offered" in complained
    # Channels that are over do not count.
    for _ in range(40):
        assert command("pwd") == (b"/\n", b"", 0)
        paramiko.SFTPClient.from_transport(shared).close()
    # One channel, one command.
    channel = shared.open_session()
    channel.exec_command("sha256sum")
    for again in (lambda: channel.exec_command("pwd"), lambda: channel.invoke_subsystem("sftp")):
        try:
            again()
        except paramiko.SSHException:
            break
        else:
            assert False, "two commands in a channel"
    # More than any command has.
    for line in ("x" * 200_000, "'" * 99_999, "a;" * 40_000):
        said, complained, status = command(line)
        assert said == b"" and status == 127, (line[:5], status)


case, *rest = arguments()
globals()[case](*rest or [None])
os._exit(0)
