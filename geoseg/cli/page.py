"""``geoseg report``."""

from __future__ import annotations

from typing import Any

import click

from geoseg.cli.options import PRINTING, examples, with_options
from geoseg.cli.params import FILE
from geoseg.cli.report import print_json, say


@click.command(
    short_help="A class map as one page to look at.",
    epilog=examples("geoseg report map.zarr", "geoseg report map.zarr -o report.html --reference truth.tif"),
)
@click.argument("classes", type=FILE, metavar="CLASSES.zarr")
@click.option("--output", "-o", "target", type=FILE, metavar="HTML", help="The page [default: beside the map].")
@click.option("--scene", type=FILE, metavar="SCENE", help="Where the scene lies now, if it was moved.")
@click.option(
    "--reference", "-r", type=FILE, metavar="TRUTH", help="Label raster to score against, boundaries and confidence."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing page.")
@with_options(*PRINTING)
def report(classes: str, *, quiet: bool, as_json: bool, **options: Any) -> None:
    """Write one HTML page about a finished class map: pictures, areas, scores, model, timing, how to repeat it.

    The page holds all it shows and fetches nothing: send it, print it, keep it.
    """
    from geoseg.verbs.report import report as write

    options.pop("debug")
    made = write(classes, **options)
    for note in made.notes:
        say(f"note  {note}", quiet=quiet)
    say(f"wrote  {made.path}", quiet=quiet)
    if as_json:
        print_json(made.to_json())
