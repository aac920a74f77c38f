"""A batch killed at any moment: the table stays readable, done scenes are not touched, the bytes are the same."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.cli.test_processes import COMMAND
from tests.scenes import random_pixels, write_scene

SCENES = 3
RUNS = 7


def _files(folder: Path, name: str) -> dict[str, tuple[bytes, int]]:
    """Bytes and time of every file of a scene's maps."""
    found = [folder / f"{name}_classes.tif", *(folder / f"{name}_classes.zarr").rglob("*")]
    return {str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in found if p.is_file()}


def _states(table: Path) -> dict[str, str]:
    """What a stranger reads in the table."""
    if not table.exists():
        return {}
    connection = sqlite3.connect(f"file:{table}?mode=ro", uri=True)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            return {}
        return {Path(scene).stem: state for scene, state in connection.execute("SELECT scene, state FROM scenes")}
    finally:
        connection.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_batch_killed_at_any_moment_goes_on(tmp_path: Path, tiny_bundle: Path, signum: int) -> None:
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    for i in range(SCENES):
        write_scene(scenes / f"s{i}.tif", random_pixels((300 + 40 * i, 400), seed=i))

    def command(maps: str) -> list[str]:
        options = ["--tile", "112", "--threads", "1", "-q"]
        return [*COMMAND, "batch", str(scenes), "-o", str(tmp_path / maps), "-m", str(tiny_bundle), *options]

    started = time.monotonic()
    subprocess.run(command("once"), check=True)
    whole = time.monotonic() - started
    often = tmp_path / "often"
    random = np.random.default_rng(int(signum))
    done: dict[str, dict[str, tuple[bytes, int]]] = {}
    kills = 0
    for _ in range(RUNS):
        with subprocess.Popen(command("often"), stderr=subprocess.PIPE, text=True) as process:
            try:
                process.wait(timeout=random.uniform(0.3, 0.9) * whole)
            except subprocess.TimeoutExpired:
                process.send_signal(signum)
                kills += 1
            except BaseException:
                process.kill()
                raise
            stderr = process.communicate(timeout=120)[1]
        assert process.returncode in (0, -signal.SIGKILL, 143), stderr
        assert "Traceback" not in stderr
        for name, state in _states(often / "geoseg-batch.sqlite").items():
            assert state in ("waiting", "running", "done"), (name, state)
            if state == "done":
                files = _files(often, name)
                assert done.setdefault(name, files) == files
        if process.returncode == 0 and kills:
            break
        if process.returncode == 0:  # the first run was slowed by others, and this one ended before its time
            whole /= 2
            shutil.rmtree(often)
            done.clear()
    else:
        subprocess.run(command("often"), check=True)
    assert kills
    assert set(_states(often / "geoseg-batch.sqlite").values()) == {"done"}
    for i in range(SCENES):
        once, again = (_files(tmp_path / maps, f"s{i}") for maps in ("once", "often"))
        assert once.keys() == again.keys()
        assert [n for n in once if once[n][0] != again[n][0] and not n.endswith("zarr/zarr.json")] == []
