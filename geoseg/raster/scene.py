"""Look at a scene once, decide how it is read, and say so. Reads headers only."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from geoseg.errors import SceneError, SceneReadError
from geoseg.geometry.geobox import GeoBox
from geoseg.raster.datasets import READ_FAILURES, open_dataset, raster_environment, reason
from geoseg.raster.georeference import native_geobox
from geoseg.raster.reading import palette_table, read_window
from geoseg.raster.recipe import SceneRecipe
from geoseg.raster.validity import ValidityRule, colours, validity_rule

__all__ = ["SceneInfo", "SceneRecipe", "inspect_scene", "read_window"]

MANY_BANDS = 1000
"""A file with more bands than this is read only where ``bidx`` says which."""

GSD_RATIO = 1.25
"""A scene whose pixels are more than this factor larger or smaller than the model's is read resampled."""

SQUARE = 0.02
"""Pixels whose ground sides differ by less than this share keep their shape (in EPSG:3857 by half a percent)."""

MAX_ENLARGEMENT = 16.0
"""Pixels this many times the model's are not cut into the model's: there would be nothing in them to see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneInfo:
    """What a scene is, and how it is read."""

    recipe: SceneRecipe
    """What ``read_window`` takes."""
    geobox: GeoBox
    """The grid that is read: ``native``, unless the scene is resampled."""
    native: GeoBox
    """The grid of the file."""
    dtype: str
    """Data type of the pixels that are read, e.g. ``uint8``."""
    count: int
    """Bands in the file."""
    nodata: float | None
    """The value taken for "no data" in the first band that is read: the user's, or the file's unless a mask rules."""
    valid_from: str
    """What decides which pixels hold data: ``nodata``, ``alpha``, ``mask`` or ``all`` (beside NaN, always)."""
    block: tuple[int, int]
    """(height, width) of the file's blocks, its own pixels."""
    gsd: tuple[float, float] | None
    """Ground metres per pixel of the file (x, y); None if nothing tells."""
    stamp: str
    """Names, sizes and times of change of the local files behind the scene (masks and a VRT's sources too), hashed."""
    notes: tuple[str, ...]
    """What a user should be told, one line each."""


def inspect_scene(
    uri: str | os.PathLike[str],
    *,
    bands: int | None = None,
    bidx: Sequence[int] | None = None,
    nodata: float | None = None,
    gsd: float | None = None,
    resolution: str = "auto",
    max_block_mb: int = 1024,
    max_pixels: int | None = None,
) -> SceneInfo:
    """How a scene will be read; only its header is.

    Args:
        uri: path, URL, or anything else GDAL opens.
        bands: how many the model takes; None = all that are not alpha.
        bidx: which bands of the file, counted from 1, in the model's order; None = the first that are not alpha.
        nodata: value in place of the file's nodata value (NaN allowed).
        gsd: the model's ground metres per pixel; None if it has none.
        resolution: ``auto`` resamples a scene whose GSD differs by more than 25 %, ``native`` never.
        max_block_mb: refuse files of which a single block decodes to more than this.
        max_pixels: refuse grids of more pixels than this; None = no limit.

    Raises:
        SceneReadError: if it cannot be opened or its header is damaged.
        SceneError: if it cannot be used like this: bands, dtype, block size, pixels.
    """
    if resolution not in ("auto", "native"):
        raise SceneError(f'resolution must be "auto" or "native", not {resolution!r}')
    uri = os.fspath(uri)
    with raster_environment():
        dataset = open_dataset(uri)
        try:
            _refuse_unreadable(dataset, uri=uri, bidx=bidx, max_block_mb=max_block_mb)
            chosen, palette, notes = _choose_bands(dataset, uri=uri, bands=bands, bidx=bidx)
            native = native_geobox(dataset)
            rule = validity_rule(dataset, bidx=chosen, override=nodata)
            dtypes = [dataset.dtypes[b - 1] for b in chosen]
            block = dataset.block_shapes[chosen[0] - 1]
            stamp = _stamp(dataset.files)
        except READ_FAILURES as error:
            raise SceneReadError(f"{uri}: its header cannot be read: {reason(error)}") from error
        count = dataset.count
    dtype = "uint8" if palette else np.result_type(*dtypes).name
    if len(set(dtypes)) > 1:
        notes.append(f"bands of {', '.join(dtypes)} are read as {dtype}")
    notes += _validity_notes(rule)
    native_gsd = native.gsd()
    grid, grid_notes = _choose_grid(native, native_gsd=native_gsd, gsd=gsd, resolution=resolution)
    geobox = grid or native
    if max_pixels is not None and geobox.shape[0] * geobox.shape[1] > max_pixels:
        raise SceneError(
            f"{uri}: {geobox.shape[1]} x {geobox.shape[0]} pixels are {geobox.shape[0] * geobox.shape[1]:,},"
            f" the limit is {max_pixels:,}: raise --max-pixels"
        )
    return SceneInfo(
        recipe=SceneRecipe(uri=uri, bidx=chosen, nodata=nodata, grid=grid, palette=palette),
        geobox=geobox,
        native=native,
        dtype=dtype,
        count=count,
        nodata=rule.nodata[0],
        valid_from=rule.source,
        block=(int(block[0]), int(block[1])),
        gsd=native_gsd,
        stamp=stamp,
        notes=(*notes, *grid_notes),
    )


def _stamp(files: Sequence[str]) -> str:
    """Another stamp for any file that was changed or replaced; what is no local file counts by name."""
    found = []
    for name in sorted(files):
        if name.endswith((".aux.xml", ".ovr")):
            continue  # viewers write statistics and overviews beside a scene; its pixels stay
        try:
            status = Path(name).stat()
        except (OSError, ValueError):
            found.append(name)
        else:
            found.append(f"{Path(name).name} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(found).encode()).hexdigest()[:16]


def _refuse_unreadable(dataset: DatasetReader, *, uri: str, bidx: Sequence[int] | None, max_block_mb: int) -> None:
    """Raise if the header alone says that reading would fail or take more memory than there is."""
    count = dataset.count
    if count == 0:
        raise SceneError(f"{uri}: has no bands at the top level: name one of its subdatasets")
    dtype = dataset.dtypes[0]
    if dtype.startswith("complex"):
        raise SceneError(f"{uri}: its pixels are {dtype}: write their magnitude or phase to a real raster first")
    block_height, block_width = dataset.block_shapes[0]
    interleaving = dataset.interleaving
    together = count if interleaving is not None and interleaving.name == "pixel" else 1
    block_mb = block_height * block_width * together * np.dtype(dtype).itemsize / 2**20
    if block_mb > max_block_mb:
        raise SceneError(
            f"{uri}: one block ({block_height} x {block_width} pixels, {together} band(s) of {dtype}) decodes to"
            f" {block_mb:,.0f} MB, the limit is {max_block_mb}: rewrite it with smaller tiles or raise --max-block-mb"
        )
    if count > MANY_BANDS and bidx is None:
        raise SceneError(f"{uri}: has {count:,} bands: say with --bidx which to read")


def _choose_bands(
    dataset: DatasetReader, *, uri: str, bands: int | None, bidx: Sequence[int] | None
) -> tuple[tuple[int, ...], bool, list[str]]:
    """Bands to read, whether they are a palette to expand, and notes."""
    count = dataset.count
    use = colours(dataset)
    notes = [] if use is not None else ["its colour interpretation cannot be read: no band is taken for alpha"]
    if bidx is not None:
        chosen = tuple(int(b) for b in bidx)
        wrong = [b for b in chosen if not 1 <= b <= count]
        if wrong or not chosen:
            raise SceneError(f"{uri}: --bidx asks for band(s) {wrong or 'none'}, the file has 1 to {count}")
    else:
        chosen = tuple(b for b in range(1, count + 1) if use is None or use[b - 1] != ColorInterp.alpha)
    if bands == 3 and len(chosen) == 1 and use is not None and use[chosen[0] - 1] == ColorInterp.palette:
        try:
            palette_table(dataset, chosen[0])
        except ValueError:
            notes.append("the palette it announces is missing")
        else:
            return chosen, True, [*notes, f"band {chosen[0]} is a palette, read as red, green and blue"]
    if bidx is not None and bands is not None and len(chosen) != bands:
        raise SceneError(f"{uri}: --bidx names {len(chosen)} band(s), the model takes {bands}")
    if bidx is None and bands is not None and len(chosen) < bands == count:
        notes.append(f"all {count} bands are read as data, the one called alpha too")
        chosen = tuple(range(1, count + 1))
    if bands is not None and len(chosen) < bands:
        alpha = count - len(chosen)
        raise SceneError(
            f"{uri}: has {len(chosen)} band(s){f' beside {alpha} alpha' if alpha else ''}, the model takes {bands}:"
            f" choose a model for such scenes, or repeat bands with --bidx {','.join(['1'] * bands)}"
        )
    if bands is not None and len(chosen) > bands:
        notes.append(f"of {len(chosen)} bands the first {bands} are read; --bidx chooses others")
        chosen = chosen[:bands]
    return chosen, False, notes


def _validity_notes(rule: ValidityRule) -> list[str]:
    notes = []
    if rule.alpha is not None and (rule.source != "alpha"):
        notes.append(f"a pixel is invalid where its {rule.source} says so or where alpha (band {rule.alpha}) is 0")
    return notes


def _choose_grid(
    native: GeoBox, *, native_gsd: tuple[float, float] | None, gsd: float | None, resolution: str
) -> tuple[GeoBox | None, list[str]]:
    """The grid to resample to, None for the file's own; and notes."""
    notes = [] if native.crs is not None else ["no CRS: its pixel grid is kept as it is"]
    if gsd is None:
        return None, notes
    model = f"the model's {gsd:.3g} m"
    if native_gsd is None or native.gcps or native.rpcs:
        why = "placed by GCPs or RPCs" if native.gcps or native.rpcs else "of unknown ground resolution"
        return None, [*notes, f"{why}: read as it is, not resampled to {model}"]
    across, down = native_gsd
    if abs(across / down - 1) < SQUARE:
        across = down = math.sqrt(across * down)
    ratio_x, ratio_y = gsd / across, gsd / down
    if all(1 / GSD_RATIO <= ratio <= GSD_RATIO for ratio in (ratio_x, ratio_y)):
        return None, notes
    found = f"{native_gsd[0]:.3g} x {native_gsd[1]:.3g} m per pixel"
    if resolution == "native":
        return None, [*notes, f"{found} against {model}: not resampled (--resolution native)"]
    if min(ratio_x, ratio_y) < 1 / MAX_ENLARGEMENT:
        return None, [*notes, f"{found} is too coarse for {model}: not resampled, expect little"]
    grid = native.resampled(ratio_x=ratio_x, ratio_y=ratio_y)
    return grid, [*notes, f"resampled from {found} to {model}: {grid.shape[1]} x {grid.shape[0]} pixels"]
