"""Sessions on real schedulers and workers: what happens when things die, come late, or cannot do a run."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from torch import nn

import geoseg
from geoseg.errors import ClusterError, PlanError, SceneReadError, StoppedError
from geoseg.inference.executors import ClusterOptions, asking, open_session
from geoseg.inference.executors.asking import demand_fit
from geoseg.inference.executors.outcomes import LOST, failure_of
from geoseg.inference.tasks import TileReport, TileTask
from tests.clusters import (
    ROOT,
    Dask,
    broken_tile,
    fake_task,
    flaky_tile,
    picky_tile,
    poisoned_tile,
    trace_tile,
    traces,
    wait_until,
)
from tests.scenes import random_pixels, write_scene

TILES = list(itertools.product(range(6), range(6)))


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    with Dask(tmp_path / "dask") as running:
        yield running


def options(dask: Dask, **rest: Any) -> ClusterOptions:
    return ClusterOptions(**{"scheduler": dask.address, "patience": 60.0, **rest})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scheduler": "thread"}, "there are threads, sync, tcp://HOST:PORT"),
        ({"scheduler": "tcp://127.0.0.1:1", "workers": 2}, "--scheduler and --workers name different clusters"),
        ({"scheduler_file": "s.json", "workers": 2}, "different clusters"),
        ({"workers": 0}, "workers 0: use 1 or more"),
        ({"retries": -1}, "retries -1"),
        ({"patience": 0.0}, "patience"),
        ({"scheduler": "tcp://127.0.0.1:1", "dashboard": True}, "dashboard"),
        ({"tls_ca_file": "ca.pem"}, "tls_ca_file are for a cluster"),
        ({"scheduler": "tls://127.0.0.1:1"}, "needs --tls-ca-file"),
        ({"scheduler": "tls://127.0.0.1:1", "tls_ca_file": "ca.pem", "tls_key": "k.pem"}, "go together"),
    ],
)
def test_options_that_contradict_each_other_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        ClusterOptions(**given)


def test_a_scheduler_that_cannot_be_reached_is_named(tmp_path: Path, tiny_bundle: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        scene = write_scene(tmp_path / "scene.tif", random_pixels((64, 64)))
        with pytest.raises(ClusterError, match=f"cannot reach the scheduler {address}"):
            geoseg.predict(scene, model=tiny_bundle, scheduler=address, patience=1.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scene.tif"]


def test_a_scheduler_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with (
            pytest.raises(ClusterError, match="cannot reach"),
            open_session(ClusterOptions(scheduler=address, patience=1.0)),
        ):
            pass


def test_scheduler_files_that_are_missing_or_none(tmp_path: Path) -> None:
    with (
        pytest.raises(ClusterError, match="no scheduler file"),
        open_session(ClusterOptions(scheduler_file=str(tmp_path / "none.json"), patience=0.3)),
    ):
        pass
    (tmp_path / "other.json").write_text("[]")
    with (
        pytest.raises(ClusterError, match="is no scheduler file"),
        open_session(ClusterOptions(scheduler_file=str(tmp_path / "other.json"))),
    ):
        pass


def test_no_workers_is_said_after_a_while(dask: Dask) -> None:
    with pytest.raises(ClusterError, match="no workers after 1 s"), open_session(options(dask, patience=1.0)):
        pass


def test_a_module_cannot_travel(tmp_path: Path, dask: Dask) -> None:
    dask.add_worker()
    scene = write_scene(tmp_path / "scene.tif", random_pixels((64, 64)))
    with open_session(options(dask)) as session, pytest.raises(PlanError, match="save it as a bundle"):
        geoseg.predict(scene, model=nn.Conv2d(3, 2, 1), session=session, device="cpu")


def test_a_killed_worker_costs_its_tiles_and_a_late_one_helps(tmp_path: Path, dask: Dask) -> None:
    first, doomed = dask.add_worker(), dask.add_worker()
    task = fake_task(tmp_path / "work")
    tiles = list(itertools.product(range(10), range(10)))  # more than are in flight while the late one starts
    with open_session(options(dask, scheduler_file=None)) as session:
        wait_until(lambda: session.worker_count == 2)
        reported = []
        for report in session.run(task, tiles, work=trace_tile):
            reported.append(report.key)
            if len(reported) == 4:
                doomed.kill()
                wait_until(lambda: session.worker_count == 1)
                late = dask.add_worker()
                wait_until(lambda: session.worker_count == 2)
    assert sorted(reported) == sorted(f"{r}.{c}" for r, c in tiles)
    done = traces(tmp_path / "work")
    assert {pid for _, pid in done} >= {first.pid, late.pid}
    lost = sum(Counter(tile for tile, _ in done).values()) - len(tiles)
    assert lost <= 4  # reports on their way home when it died, at most one per thread that worked


@pytest.mark.slow  # the limit of retries is tried below, too
def test_a_tile_that_kills_its_workers_ends_the_run_by_name(tmp_path: Path) -> None:
    with (
        open_session(ClusterOptions(workers=2, retries=1)) as session,
        pytest.raises(ClusterError, match=r"tile 1\.1 failed 2 times.*died.*the same command again continues"),
    ):
        list(session.run(fake_task(tmp_path / "work"), TILES[7:8], work=poisoned_tile))


def test_passing_errors_are_tried_again_and_others_end_the_run(tmp_path: Path, dask: Dask) -> None:
    dask.add_worker()
    with open_session(options(dask)) as session:
        flaky = fake_task(tmp_path / "flaky")
        assert len(list(session.run(flaky, TILES[:12], work=flaky_tile))) == 12
        with pytest.raises(SceneReadError, match="torn"):
            list(session.run(fake_task(tmp_path / "broken"), TILES, work=broken_tile))
        assert len(list((tmp_path / "broken").glob("broken.*"))) == 1


def test_passing_errors_that_do_not_pass_end_the_run(tmp_path: Path, dask: Dask) -> None:
    dask.add_worker()
    with (
        open_session(options(dask, retries=1)) as session,
        pytest.raises(ClusterError, match=r"tile 1\.1 failed 2 times, last: .*HTTP 503"),
    ):
        list(session.run(fake_task(tmp_path / "work"), TILES[:12], work=flaky_tile))


def test_a_worker_that_cannot_do_a_run_is_left_out_by_name(tmp_path: Path, dask: Dask) -> None:
    good, bad = dask.add_worker(), dask.add_worker(environment={"GEOSEG_TEST_UNFIT": "1"})
    with open_session(options(dask)) as session:
        wait_until(lambda: session.worker_count == 2)
        task = fake_task(tmp_path / "work")
        assert len(list(session.run(task, TILES, work=picky_tile))) == len(TILES)
        assert {pid for _, pid in traces(tmp_path / "work")} == {good.pid}
        good.kill()
        wait_until(lambda: session.worker_count == 1)
        with pytest.raises(ClusterError, match=r"no worker can do this run: tcp://.*no such file"):
            list(session.run(task, TILES, work=picky_tile))
    assert bad.poll() is None


def test_workers_with_another_geoseg_are_named(tmp_path: Path, dask: Dask) -> None:
    other = tmp_path / "other" / "geoseg"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text('__version__ = "9.9"\n')
    dask.add_worker()
    dask.add_worker(environment={"PYTHONPATH": str(other.parent)})
    with open_session(options(dask)) as session:
        wait_until(lambda: session.worker_count == 2)
        with pytest.raises(ClusterError, match=r"1 of 2 workers .*tcp://127.0.0.1:\d+ \(.*geoseg 9.9 there"):
            session.capacity("cpu")


def test_a_run_that_workers_cannot_do_is_refused_before_any_tile(tmp_path: Path, dask: Dask) -> None:
    dask.add_worker()
    with open_session(options(dask)) as session, pytest.raises(ClusterError, match="1 of 1 workers cannot do this run"):
        demand_fit(session._client, fake_task(tmp_path / "no store"))  # type: ignore[attr-defined]


def test_a_lost_scheduler_ends_the_run_soon(tmp_path: Path, dask: Dask) -> None:
    dask.add_worker()
    with open_session(options(dask)):
        pass  # the worker is there
    with open_session(options(dask, patience=3.0)) as session:
        running = session.run(fake_task(tmp_path / "work"), TILES, work=trace_tile)
        next(running)
        dask.scheduler.kill()
        started = time.monotonic()
        with pytest.raises(ClusterError, match=rf"lost the scheduler {dask.address}.*same command again continues"):
            list(running)
        assert time.monotonic() - started < 60


def test_a_run_without_workers_left_ends_after_a_while(tmp_path: Path, dask: Dask) -> None:
    worker = dask.add_worker()
    with open_session(options(dask)):
        pass  # the worker is there
    with open_session(options(dask, patience=3.0)) as session:
        running = session.run(fake_task(tmp_path / "work"), TILES, work=trace_tile)
        next(running)
        worker.kill()
        with pytest.raises(ClusterError, match=r"had no workers for 3 s.*same command again continues"):
            list(running)


def test_workers_drop_the_tiles_of_a_client_that_died(tmp_path: Path, dask: Dask) -> None:
    dask.add_worker()
    work = tmp_path / "work"
    code = (
        "import sys; from pathlib import Path; from tests.clusters import fake_task, trace_tile\n"
        "from geoseg.inference.executors import ClusterOptions, open_session\n"
        f"with open_session(ClusterOptions(scheduler={dask.address!r})) as session:\n"
        f"    list(session.run(fake_task(Path({str(work)!r})), ((r, 0) for r in range(10000)), work=trace_tile))\n"
    )
    client = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    wait_until(lambda: len(traces(work)) >= 4)
    client.kill()
    client.wait()
    time.sleep(2)
    after = len(traces(work))
    time.sleep(2)
    assert len(traces(work)) == after


LOCAL = """
import signal, sys
from pathlib import Path
from tests.clusters import fake_task, trace_tile
from geoseg.inference.executors import ClusterOptions, asking, open_session
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs with it ignored
    with open_session(ClusterOptions(workers=2), device="cpu") as session:
        list(session.run(fake_task(Path(sys.argv[1])), ((r, 0) for r in range(10000)), work=trace_tile))
"""


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_processes_of_this_machine_listen_on_loopback_and_end_with_us(tmp_path: Path, signum: int) -> None:
    script = tmp_path / "local.py"
    script.write_text(LOCAL)
    work = tmp_path / "work"
    client = subprocess.Popen(
        [sys.executable, script, work], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: len({pid for _, pid in traces(work)}) == 2)
    family = psutil.Process(client.pid).children(recursive=True)
    assert len(family) >= 2
    heard = {
        c.laddr.ip for p in [psutil.Process(client.pid), *family] for c in p.net_connections() if c.status == "LISTEN"
    }
    assert heard == {"127.0.0.1"}
    client.send_signal(signum)
    client.wait(timeout=200)
    _, alive = psutil.wait_procs(family, timeout=120)
    assert not alive


def test_this_process_listens_to_nobody_outside() -> None:
    with open_session(ClusterOptions()) as session:
        assert session.worker_count == 1
        assert session._client is not None  # type: ignore[attr-defined]
        mine = psutil.Process().net_connections()
        assert {c.laddr.ip for c in mine if c.status == "LISTEN"} <= {"127.0.0.1"}


def test_tls_on_both_sides(tmp_path: Path) -> None:
    from distributed import Security

    pytest.importorskip("cryptography", reason="makes the certificates")
    made = Security.temporary()
    files = {"ca_file": made.tls_ca_file, "cert": made.tls_client_cert, "key": made.tls_client_key}
    for name, text in files.items():
        (tmp_path / f"{name}.pem").write_text(text)
    ca, cert, key = (str(tmp_path / f"{name}.pem") for name in files)
    with Dask(tmp_path / "dask", security=["--tls-ca-file", ca, "--tls-cert", cert, "--tls-key", key]) as dask:
        dask.add_worker()
        assert dask.address.startswith("tls://127.0.0.1:")
        tls = {"tls_ca_file": ca, "tls_cert": cert, "tls_key": key}
        with open_session(options(dask, **tls)) as session:
            assert len(list(session.run(fake_task(tmp_path / "work"), TILES[:4], work=trace_tile))) == 4
        with (
            pytest.raises(ClusterError, match="needs --tls-ca-file"),
            open_session(ClusterOptions(scheduler_file=str(dask.file))),
        ):
            pass


def slow_tile(task: TileTask, row: int, col: int) -> TileReport:
    """Tile 0.1 is broken, which shows after a while; the others take longer and heed nobody."""
    if (row, col) == (0, 1):
        time.sleep(0.2)
        raise SceneReadError("torn")
    time.sleep(0.8)
    return trace_tile(task, row, col)


def test_a_run_that_ends_early_in_this_process_leaves_no_tile_in_work(tmp_path: Path) -> None:
    """Its caller gives back the network and the locks next, and the session may go on with another scene."""
    with open_session(ClusterOptions()) as session:
        with pytest.raises(SceneReadError, match="torn"):
            list(session.run(fake_task(tmp_path), TILES[:3], work=slow_tile))
        assert {tile for tile, _ in traces(tmp_path)} == {"0.0", "0.2"}


def test_a_tile_that_the_cluster_let_go_of_is_sent_again() -> None:
    """A run is stopped by whoever started it, never by what a worker says."""

    class Stopped:
        status = "error"

        def exception(self) -> Exception:
            return StoppedError("stopped", signum=2)

    assert failure_of(Stopped()).kind == LOST


def test_a_worker_that_hangs_while_it_is_asked_is_named(dask: Dask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ANSWER_SECONDS", 1.0)
    worker = dask.add_worker()
    with open_session(options(dask)) as session:
        worker.send_signal(signal.SIGSTOP)
        with pytest.raises(ClusterError, match=r"did not answer within 1 s: tcp://127.0.0.1:\d+ \(last heard of"):
            session.capacity("cpu")
