"""Clusters: in this process, in processes of this machine, or one that runs already."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from geoseg.errors import ClusterError, MissingExtraError
from geoseg.inference import machine
from geoseg.inference.executors.options import ClusterOptions
from geoseg.models.device import pick_device

_log = logging.getLogger(__name__)

CONNECT_SECONDS = 20.0
"""Most seconds to wait for a scheduler that does not answer."""

_CONFIG = {
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 0,  # lost tiles come home and are counted here, as on any cluster
    "distributed.admin.tick.limit": "10m",  # a long forward pass holds the interpreter: not worth a warning
    "distributed.worker.daemon": False,
    "distributed.worker.profile.enabled": False,
    "distributed.diagnostics.computations.nframes": 0,  # the source of whoever submits, with every message
}

# By default distributed listens on 0.0.0.0:8787 even without a dashboard; loopback and any port is as little as it can
# be given.
_LOOPBACK = "127.0.0.1"


@contextmanager
def connect(options: ClusterOptions, *, slots: int, device: str) -> Iterator[Any]:
    """A Dask client of the cluster that ``options`` names; a cluster of our own ends with the block.

    Args:
        options: which cluster.
        slots: threads of each worker of our own.
        device: what workers of our own are started for.

    Raises:
        ClusterError: if the scheduler cannot be reached, or has no workers within ``options.patience`` seconds.
    """
    if options.dashboard and find_spec("bokeh") is None:
        raise MissingExtraError("--dashboard needs bokeh: pip install bokeh")
    import dask
    import distributed  # noqa: F401 - adds its defaults to the configuration that is changed below

    with _quiet("distributed", "tornado", "asyncio"), dask.config.set(_CONFIG):
        if options.in_process:
            with _in_process(slots, dashboard=options.dashboard) as client:
                yield client
        elif options.workers is not None:
            with _processes(options.workers, slots=slots, device=device, dashboard=options.dashboard) as client:
                wait_for_workers(client, options.workers, seconds=options.patience)
                yield client
        else:
            with _running(options) as client:
                wait_for_workers(client, 1, seconds=options.patience)
                yield client


def wait_for_workers(client: Any, count: int, *, seconds: float) -> None:
    """Waits until there are workers.

    Raises:
        ClusterError: if there are fewer in time.
    """
    try:
        client.wait_for_workers(count, timeout=seconds)
    except TimeoutError as error:
        found = len(client.nthreads())
        raise ClusterError(
            f"the scheduler {client.scheduler.address} has {found or 'no'} workers after {seconds:g} s, {count} wanted:"
            " start some with `dask worker`"
        ) from error


@contextmanager
def _in_process(slots: int, *, dashboard: bool) -> Iterator[Any]:
    """A cluster in this process: one worker, ``slots`` threads, messages in memory."""
    from distributed import LocalCluster

    cluster = LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=1,
        threads_per_worker=slots,
        processes=False,
        protocol="inproc://",
        dashboard_address=f"{_LOOPBACK}:{_dashboard_port(dashboard)}",
        worker_dashboard_address=f"{_LOOPBACK}:0",
        memory_limit=0,
        silence_logs=logging.CRITICAL,
    )
    with _client_of(cluster) as client:
        yield client


@contextmanager
def _processes(count: int, *, slots: int, device: str, dashboard: bool) -> Iterator[Any]:
    """A cluster of processes on this machine, each watched by a nanny that starts it anew if it dies."""
    from distributed import Nanny, Scheduler, SpecCluster

    limit = machine.memory_bytes() // count
    worker = {
        "nthreads": slots,
        "memory_limit": limit,
        "host": _LOOPBACK,
        "dashboard_address": f"{_LOOPBACK}:0",
        "dashboard": False,
        "silence_logs": logging.CRITICAL,
    }
    scheduler = {
        "host": _LOOPBACK,
        "port": 0,
        "dashboard": dashboard,
        "dashboard_address": f"{_LOOPBACK}:{_dashboard_port(dashboard)}",
    }
    cluster = SpecCluster(  # type: ignore[no-untyped-call]
        scheduler={"cls": Scheduler, "options": scheduler},
        workers={
            i: {"cls": Nanny, "options": {**worker, "env": env}} for i, env in enumerate(environments(count, device))
        },
        silence_logs=logging.CRITICAL,
    )
    with _client_of(cluster) as client:
        yield client


def environments(count: int, device: str) -> list[dict[str, str]]:
    """What is set in each worker process before any library starts.

    Raises:
        ClusterError: if there are more workers than GPUs, or a GPU is named by number.
        PlanError: if there is no such device.
    """
    picked = pick_device(device)
    if picked == "cpu":
        threads = str(max(1, machine.core_count() // count))
        return [{"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "CUDA_VISIBLE_DEVICES": ""}] * count
    if picked != "cuda":
        raise ClusterError(f"--device {picked} with {count} workers: choose GPUs by CUDA_VISIBLE_DEVICES")
    gpus = _visible_gpus()
    if count > len(gpus):
        raise ClusterError(
            f"{count} workers for {len(gpus)} GPUs: one process per GPU; use --workers {len(gpus)} or --device cpu"
        )
    return [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus[:count]]


def _visible_gpus() -> list[str]:
    """The GPUs of this process, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    import torch

    return [str(i) for i in range(torch.cuda.device_count())]


@contextmanager
def _running(options: ClusterOptions) -> Iterator[Any]:
    """A client of a cluster that runs already."""
    from distributed import Client, Security

    seconds = min(CONNECT_SECONDS, options.patience)
    address = options.scheduler
    if options.scheduler_file is not None:
        address = _address_in(Path(options.scheduler_file), seconds=options.patience)
    security = None
    if address.startswith("tls://") and options.tls_ca_file is None:
        raise ClusterError(f"{address} needs --tls-ca-file, and --tls-cert and --tls-key if it asks for them")
    if options.tls_ca_file is not None:
        for path in (options.tls_ca_file, options.tls_cert, options.tls_key):
            if path is not None and not Path(path).is_file():
                raise ClusterError(f"{path}: no such file; TLS needs certificate files in PEM")
        security = Security(  # type: ignore[no-untyped-call]
            tls_ca_file=options.tls_ca_file,
            tls_client_cert=options.tls_cert,
            tls_client_key=options.tls_key,
            require_encryption=True,
        )
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


@contextmanager
def _client_of(cluster: Any) -> Iterator[Any]:
    """The client of a cluster of our own, which is closed with it."""
    from distributed import Client

    try:
        client = Client(cluster, set_as_default=False)  # type: ignore[no-untyped-call]
        _log.info("dashboard of the cluster: %s", client.dashboard_link)
        try:
            yield client
        finally:
            client.close(timeout=10)  # type: ignore[no-untyped-call]
    finally:
        cluster.close(timeout=60)


def _dashboard_port(dashboard: bool) -> int:
    """Dask's own port if it is free, else any."""
    import socket

    if not dashboard:
        return 0
    with socket.socket() as probe:
        try:
            probe.bind((_LOOPBACK, 8787))
        except OSError:
            return 0
    return 8787


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Keeps other people's loggers, and those below them, from the user's screen while a run lasts."""
    known = [name for name in logging.root.manager.loggerDict if name.split(".")[0] in names]
    loggers = [logging.getLogger(name) for name in {*names, *known}]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
