"""What lies where a run's results go: what may not be replaced, what an earlier run left, and the outputs' locks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from geoseg.errors import OutputError, OutputExistsError
from geoseg.raster.atomic import part_path, refuse_existing, refuse_unwritable
from geoseg.raster.local_folder import LocalFolder
from geoseg.raster.locks import Locks, hold, holder_of, refuse_held
from geoseg.raster.places import is_claimed, refuse_strangers, was_created
from geoseg.verbs.digests import UNSIGNED, carries, is_own
from geoseg.verbs.outputs import Outputs


def refuse_outputs(outputs: Outputs, *, scene: str, overwrite: bool, plan_digest: str | None = None) -> None:
    """Refuses what may not be replaced; before anything is computed, and without changing anything.

    Args:
        outputs: the files of the run.
        scene: never overwritten by its own result.
        overwrite: existing outputs may be replaced.
        plan_digest: of the run of which something was left. An output that carries it is this run's own: it was
            stopped between two renames. A quick look, style, report, STAC item, FlatGeobuf or GeoJSON carries nothing
            and counts as its own.

    Raises:
        OutputExistsError: if an output exists.
        OutputError: if an output is the scene, a store that is not geoseg's, or in a folder that cannot be written.
    """
    for path in outputs.paths:
        if (path == scene) if isinstance(path, str) else path.resolve() == Path(scene).resolve():
            raise OutputError(f"the output {path} is the scene itself; name another")
        if isinstance(path, Path):
            refuse_unwritable(path)
    for path in (p for p in outputs.files if p not in outputs.styles):
        own = plan_digest is not None and (path.suffix.lower() in UNSIGNED or carries(path, plan_digest))
        refuse_existing(path, overwrite=overwrite or own)
    store = outputs.store
    if store is None or (plan_digest is not None and (outputs.part.finishing() or is_own(store, plan_digest))):
        return
    if not overwrite and store.exists():
        raise OutputExistsError(f"{store} is there already; --overwrite replaces it")
    refuse_strangers(store)


def refuse_busy(outputs: Outputs) -> None:
    """Refuses outputs that another run is writing; before any work, and without changing anything.

    Raises:
        OutputLockedError: naming the process.
    """
    for place in outputs.places:
        refuse_held(place)


def is_finished(outputs: Outputs, *, plan_digest: str) -> bool:
    """True if all outputs are in place, by the hand of the run that was stopped: there is only tidying up to do."""
    store, part = outputs.store, outputs.part
    if was_created(part) and (store is None or not part.is_published(store, digest=plan_digest)):
        return False
    if store is not None and not is_own(store, plan_digest):
        return False
    signed = [path for path in outputs.files if path.suffix.lower() not in UNSIGNED]
    if not signed and store is None:
        return False  # nothing tells whose they are
    return all(path.is_file() for path in outputs.files) and all(carries(path, plan_digest) for path in signed)


def is_begun(outputs: Outputs) -> bool:
    """True if an earlier run of these outputs was stopped: it left its unfinished store, a lock, or rubbish."""
    part = outputs.part
    if is_claimed(part) or part.leftovers():
        return True
    return any(place.leftovers() or holder_of(place) is not None for place in outputs.places)


def left_record(outputs: Outputs) -> dict[str, Any] | None:
    """What a run that was stopped wrote into its locks of what it went by; None if it left no lock, or got not so far.

    A lock is the last thing that a run lets go of: it is there when everything else is in place already.
    """
    for place in outputs.places:
        holder = holder_of(place)
        if holder is not None and holder.run is not None:
            return holder.run
    return None


@contextmanager
def held(outputs: Outputs) -> Iterator[Locks]:
    """Holds the outputs' locks; makes their folders, and tidies up what a killed run left of a replacement.

    Raises:
        OutputLockedError: if another run is writing one of them.
        OutputError: if a folder is missing and cannot be made, or cannot be written to.
    """
    for place in outputs.places:
        with place.errors():
            place.make_folder()
    with hold(outputs.places) as locks:
        for place in (*outputs.places, outputs.part):
            with place.errors():
                place.tidy()
        for path in outputs.files:
            _probe(path)
        yield locks


def _probe(path: Path) -> None:
    """A file beside an output: a folder may take a lock and no more (another quota, a directory in the way)."""
    with LocalFolder(path).errors():
        probe = part_path(path, suffix=".probe")
        probe.touch()
        probe.unlink()
