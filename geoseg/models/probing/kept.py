"""Probes that are kept in the user's cache: one per bundle, device, runtime and machine."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from geoseg.models.cache import cache_folder, cached_json, keep_json
from geoseg.models.probing.result import FORMAT, ProbeResult


def keep_probe(result: ProbeResult) -> Path | None:
    """Keeps a result; gives where, or None where it could not be kept."""
    name = _name(result.model_digest, device=result.device, runtime=result.runtime, machine=result.machine)
    return keep_json(name, result.to_json())


def place_of(result: ProbeResult) -> Path | None:
    """Where a result is kept, if it is; None where there is no cache."""
    folder = cache_folder()
    name = _name(result.model_digest, device=result.device, runtime=result.runtime, machine=result.machine)
    return None if folder is None else folder / name


def kept_probe(model_digest: str, *, device: str, runtime: str, machine: str) -> ProbeResult | None:
    """The result that was kept for exactly this; None where there is none."""
    return _read(_name(model_digest, device=device, runtime=runtime, machine=machine), model_digest)


def any_probe(model_digest: str) -> ProbeResult | None:
    """The newest result that tells halos, whatever machine, device or runtime it is of: seams are the model's."""
    folder = cache_folder()
    try:
        found = [] if folder is None else [*(folder / _folder(model_digest)).glob("*.json")]
        # names with a dot first are files that are being written
        aged = sorted(((p.stat().st_mtime_ns, p.name) for p in found if not p.name.startswith(".")), reverse=True)
    except OSError:
        return None
    results = (_read(f"{_folder(model_digest)}/{name}", model_digest) for _, name in aged)
    return next((r for r in results if r is not None and (r.seams or r.reach is not None)), None)


def _read(name: str, model_digest: str) -> ProbeResult | None:
    data = cached_json(name)
    if data is None:
        return None
    try:
        found = ProbeResult.from_json(data)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        return None
    return found if found.model_digest == model_digest else None


def _folder(model_digest: str) -> str:
    return f"probes/{model_digest[:32]}"


def _name(model_digest: str, *, device: str, runtime: str, machine: str) -> str:
    place = hashlib.sha256(machine.encode()).hexdigest()[:12]
    plain = re.sub(r"\W", "_", f"{device}-{runtime}")
    return f"{_folder(model_digest)}/{plain}-{place}-{FORMAT}.json"
