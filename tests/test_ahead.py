"""Work ahead: the items' order, no more ahead than was said, nothing begun after the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.ahead import in_order


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(1, 4), st.integers(1, 5))
def test_results_come_in_the_items_order_and_few_are_taken_ahead(naps: list[int], threads: int, ahead: int) -> None:
    taken = 0

    def items() -> Iterator[tuple[int, int]]:
        nonlocal taken
        for item in enumerate(naps):
            taken += 1
            yield item

    def work(item: tuple[int, int]) -> int:
        time.sleep(item[1] / 2000)
        return item[0]

    with ThreadPoolExecutor(threads) as pool:
        found = []
        for result in in_order(pool, work, items(), ahead=ahead):
            found.append(result)
            assert taken <= len(found) - 1 + ahead
    assert found == [*range(len(naps))]


def test_what_is_not_begun_when_one_fails_is_never_begun() -> None:
    begun: list[int] = []
    go_on = threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        if item == 0:
            raise ValueError("no")
        go_on.wait(10)
        return item

    with ThreadPoolExecutor(1) as pool:
        results = in_order(pool, work, range(10), ahead=5)
        threading.Timer(0.2, go_on.set).start()
        with pytest.raises(ValueError, match="no"):
            next(results)
    assert len(begun) <= 2  # the failed one, and what its thread may have taken up before the others were withdrawn


def test_what_is_in_work_when_one_fails_is_waited_for() -> None:
    ended: list[int] = []
    both = threading.Barrier(2)

    def work(item: int) -> None:
        both.wait(10)
        if item == 0:
            raise ValueError("no")
        time.sleep(0.2)
        ended.append(item)

    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(ValueError, match="no"):
            next(in_order(pool, work, range(2), ahead=2))
        assert ended == [1]
