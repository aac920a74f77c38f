"""``geoseg assess``: how accurate a map is, and how large its classes are, from a sample that people interpreted."""

from __future__ import annotations

from typing import Any

import click

from geoseg.choices import ALLOCATIONS, AREA_UNITS, UNIT_SHAPES
from geoseg.cli.options import PRINTING, examples, with_options
from geoseg.cli.params import FILE, ClassShares
from geoseg.cli.report import print_json, print_rows, say


@click.group(
    short_help="Accuracy and areas from an interpreted sample.",
    epilog=examples(
        "geoseg assess design map.tif sample.gpkg     # draw pixels of each class; fill in the column `reference`",
        "geoseg assess estimate sample.gpkg           # accuracy and area of each class",
    ),
)
def assess() -> None:
    """Accuracy and areas with 95 % confidence intervals, as good practice asks (Olofsson et al. 2014)."""


@assess.command(
    epilog=examples(
        "geoseg assess design map.tif sample.gpkg",
        "geoseg assess design map.tif sample.gpkg --target-se 0.01 --expect road=0.6,0.85",
    )
)
@click.argument("classes", type=FILE)
@click.argument("sample", type=FILE)
@click.option("--size", type=click.IntRange(1), metavar="N", help="Units in all; default: by --target-se.")
@click.option(
    "--target-se", type=float, default=0.02, show_default=True, help="Wanted standard error of the overall accuracy."
)
@click.option(
    "--min-per-class", "minimum", type=click.IntRange(0), default=50, show_default=True, help="Units of each class."
)
@click.option("--allocation", type=click.Choice(ALLOCATIONS), default="proportional", show_default=True)
@click.option(
    "--expect",
    type=ClassShares(),
    default="0.8",
    show_default=True,
    help="User's accuracies you expect: 0.8, or road=0.7,water=0.95,0.8.",
)
@click.option("--as", "shape", type=click.Choice(UNIT_SHAPES), default="points", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--model", "-m", "legend", type=FILE, metavar="BUNDLE|JSON", help="Legend, where the map carries none.")
@click.option("--overwrite", is_flag=True, help="Replace an existing sample.")
@with_options(*PRINTING)
def design(
    classes: str,
    sample: str,
    *,
    expect: tuple[float | None, dict[str, float]],
    quiet: bool,
    as_json: bool,
    debug: bool,  # noqa: ARG001 - main() sees to it
    **options: Any,
) -> None:
    """Draw a stratified random sample of the pixels of CLASSES (.tif or .zarr) into SAMPLE (.gpkg).

    Look at each unit in a better source and write its true class, id or name, into the column `reference`.
    """
    from geoseg.verbs.assess_design import assess_design, design_rows

    everywhere, by_name = expect
    found = assess_design(
        classes, sample, expected=0.8 if everywhere is None else everywhere, expected_of=by_name, **options
    )
    for note in found.notes:
        say(f"note  {note}", quiet=quiet)
    print_rows(design_rows(found), header=True, quiet=quiet)
    say(f"wrote  {found.sample}", quiet=quiet)
    if as_json:
        print_json(found.to_json())


@assess.command(
    epilog=examples("geoseg assess estimate sample.gpkg", "geoseg assess estimate sample.gpkg --unit km2 --json")
)
@click.argument("sample", type=FILE)
@click.option("--strata", type=FILE, metavar="GPKG", help="The file that holds the strata, where SAMPLE lost them.")
@click.option("--unit", type=click.Choice(AREA_UNITS), default="ha", show_default=True, help="Of areas.")
@click.option("--skip-unfilled", is_flag=True, help="Leave out units without a reference.")
@with_options(*PRINTING)
def estimate(
    sample: str,
    *,
    quiet: bool,
    as_json: bool,
    debug: bool,  # noqa: ARG001 - main() sees to it
    **options: Any,
) -> None:
    """Estimate accuracies and areas from an interpreted SAMPLE; ± is half of a 95 % confidence interval."""
    from geoseg.verbs.assess_estimate import assess_estimate, estimate_rows

    found = assess_estimate(sample, **options)
    for note in found.notes:
        say(f"note  {note}", quiet=quiet)
    print_rows(estimate_rows(found), header=True, quiet=quiet or as_json, result=True)
    if as_json:
        print_json(found.to_json())
