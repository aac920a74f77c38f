"""What traces the tiles of an export: threads of this process, or processes where a map is worth starting them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from geoseg.inference.machine import core_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Workers at hand."""

    pool: Executor
    processes: int
    """0: threads of this process."""


@contextmanager
def workers_of(asked: int | None, *, pixels: int) -> Iterator[Workers]:
    """Workers for a map; gone when the block ends."""
    count = asked or 1
    if count == 1:
        with ThreadPoolExecutor(core_count()) as pool:
            yield Workers(pool=pool, processes=0)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context) as made:
        yield Workers(pool=made, processes=count)
