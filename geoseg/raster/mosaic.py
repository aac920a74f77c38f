"""Look at many files once and decide how they are read as one scene. Reads headers only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from geoseg.errors import SceneError
from geoseg.geometry.geobox import GeoBox
from geoseg.geometry.windows import Window
from geoseg.raster.crs import area_around, crs_name, operation_between, same_crs, wkt_of_user
from geoseg.raster.datasets import raster_environment
from geoseg.raster.header import Header, stamp_of
from geoseg.raster.mosaic_checks import common_bands, common_dtype, look_placed, refuse_several_crs, some
from geoseg.raster.mosaic_grid import aligned, cover, part, turned, union
from geoseg.raster.mosaic_recipe import Layer, MosaicRecipe, PlacedFile
from geoseg.raster.pixel_size import choose_grid
from geoseg.raster.scene import SceneInfo, inspect_scene, refuse_size
from geoseg.raster.warp_grid import frame_of, prefilter_of, warped_cover


def inspect_mosaic(
    uris: Sequence[str | os.PathLike[str]],
    *,
    bands: int | None = None,
    bidx: Sequence[int] | None = None,
    nodata: float | None = None,
    gsd: float | None = None,
    resolution: str = "auto",
    max_block_mb: int = 1024,
    max_pixels: int | None = None,
    dst_crs: str | None = None,
) -> SceneInfo:
    """How files will be read as one scene: the first valid pixel wins, in the order given; gaps are nodata.

    The grid is that of the first file, or of the first that already lies north-up in ``dst_crs``, and holds them all.
    Files on the same grid are copied bit for bit, others are resampled or warped onto it. One file without
    ``dst_crs`` is simply that scene.

    Args:
        uris: paths, URLs, or anything else GDAL opens; a file that is named twice counts once.
        bands: as for ``inspect_scene``.
        bidx: as for ``inspect_scene``.
        nodata: as for ``inspect_scene``; for every file.
        gsd: as for ``inspect_scene``.
        resolution: as for ``inspect_scene``.
        max_block_mb: as for ``inspect_scene``.
        max_pixels: as for ``inspect_scene``, of the whole mosaic.
        dst_crs: the CRS of the grid, e.g. ``EPSG:32633`` or WKT; None = the files', which must all be of one.

    Raises:
        SceneReadError: if a file cannot be opened or its header is damaged; names it.
        SceneError: if the files cannot be read as one scene; names the odd ones.
    """
    names = list(dict.fromkeys(os.fspath(uri) for uri in uris))
    if not names:
        raise SceneError("a mosaic of no files: name at least one")
    reading = {"bands": bands, "bidx": bidx, "nodata": nodata, "max_block_mb": max_block_mb}
    if len(names) == 1 and dst_crs is None:
        return inspect_scene(names[0], gsd=gsd, resolution=resolution, max_pixels=max_pixels, **reading)  # type: ignore[arg-type]
    if resolution not in ("auto", "native"):
        raise SceneError(f'resolution must be "auto" or "native", not {resolution!r}')
    with raster_environment():  # once: entering it costs as much as opening a small file
        headers = [look_placed(name, alone=len(names) == 1, **reading) for name in names]  # type: ignore[arg-type]
    count, notes = common_bands(headers)
    frame = _frame(headers, dst_crs)
    groups = _groups(headers, frame)
    native = part(frame, union(group.cover(frame) for group in groups))
    native_gsd = native.gsd()
    grid, grid_notes = choose_grid(native, native_gsd=native_gsd, gsd=gsd, resolution=resolution)
    geobox = grid or native
    refuse_size("the mosaic", geobox.shape, max_pixels=max_pixels)
    layers = tuple(group.layer(geobox) for group in groups)
    dtype, dtype_notes = common_dtype(headers)
    repeated = len(uris) - len(names)
    return SceneInfo(
        recipe=MosaicRecipe.of(layers, grid=geobox, dtype=dtype, bands=count, nodata=nodata),
        geobox=geobox,
        native=native,
        dtype=dtype,
        count=headers[0].count,
        nodata=headers[0].rule.nodata[0],
        valid_from=", ".join(sorted({header.rule.source for header in headers})),
        block=headers[0].block,
        gsd=native_gsd,
        stamp=stamp_of(file for header in headers for file in header.files),
        notes=(
            *([f"{repeated} file(s) named more than once count once"] if repeated else []),
            *notes,
            *dtype_notes,
            *_layer_notes(layers, geobox),
            *grid_notes,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Consecutive files on one grid."""

    frame: GeoBox
    """Whose grid they lie on; its extent does not count."""
    headers: tuple[Header, ...]
    windows: tuple[Window, ...]
    """In pixels of ``frame``."""

    @property
    def grid(self) -> GeoBox:
        """The grid that holds them."""
        return part(self.frame, union(self.windows))

    def cover(self, frame: GeoBox) -> Window:
        """The pixels of another grid on which they lie."""
        if _warped(self.frame, frame):
            return warped_cover(self.grid, frame)
        return union(self.windows) if self.frame is frame else cover(self.grid, frame)

    def layer(self, grid: GeoBox) -> Layer:
        """The layer of the files on a mosaic's grid."""
        own, all_of_it = self.grid, union(self.windows)
        reach = (warped_cover if _warped(own, grid) else cover)(own, grid).intersect(Window.whole(grid.shape))
        operation, prefilter = None, (1.0, 1.0)
        if _warped(own, grid):
            assert own.crs is not None
            assert grid.crs is not None
            operation, _ = operation_between(grid.crs, own.crs, area_around(own))
            prefilter = prefilter_of(own, grid, operation=operation, reach=reach)
        return Layer(
            files=tuple(
                PlacedFile(uri=header.uri, window=_relative(window, all_of_it))
                for header, window in zip(self.headers, self.windows, strict=True)
            ),
            grid=own,
            bidx=self.headers[0].bidx,
            palette=self.headers[0].palette,
            reach=reach,
            operation=operation,
            prefilter=prefilter,
        )


def _relative(window: Window, outer: Window) -> Window:
    return replace(window, row_off=window.row_off - outer.row_off, col_off=window.col_off - outer.col_off)


def _warped(own: GeoBox, grid: GeoBox) -> bool:
    """True if PROJ has a say in how a layer comes onto the grid."""
    return not same_crs(own.crs, grid.crs) or turned(own, grid)


def _frame(headers: list[Header], dst_crs: str | None) -> GeoBox:
    """A grid of the mosaic's pixel size and alignment; its extent does not count.

    Raises:
        SceneError: if the files are of several CRS or turned, and there is no ``dst_crs``.
    """
    first = headers[0].native
    if dst_crs is None:
        refuse_several_crs(headers)
        odd = [header.uri for header in headers if turned(header.native, first)]
        if odd:
            raise SceneError(
                f"{some(odd)}: rotated, or their rows run another way than those of {headers[0].uri}:"
                " say with --dst-crs onto which north-up grid all are to be warped"
            )
        return first
    wanted = wkt_of_user(dst_crs)
    lost = [header.uri for header in headers if header.native.crs is None]
    if lost:
        raise SceneError(f"{some(lost)}: no CRS, so nothing leads to {crs_name(wanted)}: give it one (gdal_edit)")
    for header in headers:
        native = header.native
        a, _, _, _, e, _ = native.transform
        if same_crs(native.crs, wanted) and not native.is_rotated and a > 0 > e:
            return native
    return frame_of(first, wanted)


def _groups(headers: list[Header], frame: GeoBox) -> list[_Group]:
    """Runs of files that share a grid; only neighbours in the order join, so that the order stays what counts."""
    runs: list[tuple[GeoBox, list[Header], list[Window]]] = []
    for header in headers:
        last = runs[-1] if runs else None
        own, window = _own_frame(header.native, frame, None if last is None else last[0])
        alike = last is not None and (last[1][0].bidx, last[1][0].palette) == (header.bidx, header.palette)
        if last is not None and last[0] is own and alike:
            last[1].append(header)
            last[2].append(window)
        else:
            runs.append((own, [header], [window]))
    return [_Group(frame=own, headers=tuple(found), windows=tuple(windows)) for own, found, windows in runs]


def _own_frame(native: GeoBox, frame: GeoBox, last: GeoBox | None) -> tuple[GeoBox, Window]:
    """The grid a file lies on (the mosaic's, the one of the group before it, or its own) and where."""
    for candidate in (frame, last):
        if candidate is not None and same_crs(native.crs, candidate.crs):
            window = aligned(native, candidate)
            if window is not None:
                return candidate, window
    return native, Window.whole(native.shape)


def _layer_notes(layers: tuple[Layer, ...], grid: GeoBox) -> list[str]:
    count = sum(len(layer.files) for layer in layers)
    warped = sum(len(layer.files) for layer in layers if layer.operation is not None)
    notes = [] if count == 1 else [f"{count:,} files as one scene; where they overlap the first with data counts"]
    if warped:
        notes.append(f"{warped:,} file(s) warped to {crs_name(grid.crs)}")
        pairs = {(grid.crs, layer.grid.crs, area_around(layer.grid)) for layer in layers if layer.operation is not None}
        notes += sorted({note for pair in pairs for note in operation_between(*pair)[1]})
    return notes
