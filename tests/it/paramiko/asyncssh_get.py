"""asyncssh fetches a file: first its length, then so many bytes.

Arguments: remote name, local file."""

import asyncio
import sys

import asyncssh

port, user, password, name, local = sys.argv[1:]


async def main():
    connected = asyncssh.connect(
        "127.0.0.1", int(port), username=user, password=password,
        known_hosts=None, config=None, client_keys=None, agent_path=None,
    )
    async with connected as connection:
        async with connection.start_sftp_client() as sftp:
            await sftp.get(name, local)


asyncio.run(main())
