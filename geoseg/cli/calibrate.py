"""``geoseg calibrate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from geoseg.choices import CALIBRATION_PARTS
from geoseg.cli.options import PRINTING, READING, RUNNING, examples, with_options
from geoseg.cli.params import FILE, Sizes
from geoseg.cli.report import print_json, print_rows, say
from geoseg.errors import PlanError

if TYPE_CHECKING:
    from geoseg.contexts.calibration import CalibratedContext


@click.command(
    short_help="Measure a model's patch sizes on held-out scenes.",
    epilog=examples(
        "geoseg calibrate my.safetensors --scene held_out.tif --reference held_out_labels.tif",
        "geoseg calibrate my.safetensors -s a.tif -r a_labels.tif -s b.tif -r b_labels.tif --sizes 256,512,1024",
    ),
)
@click.argument("model", type=FILE, metavar="BUNDLE")
@click.option(
    "--scene", "-s", "scenes", type=FILE, multiple=True, required=True, metavar="SCENE", help="Held-out; repeatable."
)
@click.option(
    "--reference",
    "-r",
    "references",
    type=FILE,
    multiple=True,
    required=True,
    metavar="TRUTH",
    help="One per scene, in order.",
)
@click.option("--sizes", type=Sizes(), default="auto", help="Patch sizes, e.g. 256,512,1024; auto: by the training's.")
@click.option(
    "--fit",
    type=click.Choice(CALIBRATION_PARTS),
    default="both",
    show_default=True,
    help="contexts: mIoU and speed by patch size. temperature: honest confidence.",
)
@click.option("--output", "-o", type=FILE, metavar="BUNDLE", help="Write here instead of into BUNDLE itself.")
@with_options(*READING, *RUNNING, *PRINTING)
def calibrate(
    model: str,
    *,
    scenes: tuple[str, ...],
    references: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    debug: bool,  # noqa: ARG001 - main() sees to it
    **options: Any,
) -> None:
    """Measure mIoU, accuracy and speed of BUNDLE at each patch size on held-out scenes; write them into its card.

    `geoseg predict --patch-size auto` then takes the best, and --contexts the best few. The temperature that fits the
    scenes best makes --confidence and --probabilities honest; it changes no class.
    """
    from geoseg.verbs.calibrate import calibrate as run
    from geoseg.verbs.calibrate import calibration_rows, temperature_line

    if len(scenes) != len(references):
        raise PlanError(f"{len(scenes)} scenes and {len(references)} references: give one --reference per --scene")

    def show(row: CalibratedContext) -> None:
        say(f"{row.size} px  mIoU {row.miou:.4f}  {row.seconds_per_megapixel:.3f} s / Mpx", quiet=quiet)

    found = run(
        model,
        scenes=list(zip(scenes, references, strict=True)),
        on_size=lambda size: say(f"measuring {size} px", quiet=quiet),
        on_row=show,
        **options,
    )
    for note in found.notes:
        say(f"note  {note}", quiet=quiet)
    if found.calibration is not None and options["fit"] != "temperature":
        print_rows(calibration_rows(found.calibration), header=True, quiet=quiet)
    if found.temperature is not None:
        say(temperature_line(found.temperature), quiet=quiet)
    say(f"wrote  {found.bundle.path}", quiet=quiet)
    if as_json:
        print_json(
            {
                "bundle": str(found.bundle.path),
                "calibration": None if found.calibration is None else found.calibration.to_json(),
                "temperature": found.bundle.card.temperature,
                "temperature_fit": None if found.temperature is None else found.temperature.to_json(),
            }
        )
