"""Many scenes to class maps from Python, and a table of the poorest maps to look at.

    python pipelines/batch_predict.py scenes/ maps/ --model my.safetensors --references truths/
    python pipelines/batch_predict.py scenes.csv maps/ --workers 4

What `geoseg batch` does, as a script to change. The first argument is a folder, a quoted glob, a CSV or Parquet file
with a column `scene` (and `reference`, `output`), or a STAC item collection. The results table is
`maps/geoseg-batch.sqlite`; the same command again does what is left. The poorest maps go to stdout as CSV.
"""

from __future__ import annotations

import csv
import sys

import click

import geoseg
from geoseg.errors import GeosegError


@click.command()
@click.argument("manifest")
@click.argument("maps", type=click.Path(file_okay=False))
@click.option("--model", "-m", help="Bundle; the default model if not given.")
@click.option("--references", type=click.Path(exists=True, file_okay=False), help="Label rasters of the scenes' stems.")
@click.option("--workers", type=int, help="Processes of this machine.")
@click.option("--scheduler-file", help="A running Dask cluster's.")
@click.option("--retry-failed", is_flag=True, help="Try scenes again that failed before.")
@click.option("--poorest", default=5, show_default=True, help="Rows of the table.")
def main(manifest: str, maps: str, *, poorest: int, **options: object) -> None:
    """Predict every scene of MANIFEST into the folder MAPS."""
    try:
        found = geoseg.batch(
            manifest,
            output=maps,
            on_note=lambda note: click.echo(f"note  {note}", err=True),
            on_scene=lambda place, count, scene: click.echo(f"scene {place} of {count}  {scene}", err=True),
            on_row=lambda row: click.echo(f"{row.state}  {row.error or ''}", err=True),
            **options,
        )
    except GeosegError as error:
        raise click.ClickException(str(error)) from error
    scored = sorted((row for row in found.rows if row.miou is not None), key=lambda row: row.miou)
    table = csv.writer(sys.stdout)
    table.writerow(["scene", "state", "miou", "seconds", "output"])
    for row in (*found.failed, *scored[:poorest]):
        miou = "" if row.miou is None else f"{row.miou:.4f}"
        seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
        table.writerow([row.scene, row.state, miou, seconds, row.outputs[0]])
    sys.exit(1 if found.failed else 0)


if __name__ == "__main__":
    main()
