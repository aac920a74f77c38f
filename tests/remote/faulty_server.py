"""A web server of byte ranges that fails in the way the first part of a path says; run as a program.

``/fine/…`` serves the folder; ``/whole/…`` ignores ranges; ``/auth/…`` asks for anna's password; ``/forbidden/…`` is
403; ``/stumbles/…`` answers 500 twice at every range; ``/slow/…`` stops half-way through pixels; ``/dies/…`` ends the
server when asked for the N-th range; ``/signed/…`` sends on to a signed address that is forbidden.
"""

from __future__ import annotations

import base64
import os
import re
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER, LAST_RANGE = Path(sys.argv[1]), int(sys.argv[2])
ASKED: Counter[str] = Counter()
LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        mode, _, name = self.path.lstrip("/").partition("?")[0].partition("/")
        file = FOLDER / name
        if not file.is_file():
            return self.fail(404)
        if mode == "forbidden" or "X-Amz-Signature" in self.path:
            return self.fail(403)
        if mode == "signed":
            self.send_response(302)
            self.send_header("Location", f"/signed/{name}?X-Amz-Signature=abcdef0123")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if mode == "auth" and self.headers.get("Authorization") != f"Basic {base64.b64encode(b'anna:w0nder').decode()}":
            return self.fail(401)
        wanted = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        with LOCK:
            ASKED[f"{mode} {self.headers.get('Range')}"] += 1
            ASKED[mode] += wanted is not None
        if mode == "stumbles" and wanted and ASKED[f"{mode} {self.headers.get('Range')}"] <= 2:
            return self.fail(500)
        if mode == "dies" and ASKED[mode] > LAST_RANGE:
            os._exit(1)
        return self.serve(file.read_bytes(), None if mode == "whole" else wanted, slow=mode == "slow")

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def serve(self, body: bytes, wanted: re.Match[str] | None, *, slow: bool) -> None:
        first, last = (int(wanted[1]), min(int(wanted[2]), len(body) - 1)) if wanted else (0, len(body) - 1)
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        if self.command == "GET":
            if slow and first:
                self.wfile.write(body[first : first + 10])
                self.wfile.flush()
                time.sleep(600)
            self.wfile.write(body[first : last + 1])

    def fail(self, code: int) -> None:
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Handler)
    server.daemon_threads = True
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
