"""Turns: slots are never overdrawn, a device serves one run at a time, in order, and who waits can be stopped."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from geoseg.errors import StoppedError
from geoseg.inference.devices import slot
from geoseg.inference.turns import Turnstile


def nothing() -> None:
    """Is never stopped."""


def test_tiles_of_two_runs_are_never_inside_together_nor_more_than_each_allows() -> None:
    turnstile, lock = Turnstile(), threading.Lock()
    inside: Counter[str] = Counter()
    most = {"plain": 2, "sums": 1}
    seen: set[tuple[str, int]] = set()

    def tile(run: str) -> None:
        with turnstile.pass_through(run, most=most[run], check_stop=nothing):
            with lock:
                inside[run] += 1
                assert len(+inside) == 1, "two runs"
                assert inside[run] <= most[run]
                seen.add((run, inside[run]))
            time.sleep(0.002)
            with lock:
                inside[run] -= 1

    runs = ["plain", "sums"] * 40
    random.Random(3).shuffle(runs)
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(tile, run) for run in runs]:
            done.result()
    assert seen == {("plain", 1), ("plain", 2), ("sums", 1)}


def test_a_run_that_goes_on_and_on_does_not_keep_another_waiting() -> None:
    turnstile, served = Turnstile(), threading.Event()
    passed = 0

    def go_on() -> None:
        nonlocal passed
        while not served.is_set() and passed < 500:
            with turnstile.pass_through("long", most=2, check_stop=nothing):
                time.sleep(0.005)
                passed += 1

    with ThreadPoolExecutor(3) as pool:
        going = [pool.submit(go_on) for _ in range(2)]
        time.sleep(0.05)
        with turnstile.pass_through("short", most=1, check_stop=nothing):
            served.set()
        for done in going:
            done.result()
    assert passed < 400


def test_whoever_waits_can_be_stopped_and_leaves_no_gap() -> None:
    turnstile, go_on = Turnstile(), threading.Event()

    def stop() -> None:
        raise StoppedError("stopped", signum=15)

    def hold() -> None:
        with turnstile.pass_through("a", most=1, check_stop=nothing):
            go_on.wait(10)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        time.sleep(0.05)
        with pytest.raises(StoppedError), turnstile.pass_through("b", most=1, check_stop=stop):
            pass
        go_on.set()
        holding.result()
    with turnstile.pass_through("c", most=1, check_stop=nothing):
        pass


def test_an_error_inside_gives_the_turn_back() -> None:
    turnstile = Turnstile()
    with pytest.raises(ValueError, match="no"), turnstile.pass_through("a", most=1, check_stop=nothing):
        raise ValueError("no")
    with turnstile.pass_through("b", most=1, check_stop=nothing):
        pass


def test_slots_are_the_process_own_however_many_ask_first() -> None:
    lock = threading.Lock()
    inside = most = 0
    start = threading.Barrier(8)

    def tile() -> None:
        nonlocal inside, most
        start.wait()
        with slot(5):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.02)
            with lock:
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(tile) for _ in range(8)]:
            done.result()
    assert most == 5
