"""Every GeoTIFF of a folder to a class map, one table of results.

    python pipelines/predict_folder.py scenes/ maps/ --model my.safetensors
    python pipelines/predict_folder.py scenes/ maps/ --references truths/

A reference is the file of the same stem in the references' folder. What is there already is left alone, so the same
command again does what is missing; a broken scene stops no other. The table goes to stdout as CSV.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import click

import geoseg
from geoseg.errors import GeosegError, StoppedError

SCENES = (".tif", ".tiff", ".vrt", ".jp2")


def reference_of(scene: Path, folder: Path | None) -> Path | None:
    """The label raster of the scene's stem, if there is one."""
    if folder is None:
        return None
    return next((p for p in sorted(folder.glob(f"{scene.stem}.*")) if p.suffix.lower() in (*SCENES, ".png")), None)


@click.command()
@click.argument("scenes", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("maps", type=click.Path(file_okay=False, path_type=Path))
@click.option("--model", "-m", type=click.Path(path_type=Path), help="Bundle; the default model if not given.")
@click.option("--references", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(scenes: Path, maps: Path, model: Path | None, references: Path | None) -> None:
    """Predict every scene of the folder SCENES into the folder MAPS."""
    table = csv.writer(sys.stdout)
    table.writerow(["scene", "state", "output", "seconds", "miou"])
    failed = 0
    for scene in sorted(p for p in scenes.iterdir() if p.suffix.lower() in SCENES):
        output = maps / f"{scene.stem}_classes.tif"
        if output.exists():
            table.writerow([scene.name, "there", output, "", ""])
            continue
        try:
            result = geoseg.predict(scene, outputs=output, model=model, reference=reference_of(scene, references))
        except StoppedError:
            raise
        except GeosegError as error:
            failed += 1
            table.writerow([scene.name, "failed", str(error), "", ""])
            continue
        miou = (result.metrics or {}).get("miou")
        score = "" if miou is None else f"{miou:.4f}"
        table.writerow([scene.name, "done", output, f"{result.seconds['total']:.1f}", score])
        sys.stdout.flush()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
