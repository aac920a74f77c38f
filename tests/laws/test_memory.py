"""Law 7: peak memory does not grow with the scene."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import rasterio

from geoseg.geometry.windows import Window
from geoseg.raster.geotiff import geotiff_writer
from tests.cli.test_processes import COMMAND
from tests.scenes import random_pixels


def _scene(path: Path, height: int, width: int) -> Path:
    """A scene written strip by strip, so that the test itself stays small."""
    from geoseg.geometry.geobox import GeoBox

    with geotiff_writer(path, geobox=GeoBox(shape=(height, width)), bands=3, dtype="uint8", compress="none") as write:
        for row in range(0, height, 512):
            rows = min(512, height - row)
            write(random_pixels((rows, width), seed=row), Window(row_off=row, col_off=0, height=rows, width=width))
    return path


def _sparse_scene(path: Path, side: int) -> Path:
    """A scene that is nodata but for a corner: the network has little to do, the flow everything."""
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "nodata": 0, "tiled": True, "sparse_ok": True}
    with rasterio.open(path, "w", height=side, width=side, **profile) as target:
        target.write(random_pixels((512, 512)) | 1, window=((0, 512), (0, 512)))
    return path


@pytest.mark.slow
def test_law_7_four_times_the_scene_takes_no_more_memory(tmp_path: Path, tiny_bundle: Path) -> None:
    """The larger class map alone is 604 MB: holding it, or any layer of it, would show.

    The smaller scene is large enough to fill GDAL's cache and the windows in flight, which are bounded, not nothing.
    """
    peaks = []
    for side in (12_288, 24_576):
        scene = _sparse_scene(tmp_path / f"{side}.tif", side)
        command = [*COMMAND, "predict", str(scene), "-m", str(tiny_bundle), "-q", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(json.loads(done.stdout)["peak_rss_bytes"])
        with rasterio.open(tmp_path / f"{side}_classes.tif") as cog:
            assert cog.shape == (side, side)
            assert (cog.read(1, window=((0, 512), (0, 512))) < 5).all()
            assert (cog.read(1, window=((2000, 2512), (0, 512))) == 255).all()
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] - peaks[0] < 100e6


@pytest.mark.slow
def test_a_process_that_ran_out_of_file_size_says_so_and_leaves_no_output(tmp_path: Path, tiny_bundle: Path) -> None:
    """A full disk, played by a limit on the size of files: every shard of the store is larger."""
    scene = _scene(tmp_path / "scene.tif", 1500, 1500)
    limited = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); from geoseg.cli import main; main()"
    )
    command = [sys.executable, "-c", limited, "predict", str(scene), "-m", str(tiny_bundle), "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "free some space" in done.stderr
    assert not list(tmp_path.glob("scene_classes*"))
