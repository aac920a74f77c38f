"""``geoseg batch``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geoseg.cli.options import ASSET, RUN, WRITING, asked_of, examples, with_options
from geoseg.cli.params import FILE, Words
from geoseg.cli.report import print_json, print_rows, say, tile_progress
from geoseg.cli.signals import advise_on_stop

if TYPE_CHECKING:
    from geoseg.verbs.batch_row import Row


@click.command(
    short_help="Many scenes, and a table of what became of them.",
    epilog=examples(
        "geoseg batch scenes.csv -o maps/",
        "geoseg batch 'flights/**/*.tif' -o maps/ --references truths/ --export results.csv",
        "geoseg batch scenes.csv -o maps/ --retry-failed",
    ),
)
@click.argument("manifest", type=FILE)
@click.option("--output", "-o", type=FILE, metavar="FOLDER", help="Where the maps go; the manifest may name others.")
@click.option(
    "--outputs", type=Words(), default="cog,zarr", show_default=True, help="What is written: cog, zarr, preview, gpkg."
)
@click.option("--references", type=FILE, metavar="FOLDER", help="Label rasters of the scenes' stems.")
@click.option("--table", type=FILE, metavar="SQLITE", help="Results table [default: geoseg-batch.sqlite in FOLDER].")
@click.option("--retry-failed", is_flag=True, help="Try scenes again that failed before.")
@click.option("--export", type=FILE, metavar="CSV|PARQUET", help="Write the table for others, at the end.")
@with_options(ASSET, *WRITING, *RUN)
def batch(manifest: str, *, quiet: bool, as_json: bool, **options: Any) -> None:
    """Turn every scene of MANIFEST into a map; the same command again does what is left.

    MANIFEST is a CSV or Parquet file with a column `scene` (and, if wanted, `reference` and `output`), a STAC item
    collection, a folder, or a quoted glob.
    """
    from geoseg.verbs.batch import batch as run

    advise_on_stop("the same command again continues")
    with tile_progress(quiet=quiet) as on_progress:
        done = run(
            manifest,
            on_note=lambda note: say(f"note  {note}", quiet=quiet),
            on_scene=lambda place, count, scene: say(f"scene {place} of {count}  {scene}", quiet=quiet),
            on_progress=on_progress,
            on_row=lambda row: _print_row(row, quiet=quiet),
            **asked_of(options),
        )
    print_rows(done.table_rows(), header=True, quiet=quiet)
    for row in done.failed:
        say(f"Error: {_named(row)}")
    say(f"table  {done.table}", quiet=quiet)
    if as_json:
        print_json(done.to_json())
    if done.failed:
        say(f"{len(done.failed)} of {len(done.rows)} scenes failed; --retry-failed tries them again")
        raise click.exceptions.Exit(1)


def _named(row: Row) -> str:
    """What went wrong, with the scene's name where it does not say."""
    error = row.error or ""
    return error if row.scene in error else f"{row.scene}: {error}"


def _print_row(row: Row, *, quiet: bool) -> None:
    """One line for a scene that has ended."""
    facts: list[str] = [row.state]
    if row.rate is not None:
        facts.append(f"{row.seconds:.1f} s, {row.rate / 1e6:.2f} Mpx/s")
    if row.miou is not None:
        facts.append(f"mIoU {row.miou:.4f}")
    if row.error is not None:
        facts.append(row.error)
    say("  ".join(facts), quiet=quiet)
