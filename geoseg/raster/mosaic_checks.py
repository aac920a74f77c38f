"""What files must have in common, and of their own, to be one scene."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from geoseg.errors import SceneError, SceneReadError
from geoseg.geometry.geobox import IDENTITY
from geoseg.raster.crs import crs_name, same_crs
from geoseg.raster.datasets import forget_dataset
from geoseg.raster.header import Header, look

_NAMED = 3
"""Files that a message names."""


def look_placed(
    uri: str, *, alone: bool, bands: int | None, bidx: Sequence[int] | None, nodata: float | None, max_block_mb: int
) -> Header:
    """The header of one file, which must have a place on the ground by an affine transform."""
    try:
        header = look(uri, bands=bands, bidx=bidx, nodata=nodata, max_block_mb=max_block_mb)
    finally:
        if not alone:
            forget_dataset(uri)
    native = header.native
    what = "--dst-crs" if alone else "a mosaic"
    if native.gcps or native.rpcs:
        kind = "GCPs" if native.gcps else "RPCs"
        raise SceneError(f"{uri}: is placed by {kind}, {what} needs a transform: orthorectify it first (gdalwarp)")
    if native.transform == IDENTITY:
        raise SceneError(f"{uri}: has no transform, {what} needs to know where it lies: give it a world file")
    a, b, _, d, e, _ = native.transform
    if a * e - b * d == 0:
        raise SceneReadError(f"{uri}: its transform {native.transform} gives pixels no area")
    return header


def refuse_several_crs(headers: list[Header]) -> None:
    """Refuses files of several CRS.

    Raises:
        SceneError: that names the CRS with some of their files.
    """
    found: list[tuple[str | None, list[str]]] = []
    for header in headers:
        for crs, uris in found:
            if same_crs(crs, header.native.crs):
                uris.append(header.uri)
                break
        else:
            found.append((header.native.crs, [header.uri]))
    if len(found) > 1:
        groups = "; ".join(f"{crs_name(crs)}: {some(uris)}" for crs, uris in found)
        way = "give every file its CRS" if any(crs is None for crs, _ in found) else "choose one with --dst-crs"
        raise SceneError(f"the files are of {len(found)} different CRS ({groups}): {way}")


def common_bands(headers: list[Header]) -> tuple[int, list[str]]:
    """Bands that every file gives; and the files' notes, each once.

    Raises:
        SceneError: if they give different numbers of bands.
    """
    counts: dict[int, list[str]] = {}
    for header in headers:
        counts.setdefault(3 if header.palette else len(header.bidx), []).append(header.uri)
    if len(counts) > 1:
        groups = "; ".join(f"{count}: {some(uris)}" for count, uris in counts.items())
        raise SceneError(f"the files have different numbers of bands ({groups}): choose with --bidx those all have")
    notes = Counter(note for header in headers for note in header.notes)
    said = [note if count == len(headers) else f"{note} ({count:,} files)" for note, count in notes.items()]
    return next(iter(counts)), said


def common_dtype(headers: list[Header]) -> tuple[str, list[str]]:
    """The dtype that holds those of all files; and a note."""
    dtypes = list(dict.fromkeys(header.dtype for header in headers))
    dtype = np.result_type(*dtypes).name
    return dtype, [] if len(dtypes) == 1 else [f"files of {', '.join(dtypes)} are read as {dtype}"]


def some(uris: Sequence[str]) -> str:
    """The first few names, and how many there are beside."""
    shown = ", ".join(uris[:_NAMED])
    return shown if len(uris) <= _NAMED else f"{shown} and {len(uris) - _NAMED:,} more"
