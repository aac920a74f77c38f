"""Law 6 with real kills: stopped at any moment and started again, a run ends with the same bytes."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import geoseg
from geoseg.raster import atomic
from geoseg.raster.atomic import discard
from tests.cli.test_processes import COMMAND
from tests.scenes import random_pixels, write_scene


def _bytes(folder: Path) -> dict[str, str]:
    """Digest of every file of a store."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_killed_at_any_moment_and_started_again_the_bytes_are_the_same(
    tmp_path: Path, tiny_bundle: Path, signum: int
) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((2000, 2000)))
    options = ["-m", str(tiny_bundle), "--tile", "224", "--threads", "1", "-q"]

    def command(name: str) -> list[str]:
        outputs = ["-o", str(tmp_path / f"{name}.tif"), "-o", str(tmp_path / f"{name}.zarr")]
        return [*COMMAND, "predict", str(scene), *options, *outputs]

    started = time.monotonic()
    subprocess.run(command("once"), check=True)
    whole = time.monotonic() - started
    random = np.random.default_rng(int(signum))
    kills = 0
    for _ in range(8):
        process = subprocess.Popen(command("often"), stderr=subprocess.PIPE, text=True)
        try:
            process.wait(timeout=random.uniform(0.1, 1.0) * whole)
        except subprocess.TimeoutExpired:
            process.send_signal(signum)
            kills += 1
        _, stderr = process.communicate(timeout=120)
        assert process.returncode in (0, -signal.SIGKILL, 143), stderr
        assert "Traceback" not in stderr
        if process.returncode == 0:
            break
    else:
        subprocess.run(command("often"), check=True)
    assert kills
    once, often = (_bytes(tmp_path / f"{name}.zarr") for name in ("once", "often"))
    assert {k: v for k, v in once.items() if k != "zarr.json"} == {k: v for k, v in often.items() if k != "zarr.json"}
    assert (tmp_path / "once.tif").read_bytes() == (tmp_path / "often.tif").read_bytes()


def test_a_store_that_is_being_deleted_is_never_taken_for_one_that_is_whole(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while the unfinished store is deleted at the end: the COG is whole and counts as done."""
    scene = write_scene(tmp_path / "scene.tif", random_pixels((300, 300)))
    target = tmp_path / "out.tif"

    def interrupted(path: Path) -> None:
        if "out.tif.part.zarr" in path.name and path.is_dir():
            next(path.glob("classes/c/*/*")).unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(atomic, "remove", interrupted)
        with pytest.raises(KeyboardInterrupt):
            geoseg.predict(scene, outputs=target, model=tiny_bundle)
    before = target.read_bytes()
    again = geoseg.predict(scene, outputs=target, model=tiny_bundle)
    assert again.predicted_pixels == again.computed_pixels == 0
    assert target.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.tif", "out.tif.aux.xml", "scene.tif"]
    with pytest.raises(FileExistsError):  # nothing was left any more
        geoseg.predict(scene, outputs=target, model=tiny_bundle)


def test_discard_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "file").write_text("x")
    discard(folder)
    assert list(tmp_path.iterdir()) == []
