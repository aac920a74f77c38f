"""The program as a process: start-up, signals, what listens, what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.scenes import random_pixels, write_scene

COMMAND = [sys.executable, "-c", "from geoseg.cli import main; main()"]
HEAVY = {"torch", "dask", "distributed", "rasterio", "zarr", "numpy"}


@pytest.mark.parametrize(
    "code",
    [
        "import geoseg",
        "import sys; sys.argv[1:] = ['--help']; from geoseg.cli.main import cli; cli(standalone_mode=False)",
    ],
)
def test_importing_and_asking_for_help_load_nothing_heavy(code: str) -> None:
    script = f"{code}\nimport sys\nprint(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def _start(scene: Path, bundle: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "predict", str(scene), "-m", str(bundle), "--tile", "112", "--threads", "1", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=scene.parent,
    )


def _wait_for_a_tile(folder: Path, process: subprocess.Popen[str]) -> None:
    """Until a tile is done, so that the run is in the midst of its tiles."""
    limit = time.monotonic() + 120
    while not list(folder.glob(".*.part.zarr/**/.geoseg-done/*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.fixture
def large_scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", random_pixels((1400, 1400)))


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_cleanly_and_the_same_command_goes_on(
    large_scene: Path, tiny_bundle: Path, signum: int, code: int
) -> None:
    process = _start(large_scene, tiny_bundle)
    _wait_for_a_tile(large_scene.parent, process)
    os.kill(process.pid, signum)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    assert "distributed" not in stderr
    assert "stopped by SIG" in stderr.splitlines()[-1]
    assert not list(large_scene.parent.glob("scene_classes*"))
    again = _start(large_scene, tiny_bundle)
    _, stderr = again.communicate(timeout=240)
    assert again.returncode == 0, stderr
    assert "continuing:" in stderr
    assert sorted(p.name for p in large_scene.parent.iterdir()) == [
        "scene.tif", "scene_classes.qml", "scene_classes.sld", "scene_classes.tif", "scene_classes.tif.aux.xml",
        "scene_classes.zarr",
    ]  # fmt: skip


def test_nothing_listens_outside_loopback(large_scene: Path, tiny_bundle: Path) -> None:
    process = _start(large_scene, tiny_bundle)
    try:
        _wait_for_a_tile(large_scene.parent, process)
        listening = [
            c.laddr.ip
            for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            for c in one.net_connections(kind="inet")
            if c.status == psutil.CONN_LISTEN
        ]
    finally:
        process.kill()
        process.communicate()
    assert set(listening) <= {"127.0.0.1", "::1"}, listening


def test_a_missing_scene_is_one_line_and_exit_1(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "evaluate", "none.tif", "none.tif"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("Error: ")


def test_wrong_usage_is_exit_2() -> None:
    done = subprocess.run([*COMMAND, "predict"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
