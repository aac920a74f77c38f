"""Label rasters: whatever holds a reference, read as class ids, 255 where nothing is to be scored.

Three encodings, chosen by ``inspect_labels``:

- *index*: one band (and perhaps alpha) of numbers that are class ids. Also a palette raster, as a rule.
- *palette*: one band of numbers that mean nothing but their colours. Chosen for a palette raster if at least as many
  of the looked-at pixels have a palette colour that is exactly a legend colour as have a number that is a legend id,
  and the two readings differ (a colour-coded picture that somebody saved with 256 colours).
- *color*: three bands (and perhaps alpha) of uint8; pixels of exactly a legend colour, the others are not scored.

The file's nodata value, its mask, its alpha, and 255 are "not scored" in each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp

from geoseg.errors import GridError, LegendError, SceneError
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.nearest import overlaps
from geoseg.geometry.windows import Window, sized
from geoseg.legend import IGNORE, Legend
from geoseg.raster.datasets import open_dataset
from geoseg.raster.georeference import native_geobox
from geoseg.raster.label_codes import (
    Encoding,
    ids_from_colors,
    ids_from_indices,
    ids_from_palette,
    palette_ids,
    read_stored,
    stored_bands,
)
from geoseg.raster.label_reading import LabelRecipe, is_store, label_reading, open_class_store, read_labels

__all__ = ["ANY_IDS", "Encoding", "LabelInfo", "LabelRecipe", "inspect_labels", "read_labels"]

ANY_IDS = Legend.from_json([{"id": i, "name": str(i), "color": [i, 1, 254 - i]} for i in range(IGNORE)])
"""Every id, where no legend is known; in colours that no palette has, so that palettes are read by their numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelInfo:
    """A label raster that has been looked at."""

    recipe: LabelRecipe
    geobox: GeoBox
    """The grid that ``read_labels`` reads on."""
    notes: tuple[str, ...] = ()
    """What somebody who looks at a score should know, one sentence each."""


def inspect_labels(
    uri: str,
    *,
    legend: Legend,
    onto: GeoBox | None = None,
    native: GeoBox | None = None,
    strict: bool = True,
) -> LabelInfo:
    """Looks at a label raster and settles how it is read.

    Args:
        uri: path or URL.
        legend: the classes it may hold.
        onto: the grid to compare on; None is the file's own. A file on another grid is taken by nearest neighbour.
        native: the grid that ``onto`` was resampled from, if it was: a file without georeferencing lies on it.
        strict: see ``LabelRecipe.strict``.

    Raises:
        SceneReadError: if it cannot be opened or read.
        SceneError: if it is no label raster: complex, or with too many bands.
        LegendError: if none of its numbers or colours are the legend's.
        GridError: if it cannot be laid onto ``onto``: another size without georeferencing, or another place.
    """
    notes: list[str] = []
    encoding: Encoding = "index"
    if is_store(uri):
        own = open_class_store(uri).geobox
    else:
        with label_reading(uri, None):
            dataset = open_dataset(uri)
            own = native_geobox(dataset)
            encoding = _find_encoding(dataset, uri, legend=legend, notes=notes)
    source = None if onto is None else _find_source(uri, own, onto=onto, native=native, notes=notes)
    recipe = LabelRecipe(
        uri=uri,
        legend=legend,
        shape=own.shape,
        encoding=encoding,
        grid=None if source is None else onto,
        source=source,
        strict=strict,
    )
    return LabelInfo(recipe=recipe, geobox=onto or own, notes=tuple(notes))


def _find_source(uri: str, own: GeoBox, *, onto: GeoBox, native: GeoBox | None, notes: list[str]) -> GeoBox | None:
    """Where the file's pixels lie, if they must be resampled onto another grid; None if they are on it already."""
    difference = onto.difference(own)
    if difference is None:
        if onto.is_placed != own.is_placed:
            notes.append(f"{uri} and the map are compared pixel by pixel: one of them has no georeferencing")
        return None
    if own.is_placed and onto.is_placed:
        if not overlaps(onto, own):
            raise GridError(f"{uri} lies elsewhere than the map ({difference}); give the labels of the same ground")
        notes.append(f"{uri} was taken onto the map's grid by nearest neighbour ({difference})")
        return own
    if native is not None and native.shape == own.shape and not native.gcps:
        notes.append(f"{uri} has the scene's own size and was taken onto the map's grid by nearest neighbour")
        return native
    raise GridError(
        f"{uri} cannot be compared by shape: it has {sized(own.shape)} pixels, the map"
        f" {sized(onto.shape)}; give labels of the map's size, or labels (and a scene) with a"
        " CRS and transform, which are taken onto the map's grid"
    )


def _find_encoding(dataset: Any, uri: str, *, legend: Legend, notes: list[str]) -> Encoding:
    """Reads a sample of the pixels and says what they mean; remarks go to ``notes``."""
    bands = stored_bands(dataset)
    dtypes = {dataset.dtypes[band - 1] for band in bands}
    if len(bands) > 2 and legend == ANY_IDS:
        raise LegendError(
            f"{uri} looks like an image ({dataset.count} bands, no legend): give the map that predict wrote,"
            " or a legend (--model)"
        )
    if len(bands) not in (1, 3):
        raise SceneError(f"{uri} has {dataset.count} bands; a label raster has 1 of class ids or 3 of colours")
    if any(dtype.startswith("complex") for dtype in dtypes) or (len(bands) == 3 and dtypes != {"uint8"}):
        raise SceneError(f"{uri} is {', '.join(sorted(dtypes))}; labels are integers, or uint8 colours")
    values, valid = _sample(dataset)
    scored = np.ones(values.shape[1:], np.bool_) if valid is None else valid
    if len(bands) == 3:
        _check_colors(legend, uri)
        share = _share(ids_from_colors(values, valid, legend=legend) != IGNORE, scored)
        if share == 0:
            raise LegendError(
                f"{uri} has three bands, and no pixel of a sample has a colour of the legend"
                f" ({_first_colors(legend)}); give its legend, or labels as one band of class ids"
            )
        if share < 1:
            notes.append(f"about {1 - share:.2%} of the pixels of {uri} have no legend colour and are not scored")
        return "color"
    indices = ids_from_indices(values[0], valid, legend=legend, strict=False, where=uri)
    if dataset.colorinterp[bands[0] - 1] == ColorInterp.palette and values.dtype in (np.uint8, np.uint16):
        colors = ids_from_palette(values[0], valid, table=palette_ids(dataset, legend=legend))
        by_color, by_index = int((colors != IGNORE).sum()), int((indices != IGNORE).sum())
        if by_color >= by_index and by_color > 0 and not np.array_equal(colors, indices):
            _check_colors(legend, uri)
            notes.append(f"the palette's colours, not its numbers, give the classes of {uri}")
            return "palette"
    _note_values(dataset, uri, values=values[0][scored], legend=legend, notes=notes)
    return "index"


def _note_values(dataset: Any, uri: str, *, values: npt.NDArray[Any], legend: Legend, notes: list[str]) -> None:
    """Remarks on index values that are probably not meant as they are read."""
    if dataset.nodata is not None and dataset.nodata in legend.ids:
        name = legend.names[legend.ids.index(int(dataset.nodata))]
        notes.append(f"nodata of {uri} is {dataset.nodata:g}, also the id of {name!r}: such pixels are not scored")
    if values.size and set(np.unique(values).tolist()) == {0, IGNORE}:
        notes.append(f"{uri} seems to hold only 0 and 255, and 255 is read as 'not scored', never as a class")


def _check_colors(legend: Legend, uri: str) -> None:
    if len(set(legend.colors)) < len(legend):
        raise LegendError(f"{uri} is read by its colours, but two classes of the legend have the same one")


def _first_colors(legend: Legend) -> str:
    shown = ", ".join(f"{c.name} {list(c.color)}" for c in legend.classes[:5])
    return shown + (", …" if len(legend) > 5 else "")


def _share(hits: npt.NDArray[np.bool_], scored: npt.NDArray[np.bool_]) -> float:
    """Share of the scored pixels that hit; 1 if none is scored."""
    total = int(scored.sum())
    return 1.0 if total == 0 else int((hits & scored).sum()) / total


def _sample(dataset: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    """Stored numbers of at most 16 windows of 256 x 256 spread over the raster, one above the other.

    Windows, not a decimated read: that would use overviews, which may be averages of ids.
    """
    side = 256
    rows, cols = (sorted({int(v) for v in np.linspace(0, max(0, length - side), 4)}) for length in dataset.shape)
    parts = [
        read_stored(
            dataset,
            Window(row_off=r, col_off=c, height=min(side, dataset.height), width=min(side, dataset.width)),
        )
        for r in rows
        for c in cols
    ]
    values = np.concatenate([part for part, _ in parts], axis=1)
    if parts[0][1] is None:
        return values, None
    return values, np.concatenate([valid for _, valid in parts if valid is not None], axis=0)
