"""The rows of the peers' table: what is run, with which options, and what came of it."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from environments import HERE, Head, environment, read_head
from measured import Measured

FIRST = ("with_monai", "with_geodeep", "with_toolbelt", "with_terratorch")
"""The peers that are run if none is named; the others take longer or seldom matter."""

OURS = {
    "defaults": (),
    "--runtime eager": ("--runtime", "eager"),
    "--runtime openvino": ("--runtime", "openvino"),
    "--runtime compile": ("--runtime", "compile"),
    "512 px, 25 %": ("--patch-size", "512", "--exact", "--overlap", "128"),
}
"""geoseg's rows: the settings as printed, and the options."""

THEIRS = {
    "usual": (),
    "512 px, 25 %": ("--patch", "512", "--overlap", "0.25"),
    "512 px, 25 %, channels last": ("--patch", "512", "--overlap", "0.25", "--channels-last"),
}
"""A peer's rows. The last is none of its own doing: it tells how much of a lead is the order of the weights."""

GEOSEG = (sys.executable, "-c", "from geoseg.cli import main; main()")


@dataclass(slots=True, kw_only=True, eq=False)
class Row:
    """One row, and the runs it has had."""

    system: str
    settings: str
    options: tuple[str, ...]
    head: Head | None = None
    """What the peer's script says of itself; None for geoseg."""
    script: Path | None = None
    python: Path | None = None
    runs: list[Measured] = field(default_factory=list)
    first_seconds: float | None = None
    """Of the run that filled caches, on a small scene."""
    disagreement: float | None = None
    """Share of pixels whose class differs from full-frame inference."""
    failure: str | None = None
    """Why it was given up."""

    @property
    def name(self) -> str:
        """For progress and file names."""
        return f"{self.system} ({self.settings})"

    def command(self, scene: Path, *, weights: Path, out: Path) -> list[str]:
        """The process that is measured."""
        if self.script is None:
            return [
                *GEOSEG, "predict", str(scene), "-m", str(weights), "-o", str(out), "--resolution", "native", "-q",
                "--overwrite", "--restart", *self.options,
            ]  # fmt: skip
        return [str(self.python), str(self.script), *self._asked(scene, weights=weights, out=out)]

    def preparation(self, scene: Path, *, weights: Path, out: Path) -> list[str] | None:
        """The process that comes before and is not measured; None if there is none."""
        if self.head is None or self.head.prepare is None:
            return None
        return [str(self.python), str(HERE / self.head.prepare), *self._asked(scene, weights=weights, out=out)]

    def _asked(self, scene: Path, *, weights: Path, out: Path) -> list[str]:
        return ["--scene", str(scene), "--weights", str(weights), "--out", str(out), *self.options]


def make_rows(peers: Sequence[str], *, ours: Sequence[str], theirs: Sequence[str]) -> list[Row]:
    """Rows of geoseg and those of the peers named (``with_monai``); environments are not made yet."""
    rows = [Row(system="geoseg", settings=name, options=OURS[name]) for name in ours]
    for peer in peers:
        script = HERE / f"{peer}.py"
        head = read_head(script)
        for name in theirs:
            options = THEIRS[name]
            if "--channels-last" in options and head.prepare is not None:
                continue  # ONNX Runtime orders weights as it likes
            rows.append(Row(system=head.name, settings=name, options=options, head=head, script=script))
    return rows


def equip(rows: Sequence[Row]) -> None:
    """Makes the environments that rows need; a row without one is given up with the reason."""
    for row in rows:
        if row.script is not None:
            try:
                row.python = environment(row.script)
            except (OSError, ValueError) as error:  # PeerError is a ValueError
                row.failure = str(error)


def table_rows(rows: Sequence[Row]) -> list[list[str]]:
    """The table's cells: medians, and medians of the rounds' ratios to the first row, which is geoseg's default."""
    base = rows[0]
    cells = []
    for row in rows:
        if row.failure is not None or not row.runs:
            continue
        cells.append(
            [
                row.system,
                row.settings,
                str(len(row.runs)),
                f"{statistics.median(run.seconds for run in row.runs):.1f}",
                _ratio(row, base, "seconds"),
                f"{statistics.median(run.cpu_seconds for run in row.runs):.1f}",
                _ratio(row, base, "cpu_seconds"),
                f"{statistics.median(run.peak_bytes for run in row.runs) / 1e9:.2f}",
                _ratio(row, base, "peak_bytes"),
                "?" if row.disagreement is None else f"{row.disagreement:.3%}",
            ]
        )
    return cells


HEADER = [
    "system",
    "settings",
    "rounds",
    "wall s",
    "× geoseg",
    "CPU s",
    "× geoseg",
    "peak GB",
    "× geoseg",
    "other class",
]


def _ratio(row: Row, base: Row, what: str) -> str:
    """Median over rounds of a row's figure over geoseg's in the same round."""
    pairs = zip(row.runs, base.runs, strict=False)
    ratios = [getattr(run, what) / getattr(ours, what) for run, ours in pairs]
    return f"{statistics.median(ratios):.2f}" if ratios else "?"
