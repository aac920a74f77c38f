"""What a batch does with each scene, decided before any work from the table and from what lies at its outputs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from geoseg.errors import OutputError, OutputExistsError, PlanError
from geoseg.verbs.batch_manifest import Entry, Kind
from geoseg.verbs.batch_row import Row
from geoseg.verbs.batch_standing import Standing, is_newer, standing_of, unfinished_stamp
from geoseg.verbs.options import FREE, RunOptions

Action = Literal["keep", "run", "adopt", "skip"]
"""``adopt``: the batch was killed after the outputs were in place and before the table said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is done with one scene."""

    entry: Entry
    outputs: tuple[str, ...]
    settings: Mapping[str, Any]
    action: Action
    overwrite: bool = False
    """Outputs may be replaced: the user says so, or they are this row's own."""
    retry: bool = False
    """The scene failed before."""
    changed: bool = False
    """It was begun with other settings."""


def settings_of(options: RunOptions, *, model_digest: str) -> dict[str, Any]:
    """The model and those options that differ from their defaults and decide what the outputs hold."""
    default = {f.name: f.default for f in fields(options)}
    asked = {k: v for k, v in asdict(options).items() if k not in FREE | {"threads"} and v != default[k]}
    found: dict[str, Any] = json.loads(json.dumps({"model": model_digest, **asked}, default=str))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a batch is asked for, of every scene."""

    kinds: tuple[Kind, ...]
    settings: Mapping[str, Any]
    options: RunOptions
    retry_failed: bool


def decide(entries: Sequence[Entry], rows: Mapping[str, Row], asked: Asked) -> tuple[list[Step], list[str]]:
    """The steps of a batch, in the manifest's order, and notes.

    Raises:
        PlanError: if scenes were done or begun with other settings, and nothing says that they may be done anew.
        OutputExistsError: if another run has replaced the outputs of a scene that is done.
    """
    found = _Findings()
    steps = [_step(e, rows.get(e.scene) or Row(scene=e.scene, place=None), asked, found) for e in entries]
    found.refuse()
    return steps, found.notes(overwrite=asked.options.overwrite)


@dataclass(frozen=True, slots=True)
class _Findings:
    """Scenes about which there is something to say."""

    done_otherwise: list[str] = field(default_factory=list)
    begun_otherwise: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    newer: list[str] = field(default_factory=list)

    def refuse(self) -> None:
        """Refuses what may not be."""
        if self.done_otherwise:
            raise PlanError(
                f"{len(self.done_otherwise)} scenes are done with other settings ({self.done_otherwise[0]}): give those"
                " again, --overwrite to do the scenes anew, or another --table"
            )
        if self.begun_otherwise:
            raise PlanError(
                f"{len(self.begun_otherwise)} scenes are begun with other settings ({self.begun_otherwise[0]}): give"
                " those again to continue, or --restart to drop what is begun"
            )
        if self.foreign:
            raise OutputExistsError(
                f"outputs of {len(self.foreign)} scenes that are done were replaced by another run, first"
                f" {self.foreign[0]}; --overwrite does the scenes anew"
            )

    def notes(self, *, overwrite: bool) -> list[str]:
        """What a user should know."""
        notes = []
        if self.gone:
            notes.append(
                f"{len(self.gone)} scenes were done and their outputs are gone, first {self.gone[0]}: done again"
            )
        if self.newer:
            what = "done anew" if overwrite else "left alone; --overwrite does them anew"
            notes.append(
                f"{len(self.newer)} scenes were changed after their maps were made, first {self.newer[0]}: {what}"
            )
        return notes


def _step(entry: Entry, row: Row, asked: Asked, found: _Findings) -> Step:
    """What is done with one scene."""
    outputs = entry.targets(asked.kinds)
    standing = [standing_of(target, row.plan_digest) for target in outputs]
    difference = _difference(row, asked.settings, outputs=outputs, reference=entry.reference)
    options = asked.options
    action: Action = "run"
    if row.state == "failed":
        action = "run" if asked.retry_failed else "keep"
    elif row.state == "done":
        if difference and not options.overwrite:
            found.done_otherwise.append(f"{difference}, {entry.scene}")
        elif not difference:
            action = _of_done(entry, row, dict(zip(outputs, standing, strict=True)), options, found)
    elif row.state == "running":
        if difference and not (options.restart or options.overwrite):
            found.begun_otherwise.append(f"{difference}, {entry.scene}")
        elif not difference and _all_own(standing) and unfinished_stamp(outputs, asked.kinds) is None:
            action = "adopt"
    elif "absent" not in standing and not options.overwrite:
        action = "skip"
    return Step(
        entry=entry,
        outputs=outputs,
        settings=asked.settings,
        action=action,
        overwrite=options.overwrite or ("own" in standing and "foreign" not in standing),
        retry=row.state == "failed",
        changed=bool(difference),
    )


def _of_done(entry: Entry, row: Row, standing: Mapping[str, Standing], options: RunOptions, found: _Findings) -> Action:
    """What is done with a scene that is done, with the settings asked for."""
    foreign = [target for target, what in standing.items() if what == "foreign"]
    if foreign and not options.overwrite:
        found.foreign.append(foreign[0])
    elif "absent" in standing.values():
        found.gone.append(entry.scene)
    elif not foreign and is_newer(entry.scene, row):
        found.newer.append(entry.scene)
        return "run" if options.overwrite else "keep"
    return "keep" if _all_own(standing.values()) else "run"


def _all_own(standing: Iterable[Standing]) -> bool:
    return all(what == "own" for what in standing)


def refuse_kinds(kinds: Sequence[str], *, known: Sequence[str], options: RunOptions) -> None:
    """Refuses what cannot be written, for all scenes at once.

    Raises:
        OutputError: for an unknown kind, none at all, or layers without a store to hold them.
    """
    unknown = [kind for kind in kinds if kind not in known]
    if unknown:
        raise OutputError(f"outputs {', '.join(unknown)}: there are {', '.join(known)}")
    if not {"cog", "zarr"} & set(kinds):
        raise OutputError(f"outputs {', '.join(kinds) or 'none'}: add cog or zarr")
    if "zarr" not in kinds and (options.confidence or options.probabilities):
        raise OutputError("confidence and probabilities are layers of the Zarr store: add zarr to the outputs")


def _difference(row: Row, settings: Mapping[str, Any], *, outputs: Sequence[str], reference: str | None) -> str:
    """Names what a row was done with and what is asked now, where they differ; empty where they do not."""
    old = {**(row.settings or {}), "outputs": list(row.outputs), "reference": row.reference}
    new = {**settings, "outputs": list(outputs), "reference": reference}
    names = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
    return ", ".join(f"{name} {_short(old.get(name))} -> {_short(new.get(name))}" for name in names)


def _short(value: Any) -> str:
    if value is None:
        return "default"
    text = ",".join(Path(str(v)).name for v in value) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:12]}..."
