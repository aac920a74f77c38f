"""What a worker needs to read many files as one scene: plain values that travel, never handles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.raster.aoi import AreaOfInterest


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedFile:
    """A file and where it lies in its layer."""

    uri: str
    window: Window
    """Pixels of the layer's grid; the whole file, pixel for pixel."""

    def to_json(self) -> list[Any]:
        """``[uri, row_off, col_off, height, width]``: a mosaic may have ten thousand."""
        w = self.window
        return [self.uri, w.row_off, w.col_off, w.height, w.width]

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> PlacedFile:
        """A placed file from what ``to_json`` gave."""
        uri, row_off, col_off, height, width = data
        return cls(uri=uri, window=Window(row_off=row_off, col_off=col_off, height=height, width=width))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Files that share one pixel grid, and how that grid is brought onto the mosaic's."""

    files: tuple[PlacedFile, ...]
    """In the order in which they count: the first valid pixel wins."""
    grid: GeoBox
    """Their common grid: it holds all of them."""
    bidx: tuple[int, ...]
    """Bands of each file, counted from 1."""
    palette: bool
    """True if the one band of each file is a palette that is read as red, green and blue."""
    reach: Window
    """Pixels of the mosaic's grid outside of which the layer has nothing."""
    operation: str | None = None
    """PROJ pipeline from the mosaic's CRS to the layer's; None where both are the same and nothing is rotated."""
    prefilter: tuple[float, float] = (1.0, 1.0)
    """Before it is warped, a much finer layer is read with pixels this many times as (high, wide)."""

    def to_json(self) -> dict[str, Any]:
        """The layer as plain values."""
        w = self.reach
        return {
            "files": [file.to_json() for file in self.files],
            "grid": self.grid.to_json(),
            "bidx": list(self.bidx),
            "palette": self.palette,
            "reach": [w.row_off, w.col_off, w.height, w.width],
            "operation": self.operation,
            "prefilter": list(self.prefilter),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Layer:
        """A layer from what ``to_json`` gave."""
        row_off, col_off, height, width = data["reach"]
        return cls(
            files=tuple(PlacedFile.from_json(file) for file in data["files"]),
            grid=GeoBox.from_json(data["grid"]),
            bidx=tuple(data["bidx"]),
            palette=data["palette"],
            reach=Window(row_off=row_off, col_off=col_off, height=height, width=width),
            operation=data["operation"],
            prefilter=(data["prefilter"][0], data["prefilter"][1]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MosaicRecipe:
    """How to read many files as one scene. Made by ``inspect_mosaic``; picklable and hashable.

    Two recipes are equal if their digests and areas are: ten thousand files are not compared for every window.
    """

    digest: str
    """Of everything below but the area of interest."""
    layers: tuple[Layer, ...] = field(compare=False)
    """In the order in which they count."""
    grid: GeoBox = field(compare=False)
    """Grid that is read."""
    dtype: str = field(compare=False)
    """Of the pixels that are read: all files' dtypes go into it."""
    bands: int = field(compare=False)
    """Bands that are read."""
    nodata: float | None = field(compare=False)
    """The user's nodata value in place of each file's; None = the files' own."""
    aoi: AreaOfInterest | None = None

    @classmethod
    def of(
        cls, layers: tuple[Layer, ...], *, grid: GeoBox, dtype: str, bands: int, nodata: float | None
    ) -> MosaicRecipe:
        """The recipe of layers on a grid."""
        recipe = cls(digest="", layers=layers, grid=grid, dtype=dtype, bands=bands, nodata=nodata)
        text = json.dumps(recipe.to_json(), sort_keys=True)
        return replace(recipe, digest=hashlib.sha256(text.encode()).hexdigest())

    @property
    def name(self) -> str:
        """Words for messages."""
        count = sum(len(layer.files) for layer in self.layers)
        first = self.layers[0].files[0].uri
        return first if count == 1 else f"{first} and {count - 1:,} more"

    @property
    def uris(self) -> tuple[str, ...]:
        """The files, in the order in which they count."""
        return tuple(file.uri for layer in self.layers for file in layer.files)

    def to_json(self) -> dict[str, Any]:
        """The recipe as plain values; ``recipe_from_json`` is the inverse. Each CRS is written once."""
        layers = [layer.to_json() for layer in self.layers]
        known = list(dict.fromkeys(layer["grid"]["crs"] for layer in layers))
        for layer in layers:
            layer["grid"]["crs"] = known.index(layer["grid"]["crs"])
        return {
            "crs": known,
            "layers": layers,
            "grid": self.grid.to_json(),
            "dtype": self.dtype,
            "bands": self.bands,
            "nodata": None if self.nodata is None else str(self.nodata),  # JSON has no NaN
            "aoi": None if self.aoi is None else self.aoi.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MosaicRecipe:
        """A recipe from what ``to_json`` gave."""
        known = data["crs"]
        layers = tuple(
            Layer.from_json({**layer, "grid": {**layer["grid"], "crs": known[layer["grid"]["crs"]]}})
            for layer in data["layers"]
        )
        recipe = cls.of(
            layers,
            grid=GeoBox.from_json(data["grid"]),
            dtype=data["dtype"],
            bands=data["bands"],
            nodata=None if data["nodata"] is None else float(data["nodata"]),
        )
        return replace(recipe, aoi=None if data["aoi"] is None else AreaOfInterest.from_json(data["aoi"]))
