"""The blocks of docs/evaluation.md run as they stand, in one folder, one after the other."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
from click.testing import CliRunner

from geoseg.cli.main import cli

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "evaluation.md"
BLOCKS = re.findall(r"^```(console|python)\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.slow
def test_every_block_runs(tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    boxes = np.array([shapely.box(0, 0, 5, 5), shapely.box(9, 0, 12, 5)], object)
    for name in ("buildings.gpkg", "footprints.gpkg"):
        pyogrio.raw.write(name, shapely.to_wkb(boxes), [np.arange(2)], ["n"], geometry_type="Polygon", crs="EPSG:32633")
    ran = []
    for kind, text in BLOCKS:
        if kind == "python":
            subprocess.run([sys.executable, "-c", text], check=True, cwd=tmp_path)
            continue
        for line in text.strip().splitlines():
            words = shlex.split(line.replace("MODEL", str(tiny_bundle)))
            assert words[0] == "geoseg"
            found = CliRunner().invoke(cli, words[1:])
            assert found.exit_code == 0, f"{line}: {found.output}"
            ran.append(line)
    assert len(ran) >= 14
    told = CliRunner().invoke(cli, ["assess", "estimate", "sample.gpkg"]).stdout
    assert "overall accuracy" in told
