"""``geoseg evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from geoseg.cli.options import examples
from geoseg.cli.params import FILE, Words
from geoseg.cli.report import print_json, print_rows, say

_PIXELS = ("legend", "align", "erode_boundary", "boundary", "by", "tile", "calibration", "reliability", "no_write")
"""Options that ask for something of pixels."""

_VECTORS = (".gpkg", ".geojson", ".fgb", ".parquet", ".geoparquet", ".shp", ".gml", ".kml")


@click.command(
    short_help="Score a class map against a reference.",
    epilog=examples(
        "geoseg evaluate map.tif truth.tif --erode-boundary 3 --boundary 3 --by tile where.gpkg",
        "geoseg evaluate map.zarr truth.tif --calibration",
        "geoseg evaluate buildings.gpkg footprints.gpkg --objects",
    ),
)
@click.argument("prediction", type=FILE)
@click.argument("truth", type=FILE)
@click.option(
    "--model", "-m", "legend", type=FILE, metavar="BUNDLE|JSON", help="Legend, where the prediction carries none."
)
@click.option("--align", is_flag=True, help="Take the truth onto the prediction's grid by nearest neighbour.")
@click.option(
    "--erode-boundary",
    type=click.FloatRange(0, 256),
    default=0.0,
    metavar="PIXELS",
    help="Do not score what is this near to a boundary of the truth (ISPRS: 3).",
)
@click.option(
    "--boundary",
    type=click.FloatRange(0, 256),
    default=0.0,
    metavar="PIXELS",
    help="Score the boundaries too: IoU and F1 within this tolerance.",
)
@click.option(
    "--by",
    type=(click.Choice(["tile"]), FILE),
    metavar="tile OUT.gpkg|.tif",
    help="Write the scores of square blocks: where it is wrong.",
)
@click.option(
    "--tile", type=click.IntRange(16, 4096), default=512, show_default=True, help="Side of those blocks, pixels."
)
@click.option("--calibration", is_flag=True, help="Is confidence honest? ECE and reliability, of a .zarr that has it.")
@click.option("--reliability", type=FILE, metavar="PNG|SVG", help="Draw that.")
@click.option("--overwrite", is_flag=True, help="Replace existing files of --by and --reliability.")
@click.option("--objects", is_flag=True, help="Compare two vector files polygon by polygon.")
@click.option(
    "--iou",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="Least IoU of matching polygons (--objects).",
)
@click.option("--class-column", metavar="NAME", help="Tells the polygons' classes in both files (--objects).")
@click.option("--classes", type=Words(), help="Classes that count (--objects); default: all.")
@click.option("--no-write", is_flag=True, help="Do not store the scores beside the prediction.")
@click.option("--quiet", "-q", is_flag=True, help="No tables, notes or progress.")
@click.option("--debug", is_flag=True, help="Log in detail, and show tracebacks.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_context
def evaluate(
    ctx: click.Context,
    /,
    prediction: str,
    truth: str,
    *,
    by: tuple[str, str] | None,
    objects: bool,
    iou: float,
    class_column: str | None,
    classes: tuple[str, ...] | None,
    no_write: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Score PREDICTION (.tif or .zarr) against TRUTH: an index, palette or colour-coded label raster.

    The scores are stored beside a .tif (in its .aux.xml) and in a .zarr's attributes, unless --no-write.
    """
    if objects:
        _refuse_given(ctx, _PIXELS, why="is of pixels, not of --objects")
        _evaluate_objects(
            prediction, truth, quiet=quiet, as_json=as_json, threshold=iou, column=class_column, classes=classes or ()
        )
        return
    _refuse_given(ctx, ("iou", "class_column", "classes"), why="goes with --objects")
    vectors = [name for name in (prediction, truth) if Path(name).suffix.lower() in _VECTORS]
    if len(vectors) == 2:
        raise click.UsageError("two vector files: --objects compares their polygons")
    if vectors:
        raise click.UsageError(
            f"{vectors[0]} is a vector file, and pixels are compared here: make a raster of it (gdal_rasterize), or"
            " export the map and compare polygons with --objects"
        )
    from geoseg.evaluation.confidence import reliability_rows
    from geoseg.evaluation.metrics import table_rows
    from geoseg.verbs.evaluate import evaluate as score

    options.pop("debug")
    found = score(prediction, truth, by_tile=None if by is None else by[1], write=not no_write, **options)
    for note in found.notes:
        say(f"note  {note}", quiet=quiet)
    print_rows(table_rows(found.metrics), header=True, quiet=quiet)
    if "calibration" in found.metrics:
        print_rows(reliability_rows(found.metrics["calibration"]), header=True, quiet=quiet)
    for path in (found.by_tile, options["reliability"]):
        if path:
            say(f"wrote  {path}", quiet=quiet)
    if as_json:
        print_json(found.to_json())


def _evaluate_objects(prediction: str, truth: str, *, quiet: bool, as_json: bool, **options: Any) -> None:
    from geoseg.evaluation.objects import object_rows
    from geoseg.verbs.evaluate_objects import evaluate_objects

    found = evaluate_objects(prediction, truth, **options)
    for note in found.notes:
        say(f"note  {note}", quiet=quiet)
    print_rows(object_rows(found.classes), header=True, quiet=quiet)
    if as_json:
        print_json(found.to_json())


def _refuse_given(ctx: click.Context, names: tuple[str, ...], *, why: str) -> None:
    """Options that would be ignored are a mistake."""
    for param in ctx.command.params:
        if param.name in names and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{param.opts[0]} {why}")
