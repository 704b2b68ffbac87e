"""asyncssh: put, get, patterns, and many transfers at once over one connection."""

import asyncio
import os
import random
import sys

import asyncssh

port, user, password, folder = sys.argv[1:]


def noise(size, seed):
    return random.Random(seed).randbytes(size)


async def main():
    connected = asyncssh.connect(
        "127.0.0.1", int(port), username=user, password=password,
        known_hosts=None, config=None, client_keys=None, agent_path=None,
    )
    async with connected as connection:
        async with connection.start_sftp_client() as sftp:
            await transfers(sftp)
        # Several channels of one connection.
        clients = [await connection.start_sftp_client() for _ in range(4)]
        sizes = [3_000_000 + number for number in range(len(clients))]
        await asyncio.gather(*map(there_and_back, clients, sizes))
        said = await connection.run("sha256sum 'tree/file 1'", check=True)
        assert said.stdout.endswith("  tree/file 1\n"), said.stdout


async def transfers(sftp):
    out, back = os.path.join(folder, "tree"), os.path.join(folder, "back")
    os.makedirs(os.path.join(out, "inside"))
    contents = {f"file {number}": noise(number * 70_001, number) for number in range(20)}
    contents["inside/large"] = noise(20_000_003, 99)
    for name, content in contents.items():
        with open(os.path.join(out, name), "wb") as file:
            file.write(content)
        os.utime(os.path.join(out, name), (1_000_000_000, 1_100_000_000))
    await sftp.put(out, recurse=True, preserve=True)
    await sftp.get("tree", back, recurse=True, preserve=True)
    for name, content in contents.items():
        with open(os.path.join(back, name), "rb") as file:
            assert file.read() == content, name
        assert os.stat(os.path.join(back, name)).st_mtime == 1_100_000_000, name
    found = await sftp.glob("tree/file 1*")
    assert len(found) == 11, found
    found = await sftp.glob("tree/**/large")
    assert found == ["tree/inside/large"], found
    assert await sftp.getsize("tree/inside/large") == 20_000_003
    await sftp.copy("tree/inside/large", "copy")
    async with sftp.open("copy", "rb") as file:
        assert await file.read() == contents["inside/large"]
    await asyncio.gather(*(sftp.rename(f"tree/file {n}", f"moved {n}") for n in range(2, 20)))
    await asyncio.gather(*(sftp.remove(f"moved {n}") for n in range(2, 20)))
    assert await sftp.glob("moved*", error_handler=lambda _: None) == []


async def there_and_back(sftp, size):
    content = noise(size, size)
    async with sftp.open(f"parallel {size}", "wb") as file:
        await file.write(content)
    async with sftp.open(f"parallel {size}", "rb") as file:
        assert await file.read() == content


asyncio.run(asyncio.wait_for(main(), 120))
