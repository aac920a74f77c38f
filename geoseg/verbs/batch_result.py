"""What became of a batch: rows, totals over all scenes, and the table as CSV or Parquet for others."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from geoseg.errors import MissingExtraError, OutputError
from geoseg.legend import Legend
from geoseg.raster.atomic import output_errors, part_path, put_in_place
from geoseg.verbs.batch_row import JSON_COLUMNS, NAMES, TYPES, Row

_SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchResult:
    """What a batch left in its table."""

    table: Path
    rows: tuple[Row, ...]
    """Of the manifest's scenes, in its order."""
    kept: tuple[Row, ...]
    """Of scenes that are not in the manifest any more."""
    metrics: dict[str, Any] | None
    """Scores of the summed confusion counts, as ``metrics.summarise`` gives them; None without any reference."""
    seconds: float
    """Wall time of this run."""
    notes: tuple[str, ...]

    @property
    def failed(self) -> tuple[Row, ...]:
        """Rows of the scenes that failed."""
        return tuple(row for row in self.rows if row.state == "failed")

    @property
    def totals(self) -> dict[str, Any]:
        """Sums over the scenes."""
        states = Counter(row.state for row in self.rows)
        return {
            "scenes": len(self.rows),
            **{state: states[state] for state in ("done", "failed", "skipped", "running", "waiting")},
            "pixels": sum(row.pixels or 0 for row in self.rows if row.state == "done"),
            "seconds": sum(row.seconds or 0.0 for row in self.rows if row.state == "done"),
            "miou": None if self.metrics is None else self.metrics["miou"],
        }

    def to_json(self) -> dict[str, Any]:
        """The summary that ``batch --json`` prints."""
        return {
            "table": str(self.table),
            "scenes": [row.to_json() for row in self.rows],
            "kept": [row.to_json() for row in self.kept],
            "totals": self.totals,
            "metrics": self.metrics,
            "seconds": self.seconds,
            "notes": list(self.notes),
        }

    def table_rows(self) -> list[tuple[str, ...]]:
        """A table of text: a heading, the scenes, the sum."""
        totals = self.totals
        found: list[tuple[str, ...]] = [("scene", "state", "Mpx", "Mpx/s", "mIoU")]
        found += [
            (row.scene, row.state, _number(row.pixels, 1e6, 2), _number(row.rate, 1e6, 2), _number(row.miou, 1, 4))
            for row in self.rows
        ]
        rate = sum(row.predicted_pixels or 0 for row in self.rows) / totals["seconds"] if totals["seconds"] else None
        found.append(
            (
                f"all {totals['scenes']}",
                f"{totals['done']} done, {totals['failed']} failed",
                _number(totals["pixels"], 1e6, 2),
                _number(rate, 1e6, 2),
                _number(totals["miou"], 1, 4),
            )
        )
        return found


def sum_metrics(rows: Sequence[Row], legend: Legend) -> dict[str, Any] | None:
    """Scores of the confusion counts of all scenes added up, exactly; None if no scene has any."""
    import numpy as np

    from geoseg.evaluation.confusion import Counts
    from geoseg.evaluation.metrics import summarise

    tables = [np.array(row.confusion, np.int64) for row in rows if row.state == "done" and row.confusion is not None]
    if not tables:
        return None
    counts = Counts(
        confusion=np.sum(tables, axis=0, dtype=np.int64), unpredicted=np.zeros(len(legend), np.int64), unlabelled=0
    )
    found = summarise(counts, legend)
    for name in ("unpredicted_pixels", "unlabelled_pixels"):  # they stand in the scenes' own outputs
        del found[name]
    return found


def refuse_export(path: Path) -> None:
    """Refuses an export that could not be written at the end, before any work.

    Raises:
        OutputError: for another suffix than .csv and .parquet.
        MissingExtraError: for Parquet without pyarrow.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise OutputError(f"cannot tell how to write the table to {path}: it must end in .csv or .parquet")
    if path.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise MissingExtraError(f"{path}: Parquet needs pyarrow: pip install 'geoseg[parquet]', or export a .csv")


def export_rows(rows: Sequence[Row], path: Path) -> None:
    """Writes rows to a CSV or Parquet file, whole or not at all; lists in them are JSON.

    Raises:
        OutputError: if it cannot be written.
    """
    plain = [
        {k: json.dumps(v) if k in JSON_COLUMNS and v is not None else v for k, v in row.to_json().items()}
        for row in rows
    ]
    part = part_path(path)
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".csv":
            with part.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, NAMES)
                writer.writeheader()
                writer.writerows(plain)
        else:
            _write_parquet(plain, part)
    put_in_place(part, path)


def _write_parquet(rows: Sequence[dict[str, Any]], path: Path) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    kinds = {"INTEGER": pa.int64(), "REAL": pa.float64(), "TEXT": pa.string()}
    schema = pa.schema([(name, kinds[TYPES.get(name, "TEXT").split()[0]]) for name in NAMES])
    write_table(pa.Table.from_pylist(list(rows), schema=schema), path)


def _number(value: float | None, unit: float, digits: int) -> str:
    return "-" if value is None else f"{value / unit:.{digits}f}"
