"""``geoseg export``."""

from __future__ import annotations

import time
from typing import Any

import click

from geoseg.cli.options import PRINTING, examples, with_options
from geoseg.cli.params import FILE, Words
from geoseg.cli.report import print_json, print_rows, say

_EVERY = 10.0  # seconds between lines


@click.command(
    short_help="A class map as polygons.",
    epilog=examples(
        "geoseg export map.zarr map.gpkg",
        "geoseg export map.tif map.parquet map.fgb --min-area 50 --simplify 2",
        "geoseg export map.zarr roads.geojson --classes road --dissolve --dst-crs EPSG:4326",
    ),
)
@click.argument("source", type=FILE, metavar="CLASSES.zarr|tif")
@click.argument("outputs", type=FILE, nargs=-1, required=True, metavar="OUT.gpkg|.parquet|.fgb|.geojson...")
@click.option("--model", "-m", "legend", type=FILE, metavar="BUNDLE|JSON", help="Legend, where the map carries none.")
@click.option("--classes", type=Words(), default="", metavar="ID|NAME,...", help="Only these classes.")
@click.option("--min-area", type=float, default=0.0, metavar="M2", help="Smaller regions go to a neighbour.")
@click.option("--simplify", type=float, default=0.0, metavar="METRES", help="Tolerance; shared borders stay shared.")
@click.option("--explode/--dissolve", default=True, show_default=True, help="A polygon per region, or one per class.")
@click.option("--dst-crs", metavar="EPSG:CODE|WKT", help="CRS of the polygons; default: the map's.")
@click.option("--overwrite", is_flag=True, help="Replace existing outputs.")
@with_options(*PRINTING)
def export(
    source: str,
    outputs: tuple[str, ...],
    *,
    explode: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Write the class map CLASSES as polygons: one per region of pixels of one class, whole across tiles."""
    from geoseg.verbs.export import export as write

    options.pop("debug")
    made = write(source, outputs, dissolve=not explode, on_stage=_Lines(quiet=quiet), **options)
    for note in made.notes:
        say(f"note  {note}", quiet=quiet)
    print_rows(made.rows(), header=True, quiet=quiet)
    for path in made.outputs:
        say(f"wrote  {path}", quiet=quiet)
    if as_json:
        print_json(made.to_json())


class _Lines:
    """Says now and then how far it is."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._last = quiet, time.monotonic()

    def __call__(self, stage: str, done: int, tiles: int) -> None:
        now = time.monotonic()
        if now - self._last >= _EVERY:
            self._last = now
            say(f"{stage}  {done}/{tiles}", quiet=self._quiet)
