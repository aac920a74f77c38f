"""The command of a report, given again, asks for the same run."""

from __future__ import annotations

import math
import shlex
from dataclasses import asdict
from typing import Any

import click
import pytest

from geoseg.cli.main import cli
from geoseg.cli.options import asked_of
from geoseg.models.bundle import open_bundle
from geoseg.models.source import from_bundle
from geoseg.reporting.command import command_of
from geoseg.verbs.options import RunOptions
from geoseg.verbs.records import run_attributes

OPTIONS: list[dict[str, Any]] = [
    {},
    {"patch_size": 256, "exact": True, "overlap": 64, "tile": 512, "batch_size": 3, "threads": 2},
    {"contexts": 3, "fuse": "equal"},
    {"contexts": "adaptive", "budget": 1.25},
    {"confidence": True, "probabilities": True, "zarr_format": 2, "stitch": "hann", "compress": "zstd"},
    {"bidx": (4, 3, 2), "nodata": 0.0, "resolution": "native", "device": "cpu", "runtime": "eager"},
    {"nodata": math.nan, "dst_crs": "EPSG:32633", "aoi": "my fields.gpkg", "aoi_layer": "a b"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: " ".join(o) or "none")
def test_the_command_asks_for_the_same(options: dict[str, Any]) -> None:
    wanted = RunOptions(**options)
    record = run_attributes(from_bundle(open_bundle(None)), wanted, scene="a 'scene'.tif")["geoseg_run"]
    words = shlex.split(command_of(record, output="my map.zarr").replace("\\\n", " "))
    assert words[:2] == ["geoseg", "predict"]
    with click.Context(cli) as context:
        command = cli.get_command(context, "predict")
        assert command is not None
        given = command.make_context("predict", words[2:]).params
    assert given.pop("scenes") == ("a 'scene'.tif",)
    assert given.pop("outputs") == ("my map.zarr",)
    assert given.pop("model") is None
    for name in ("mosaic", "references", "preview", "report", "stac", "dry_run", "quiet", "as_json", "debug"):
        given.pop(name, None)
    found = RunOptions(**asked_of(given))
    assert _plain(found) == _plain(wanted)


def test_a_mosaic_is_one_scene() -> None:
    assert command_of({"scene": ["a.tif", "b c.tif"]}, output="m.zarr").split(" \\\n") == [
        "geoseg predict --mosaic a.tif 'b c.tif'",
        "  -o m.zarr",
    ]


def _plain(options: RunOptions) -> dict[str, str]:
    return {name: str(list(v) if isinstance(v, tuple) else v) for name, v in asdict(options).items()}
