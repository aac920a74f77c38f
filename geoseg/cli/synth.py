"""``geoseg synth``."""

from __future__ import annotations

from typing import Any

import click

from geoseg.cli.options import examples
from geoseg.cli.params import FILE
from geoseg.cli.report import print_json, say


@click.command(
    short_help="Write a synthetic scene with truth.",
    epilog=examples("geoseg synth scene.tif", "geoseg synth scene.tif --size 4096x4096 --seed 7 --truth truth.tif"),
)
@click.argument("out", type=FILE)
@click.option("--size", default="2048x2048", show_default=True, metavar="WIDTHxHEIGHT", help="In pixels.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed is another country.")
@click.option("--truth", type=FILE, metavar="TRUTH.tif", help="Write the classes too.")
@click.option("--gsd", type=float, default=1.0, show_default=True, help="Ground metres per pixel.")
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@click.option("--quiet", "-q", is_flag=True, help="No tables, notes or progress.")
@click.option("--debug", is_flag=True, help="Log in detail, and show tracebacks.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def synth(out: str, *, size: str, quiet: bool, as_json: bool, **options: Any) -> None:
    """Write a procedural aerial scene to OUT, of any size, for demonstrations, tests and scale runs."""
    from geoseg.verbs.synth import parse_size
    from geoseg.verbs.synth import synth as write

    options.pop("debug")
    width, height = parse_size(size)
    made = write(out, width=width, height=height, **options)
    for path in made.paths:
        say(f"wrote  {path}", quiet=quiet)
    if as_json:
        print_json({"outputs": [str(p) for p in made.paths], "pixels": made.pixels, "counts": made.counts})
