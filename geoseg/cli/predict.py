"""``geoseg predict`` and ``geoseg plan``."""

from __future__ import annotations

from typing import Any

import click

from geoseg.cli.importing import importing
from geoseg.cli.options import ASSET, RUN, WRITING, asked_of, examples, with_options
from geoseg.cli.params import FILE
from geoseg.cli.report import print_json, print_rows, say, tile_progress
from geoseg.cli.signals import advise_on_stop

_scene_arguments = with_options(
    click.argument("scenes", type=FILE, nargs=-1, required=True, metavar="SCENE..."),
    click.option("--mosaic", is_flag=True, help="All files are one scene; where they overlap the first counts."),
    ASSET,
)


def _scenes(arguments: tuple[str, ...], *, mosaic: bool, quiet: bool) -> list[str | tuple[str, ...]]:
    """The scenes that a command line names: one of all files with ``--mosaic``."""
    from geoseg.verbs.sources import scenes_of

    if mosaic:
        return [arguments]
    scenes, notes = scenes_of(arguments)
    for note in notes:
        say(f"note  {note}", quiet=quiet)
    return [*scenes]


@click.command(
    short_help="What a run would do and cost.",
    epilog=examples("geoseg plan scene.tif", "geoseg plan scene.tif -m my.safetensors --contexts 3 --json"),
)
@_scene_arguments
@with_options(*RUN)
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
    named = _scenes(scenes, mosaic=mosaic, quiet=quiet)
    _print_plans(named, model=model, quiet=quiet, as_json=as_json, options=asked_of(options))


@click.command(
    short_help="Scenes to georeferenced class maps.",
    epilog=examples(
        "geoseg predict scene.tif -o map.tif -o map.zarr --reference truth.png --preview look.png",
        "geoseg predict north.tif south.tif -o maps/",
        "geoseg predict --mosaic 'tiles/*.tif' --dst-crs EPSG:32633 --aoi area.gpkg -o map.tif",
    ),
)
@_scene_arguments
@click.option(
    "--output",
    "-o",
    "outputs",
    type=FILE,
    multiple=True,
    metavar="OUT.tif|.zarr|.gpkg|.parquet|.fgb|.geojson|FOLDER",
    help="Targets; repeatable. A .zarr may be s3://…; the last four are polygons (see geoseg export).",
)
@click.option(
    "--reference", "-r", "references", type=FILE, multiple=True, metavar="TRUTH", help="Label raster to score against."
)
@click.option("--preview", type=FILE, metavar="PNG", help="Quick look of the classes over the scene.")
@click.option("--report", type=FILE, metavar="HTML", help="One page to look at: map, areas, scores, model, timing.")
@click.option("--stac", type=FILE, metavar="JSON", help="STAC item that describes the outputs.")
@with_options(*WRITING)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@with_options(*RUN)
def predict(
    scenes: tuple[str, ...],
    *,
    mosaic: bool,
    outputs: tuple[str, ...],
    references: tuple[str, ...],
    preview: str | None,
    report: str | None,
    stac: str | None,
    dry_run: bool,
    model: str | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Turn each SCENE into a Cloud Optimized GeoTIFF and a Zarr store of classes.

    A SCENE is a path or URL, a quoted glob, @list.txt (one name a line), or a STAC document, which is one mosaic.
    """
    with importing():
        from geoseg.verbs.predict_scenes import jobs_of, predict_scenes

    asked = asked_of(options)
    advise_on_stop("the same command again continues")
    named = _scenes(scenes, mosaic=mosaic, quiet=quiet)
    beside = {"preview": preview, "report": report, "stac": stac}
    jobs = jobs_of(named, outputs=outputs, references=references, asset=asked["asset"], **beside)
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
