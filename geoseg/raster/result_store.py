"""A class map in Zarr that is open: its tiles are written and read, its markers set, its overviews added.

zarr's own settings are left alone: 2048 x 2048 classes in 64 chunks are written in 18 ms with them, and neither its
concurrency nor its threads changed that by more than a few.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.legend import Legend
from geoseg.raster import zarr_layout, zarr_overviews
from geoseg.raster.early_overviews import EarlyOverviews
from geoseg.raster.local_folder import LocalFolder
from geoseg.raster.locations import MARKERS, OWN, Location
from geoseg.raster.places import location_of
from geoseg.raster.zarr_spec import StoreSpec

Place = str | os.PathLike[str] | Location
"""A path, a URL, or what ``location_of`` makes of one."""


class ResultStore:
    """An open store. Different tiles may be written from different threads, or from processes that each open it."""

    def __init__(self, place: Place, spec: StoreSpec, group: zarr.Group) -> None:
        self.place = location_of(place)
        self.spec = spec
        self._group = group
        wanted = {
            "classes": True,
            "confidence": spec.confidence,
            "probabilities": spec.probabilities > 0,
            "context": bool(spec.contexts),
        }
        self._early: frozenset[Window] | None = None
        self._arrays = {name: zarr_layout.get_array(group, name) for name, there in wanted.items() if there}

    @property
    def location(self) -> str:
        """What ``open_store`` finds it by on this machine and, if it is shared, on others."""
        return str(self.path.absolute()) if isinstance(self.place, LocalFolder) else str(self.place)

    @property
    def path(self) -> Path:
        """The folder of a store that lies on this machine."""
        assert isinstance(self.place, LocalFolder)
        return self.place.path

    @property
    def geobox(self) -> GeoBox:
        """The grid."""
        return self.spec.geobox

    @property
    def legend(self) -> Legend:
        """The classes."""
        return self.spec.legend

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.spec.geobox.shape

    @property
    def attributes(self) -> dict[str, Any]:
        """The root's attributes as they are stored now, without geoseg's bookkeeping."""
        stored = zarr_layout.open_group(self.place).attrs.asdict()
        return {k: v for k, v in stored.items() if k not in (OWN, zarr_overviews.MULTISCALES)}

    def write_classes(self, window: Window, classes: npt.NDArray[np.uint8]) -> None:
        """Write class ids (height, width).

        Raises:
            ValueError: if the window is not whole cores: writers at the same shard would undo each other silently.
            OutputError: if the disk refuses; what was there before stays.
        """
        self._write("classes", window, classes)

    def write_confidence(self, window: Window, percent: npt.NDArray[np.uint8]) -> None:
        """Write confidence (height, width) in percent, 255 where there is no class; whole cores."""
        self._write("confidence", window, percent)

    def write_probabilities(self, window: Window, percent: npt.NDArray[np.uint8]) -> None:
        """Write probabilities (K, height, width) in percent, 255 where there are none; whole cores.

        Percent is a quarter of float32, half of float16, and no finer than a network is.
        """
        self._write("probabilities", window, percent)

    def write_context(self, window: Window, flags: npt.NDArray[np.uint8]) -> None:
        """Write which contexts had a say (height, width), a bit for each, 255 where there is no class; whole cores."""
        self._write("context", window, flags)

    def read_classes(self, window: Window) -> npt.NDArray[np.uint8]:
        """Class ids (height, width) of a window inside the grid."""
        return self._read("classes", window)

    def read_confidence(self, window: Window) -> npt.NDArray[np.uint8]:
        """Confidence (height, width) in percent, 255 where there is none."""
        return self._read("confidence", window)

    def read_context(self, window: Window) -> npt.NDArray[np.uint8]:
        """Which contexts had a say (height, width), a bit for each, 255 where there is no class."""
        return self._read("context", window)

    def read_overview(self, factor: int, window: Window) -> npt.NDArray[np.uint8]:
        """Class ids (height, width) of a window of an overview; ``factor`` 1 is the map itself."""
        rows, cols = slice(window.row_off, window.row_stop), slice(window.col_off, window.col_stop)
        return np.asarray(
            zarr_layout.get_array(self._group, zarr_overviews.level_path(factor))[rows, cols], dtype=np.uint8
        )

    def overview_factors(self) -> tuple[int, ...]:
        """Factors of the overviews that are whole, ascending: (2, 4, …); empty before ``add_overviews``."""
        levels: Any = zarr_layout.open_group(self.place).attrs.asdict().get(zarr_overviews.MULTISCALES)
        return tuple(int(d["factor"]) for d in levels[0]["datasets"][1:]) if levels else ()

    def mark_done(self, key: str) -> None:
        """Note that a tile's data are written; call it after them."""
        with self.place.errors():
            self.place.mark(key)

    def has_overviews(self) -> bool:
        """True if all levels of the pyramid are whole; a small map has none, and that is written down too."""
        return zarr_overviews.MULTISCALES in zarr_layout.open_group(self.place).attrs

    def is_done(self, key: str) -> bool:
        """True if a tile is done."""
        with self.place.errors():
            return self.place.is_marked(key)

    def probe(self) -> None:
        """Write and remove a file beside the markers.

        Raises:
            OutputError: if the store cannot be written from here.
        """
        name = f"{MARKERS}.{uuid.uuid4().hex}.partial"
        with self.place.errors():
            self.place.write(name, b"")
            self.place.delete([name])

    def done_keys(self) -> Iterator[str]:
        """Keys of the tiles that are done, in any order, one by one: a million of them need no memory."""
        with self.place.errors():
            yield from self.place.marks()

    def update_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Add JSON values to the root's attributes."""
        with self._changing() as group:
            group.update_attributes(dict(attributes))

    @contextmanager
    def early_overviews(self, done: npt.NDArray[np.bool_]) -> Iterator[Callable[[int, int], None]]:
        """Within, part of the pyramid is made while tiles are written; ``add_overviews`` makes the rest.

        Args:
            done: (rows, columns) of tiles, True for those that are written.

        Yields:
            What is told the row and column of each tile that is written from now on; from one thread.
        """
        self._early = None
        with self._changing() as group:
            zarr_overviews.forget(group)
        if not zarr_overviews.factors(self.shape):
            yield lambda *_: None
            return
        early = EarlyOverviews(group, self.spec, done)
        try:
            yield early.add
        finally:
            self._early = early.end()

    def add_overviews(self, *, threads: int = 2) -> None:
        """Add (or renew) the pyramid below the map: see ``zarr_overviews``."""
        spec, begun, self._early = self.spec, self._early, None
        with self._changing() as group:
            zarr_overviews.build(
                group, geobox=spec.geobox, chunk=spec.chunk, legend=spec.legend, threads=threads, begun=begun
            )

    @contextmanager
    def _changing(self) -> Iterator[zarr.Group]:
        """The group as it is stored now; its metadata are consolidated anew if they were."""
        with self.place.errors():
            consolidated = zarr_layout.is_consolidated(self.place)
            self._group = zarr_layout.open_group(self.place)
            yield self._group
            if consolidated:
                self.consolidate()

    def consolidate(self) -> None:
        """Copy the metadata of all arrays into the root's, for readers that ask once."""
        with self.place.errors():
            zarr_layout.consolidate(self.place, overviews=[f"overviews/{f}" for f in self.overview_factors()])

    def _write(self, name: str, window: Window, values: npt.NDArray[np.uint8]) -> None:
        if values.shape[-2:] != window.shape:
            raise ValueError(f"{values.shape} pixels for a window of {window.shape}")
        for start, stop, core, length in (
            (window.row_off, window.row_stop, self.spec.core[0], self.shape[0]),
            (window.col_off, window.col_stop, self.spec.core[1], self.shape[1]),
        ):
            if start % core or not start < stop <= length or (stop % core and stop != length):
                raise ValueError(f"{window.describe()} are not whole cores of {self.spec.core} in {self.shape}")
        rows, cols = slice(window.row_off, window.row_stop), slice(window.col_off, window.col_stop)
        with self.place.errors():
            try:
                self._arrays[name][..., rows, cols] = values
            except (ValueError, RuntimeError):
                # zarr reads a shard before it replaces all of it, and stumbles over one that a crash has torn.
                self._delete(name, rows, cols)
                self._arrays[name][..., rows, cols] = values

    def _delete(self, name: str, rows: slice, cols: slice) -> None:
        """Delete the files that hold whole cores."""
        array = self._arrays[name]
        self.place.delete(f"{name}/{key}" for key in zarr_layout.keys_of(array, rows, cols))

    def _read(self, name: str, window: Window) -> npt.NDArray[np.uint8]:
        rows, cols = window.within(Window.whole(self.shape))
        return np.asarray(self._arrays[name][rows, cols], dtype=np.uint8)
