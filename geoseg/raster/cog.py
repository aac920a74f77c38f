"""Class maps as Cloud Optimized GeoTIFFs: colours inside, class names and attribute table in the ``.aux.xml`` beside.

rasterio has no call for class names or raster attribute tables, and GDAL 3.10 cannot read zarr-python's Zarr 3. So the
map and its overviews are staged as plain GeoTIFFs, a VRT over them says the rest, and GDAL's COG driver copies that.
It takes the store's own overviews, which are there already: for 10,000 x 10,000 pixels on two cores 0.9 s in all,
against 1.4 s when GDAL makes them and 2.4 s when the staged file is not compressed besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
import rasterio.shutil

from geoseg.ahead import in_order
from geoseg.errors import OutputError
from geoseg.geometry.windows import Window, split
from geoseg.legend import IGNORE, Color, Legend
from geoseg.raster.atomic import failure, output_errors, part_path, put_in_place, refuse_existing, remove
from geoseg.raster.datasets import raster_environment
from geoseg.raster.geotiff import Compression, check_whole, gdal_errors, geotiff_writer
from geoseg.raster.zarr_overviews import factors, level_geobox
from geoseg.raster.zarr_store import ResultStore

_STRIP = (4096, 4096)
"""(height, width) of what is staged at once: whole blocks, 16 MB; few of the store's chunks lie across its rim."""

_LEVELS: Mapping[str, Mapping[str, int]] = {"deflate": {"level": 5}}
"""Where the compressor's own default costs more than it saves: with 6 a COG takes 1.7 times as long and is a tenth
smaller (benchmarks/finishing.py)."""

_RAT_FIELDS = (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8))
"""Columns of the attribute table: name, GDAL's type (0 integer, 2 text), GDAL's usage."""


def write_cog(
    store: ResultStore,
    target: Path,
    *,
    tags: Mapping[str, str],
    compress: Compression = "deflate",
    overwrite: bool = False,
    threads: int = 2,
) -> None:
    """Write the classes of a whole store as a COG, and ``<target>.aux.xml`` with class names and attribute table.

    One band of uint8, nodata 255, colour table, blocks of 512, overviews by mode (the store's; they are made if it
    has none), the grid's CRS, transform, GCPs and RPCs. Memory does not grow with the map.

    Args:
        store: the store, all tiles written.
        target: the ``.tif``; its ``.aux.xml`` gets its name first.
        tags: text items for the file's default domain.
        compress: lossless compression of the blocks.
        overwrite: replace what is there; it stays whole until then.
        threads: threads that compress.

    Raises:
        OutputExistsError: if ``target`` is there and ``overwrite`` is False.
        OutputError: if it cannot be written to its last byte.
    """
    refuse_existing(target, overwrite=overwrite)
    if store.overview_factors() != factors(store.shape):
        store.add_overviews(threads=threads)
    folder = part_path(target)
    try:
        with output_errors(target), raster_environment():
            remove(folder)
            folder.mkdir()
            whole = folder / target.name
            vrt = _stage(store, folder, tags=tags, threads=threads)
            _copy(vrt, whole, store=store, compress=compress, threads=threads, target=target)
            put_in_place(aux_path(whole), aux_path(target))
            put_in_place(whole, target)
    finally:
        with output_errors(target):
            remove(folder)


def aux_path(tif: Path) -> Path:
    """Where GDAL keeps what a TIFF cannot hold: ``out.tif.aux.xml``."""
    return tif.with_name(f"{tif.name}.aux.xml")


def _stage(store: ResultStore, folder: Path, *, tags: Mapping[str, str], threads: int) -> Path:
    """Write the map and each overview as a GeoTIFF into ``folder``; returns the VRT that ties them together."""
    colors: dict[int, Color] = {c.id: c.color for c in store.legend} | {IGNORE: (0, 0, 0)}
    levels = {factor: folder / f"level{factor}.tif" for factor in (1, *store.overview_factors())}
    for factor, path in levels.items():
        geobox = level_geobox(store.geobox, factor)
        with geotiff_writer(
            path,
            geobox=geobox,
            bands=1,
            dtype="uint8",
            nodata=IGNORE,
            colors=colors,
            compress="zstd",
            level=1,
            tags=tags if factor == 1 else None,
            threads=threads,
        ) as write:
            for window, values in _read_ahead(store, factor, split(geobox.shape, size=_STRIP)):
                write(values[None], window)
    vrt = folder / "map.vrt"
    rasterio.shutil.copy(levels.pop(1), vrt, driver="VRT")
    tree = ET.parse(vrt)  # noqa: S314 (our own file)
    band = tree.find("VRTRasterBand")
    assert band is not None  # GDAL wrote it
    band.extend(_overview(path) for path in levels.values())
    band.append(_category_names(store.legend))
    band.append(_attribute_table(store.legend))
    tree.write(vrt)
    return vrt


def _read_ahead(
    store: ResultStore, factor: int, windows: Iterable[Window]
) -> Iterator[tuple[Window, npt.NDArray[np.uint8]]]:
    """Windows of a level of the store; the next is read while one is written."""
    with ThreadPoolExecutor(1, thread_name_prefix="geoseg-cog") as pool:
        yield from in_order(pool, lambda window: (window, store.read_overview(factor, window)), windows, ahead=2)


def _copy(vrt: Path, whole: Path, *, store: ResultStore, compress: Compression, threads: int, target: Path) -> None:
    with gdal_errors(target):
        rasterio.shutil.copy(
            vrt,
            whole,
            driver="COG",
            overviews="FORCE_USE_EXISTING" if store.overview_factors() else "NONE",
            overview_resampling="mode",
            blocksize=512,
            compress=compress,
            bigtiff="IF_SAFER",
            num_threads=str(threads),
            **_LEVELS.get(compress, {}),
        )
    check_whole(whole, target=target)
    try:
        ET.parse(aux_path(whole))  # noqa: S314 (our own file)
    except (OSError, ET.ParseError) as error:
        raise OutputError(failure(target, reason="its .aux.xml did not reach the disk")) from error


def _overview(path: Path) -> ET.Element:
    overview = ET.Element("Overview")
    ET.SubElement(overview, "SourceFilename", relativeToVRT="1").text = path.name
    ET.SubElement(overview, "SourceBand").text = "1"
    return overview


def _category_names(legend: Legend) -> ET.Element:
    """GDAL's list of names, whose position is the class id; ids without a class have an empty name."""
    names = ET.Element("CategoryNames")
    by_id = {c.id: c.name for c in legend}
    for class_id in range(max(by_id) + 1):
        ET.SubElement(names, "Category").text = by_id.get(class_id, "")
    return names


def _attribute_table(legend: Legend) -> ET.Element:
    """GDAL's raster attribute table: id, name and colour of each class."""
    table = ET.Element("GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, usage) in enumerate(_RAT_FIELDS):
        column = ET.SubElement(table, "FieldDefn", index=str(index))
        _fill(column, (("Name", name), ("Type", kind), ("Usage", usage)))
    for index, c in enumerate(legend):
        row = ET.SubElement(table, "Row", index=str(index))
        _fill(row, (("F", value) for value in (c.id, c.name, *c.color)))
    return table


def _fill(element: ET.Element, items: Iterable[tuple[str, object]]) -> None:
    for name, value in items:
        ET.SubElement(element, name).text = str(value)


def write_aux_metrics(tif: Path, tags: Mapping[str, str]) -> None:
    """Add text items to a finished raster without touching it: into the ``.aux.xml`` beside, which GDAL merges.

    Items of the same name are replaced, all else stays. A COG may not be edited in place: it would be one no more.

    Raises:
        OutputError: if the ``.aux.xml`` cannot be written, or the one that is there is no XML.
    """
    aux = aux_path(tif)
    with output_errors(aux):
        root = _aux_root(aux)
        metadata = next((m for m in root.findall("Metadata") if "domain" not in m.attrib), None)
        if metadata is None:
            metadata = ET.SubElement(root, "Metadata")
        for name, value in tags.items():
            for old in [item for item in metadata.findall("MDI") if item.get("key") == name]:
                metadata.remove(old)
            ET.SubElement(metadata, "MDI", key=name).text = value
        part = part_path(aux)
        try:
            ET.ElementTree(root).write(part)
            put_in_place(part, aux)
        finally:
            remove(part)


def _aux_root(aux: Path) -> ET.Element:
    if not aux.exists():
        return ET.Element("PAMDataset")
    try:
        return ET.fromstring(aux.read_bytes())  # noqa: S314 (expat limits what entities may grow to)
    except ET.ParseError as error:
        raise OutputError(f"{aux} is not XML ({error}); move it away") from error
