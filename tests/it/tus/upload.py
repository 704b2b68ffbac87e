"""Uploads a file with tuspy, in two sittings: URL LOGIN FILE PATH CHUNK."""

import base64
import sys
import warnings

from tusclient import client

warnings.simplefilter("ignore")
url, login, file, path, chunk = sys.argv[1:]
basic = base64.b64encode(login.encode()).decode()
tus = client.TusClient(url, headers={"Authorization": f"Basic {basic}"})
settings = {
    "file_path": file,
    "chunk_size": int(chunk),
    "metadata": {"path": path, "filetype": "application/octet-stream"},
    "verify_tls_cert": False,
    "upload_checksum": True,
}
first = tus.uploader(**settings)
first.upload_chunk()
assert first.offset == int(chunk), first.offset
second = tus.uploader(url=first.url, **settings)
assert second.offset == int(chunk), second.offset
second.upload()
print("done")
