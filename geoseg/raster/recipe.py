"""What a worker needs to read a scene: plain values that travel, never handles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geoseg.geometry.geobox import GeoBox
from geoseg.raster.aoi import AreaOfInterest
from geoseg.raster.mosaic_recipe import MosaicRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneRecipe:
    """How to read a scene that is one file. Made by ``inspect_scene``; picklable and hashable."""

    uri: str
    """Path or URL, or anything else GDAL opens."""
    bidx: tuple[int, ...]
    """Bands of the file, counted from 1, in the order the model takes them."""
    nodata: float | None = None
    """The user's nodata value in place of the file's; None = the file's own."""
    grid: GeoBox | None = None
    """Grid the scene is read on: the file's, with larger or smaller pixels; None = the file's own."""
    palette: bool = False
    """True if the one band of ``bidx`` holds palette entries that are read as red, green and blue."""
    aoi: AreaOfInterest | None = None
    """Where the scene counts; None = everywhere."""

    @property
    def name(self) -> str:
        """Words for messages."""
        return self.uri

    @property
    def uris(self) -> tuple[str, ...]:
        """The files."""
        return (self.uri,)

    @property
    def bands(self) -> int:
        """Bands that are read."""
        return 3 if self.palette else len(self.bidx)

    def to_json(self) -> dict[str, Any]:
        """The recipe as plain values; ``recipe_from_json`` is the inverse."""
        return {
            "uri": self.uri,
            "bidx": list(self.bidx),
            "nodata": None if self.nodata is None else str(self.nodata),  # JSON has no NaN
            "grid": None if self.grid is None else self.grid.to_json(),
            "palette": self.palette,
            "aoi": None if self.aoi is None else self.aoi.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SceneRecipe:
        """A recipe from what ``to_json`` gave."""
        return cls(
            uri=str(data["uri"]),
            bidx=tuple(int(b) for b in data["bidx"]),
            nodata=None if data["nodata"] is None else float(data["nodata"]),
            grid=None if data["grid"] is None else GeoBox.from_json(data["grid"]),
            palette=bool(data["palette"]),
            aoi=None if data.get("aoi") is None else AreaOfInterest.from_json(data["aoi"]),
        )


Recipe = SceneRecipe | MosaicRecipe


def recipe_from_json(data: Mapping[str, Any]) -> Recipe:
    """A recipe from what its ``to_json`` gave."""
    return MosaicRecipe.from_json(data) if "layers" in data else SceneRecipe.from_json(data)
