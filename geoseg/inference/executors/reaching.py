"""A cluster that runs already: its address, its certificates, and a client of it that does not wait for ever."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from geoseg.errors import ClusterError
from geoseg.inference.executors.options import ClusterOptions

CONNECT_SECONDS = 20.0
"""Most seconds to wait for a scheduler that does not answer."""


@contextmanager
def reach(options: ClusterOptions) -> Iterator[Any]:
    """A client of the cluster that ``options`` names by its address or file.

    Raises:
        ClusterError: if it cannot be reached, or TLS's files are missing.
    """
    from distributed import Client

    seconds = min(CONNECT_SECONDS, options.patience)
    address = options.scheduler
    if options.scheduler_file is not None:
        address = _address_in(Path(options.scheduler_file), seconds=options.patience)
    security = _security(address, options)
    try:
        _knock(address, security, seconds)
        client = Client(  # type: ignore[no-untyped-call]
            address, timeout=seconds, security=security, set_as_default=False, name="geoseg"
        )
    except (OSError, TimeoutError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ClusterError(
            f"cannot reach the scheduler {address} within {seconds:g} s ({reason[:200] or 'it does not answer'}): is"
            " `dask scheduler` running there?"
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=10)  # type: ignore[no-untyped-call]


def _security(address: str, options: ClusterOptions) -> Any:
    """What Dask takes TLS's files as; None without them.

    Raises:
        ClusterError: if the address needs them, or one is missing.
    """
    if options.tls_ca_file is None:
        if address.startswith("tls://"):
            raise ClusterError(f"{address} needs --tls-ca-file, and --tls-cert and --tls-key if it asks for them")
        return None
    for path in (options.tls_ca_file, options.tls_cert, options.tls_key):
        if path is not None and not Path(path).is_file():
            raise ClusterError(f"{path}: no such file; TLS needs certificate files in PEM")
    from distributed import Security

    return Security(  # type: ignore[no-untyped-call]
        tls_ca_file=options.tls_ca_file,
        tls_client_cert=options.tls_cert,
        tls_client_key=options.tls_key,
        require_encryption=True,
    )


def _knock(address: str, security: Any, seconds: float) -> None:
    """Connects once: Dask's client would wait for ever for a port that is open and silent.

    Raises:
        OSError, TimeoutError, ValueError: if nobody answers in time.
    """
    from distributed.comm.core import connect as dial

    arguments = {} if security is None else security.get_connection_args("client")

    async def knock() -> None:
        dialling = dial(address, timeout=seconds, **arguments)  # type: ignore[no-untyped-call]
        comm = await asyncio.wait_for(dialling, seconds + 1)
        await comm.close()

    with ThreadPoolExecutor(1) as thread:  # this one may have a loop of its own, as notebooks do
        thread.submit(asyncio.run, knock()).result()


def _address_in(file: Path, *, seconds: float) -> str:
    """The address in a scheduler file, which is waited for: batch systems start schedulers when they please.

    Raises:
        ClusterError: if it does not appear in time, or is no such file.
    """
    deadline = time.monotonic() + seconds
    while not file.exists():
        if time.monotonic() > deadline:
            raise ClusterError(
                f"no scheduler file {file} after {seconds:g} s: `dask scheduler --scheduler-file` writes it"
            )
        time.sleep(0.1)
    try:
        return str(json.loads(file.read_text())["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClusterError(f"{file} is no scheduler file: `dask scheduler --scheduler-file` writes one") from error
