"""Runtimes: what turns a batch of stored pixels into logits. One file each, behind one protocol; nothing heavy here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geoseg.choices import PlannedPrecision, PlannedRuntime
from geoseg.errors import MissingExtraError, PlanError
from geoseg.models.runtimes.availability import available

if TYPE_CHECKING:
    from geoseg.models.bundle import Bundle
    from geoseg.models.runtimes.base import Predictor

__all__ = ["available", "make_predictor", "refuse_precision"]


def make_predictor(
    bundle: Bundle,
    *,
    device: str = "cpu",
    runtime: PlannedRuntime = "eager",
    precision: PlannedPrecision = "fp32",
    threads: int | None = None,
    streams: int = 1,
) -> Predictor:
    """The predictor of a bundle.

    Args:
        bundle: a model that was looked at.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        runtime: what runs it.
        precision: of the network's products.
        threads: of OpenVINO's arithmetic, None for all cores; PyTorch's are the process's own matter.
        streams: of OpenVINO: callers that it serves at once, each on its share of the threads.

    Raises:
        BundleError: if the weights do not fit the architecture, or OpenVINO cannot take the network.
        MissingExtraError: if the runtime is not installed.
        PlanError: if runtime, device and precision do not go together.
    """
    reason = available(runtime, device=device)
    if reason is not None:
        raise (MissingExtraError if "not installed" in reason else PlanError)(reason)
    refuse_precision(runtime, precision)
    if runtime == "openvino":
        from geoseg.models.runtimes.openvino import OpenVinoPredictor

        return OpenVinoPredictor(bundle, threads=threads, streams=streams)
    from geoseg.models.runtimes.eager import EagerPredictor
    from geoseg.models.runtimes.folding import fold_batch_norms

    kind = EagerPredictor
    if runtime == "compile":
        from geoseg.models.runtimes.compiled import CompiledPredictor

        kind = CompiledPredictor
    network = bundle.load_network()
    fold_batch_norms(network)
    card = bundle.card
    return kind(network, normalisation=card.normalisation, device=device, multiple=card.multiple, precision=precision)


def refuse_precision(runtime: str, precision: str) -> None:
    """Refuses half precision where a runtime has none.

    Raises:
        PlanError: naming both.
    """
    if runtime == "openvino" and precision != "fp32":
        raise PlanError(f"openvino computes in fp32, not {precision}: leave out --precision, or use --runtime eager")
