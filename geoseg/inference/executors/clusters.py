"""Clusters: in this process, in processes of this machine, or one that runs already."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from geoseg.errors import ClusterError, MissingExtraError
from geoseg.inference import machine
from geoseg.inference.executors.options import ClusterOptions
from geoseg.inference.executors.reaching import reach
from geoseg.models.device import pick_device

_log = logging.getLogger(__name__)

_CONFIG = {
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 0,  # lost tiles come home and are counted here, as on any cluster
    "distributed.admin.tick.limit": "10m",  # a long forward pass holds the interpreter: not worth a warning
    # What measures and tidies all run long, fifty times a second at Dask's own pace; no result here is replicated.
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.scheduler.active-memory-manager.start": False,
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
            with reach(options) as client:
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
