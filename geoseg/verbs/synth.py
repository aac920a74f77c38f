"""``geoseg synth``: write a synthetic aerial scene of any size and its truth."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geoseg.ahead import in_order
from geoseg.errors import OutputError, PlanError
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window, split
from geoseg.legend import IGNORE
from geoseg.raster.atomic import output_errors, refuse_existing
from geoseg.raster.geotiff import geotiff_writer
from geoseg.synthesis.legend import LEGEND
from geoseg.synthesis.world import GSDS, render

Progress = Callable[[int, int], None]
"""Called with the pixels done and the pixels there are."""

ORIGIN = (320_000.0, 2_800_000.0)
"""Easting and northing of the world's origin, metres: in UTM zone 40N some 15 km north of Dubai's coast."""

_WINDOW = (1024, 1024)
_Rendered = tuple[Window, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthResult:
    """What ``synth`` wrote."""

    paths: tuple[Path, ...]
    """The scene, then the truth if one was wanted."""
    geobox: GeoBox
    """The grid of both."""
    counts: dict[str, int]
    """Pixels of each class, by name."""

    @property
    def pixels(self) -> int:
        """Pixels of the scene."""
        return self.geobox.shape[0] * self.geobox.shape[1]


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) from ``WIDTHxHEIGHT``, both in pixels.

    Raises:
        PlanError: if the text is not of that form, or a number is 0.
    """
    match = re.fullmatch(r"\s*(\d+)\s*[xX×]\s*(\d+)\s*", text)
    if match is None:
        raise PlanError(f"a size is WIDTHxHEIGHT in pixels, as in 4096x4096, not {text!r}")
    width, height = int(match[1]), int(match[2])
    _check_size(width, height)
    return width, height


def synth(
    out: str | Path,
    *,
    width: int,
    height: int,
    seed: int = 0,
    truth: str | Path | None = None,
    gsd: float = 1.0,
    crs: str = "EPSG:32640",
    overwrite: bool = False,
    threads: int = 2,
    progress: Progress | None = None,
) -> SynthResult:
    """Write a procedural aerial scene, and its truth, as tiled GeoTIFFs; memory does not grow with the scene.

    The scene is the south-eastern quadrant of an endless world: a wider or higher scene of the same seed and GSD
    begins with the same pixels.

    Args:
        out: the scene, ``.tif``: red, green, blue in uint8.
        width: columns, pixels.
        height: rows, pixels.
        seed: which world.
        truth: the class map, ``.tif``: ids of ``geoseg.synthesis.legend.LEGEND`` in uint8, nodata 255, in colours.
        gsd: metres per pixel; the default is the default model's.
        crs: a projected CRS in metres, in any form that pyproj reads; the scene lies at ``ORIGIN`` in it.
        overwrite: replace targets that are there.
        threads: threads that draw, and that compress.
        progress: told after each window.

    Raises:
        PlanError: if a size, the GSD or the CRS is impossible.
        OutputExistsError: if a target is there and ``overwrite`` is False.
        OutputError: if a target cannot be written.
    """
    _check_size(width, height)
    if not GSDS[0] <= gsd <= GSDS[1]:
        raise PlanError(f"the GSD must lie within {GSDS[0]} and {GSDS[1]} metres per pixel, not {gsd}")
    if threads < 1:
        raise PlanError(f"at least 1 thread must draw, not {threads}")
    paths = _targets(out, truth, overwrite=overwrite)
    geobox = GeoBox(shape=(height, width), transform=(gsd, 0.0, ORIGIN[0], 0.0, -gsd, ORIGIN[1]), crs=_metric_wkt(crs))
    tags = {"GEOSEG_SYNTH": f"seed {seed}, gsd {gsd:g} m"}
    counts = np.zeros(IGNORE + 1, dtype=np.int64)
    done = 0
    with ExitStack() as files:
        write_scene = files.enter_context(
            geotiff_writer(paths[0], geobox=geobox, bands=3, dtype="uint8", tags=tags, threads=threads, level=1)
        )
        write_truth = None
        if truth is not None:
            colors = {c.id: c.color for c in LEGEND}
            write_truth = files.enter_context(
                geotiff_writer(paths[1], geobox=geobox, bands=1, dtype="uint8", nodata=IGNORE, colors=colors, tags=tags)
            )
        for window, pixels, classes in _rendered(geobox.shape, seed=seed, gsd=gsd, threads=threads):
            write_scene(pixels, window)
            if write_truth is not None:
                write_truth(classes[None], window)
            counts += np.bincount(classes.ravel(), minlength=IGNORE + 1)
            done += window.pixels
            if progress is not None:
                progress(done, width * height)
    return SynthResult(paths=paths, geobox=geobox, counts={c.name: int(counts[c.id]) for c in LEGEND})


def _rendered(shape: tuple[int, int], *, seed: int, gsd: float, threads: int) -> Iterator[_Rendered]:
    """The windows of a scene in order, drawn ``threads`` + 1 ahead of who takes them."""

    def draw(window: Window) -> _Rendered:
        return window, *render(window, seed=seed, gsd=gsd)

    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="geoseg-synth")
    try:
        yield from in_order(pool, draw, split(shape, size=_WINDOW), ahead=threads + 2)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise PlanError(f"a scene needs at least 1 x 1 pixels, not {width} x {height}")


def _targets(out: str | Path, truth: str | Path | None, *, overwrite: bool) -> tuple[Path, ...]:
    """The paths to write, all checked before the first pixel is drawn."""
    paths = tuple(Path(p) for p in (out, truth) if p is not None)
    for path in paths:
        if path.suffix.lower() not in {".tif", ".tiff"}:
            raise OutputError(f"synth writes GeoTIFF: {path} must end in .tif")
        refuse_existing(path, overwrite=overwrite)
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
    if len(paths) == 2 and paths[0].absolute() == paths[1].absolute():
        raise OutputError(f"scene and truth cannot both be {paths[0]}; name two files")
    return paths


def _metric_wkt(crs: str) -> str:
    """A projected CRS in metres as WKT."""
    import pyproj  # not at the top: 0.1 s that who only parses a size need not pay

    try:
        found = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise PlanError(f"{crs!r} is no CRS; try EPSG:32640") from error
    if not found.is_projected or any(axis.unit_name not in {"metre", "meter"} for axis in found.axis_info):
        raise PlanError(f"a synthetic scene needs a projected CRS in metres, as EPSG:32640, not {found.name!r}")
    return str(found.to_wkt())
