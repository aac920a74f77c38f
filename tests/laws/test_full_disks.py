"""A disk that fills up: one line, nothing half under a final name, and the same command goes on when there is space."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.killing import start
from tests.scenes import random_pixels, write_scene


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory whose size a test changes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"cannot mount a small file system here: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def _files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_a_disk_that_fills_up_again_and_again(tmp_path: Path, tiny_bundle: Path, small_disk: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((1100, 1100)))

    def run(folder: Path) -> tuple[int | None, list[str]]:
        errors = tmp_path / "stderr"
        errors.unlink(missing_ok=True)
        outputs = ["-o", str(folder / "map.tif"), "-o", str(folder / "map.zarr")]
        command = ["predict", str(scene), "-m", str(tiny_bundle), "--tile", "192", "--threads", "1", "-q", *outputs]
        process = start(command, stderr=errors)
        process.join()
        return process.exitcode, errors.read_text().splitlines()

    once = tmp_path / "once"
    once.mkdir()
    assert run(once) == (0, [])
    wanted = _files(once)
    size = sum(map(len, wanted.values()))
    failed = 0
    for share in (0.05, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 2.0, 4.0, 50.0):
        subprocess.run(["mount", "-o", f"remount,size={int(size * share)}", small_disk], check=True)
        code, lines = run(small_disk)
        if code == 0:
            break
        failed += 1
        assert code == 1
        ours = [line for line in lines if not line.startswith("_tiff")]  # libtiff's own go to stderr directly
        assert len(ours) == 1, lines
        assert re.search(r"no space left on device.*free some space", ours[0], re.IGNORECASE), lines
        for name, data in _files(small_disk).items():
            if not name.startswith("."):
                assert data == wanted[name], f"{name} is there and not whole"
    assert failed >= 4
    found = _files(small_disk)
    assert {k: v for k, v in found.items() if k != "map.zarr/zarr.json"} == {
        k: v for k, v in wanted.items() if k != "map.zarr/zarr.json"
    }
