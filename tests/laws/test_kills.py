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
from tests.killing import start
from tests.scenes import random_pixels, write_scene

MARKERS = "classes/.geoseg-done"


def _bytes(folder: Path) -> dict[str, str]:
    """Digest of every file of a store."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _same(folder: Path, once: str, often: str) -> None:
    """Both runs left the same bytes, and nothing else."""
    first, second = (_bytes(folder / f"{name}.zarr") for name in (once, often))
    assert {k: v for k, v in first.items() if k != "zarr.json"} == {k: v for k, v in second.items() if k != "zarr.json"}
    assert (folder / f"{once}.tif").read_bytes() == (folder / f"{often}.tif").read_bytes()
    assert (folder / f"{once}.tif.aux.xml").read_bytes() == (folder / f"{often}.tif.aux.xml").read_bytes()
    assert not [p.name for p in folder.glob(f".{often}.*")]


def _finished_tiles(store: Path) -> dict[str, tuple[int, int, int, int]]:
    """Of each tile that has a marker: inode and time of its shard, and of the marker."""
    found = {}
    for marker in (store / MARKERS).glob("*") if (store / MARKERS).is_dir() else ():
        row, col = marker.name.split(".")
        try:
            shard, mark = (store / "classes/c" / row / col).stat(), marker.stat()
        except FileNotFoundError:  # the store got its name while we looked
            return {}
        found[marker.name] = (shard.st_ino, shard.st_mtime_ns, mark.st_ino, mark.st_mtime_ns)
    return found


def _count(store: Path) -> int:
    """Tiles that have a marker."""
    try:
        return sum(1 for _ in (store / MARKERS).iterdir())
    except FileNotFoundError:
        return 0


@pytest.mark.slow
@pytest.mark.timeout(900)  # some thirty runs
def test_twenty_random_kills_change_no_byte_and_cost_no_finished_tile(tmp_path: Path, tiny_bundle: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((700, 700)))
    random = np.random.default_rng(7)
    count = geoseg.plan(scene, model=tiny_bundle, tile=96).tile_count
    errors = tmp_path / "stderr"

    def arguments(name: str) -> list[str]:
        outputs = ["-o", str(tmp_path / f"{name}.tif"), "-o", str(tmp_path / f"{name}.zarr")]
        return ["predict", str(scene), "-m", str(tiny_bundle), "--tile", "96", "--threads", "1", "-q", *outputs]

    part = tmp_path / ".once.zarr.part.zarr"
    process = start(arguments("once"), stderr=errors)
    begun = finishing = 0.0
    while process.exitcode is None:
        seen = _count(part)
        begun = begun or (time.monotonic() if seen else 0.0)
        finishing = finishing or (time.monotonic() if seen == count else 0.0)
        process.join(0.01)
    assert process.exitcode == 0, errors.read_text()
    tiles, end = finishing - begun, time.monotonic() - finishing
    kills = {"tiles": 0, "end": 0}
    for name in ("a", "b"):
        part = tmp_path / f".{name}.zarr.part.zarr"
        done: dict[str, tuple[int, int, int, int]] = {}
        for phase in ["tiles"] * 7 + ["end"] * 6 + ["whole"]:
            process = start(arguments(name), stderr=errors)
            while process.is_alive() and phase != "whole":
                seen = _count(part)
                if seen > len(done) if phase == "tiles" and len(done) < count else seen == count:
                    break
                time.sleep(0.01)
            if phase != "whole":
                process.join(random.uniform(0, tiles / 6 if phase == "tiles" else end))
                if process.is_alive():
                    process.kill()
                    kills[phase] += 1
            process.join()
            final = tmp_path / f"{name}.zarr"
            assert process.exitcode in (0, -signal.SIGKILL), errors.read_text()
            now = _finished_tiles(part) if part.exists() else _finished_tiles(final)
            if not final.exists():
                assert set(done) <= set(now)
            assert all(now[key] == found for key, found in done.items() if key in now), "a finished tile was computed"
            done = now or done
            if process.exitcode == 0:
                break
        for key, found in done.items():
            row, col = key.split(".")
            shard = (tmp_path / f"{name}.zarr" / "classes/c" / row / col).stat()
            assert (shard.st_ino, shard.st_mtime_ns) == found[:2]
        _same(tmp_path, "once", name)
    assert sum(kills.values()) >= 20, kills
    assert min(kills.values()) >= 5, kills
    assert "Traceback" not in errors.read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)  # some forty runs
def test_killed_at_every_rename_the_same_command_ends_with_the_same_bytes(tmp_path: Path, tiny_bundle: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((300, 200)))
    errors = tmp_path / "stderr"

    def run(name: str, *options: str, die: str | None = None) -> int | None:
        outputs = ["-o", str(tmp_path / f"{name}.tif"), "-o", str(tmp_path / f"{name}.zarr")]
        command = ["predict", str(scene), "-m", str(tiny_bundle), "--threads", "1", "-q", *outputs, *options]
        process = start(command, stderr=errors, die=die)
        process.join()
        return process.exitcode

    assert run("once") == 0
    kills = 0
    for replacing in (False, True):
        options = ("--overwrite",) if replacing else ()
        for moment in ("before 1", *(f"after {number}" for number in range(1, 20))):
            name = f"{moment.replace(' ', '-')}-{replacing}"
            if replacing:
                assert run(name, "--stitch", "average") == 0
            code = run(name, *options, die=moment)
            if code == 0:
                break
            assert code == -signal.SIGKILL, errors.read_text()
            kills += 1
            assert run(name, *options) == 0, errors.read_text()
            _same(tmp_path, "once", name)
    assert kills >= 8, kills  # attribute file, COG, store, each after its rename; and the old store that steps aside


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM])
def test_killed_at_any_moment_and_started_again_the_bytes_are_the_same(
    tmp_path: Path, tiny_bundle: Path, signum: int
) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((1300, 1300)))
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
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "out.qml", "out.sld", "out.tif", "out.tif.aux.xml", "scene.tif",
    ]  # fmt: skip
    with pytest.raises(FileExistsError):  # nothing was left any more
        geoseg.predict(scene, outputs=target, model=tiny_bundle)


def test_discard_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "file").write_text("x")
    discard(folder)
    assert list(tmp_path.iterdir()) == []
