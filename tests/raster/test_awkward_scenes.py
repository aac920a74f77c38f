"""What every odd, hostile or damaged file of the shared folder gets: a table.

Damaged files are first met by a child process with little memory and a time limit; only where it comes through are
they read in this one.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from geoseg.errors import GeosegError, SceneError, SceneReadError
from geoseg.geometry.windows import Window
from geoseg.raster.scene import inspect_scene, read_window


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """A scene that reads, with three bands unless ``bands`` says otherwise."""

    file: str
    shape: tuple[int, ...]
    dtype: str = "uint8"
    bands: int = 3
    valid_from: str = "all"
    valid: float = 1.0
    """Share of valid pixels, as dataset_mask has it (test_scene_validity.py)."""
    crs: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectFail:
    """A scene that is refused, with a message that contains ``fragment``."""

    file: str
    error: type[GeosegError]
    fragment: str
    bands: int | None = 3


PALETTE = "band 1 is a palette, read as red, green and blue"
SCENES: list[Expect | ExpectFail] = [
    # odd georeferencing, validity and dtypes
    Expect(file="georef/RGB.byte.gcp.vrt", shape=(3, 718, 791), valid_from="nodata", valid=0.6746, crs=True),
    Expect(file="georef/RGB.byte.tif", shape=(3, 718, 791), valid_from="nodata", valid=0.6746, crs=True),
    Expect(file="georef/RGB2.byte.tif", shape=(3, 718, 791), valid_from="mask", valid=0.6740, crs=True),
    Expect(file="georef/RGB2.byte.tif.msk", shape=(1, 718, 791), bands=1, note="no CRS"),
    Expect(
        file="georef/rio_RGBA.uint16.tif",
        shape=(3, 411, 634),
        dtype="uint16",
        valid_from="alpha",
        valid=0.4886,
        crs=True,
    ),
    Expect(
        file="georef/rio_all-nodata.tif",
        shape=(3, 2475, 71),
        dtype="uint16",
        valid_from="nodata",
        valid=0,
        crs=True,
        note="of 4 bands the first 3 are read",
    ),
    Expect(file="georef/rio_alpha.tif", shape=(3, 1223, 1223), valid_from="alpha", valid=0.0155, crs=True),
    Expect(
        file="georef/rio_float_nan.tif", shape=(1, 2, 3), bands=1, dtype="float32", valid_from="nodata", valid=5 / 6
    ),
    Expect(
        file="georef/rio_float_raster_with_nodata.tif",
        shape=(1, 12, 13),
        bands=1,
        dtype="float32",
        valid_from="nodata",
        valid=0.6282,
        crs=True,
    ),
    Expect(file="georef/rio_goes.tif", shape=(3, 542, 542), valid_from="mask", valid=0.7831, crs=True),
    Expect(file="georef/rio_rotated.tif", shape=(1, 15, 10), bands=1, note="no CRS"),
    Expect(file="georef/riocogeo_image_colormap.tif", shape=(3, 706, 1066), crs=True, note=PALETTE),
    Expect(
        file="georef/riocogeo_image_nan.tif",
        shape=(1, 341, 316),
        bands=1,
        dtype="float64",
        valid_from="nodata",
        valid=0.4312,
        crs=True,
    ),
    Expect(
        file="georef/riocogeo_image_rgba_nodata.tif",
        shape=(3, 512, 512),
        valid_from="nodata",
        crs=True,
        note="invalid where its nodata says so or where alpha (band 4) is 0",
    ),
    Expect(file="georef/riotiler_cog_dateline.tif", shape=(1, 2355, 2325), bands=1, dtype="uint16", crs=True),
    Expect(file="georef/riotiler_cog_hirise_mars.tif", shape=(3, 1683, 1118), crs=True),
    Expect(file="georef/riotiler_cog_rgb_mask.tif", shape=(3, 232, 383), valid_from="mask", valid=0.9692, crs=True),
    Expect(
        file="georef/riotiler_cog_scale.tif",
        shape=(2, 256, 256),
        bands=2,
        dtype="int16",
        valid_from="nodata",
        valid=0.9999,
        crs=True,
    ),
    Expect(
        file="georef/riotiler_inverted_lat.tif",
        shape=(1, 360, 720),
        bands=1,
        dtype="float32",
        valid_from="nodata",
        valid=0,
        crs=True,
    ),
    ExpectFail(file="georef/rioxarray_cint16_complex.tif", error=SceneError, fragment="its pixels are complex_int16"),
    # odd layouts
    Expect(file="layout/irs_12bit.cropped.tiff", shape=(1, 64, 64), bands=1, dtype="uint16"),
    Expect(file="layout/irs_BigTIFFMotorola.tif", shape=(3, 64, 64)),
    Expect(file="layout/irs_geo-5b.tif", shape=(3, 10, 10), dtype="int16", crs=True, note="of 5 bands the first 3"),
    Expect(file="layout/irs_planar-rgb-u8.tif", shape=(3, 499, 374)),
    Expect(file="layout/irs_random-fp16.tiff", shape=(1, 16, 16), bands=1, dtype="float32"),
    Expect(
        file="layout/irs_usda_naip_256_webp_z3.tif", shape=(3, 2048, 1024), valid_from="alpha", valid=0.0195, crs=True
    ),
    Expect(file="layout/pil_child_ifd_jpeg.tiff", shape=(3, 1, 1)),
    Expect(file="layout/pil_tiff_tiled_cmyk_jpeg.tif", shape=(3, 100, 100), valid_from="alpha"),
    # hostile or damaged, and what can be read all the same
    Expect(file="broken/pil_crash-0da013a13571cc8eb457a39fee8db18f8a3c7127.tif", shape=(3, 84, 218), note=PALETTE),
    Expect(file="broken/pil_total-pages-zero.tif", shape=(3, 2156, 1728), note=PALETTE),
    Expect(file="broken/riocogeo_nontiff.jpg", shape=(3, 512, 512)),
    ExpectFail(
        file="broken/irs_fuzz_divide_by_zero_000000.tif", error=SceneReadError, fragment="cannot be opened as a raster"
    ),
    ExpectFail(
        file="broken/irs_fuzz_inf_loop_000028.tif",
        error=SceneReadError,
        fragment="reading rows 0-151, columns 0-157 failed",
    ),
    ExpectFail(
        file="broken/pil_crash-1152ec2d1a1a71395b6f2ce6721c38924d025bf3.tif",
        error=SceneReadError,
        fragment="reading rows 0-225, columns 0-300 failed",
    ),
    ExpectFail(
        file="broken/pil_libtiff_segfault.tif", error=SceneError, fragment="decodes to 163,835 MB, the limit is 1024"
    ),
    ExpectFail(
        file="broken/pil_oom-225817ca0f8c663be7ab4b9e717b02c661e66834.tif",
        error=SceneReadError,
        fragment="cannot be opened as a raster",
    ),
    ExpectFail(file="broken/pil_seek_too_large.tif", error=SceneReadError, fragment="cannot be opened as a raster"),
    ExpectFail(
        file="broken/rio_corrupt.tif", error=SceneReadError, fragment="reading rows 0-1024, columns 0-1024 failed"
    ),
    ExpectFail(file="georef/nowhere.tif", error=SceneReadError, fragment="no such file"),
    # one band is not three, and the message says what to do
    ExpectFail(file="georef/rio_rotated.tif", error=SceneError, fragment="or repeat bands with --bidx 1,1,1"),
]

CHILD = """
import resource, sys
from pathlib import Path
from geoseg.errors import GeosegError
from geoseg.geometry.windows import Window
from geoseg.raster.scene import inspect_scene, read_window

resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
for path in sys.argv[1:]:
    for bands in (3, None):
        try:
            info = inspect_scene(path, bands=bands)
            read_window(info.recipe, Window.whole(info.geobox.shape))
        except GeosegError:
            pass
    print(Path(path).name, flush=True)
"""


@pytest.fixture(scope="module")
def tamed(shared_data: Path) -> Path:
    """The folder, once a child has come through all damaged files of it without a crash, a hang or much memory."""
    folder = shared_data / "awkward"
    damaged = sorted((folder / "broken").iterdir())
    # The package is found from the root of the project, installed or not.
    root = Path(__file__).resolve().parents[2]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, damaged)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert child.stdout.split("\n")[:-1] == [path.name for path in damaged], child.stderr
    assert child.stderr == ""  # GDAL complains to Python's loggers, not to the terminal
    assert child.returncode == 0
    return folder


def test_the_table_is_complete(shared_data: Path) -> None:
    folder = shared_data / "awkward"
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there <= {case.file for case in SCENES}


@pytest.mark.parametrize("case", [c for c in SCENES if isinstance(c, Expect)], ids=lambda case: case.file)
def test_reads(tamed: Path, case: Expect, capfd: pytest.CaptureFixture[str]) -> None:
    info = inspect_scene(tamed / case.file, bands=case.bands)
    pixels, valid = read_window(info.recipe, Window.whole(info.geobox.shape))
    assert pixels.shape == case.shape
    assert pixels.dtype == np.dtype(case.dtype) == np.dtype(info.dtype)
    assert info.valid_from == case.valid_from
    assert valid.mean() == pytest.approx(case.valid, abs=5e-5)
    assert (info.geobox.crs is not None) == case.crs
    assert any("no CRS" in line for line in info.notes) != case.crs
    assert case.note in "\n".join(info.notes)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "case", [c for c in SCENES if isinstance(c, ExpectFail)], ids=lambda case: f"{case.file}-{case.error.__name__}"
)
def test_is_refused(tamed: Path, case: ExpectFail, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(case.error) as caught:  # noqa: PT012 (some fail when opened, some when read)
        info = inspect_scene(tamed / case.file, bands=case.bands)
        read_window(info.recipe, Window.whole(info.geobox.shape))
    message = str(caught.value)
    assert type(caught.value) is case.error
    assert case.fragment in message
    assert case.file in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("gsd", [1.0, 0.3])
def test_with_a_models_gsd_too(tamed: Path, gsd: float) -> None:
    """Resampled or not, every file that reads is read in the middle at the model's GSD."""
    resampled = set()
    for case in SCENES:
        if isinstance(case, ExpectFail):
            continue
        info = inspect_scene(tamed / case.file, bands=case.bands, gsd=gsd)
        height, width = info.geobox.shape
        rows, columns = min(height, 50), min(width, 50)
        middle = Window(row_off=(height - rows) // 2, col_off=(width - columns) // 2, height=rows, width=columns)
        pixels, valid = read_window(info.recipe, middle)
        assert pixels.shape == (case.shape[0], rows, columns)
        assert valid.shape == (rows, columns)
        if info.recipe.grid is not None:
            resampled.add(case.file)
        else:
            assert info.geobox == info.native
            close = info.gsd is not None and all(0.8 <= gsd / g <= 1.25 for g in info.gsd)
            assert close or any("not resampled" in line for line in info.notes)
    assert "georef/riotiler_cog_rgb_mask.tif" in resampled  # 0.15 m
    assert "georef/RGB.byte.tif" not in resampled  # 300 m: more than 16 times the model's
