"""A bundle to OpenVINO's own form, in a process of its own: PyTorch's memory and imports end with it.

    python -m geoseg.models.runtimes.convert BUNDLE FOLDER

Writes ``model.xml`` and ``model.bin`` into the folder: the network alone, float32, for any patch size. What is not
the same network any more is refused: both forms answer at two sizes before anything is kept.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoseg.contexts.candidates import SizeRule
from geoseg.errors import BundleError, GeosegError, OutputError
from geoseg.models.bundle import Bundle, open_bundle
from geoseg.models.runtimes.ir import NOT_WRITTEN, WATCHED

if TYPE_CHECKING:
    import torch
    from torch import nn

TOLERANCE = 1e-3
"""Most that the two forms' logits may differ, in units of the largest."""


def convert(bundle: Bundle, folder: Path) -> None:
    """Writes ``model.xml`` and ``model.bin`` into a folder that exists.

    Raises:
        BundleError: if OpenVINO cannot take the network, or answers otherwise than PyTorch.
        OutputError: if the folder does not take the files.
    """
    import openvino
    import torch

    from geoseg.models.runtimes.folding import fold_batch_norms

    network = bundle.load_network()
    fold_batch_norms(network)
    rule, bands = bundle.card.rule, len(bundle.card.bands)
    samples = [
        torch.randn(1, bands, side, side, generator=torch.Generator().manual_seed(side)) for side in _sides(rule)
    ]
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that tracing is deprecated: of the ways there are it is the quickest
        try:
            traced = torch.jit.trace(network, samples[0], check_trace=False)  # type: ignore[no-untyped-call]
            model = openvino.convert_model(traced, example_input=samples[0])
            model.reshape([-1, bands, -1, -1])
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise BundleError(f"OpenVINO does not take the network {bundle.card.architecture} ({reason})") from error
        for sample in samples:
            _compare(model, network, sample)
    try:
        openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
        openvino.Core().read_model(folder / "model.xml")  # on a full disk a file may be cut short without a word
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{folder} does not take the model: {' '.join(str(error).split())[:300]}") from error


def _sides(rule: SizeRule) -> list[int]:
    """Two sides that the network takes, one if there is but one: a trace may hold on to the size it was made with."""
    small = rule.near(64)[-1]
    larger = [side for side in (*rule.near(96), *rule.near(128), *rule.near(2 * small)) if side > small]
    return [small, *larger[:1]]


def _compare(model: Any, network: nn.Module, sample: torch.Tensor) -> None:
    """Runs both.

    Raises:
        BundleError: if they differ.
    """
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32"}
    answer = openvino.Core().compile_model(model, "CPU", options)([sample.numpy()])[0]
    truth = network(sample).numpy()
    if answer.shape != truth.shape:
        raise BundleError(f"OpenVINO answers {answer.shape} where PyTorch answers {truth.shape}")
    worst, scale = float(abs(answer - truth).max()), float(abs(truth).max())
    if not worst <= TOLERANCE * max(scale, 1e-6):
        raise BundleError(f"OpenVINO's logits differ from PyTorch's by {worst:.3g}, of {scale:.3g} at most")


def _end_with_parent() -> None:
    """Ends this process when whoever started it has ended: nobody would take up what it makes."""
    os.read(0, 1)
    os._exit(1)


def main() -> None:
    """The process: one line on stderr and exit code 1 if it cannot be done, ``NOT_WRITTEN`` if not there."""
    bundle, folder, *watched = sys.argv[1:]
    if watched == [WATCHED]:
        threading.Thread(target=_end_with_parent, name="geoseg-parent", daemon=True).start()
    try:
        convert(open_bundle(bundle), Path(folder))
    except OutputError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(NOT_WRITTEN) from error
    except GeosegError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
