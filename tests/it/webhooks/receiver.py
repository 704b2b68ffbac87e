"""Receives webhooks as a careful receiver does: what is not signed is refused, what is taken is on the disk first.

Arguments: port, secret, file. Each event is a line of the file: its id and its body.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

port, secret, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
key = base64.b64decode(secret.removeprefix("whsec_"))
log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
lock = Lock()


def signed(headers, body):
    told, at = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(at)) > 300:
        return False
    mine = hmac.new(key, f"{told}.{at}.".encode() + body, hashlib.sha256).digest()
    mine = "v1," + base64.b64encode(mine).decode()
    return any(hmac.compare_digest(mine, one) for one in headers["webhook-signature"].split(" "))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        good = signed(self.headers, body)
        if good:
            line = json.dumps({"id": self.headers["webhook-id"], "body": json.loads(body)})
            with lock:
                os.write(log, line.encode() + b"\n")
                os.fsync(log)
        self.send_response(204 if good else 401)
        # A refusal has no end, as some receivers' have none: its status has to do.
        self.end_headers()

    def log_message(self, *words):
        pass


server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
