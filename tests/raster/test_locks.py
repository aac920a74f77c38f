"""One run per output: real processes, killed and alive, on a disk and at a URL."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from geoseg.errors import OutputError, OutputLockedError
from geoseg.raster import lock, locks
from geoseg.raster.local_folder import LocalFolder
from geoseg.raster.locations import Location
from geoseg.raster.lock import Lock
from geoseg.raster.lock_holder import STALE_SECONDS, Holder
from geoseg.raster.locks import hold, holder_of, refuse_held
from geoseg.raster.places import location_of
from geoseg.raster.remote_folder import RemoteFolder

CHILD = """
import sys, time
from geoseg.raster.locks import hold
from geoseg.raster.places import location_of
from geoseg.raster.remote_folder import RemoteFolder
with hold([location_of(sys.argv[1])]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of ``tmp_path / "a.zarr"``."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "a.zarr")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture(params=["disk", "disk without kernel locks", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Location:
    """A place for a store, by each way of locking."""
    monkeypatch.setattr(lock, "_SETTLE_SECONDS", 0.01)
    if request.param == "memory":
        return location_of(f"memory://{uuid.uuid4().hex}/a.zarr")
    if "without" in request.param:
        monkeypatch.setattr(Lock, "_acquire_from_kernel", lambda *_: False)
    return LocalFolder(tmp_path / "a.zarr")


def put(place: Location, holder: Holder) -> None:
    """Leave a lock as a killed process would."""
    home, name = place.guard()
    home.write(name, holder.to_bytes())
    if isinstance(home, LocalFolder):
        os.utime(home.path / name, (holder.renewed, holder.renewed))


def test_the_second_is_refused_by_name_and_the_kernel_frees_a_killed_ones(
    tmp_path: Path, child: subprocess.Popen[str]
) -> None:
    place = LocalFolder(tmp_path / "a.zarr")
    for attempt in (lambda: hold([place]).__enter__(), lambda: refuse_held(place)):
        with pytest.raises(OutputLockedError, match=rf"a\.zarr is being written by process {child.pid} on .* since 20"):
            attempt()
    os.kill(child.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    refuse_held(place)  # dead, though nobody has waited for it yet
    with hold([place]) as held:
        assert held.were_left
    assert holder_of(place) is None
    assert list(tmp_path.iterdir()) == []


def test_one_at_a_time_in_one_process_too(place: Location) -> None:
    for _ in range(2):
        with hold([place]) as held:
            assert not held.were_left
            with pytest.raises(OutputLockedError, match=f"process {os.getpid()} "):
                hold([place]).__enter__()
            held.check()
    assert holder_of(place) is None


@pytest.mark.parametrize(
    ("change", "free"),
    [
        ({"pid": 2**22 + 1}, True),  # no such process
        ({"born": "1"}, True),  # its number is another process's now
        ({}, False),
        ({"machine": "elsewhere", "renewed": -STALE_SECONDS / 2}, False),
        ({"machine": "elsewhere", "renewed": -STALE_SECONDS - 10}, True),
    ],
    ids=["dead", "number used again", "alive", "heard of lately", "not heard of"],
)
def test_a_lock_that_was_left_is_taken_over(place: Location, change: dict[str, Any], free: bool) -> None:
    now = time.time()
    put(place, replace(Holder.here(), **{**change, "renewed": now + change.get("renewed", 0)}))
    if free:
        refuse_held(place)
        with hold([place]) as held:
            assert held.were_left
            found = holder_of(place)
            assert found is not None
            assert found.pid == os.getpid()
        assert holder_of(place) is None
        return
    with pytest.raises(OutputLockedError):
        refuse_held(place)
    if change:  # the kernel knows that a lock of this very process is not held
        with pytest.raises(OutputLockedError):
            hold([place]).__enter__()


def test_what_a_run_goes_by_stays_in_a_lock_that_was_left(place: Location) -> None:
    def read() -> dict[str, Any] | None:
        found = holder_of(place)
        assert found is not None
        return found.run

    gone = replace(Holder.here(), pid=2**22 + 1, run={"plan": "a" * 9000})
    put(place, gone)
    with hold([place]) as held:
        assert held.were_left
        assert read() == gone.run
        held.note({"plan": "b"})
        assert read() == {"plan": "b"}
        held[0].renew()
        assert read() == {"plan": "b"}
        held.check()
    with hold([place]) as held:
        assert not held.were_left
        assert read() is None


def test_held_locks_are_renewed(place: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.05)
    with hold([place]):
        before = holder_of(place)
        assert before is not None
        deadline = time.monotonic() + 20
        while True:
            after = holder_of(place)
            assert after is not None
            if after.renewed > before.renewed:
                break
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert (after.since, after.token) == (before.since, before.token)


def test_a_run_whose_lock_was_taken_over_replaces_nothing() -> None:
    place = location_of(f"memory://{uuid.uuid4().hex}/a.zarr")
    with hold([place]) as held:
        other = replace(Holder.here(), token="another")
        put(place, other)
        held[0].renew()
        with pytest.raises(OutputLockedError, match="taken over"):
            held.check()
    assert holder_of(place) == other


def test_what_cannot_be_locked_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file") as caught:
        hold([LocalFolder(tmp_path / "missing" / "a.zarr")]).__enter__()
    assert "\n" not in str(caught.value)


def test_nonsense_in_a_lock_is_no_holder(place: Location) -> None:
    home, name = place.guard()
    for text in ("", "{", "[1]", json.dumps({"pid": 1})):
        home.write(name, text.encode())
        assert holder_of(place) is None
        with hold([place]):
            pass


def test_a_run_that_slept_looks_before_it_replaces() -> None:
    place = location_of(f"memory://{uuid.uuid4().hex}/a.zarr")
    with hold([place]) as held:
        put(place, replace(Holder.here(), token="another"))
        held.check()  # heard of a moment ago
        held[0]._renewed -= STALE_SECONDS
        with pytest.raises(OutputLockedError, match="taken over"):
            held.check()


def test_a_full_disk_leaves_no_lock_shut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    place = LocalFolder(tmp_path / "a.zarr")
    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", full)
        with pytest.raises(OutputError, match="free some space"):
            hold([place]).__enter__()
    with hold([place]):
        pass


def test_a_lock_that_cannot_be_given_back_hides_no_error_and_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = f"memory://{uuid.uuid4().hex}"
    first, second = location_of(f"{folder}/a.zarr"), location_of(f"{folder}/b.zarr")
    plain = RemoteFolder.delete

    def refuse(self: RemoteFolder, names: Any) -> None:
        if "b.zarr" in self.url:
            raise OutputError("the network is away")
        plain(self, names)

    monkeypatch.setattr(RemoteFolder, "delete", refuse)
    with pytest.raises(KeyError, match="the run's own"), hold([first, second]):
        raise KeyError("the run's own")
    assert holder_of(first) is None
    assert holder_of(second) is not None
