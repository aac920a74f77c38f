"""``geoseg evaluate``."""

from __future__ import annotations

from typing import Any

import click

from geoseg.cli.report import print_json, print_rows, say


@click.command(short_help="Score a class map against a reference.")
@click.argument("prediction")
@click.argument("truth")
@click.option("--model", "-m", "legend", metavar="BUNDLE|JSON", help="Legend, where the prediction carries none.")
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
    type=(click.Choice(["tile"]), str),
    metavar="tile OUT.gpkg|.tif",
    help="Write the scores of square blocks: where it is wrong.",
)
@click.option(
    "--tile", type=click.IntRange(16, 4096), default=512, show_default=True, help="Side of those blocks, pixels."
)
@click.option("--calibration", is_flag=True, help="Is confidence honest? ECE and reliability, of a .zarr that has it.")
@click.option("--reliability", metavar="PNG|SVG", help="Draw that.")
@click.option("--overwrite", is_flag=True, help="Replace existing files of --by and --reliability.")
@click.option("--no-write", is_flag=True, help="Do not store the scores beside the prediction.")
@click.option("--quiet", "-q", is_flag=True, help="No tables, notes or progress.")
@click.option("--debug", is_flag=True, help="Log in detail, and show tracebacks.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def evaluate(
    prediction: str,
    truth: str,
    *,
    by: tuple[str, str] | None,
    no_write: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Score PREDICTION (.tif or .zarr) against TRUTH: an index, palette or colour-coded label raster.

    The scores are stored beside a .tif (in its .aux.xml) and in a .zarr's attributes, unless --no-write.

    \b
    geoseg evaluate map.tif truth.tif --erode-boundary 3 --boundary 3
    geoseg evaluate map.tif truth.tif --by tile where.gpkg
    """
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
    if found.by_tile:
        say(f"wrote  {found.by_tile}", quiet=quiet)
    if as_json:
        print_json(found.to_json())
