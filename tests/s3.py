"""An S3 server on loopback, real HTTP, that counts what it is asked for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

BUCKET = "maps"


@dataclass
class S3Server:
    """A server that runs."""

    endpoint: str
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Kind (PUT, COPY, GET, HEAD, LIST, DELETE) and path of each, in order."""
    on_request: Callable[[int], None] | None = None
    """Called with the number of requests so far, before one is answered."""

    def kinds(self) -> Counter[str]:
        """How many of each kind."""
        return Counter(kind for kind, _ in self.requests)

    @property
    def environment(self) -> dict[str, str]:
        """Where clients find it, and credentials that are none."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "AKIATESTONLY",
            "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Moto's server in a thread, on a free port of 127.0.0.1, with one empty bucket."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    application = create_backend_app("s3")
    found: list[S3Server] = []

    def counting(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        found[0].requests.append((_kind(environ), environ["PATH_INFO"]))
        if found[0].on_request is not None:
            found[0].on_request(len(found[0].requests))
        result: Iterable[bytes] = application(environ, start)
        return result

    class Quiet(MotoRequestHandler):
        def log_request(self, *args: Any, **kwargs: Any) -> None:
            pass

    server = make_server("127.0.0.1", 0, counting, threaded=True, request_handler=Quiet)
    found.append(S3Server(endpoint=f"http://127.0.0.1:{server.server_port}"))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        _make_bucket(found[0])
        yield found[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _make_bucket(server: S3Server) -> None:
    import boto3

    keys = server.environment
    boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
    ).create_bucket(Bucket=BUCKET)
    server.requests.clear()


def _kind(environ: dict[str, Any]) -> str:
    method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
    if method == "PUT" and "HTTP_X_AMZ_COPY_SOURCE" in environ:
        return "COPY"
    if method == "POST" and "delete" in query:
        return "DELETE"
    return "LIST" if method == "GET" and "list-type" in query else str(method)
