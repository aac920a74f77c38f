"""Real servers on loopback, each a process of its own: GDAL holds the interpreter while it opens a URL."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_CONFIG = """
{user}
pid {work}/nginx.pid;
error_log {work}/error.log;
daemon off;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
  log_format bytes '$status $bytes_sent $request_method $uri $http_range';
  access_log {work}/access.log bytes;
  client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
  server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A line of the web server's log."""

    status: int
    bytes_sent: int
    method: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServer:
    """An nginx that serves a folder."""

    address: str
    folder: Path
    log: Path

    def requests(self) -> list[Request]:
        """What it was asked for so far, in order."""
        time.sleep(0.2)  # a line is written after the answer
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [Request(status=int(s), bytes_sent=int(b), method=m, path=p) for s, b, m, p, *_ in lines]

    def forget(self) -> None:
        """Empties the log."""
        self.log.write_text("")


@contextmanager
def nginx(folder: Path, work: Path) -> Iterator[WebServer]:
    """Debian's nginx on a free port, with all it writes in ``work``; skips where it is not installed."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        pytest.skip("nginx is not installed (apt-get install nginx-light)")
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""  # else its worker could not read root's temporary files
    config = work / "nginx.conf"
    config.write_text(_CONFIG.format(user=user, work=work, folder=folder, port=port))
    with subprocess.Popen([program, "-c", str(config), "-p", str(work)], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port, process)
            yield WebServer(address=f"http://127.0.0.1:{port}", folder=folder, log=work / "access.log")
        finally:
            process.terminate()
            process.wait(timeout=30)


@contextmanager
def faulty(folder: Path, *, last_range: int = 10**9, port: int = 0) -> Iterator[str]:
    """The address of ``faulty_server.py`` for a folder."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("faulty_server.py")),
        str(folder),
        str(last_range),
        str(port),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


@contextmanager
def s3_server(work: Path) -> Iterator[str]:
    """The address of a moto server: S3 over real HTTP."""
    pytest.importorskip("moto")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (
        (work / "moto.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Returns when something listens on the port."""
    for _ in range(600):
        assert process.poll() is None, "the server ended before it listened"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the server does not listen")
