"""``geoseg predict`` and ``geoseg plan``."""

from __future__ import annotations

from typing import Any

import click

from geoseg.choices import COMPRESSIONS, FUSES
from geoseg.cli.options import CLUSTER, PLACING, PRINTING, READING, RUNNING, with_options
from geoseg.cli.params import AutoInt, ContextCount
from geoseg.cli.report import print_json, print_rows, say, tile_progress
from geoseg.cli.signals import advise_on_stop

_scene_arguments = with_options(
    click.argument("scenes", nargs=-1, required=True, metavar="SCENE..."),
    click.option("--mosaic", is_flag=True, help="All files are one scene; where they overlap the first counts."),
    click.option("--asset", metavar="NAME", help="Asset of STAC items; default: the one with role data, or visual."),
)

_run_options = with_options(
    click.option("--model", "-m", metavar="BUNDLE", help="Model bundle (.safetensors). Default: the one in geoseg."),
    *READING,
    *PLACING,
    click.option(
        "--patch-size",
        type=AutoInt(),
        default="auto",
        help="Patch side, pixels, fitted to the scene; auto takes the best of the model's card.",
    ),
    click.option("--exact", is_flag=True, help="Take --patch-size as it is, unfitted."),
    click.option(
        "--contexts",
        type=ContextCount(),
        default=1,
        show_default=True,
        help="Fuse the K best patch sizes of the card; adaptive runs doubtful patches again at another.",
    ),
    click.option("--fuse", type=click.Choice(FUSES), default="score", show_default=True, help="Weights of contexts."),
    click.option(
        "--budget", type=float, default=1.5, show_default=True, help="Most an adaptive run may cost, in passes."
    ),
    *RUNNING,
    click.option("--confidence", is_flag=True, help="Write the winner's probability, percent, to the Zarr."),
    click.option("--probabilities", is_flag=True, help="Write every class's probability, percent, to the Zarr."),
    click.option("--zarr-format", type=click.Choice(["3", "2"]), default="3", help="2 opens in GDAL and QGIS."),
    *CLUSTER,
    *PRINTING,
)


def _asked(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a run without those of printing."""
    return {k: v for k, v in options.items() if k != "debug"} | {"zarr_format": int(options["zarr_format"])}


def _scenes(arguments: tuple[str, ...], *, mosaic: bool) -> list[str | tuple[str, ...]]:
    """The scenes that a command line names: one of all files with ``--mosaic``."""
    from geoseg.verbs.sources import scenes_of

    return [arguments] if mosaic else [*scenes_of(arguments)]


@click.command(short_help="What a run would do and cost.")
@_scene_arguments
@_run_options
def plan(
    scenes: tuple[str, ...],
    *,
    mosaic: bool,
    model: str | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Print the plan of each SCENE: patches, tiles, memory, disk, time. Nothing is computed or written."""
    named = _scenes(scenes, mosaic=mosaic)
    _print_plans(named, model=model, quiet=quiet, as_json=as_json, options=_asked(options))


@click.command(short_help="Scenes to georeferenced class maps.")
@_scene_arguments
@click.option(
    "--output",
    "-o",
    "outputs",
    multiple=True,
    metavar="OUT.tif|OUT.zarr|FOLDER",
    help="Targets; repeatable. A .zarr may be s3://…",
)
@click.option("--reference", "-r", "references", multiple=True, metavar="TRUTH", help="Label raster to score against.")
@click.option("--preview", metavar="PNG", help="Quick look of the classes over the scene.")
@click.option("--compress", type=click.Choice(COMPRESSIONS), default="deflate", show_default=True, help="Of the COG.")
@click.option("--overwrite", is_flag=True, help="Replace existing outputs.")
@click.option(
    "--resume/--restart", default=True, show_default=True, help="Continue an unfinished run, or drop it and start over."
)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@_run_options
def predict(
    scenes: tuple[str, ...],
    *,
    mosaic: bool,
    outputs: tuple[str, ...],
    references: tuple[str, ...],
    preview: str | None,
    dry_run: bool,
    resume: bool,
    model: str | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Turn each SCENE into a Cloud Optimized GeoTIFF and a Zarr store of classes.

    A SCENE is a path or URL, a quoted glob, @list.txt (one name a line), or a STAC document, which is one mosaic.

    \b
    geoseg predict scene.tif
    geoseg predict scene.tif -o map.tif -o map.zarr --reference truth.png --preview look.png
    geoseg predict north.tif south.tif -o maps/
    geoseg predict --mosaic 'tiles/*.tif' --dst-crs EPSG:32633 --aoi area.gpkg -o map.tif
    """
    from geoseg.verbs.predict_scenes import jobs_of, predict_scenes

    asked = _asked(options) | {"restart": not resume}
    advise_on_stop("the same command again continues")
    named = _scenes(scenes, mosaic=mosaic)
    jobs = jobs_of(named, outputs=outputs, references=references, preview=preview, asset=asked["asset"])
    if dry_run:
        _print_plans(named, model=model, quiet=quiet, as_json=as_json, options=asked)
        return
    with tile_progress(quiet=quiet) as on_progress:
        runs = predict_scenes(
            jobs,
            model=model,
            on_start=lambda job: say(job.name, quiet=quiet or len(jobs) == 1),
            on_plan=lambda made: _print_plan(made, quiet=quiet),
            on_progress=on_progress,
            options=asked,
        )
    for run in runs:
        _print_run(run, quiet=quiet)
    if as_json:
        print_json(runs[0].to_json() if len(runs) == 1 else {"runs": [run.to_json() for run in runs]})
    failed = [run for run in runs if run.error is not None]
    if failed:
        if len(runs) > 1:
            say(f"{len(failed)} of {len(runs)} scenes failed")
        raise click.exceptions.Exit(1)


def _print_plans(
    scenes: list[str | tuple[str, ...]], *, model: str | None, quiet: bool, as_json: bool, options: dict[str, Any]
) -> None:
    from geoseg.verbs.plan import plan as make
    from geoseg.verbs.plan import plan_rows

    plans = [make(scene, model=model, **options) for scene in scenes]
    if as_json:
        several = {"runs": [{"scene": made.recipe.name, "plan": made.to_json()} for made in plans]}
        print_json(plans[0].to_json() if len(plans) == 1 else several)
        return
    for made in plans:
        print_rows(plan_rows(made), quiet=quiet, result=True)


def _print_plan(made: Any, *, quiet: bool) -> None:
    from geoseg.verbs.plan import plan_rows

    print_rows(plan_rows(made), quiet=quiet)


def _print_run(run: Any, *, quiet: bool) -> None:
    """The table of what a run wrote, and its scores."""
    if run.error is not None:
        say(f"Error: {run.error}")
        return
    from geoseg.evaluation.metrics import table_rows

    print_rows(run.rows(), quiet=quiet)
    if run.result.metrics is not None:
        print_rows(table_rows(run.result.metrics), header=True, quiet=quiet)
