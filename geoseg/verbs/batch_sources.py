"""The kinds of files that list scenes: CSV, Parquet, STAC item collections, folders and globs."""

from __future__ import annotations

import csv
import glob
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.errors import ManifestError, MissingExtraError

SCENE_SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2")
"""What counts as a scene in a folder."""

COLUMNS = ("scene", "reference", "output")
"""What a table may say of a scene; the first it must."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a manifest says of one scene, as it is written there."""

    scene: str
    reference: str
    output: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a manifest holds."""

    source: str
    folder: Path
    """What relative paths are relative to."""
    records: Sequence[Record]
    listed: bool
    """False if the scenes were not named but found, by a folder or a glob."""
    advice: str = "a manifest lists at least one"
    notes: Sequence[str] = ()


def read_records(manifest: str) -> Found:
    """The records of a manifest of any kind.

    Raises:
        ManifestError: if it is missing, of no known kind, or cannot be read.
        MissingExtraError: for Parquet without pyarrow.
    """
    path = Path(manifest)
    if path.is_dir():
        return _found_files(manifest, [str(p) for p in path.iterdir() if p.suffix.lower() in SCENE_SUFFIXES])
    if not path.exists() and glob.has_magic(manifest):
        return _found_files(manifest, glob.glob(manifest, recursive=True))  # noqa: PTH207 - its folder may be a pattern
    reader = {".csv": _csv, ".parquet": _parquet, ".pq": _parquet, ".json": _stac, ".geojson": _stac}.get(
        path.suffix.lower()
    )
    if not path.exists():
        raise ManifestError(f"{manifest}: no such manifest; give a CSV, Parquet or STAC file, a folder, or a glob")
    if reader is None:
        raise ManifestError(
            f"{manifest}: a manifest ends in .csv, .parquet or .json (STAC items), or is a folder or a quoted glob"
        )
    try:
        return reader(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{manifest}: cannot be read: {error}") from error


def _found_files(source: str, paths: Iterable[str]) -> Found:
    records = [
        Record(scene=path, reference="", output="", where=f"file {number}")
        for number, path in enumerate(sorted(paths), start=1)
    ]
    wanted = "matches nothing" if glob.has_magic(source) else f"holds no {', '.join(SCENE_SUFFIXES)}"
    return Found(source=source, folder=Path(), records=records, listed=False, advice=f"it {wanted}")


def _csv(path: Path) -> Found:
    """Comma or, where the heading has none, semicolon; UTF-8."""
    text = path.read_text(encoding="utf-8-sig")
    heading = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=";" if ";" in heading and "," not in heading else ",")
    names: list[str] | None = None
    rows: list[tuple[str, dict[str, Any]]] = []
    for cells in reader:
        where = f"line {reader.line_num}"
        if not any(cell.strip() for cell in cells):
            continue
        if names is None:
            names = [cell.strip().lower() for cell in cells]
            continue
        if len(cells) > len(names):
            raise ManifestError(f"{path}: {where} has {len(cells)} cells under {len(names)} columns; quote commas")
        rows.append((where, dict(zip(names, cells, strict=False))))
    return _table(path, names or [], rows)


def _parquet(path: Path) -> Found:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: Parquet needs pyarrow: pip install 'geoseg[parquet]', or give a CSV"
        ) from error
    try:
        table = read_table(path)
    except ArrowException as error:
        raise ManifestError(f"{path}: is no Parquet file: {error}") from error
    names = [name.strip().lower() for name in table.column_names]
    rows = table.rename_columns(names).to_pylist()
    return _table(path, names, [(f"row {number}", row) for number, row in enumerate(rows, start=1)])


def _table(path: Path, names: Sequence[str], rows: Sequence[tuple[str, Mapping[str, Any]]]) -> Found:
    """The records of a table; what it has beside the known columns is left alone and said."""
    if "scene" not in names:
        columns = ", ".join(names) or "none"
        raise ManifestError(f"{path}: no column 'scene'; its columns: {columns} (optional are reference, output)")
    double = [name for name in COLUMNS if names.count(name) > 1]
    if double:
        raise ManifestError(f"{path}: two columns {double[0]!r}; leave one")
    records = [
        Record(where=where, **{name: str(row.get(name) or "").strip() for name in COLUMNS}) for where, row in rows
    ]
    empty = [r.where for r in records if not r.scene]
    if empty:
        raise ManifestError(f"{path}: {len(empty)} of {len(records)} rows name no scene, first {empty[0]}")
    unknown = [name for name in names if name not in COLUMNS]
    notes = [f"columns that are not used: {', '.join(unknown)} (used are {', '.join(COLUMNS)})"] if unknown else []
    return Found(source=str(path), folder=path.parent, records=records, listed=True, notes=notes)


def _stac(path: Path) -> Found:
    """Every item of a collection is a scene of its own, its relative hrefs relative to the file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ManifestError(f"{path}: is no JSON: {error}") from error
    if not isinstance(data, dict) or data.get("type") != "FeatureCollection":
        kind = data.get("type", "an object without a type") if isinstance(data, dict) else type(data).__name__
        raise ManifestError(f"{path}: {kind} where a STAC item collection (a FeatureCollection of items) is expected")
    from pystac import ItemCollection
    from pystac.errors import STACError, STACTypeError

    try:
        items = ItemCollection.from_dict(data).items
    except (STACError, STACTypeError, KeyError, ValueError, TypeError) as error:  # the second is no STACError
        raise ManifestError(f"{path}: its items are not STAC's: {type(error).__name__}: {error}") from error
    records = [
        Record(
            scene=_image_of(item, path=path),
            reference=_label_of(item),
            output="",
            where=f"item {number}",
        )
        for number, item in enumerate(items, start=1)
    ]
    return Found(source=str(path), folder=path.parent, records=records, listed=True)


_LABELS = {"reference", "labels", "label", "truth"}
_IMAGES = ("image/tiff", "image/vnd.stac.geotiff", "image/jp2", "application/x-geotiff")


def _is_label(key: str, asset: Any) -> bool:
    return key.lower() in _LABELS or bool(_LABELS & set(asset.roles or ()))


def _image_of(item: Any, *, path: Path) -> str:
    """The one raster of an item: the asset of the role ``data``, else the one whose type is a raster's.

    Raises:
        ManifestError: if there is none, or more than one.
    """
    assets = {key: asset for key, asset in item.assets.items() if not _is_label(key, asset)}
    data = [key for key, asset in assets.items() if "data" in (asset.roles or ())]
    rasters = [key for key, asset in assets.items() if str(asset.media_type or "").lower().startswith(_IMAGES)]
    plain = [key for key, asset in assets.items() if Path(asset.href.split("?")[0]).suffix.lower() in SCENE_SUFFIXES]
    for keys in (data, rasters, plain):
        if len(keys) == 1:
            return str(assets[keys[0]].href)
        if keys:
            raise ManifestError(
                f"{path}: item {item.id} has {len(keys)} rasters ({', '.join(keys)}); mark one by the role 'data'"
            )
    raise ManifestError(f"{path}: item {item.id} has no raster among its {len(item.assets)} assets")


def _label_of(item: Any) -> str:
    return next((str(asset.href) for key, asset in item.assets.items() if _is_label(key, asset)), "")
