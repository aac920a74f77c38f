"""Questions to every worker of a cluster, before any tile.

What is asked travels by value and imports geoseg on the worker: one that lacks it, or has another, can still answer.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from geoseg.errors import ClusterError
from geoseg.inference.tasks import TileTask
from geoseg.version import __version__

ANSWER_SECONDS = 300.0
"""Most seconds that workers may take to answer: the first import of torch over a network disk is slow."""

_SCHEDULER_SECONDS = 10.0
"""Most seconds that a scheduler may take to say who its workers are."""

_NAMED = 5
"""Workers named in one message."""


def facts(client: Any, *, device: str) -> dict[str, dict[str, Any]]:
    """What each worker has, by its address and host; see ``facts_here``.

    Raises:
        ClusterError: naming the workers that did not answer, or have another geoseg.
    """
    return _answers(client, _probe_of("facts", {"device": device}))


def demand_fit(client: Any, task: TileTask) -> None:
    """Asks every worker to try: open the model, the scene and the store.

    Raises:
        ClusterError: naming the workers that cannot, and why.
    """
    _answers(client, _probe_of("check", {"task": pickle.dumps(task)}))


def _answers(client: Any, probe: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """What all workers answered.

    Raises:
        ClusterError: naming those that did not, or that cannot do the run.
    """
    asked: Future[Mapping[str, Any]] = Future()

    def ask() -> None:
        try:
            asked.set_result(client.run(probe, on_error="return"))
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits
            asked.set_exception(error)

    threading.Thread(target=ask, name="geoseg-ask", daemon=True).start()  # a worker that hangs holds nobody up
    try:
        found = asked.result(ANSWER_SECONDS)
    except TimeoutError as error:
        raise ClusterError(f"workers did not answer within {ANSWER_SECONDS:g} s: {_silent(client)}") from error
    except OSError as error:
        raise ClusterError(f"lost the scheduler {client.scheduler.address} while its workers were asked") from error
    good: dict[str, dict[str, Any]] = {}
    bad = []
    for address, answer in found.items():
        if isinstance(answer, dict) and "error" not in answer:
            good[f"{address} ({answer['host']})"] = answer
        elif isinstance(answer, dict):
            bad.append(f"{address} ({answer['host']}): {answer['error']}")
        else:
            bad.append(f"{address}: {' '.join(str(answer).split()) or type(answer).__name__}")
    if bad:
        more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise ClusterError(f"{len(bad)} of {len(found)} workers cannot do this run: {'; '.join(bad[:_NAMED])}{more}")
    if not good:
        raise ClusterError(f"the scheduler {client.scheduler.address} has lost all its workers: start some")
    return good


def _probe_of(question: str, given: dict[str, Any]) -> Callable[..., Any]:
    """The function that a worker runs; nested, so that it is pickled by value."""
    wanted = __version__

    async def probe(dask_worker: Any) -> dict[str, Any]:
        import asyncio
        import importlib
        import socket

        def answer() -> dict[str, Any]:
            host = {"host": socket.gethostname()}
            try:
                found = importlib.import_module("geoseg").__version__
            except ImportError as error:
                return {**host, "error": f"geoseg is not installed there ({error})"}
            if found != wanted:
                return {**host, "error": f"geoseg {found} there, {wanted} here: install the same"}
            try:
                if question == "facts":
                    from geoseg.inference.capacity import facts_here

                    manager = getattr(dask_worker, "memory_manager", None)
                    limit = getattr(manager, "memory_limit", None) or 0
                    return {**host, "limit": limit, **facts_here(given["device"])}
                import pickle

                from geoseg.inference.readiness import check

                check(pickle.loads(given["task"]))  # noqa: S301 - from this run's own client
            except Exception as error:  # noqa: BLE001 - whatever it is, the user learns whose it is
                return {**host, "error": " ".join(str(error).split()) or type(error).__name__}
            return host

        return await asyncio.get_running_loop().run_in_executor(None, answer)

    return probe


def _silent(client: Any) -> str:
    """The workers that were not heard of longest."""
    import time

    try:
        identity = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=_SCHEDULER_SECONDS)
    except (OSError, TimeoutError):
        return "its scheduler does not answer either"
    workers = identity["workers"]
    late = sorted(workers, key=lambda name: workers[name].get("last_seen", 0.0))
    ages = {name: time.time() - workers[name]["last_seen"] for name in late[:_NAMED]}
    return ", ".join(f"{name} (last heard of {age:.0f} s ago)" for name, age in ages.items())
