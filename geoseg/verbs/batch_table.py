"""The results table of a batch: one row per scene in an SQLite file, which survives whatever ends the batch.

Every change is one short transaction with a rollback journal (no WAL: it does not work on network file systems), so the
file is readable at any moment, also after SIGKILL.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geoseg
from geoseg.errors import OutputError
from geoseg.raster.atomic import output_errors
from geoseg.raster.local_folder import LocalFolder
from geoseg.raster.locks import hold
from geoseg.raster.urls import is_url
from geoseg.verbs.batch_row import JSON_COLUMNS, NAMES, TYPES, Row, State

TABLE_NAME = "geoseg-batch.sqlite"
"""Of the results table, in the output folder."""

_APPLICATION = 0x67656F73  # "geos", in the header of every table
_FORMAT = 1
_WAIT = 30.0  # seconds for a reader of the table to let go

_COLUMNS = ", ".join(NAMES)
_TYPED_COLUMNS = ", ".join(f"{name} {TYPES.get(name, 'TEXT')}" for name in NAMES)


def table_path(output: str | os.PathLike[str] | None, folder: Path) -> Path:
    """Where the results table goes unless it is named: into the output folder, or beside the manifest.

    Raises:
        OutputError: if the outputs are at a URL.
    """
    if output is None:
        return folder / TABLE_NAME
    if is_url(os.fspath(output)):
        raise OutputError(
            f"the results table is a local file, and {os.fspath(output)} is none: add --table FILE.sqlite"
        )
    return Path(output) / TABLE_NAME


class BatchTable:
    """The rows of a batch; see :func:`open_table`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def rows(self) -> dict[str, Row]:
        """All rows by scene: those of the manifest in its order, then the others."""
        with _table_errors(self.path):
            found = self._connection.execute(
                f"SELECT {_COLUMNS} FROM scenes ORDER BY place IS NULL, place, scene"  # noqa: S608 - constant
            ).fetchall()
        return {row.scene: row for row in map(_row, found)}

    def row(self, scene: str) -> Row:
        """The row of a scene that was listed."""
        with _table_errors(self.path):
            select = f"SELECT {_COLUMNS} FROM scenes WHERE scene = ?"  # noqa: S608 - constant
            return _row(self._connection.execute(select, (scene,)).fetchone())

    def list_scenes(self, scenes: Sequence[str]) -> None:
        """Takes a manifest over: new scenes wait, those that are not in it any more lose their place."""
        with self._change() as connection:
            connection.execute("UPDATE scenes SET place = NULL")
            connection.executemany(
                "INSERT INTO scenes (scene, place, state, attempts) VALUES (?, ?, 'waiting', 0)"
                " ON CONFLICT (scene) DO UPDATE SET place = excluded.place",
                [(scene, place) for place, scene in enumerate(scenes, start=1)],
            )

    def begin(self, scene: str, *, outputs: Sequence[str], reference: str | None, settings: Mapping[str, Any]) -> None:
        """An attempt begins. The digest of an earlier one with the same settings is kept: outputs may carry it."""
        with self._change() as connection:
            connection.execute(
                "UPDATE scenes SET attempts = attempts + 1, plan_digest = iif(settings = ?, plan_digest, NULL)"
                " WHERE scene = ?",
                (json.dumps(settings), scene),
            )
            _set(connection, scene, {
                "state": "running", "error": None, "outputs": outputs, "reference": reference, "settings": settings,
                "predicted_pixels": None, "seconds": None, "miou": None, "confusion": None, "started": _now(),
                "ended": None, "version": geoseg.__version__,
            })  # fmt: skip

    def planned(self, scene: str, *, plan_digest: str, pixels: int) -> None:
        """The attempt has a plan."""
        with self._change() as connection:
            _set(connection, scene, {"plan_digest": plan_digest, "pixels": pixels})

    def end(self, scene: str, state: State, **values: Any) -> Row:
        """An attempt has ended.

        Args:
            scene: the row.
            state: how it ended.
            **values: other columns.
        """
        with self._change() as connection:
            _set(connection, scene, {"state": state, "ended": _now(), **values})
        return self.row(scene)

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        with _table_errors(self.path), self._connection as connection:
            yield connection


@contextmanager
def open_table(path: Path) -> Iterator[BatchTable]:
    """The table at ``path``, made if it is not there, and this process's alone until the block is left.

    Raises:
        OutputLockedError: if another batch works on it.
        OutputError: if the file is no such table, or it cannot be written.
    """
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with hold([LocalFolder(path)]), _connected(path) as connection:
        yield BatchTable(path, connection)


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    connection = None
    try:
        with _table_errors(path):
            connection = sqlite3.connect(path, timeout=_WAIT)
            _set_up(connection, path)
        yield connection
    finally:
        if connection is not None:
            connection.close()


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    """Makes the table, or sees that it is ours."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if not tables and not application:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.executescript(
            f"BEGIN; CREATE TABLE scenes ({_TYPED_COLUMNS}) WITHOUT ROWID; PRAGMA application_id = {_APPLICATION};"
            f" PRAGMA user_version = {_FORMAT}; COMMIT;"
        )
    elif application != _APPLICATION:
        raise OutputError(f"{path} is a database, but no table of `geoseg batch`; name another --table")
    elif version != _FORMAT:
        raise OutputError(
            f"{path} is a table of format {version}, this geoseg writes {_FORMAT}; name another --table, or use the"
            " geoseg that made it"
        )


@contextmanager
def _table_errors(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into one line."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OutputError(f"cannot use the table {path}: {error}; name a --table on another disk") from error
    except sqlite3.DatabaseError as error:
        raise OutputError(f"{path} is no table of `geoseg batch` ({error}); name another --table") from error


def _set(connection: sqlite3.Connection, scene: str, values: Mapping[str, Any]) -> None:
    """Sets columns of one row, within a transaction."""
    assert set(values) <= set(NAMES)
    plain = [json.dumps(v) if k in JSON_COLUMNS and v is not None else v for k, v in values.items()]
    names = ", ".join(f"{name} = ?" for name in values)
    connection.execute(f"UPDATE scenes SET {names} WHERE scene = ?", (*plain, scene))  # noqa: S608 - own names


def _row(values: Sequence[Any]) -> Row:
    found = dict(zip(NAMES, values, strict=True))
    for name in JSON_COLUMNS:
        found[name] = None if found[name] is None else json.loads(found[name])
    found["outputs"] = tuple(found["outputs"] or ())
    if found["confusion"] is not None:
        found["confusion"] = tuple(tuple(row) for row in found["confusion"])
    return Row(**found)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
