"""Look at one raster's header: which bands are read, what tells data from nodata, where it lies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from geoseg.errors import SceneError, SceneReadError
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import sized
from geoseg.raster.datasets import READ_FAILURES, open_dataset, raster_environment, reason
from geoseg.raster.file_reading import palette_table
from geoseg.raster.georeference import native_geobox
from geoseg.raster.validity import ValidityRule, colours, validity_rule

MANY_BANDS = 1000
"""A file with more bands than this is read only where ``bidx`` says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file is, and how it is read."""

    uri: str
    bidx: tuple[int, ...]
    """Bands to read."""
    palette: bool
    """True if the one band is a palette, read as red, green and blue."""
    native: GeoBox
    dtype: str
    """Of the pixels that are read."""
    count: int
    """Bands in the file."""
    rule: ValidityRule
    block: tuple[int, int]
    """(height, width) of the file's blocks."""
    files: tuple[str, ...]
    """The files behind it, each with size and time of change where it is local."""
    notes: tuple[str, ...]


def look(uri: str, *, bands: int | None, bidx: Sequence[int] | None, nodata: float | None, max_block_mb: int) -> Header:
    """The header of a file; arguments as for ``inspect_scene``.

    Raises:
        SceneReadError: if it cannot be opened or its header is damaged.
        SceneError: if it cannot be used like this: bands, dtype, block size.
    """
    with raster_environment():
        dataset = open_dataset(uri)
        try:
            _refuse_unreadable(dataset, uri=uri, bidx=bidx, max_block_mb=max_block_mb)
            chosen, palette, notes = _choose_bands(dataset, uri=uri, bands=bands, bidx=bidx)
            native = native_geobox(dataset)
            rule = validity_rule(dataset, bidx=chosen, override=nodata)
            dtypes = [dataset.dtypes[b - 1] for b in chosen]
            block = dataset.block_shapes[chosen[0] - 1]
            files = _files(dataset.files)
        except READ_FAILURES as error:
            raise SceneReadError(f"{uri}: its header cannot be read: {reason(error)}") from error
        count = dataset.count
    dtype = "uint8" if palette else np.result_type(*dtypes).name
    if len(set(dtypes)) > 1:
        notes.append(f"bands of {', '.join(dtypes)} are read as {dtype}")
    return Header(
        uri=uri,
        bidx=chosen,
        palette=palette,
        native=native,
        dtype=dtype,
        count=count,
        rule=rule,
        block=(int(block[0]), int(block[1])),
        files=files,
        notes=(*notes, *_validity_notes(rule)),
    )


def stamp_of(files: Iterable[str]) -> str:
    """Another stamp for any file that was changed or replaced; what is no local file counts by name."""
    return hashlib.sha256("\n".join(files).encode()).hexdigest()[:16]


def _files(names: Sequence[str]) -> tuple[str, ...]:
    found = []
    for name in sorted(names):
        if name.endswith((".aux.xml", ".ovr")):
            continue  # viewers write statistics and overviews beside a scene; its pixels stay
        try:
            status = Path(name).stat()
        except (OSError, ValueError):
            found.append(name)
        else:
            found.append(f"{Path(name).name} {status.st_size} {status.st_mtime_ns}")
    return tuple(found)


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
            f"{uri}: one block ({sized((block_height, block_width))} pixels, {together} band(s) of {dtype}) decodes to"
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
