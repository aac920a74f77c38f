"""geoseg turns gigapixel aerial rasters into georeferenced class maps.

The public verbs are those of the command line. They load what they need when they are first used, so that
``import geoseg`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from geoseg.version import __version__

if TYPE_CHECKING:
    from geoseg.models.bundle import open_bundle
    from geoseg.verbs.assess_design import assess_design
    from geoseg.verbs.assess_estimate import assess_estimate
    from geoseg.verbs.batch import batch
    from geoseg.verbs.calibrate import calibrate
    from geoseg.verbs.evaluate import evaluate
    from geoseg.verbs.evaluate_objects import evaluate_objects
    from geoseg.verbs.export import export
    from geoseg.verbs.plan import plan
    from geoseg.verbs.predict import predict
    from geoseg.verbs.predict_array import predict_array
    from geoseg.verbs.predict_lazy import predict_lazy
    from geoseg.verbs.report import report
    from geoseg.verbs.synth import synth
    from geoseg.verbs.train import train

__all__ = [
    "__version__",
    "assess_design",
    "assess_estimate",
    "batch",
    "calibrate",
    "evaluate",
    "evaluate_objects",
    "export",
    "open_bundle",
    "plan",
    "predict",
    "predict_array",
    "predict_lazy",
    "report",
    "synth",
    "train",
]

_HOMES = {
    "assess_design": "geoseg.verbs.assess_design",
    "assess_estimate": "geoseg.verbs.assess_estimate",
    "batch": "geoseg.verbs.batch",
    "calibrate": "geoseg.verbs.calibrate",
    "evaluate": "geoseg.verbs.evaluate",
    "export": "geoseg.verbs.export",
    "evaluate_objects": "geoseg.verbs.evaluate_objects",
    "open_bundle": "geoseg.models.bundle",
    "plan": "geoseg.verbs.plan",
    "predict": "geoseg.verbs.predict",
    "predict_array": "geoseg.verbs.predict_array",
    "predict_lazy": "geoseg.verbs.predict_lazy",
    "report": "geoseg.verbs.report",
    "synth": "geoseg.verbs.synth",
    "train": "geoseg.verbs.train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'geoseg' has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
