"""The results table: transitions, one batch at a time, readable whatever happens."""

from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geoseg.errors import MissingExtraError, OutputError, OutputLockedError
from geoseg.verbs import batch_result
from geoseg.verbs.batch_result import export_rows, refuse_export
from geoseg.verbs.batch_table import NAMES, Row, open_table

_HAMMER = """
import sys
from pathlib import Path
from geoseg.verbs.batch_table import open_table
with open_table(Path(sys.argv[1])) as table:
    names = [f"scene {i}" for i in range(50)]
    table.list_scenes(names)
    print("on", flush=True)
    while True:
        for name in names:
            table.begin(name, outputs=["a.tif"], reference=None, settings={"model": "m" * 5000})
            table.planned(name, plan_digest="d", pixels=7)
            table.end(name, "done", confusion=[[1, 2], [3, 4]])
"""


def test_an_attempt_goes_from_waiting_to_done_and_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.sqlite"
    with open_table(path) as table:
        table.list_scenes(["b", "a"])
        assert table.rows() == {n: Row(scene=n, place=i) for i, n in enumerate("ba", 1)}
        table.begin("a", outputs=["a.tif"], reference="t.tif", settings={"model": "m"})
        running = table.row("a")
        assert (running.state, running.attempts, running.ended, running.plan_digest) == ("running", 1, None, None)
        table.planned("a", plan_digest="d", pixels=2**40)
        table.end("a", "done", seconds=2.0, predicted_pixels=2**39, miou=0.5, confusion=[[2**40, 0], [1, 2]])
    with open_table(path) as table:
        row = table.row("a")
        assert row.confusion == ((2**40, 0), (1, 2))
        assert row.rate == 2**38
        assert row.outputs == ("a.tif",)
        assert row.settings == {"model": "m"}
        assert row.started is not None
        assert row.ended is not None
        assert row.started <= row.ended
        assert table.row("b").state == "waiting"
        assert [p.name for p in path.parent.iterdir() if not p.name.startswith(".")] == ["table.sqlite"]


def test_the_digest_survives_a_new_attempt_with_the_same_settings_only(tmp_path: Path) -> None:
    with open_table(tmp_path / "table") as table:
        table.list_scenes(["a"])
        for model, kept in (("m", None), ("m", "d"), ("n", None)):
            table.begin("a", outputs=[], reference=None, settings={"model": model})
            assert table.row("a").plan_digest == kept
            table.planned("a", plan_digest="d", pixels=1)


def test_scenes_that_are_no_longer_listed_are_kept_without_a_place(tmp_path: Path) -> None:
    with open_table(tmp_path / "table") as table:
        table.list_scenes(["a", "b"])
        table.end("a", "done")
        table.list_scenes(["c", "b"])
        assert [(r.scene, r.place, r.state) for r in table.rows().values()] == [
            ("c", 1, "waiting"), ("b", 2, "waiting"), ("a", None, "done"),
        ]  # fmt: skip


def test_one_batch_at_a_time_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "table.sqlite"
    process = subprocess.Popen([sys.executable, "-c", _HAMMER, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        with (
            pytest.raises(OutputLockedError, match=rf"table\.sqlite is being written by process {process.pid} on"),
            open_table(path),
        ):
            pass
    finally:
        process.kill()
        process.communicate()
    with open_table(path):
        pass


def test_killed_at_any_moment_the_table_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "table.sqlite"
    for wait in (0.0, 0.01, 0.05, 0.1, 0.2):
        process = subprocess.Popen([sys.executable, "-c", _HAMMER, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        time.sleep(wait)
        process.kill()
        process.communicate()
        with open_table(path) as table:
            rows = table.rows()
        assert len(rows) == 50
        for row in rows.values():
            assert (row.confusion is not None) == (row.state == "done")
            assert (row.ended is None) == (row.state in ("running", "waiting"))
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()


def test_what_is_no_table_of_ours_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "text.sqlite"
    text.write_text("scene\n" * 1000)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE scenes (x)")
    newer = tmp_path / "newer.sqlite"
    with open_table(newer):
        pass
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    for path, words in ((text, "no table"), (other, "no table"), (newer, "format 99"), (tmp_path, "cannot use")):
        before = path.read_bytes() if path.is_file() else b""
        with pytest.raises(OutputError, match=words) as caught, open_table(path):
            pass
        assert "--table" in str(caught.value)
        assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with open_table(tmp_path / "table") as table:
        table._connection.execute("PRAGMA max_page_count = 3")
        with pytest.raises(OutputError, match="cannot use the table"):
            table.list_scenes([f"{i}" * 500 for i in range(500)])
        assert table.rows() == {}


def test_exports_hold_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [
        Row(scene="ä, b.tif", place=1, state="done", confusion=((2**40, 1), (0, 3)), pixels=2**40, miou=0.25),
        Row(scene="c.tif", place=None, error='said "no"', state="failed"),
    ]
    for name in ("rows.csv", "rows.parquet"):
        refuse_export(tmp_path / name)
        export_rows(rows, tmp_path / name)
    with (tmp_path / "rows.csv").open(newline="", encoding="utf-8") as stream:
        read = list(csv.DictReader(stream))
    table = parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    assert tuple(read[0]) == tuple(table[0]) == NAMES
    assert read[0]["scene"] == table[0]["scene"] == "ä, b.tif"
    assert json.loads(read[0]["confusion"]) == json.loads(table[0]["confusion"]) == [[2**40, 1], [0, 3]]
    assert (read[1]["place"], table[1]["place"], table[0]["pixels"], table[0]["miou"]) == ("", None, 2**40, 0.25)
    assert read[1]["error"] == table[1]["error"] == 'said "no"'
    with pytest.raises(OutputError, match=r"\.csv or \.parquet"):
        refuse_export(tmp_path / "rows.xlsx")
    monkeypatch.setattr(batch_result, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"geoseg\[parquet\]"):
        refuse_export(tmp_path / "rows.parquet")
