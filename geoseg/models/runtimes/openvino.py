"""OpenVINO on the CPU: no PyTorch is imported where the bundle's IR is in the cache.

Cast, normalisation and the fill of invalid pixels are part of the compiled graph, so stored pixels go in as they are
and all threads share that work too.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import BundleError
from geoseg.models.bundle import Bundle
from geoseg.models.runtimes import ir
from geoseg.models.runtimes.base import failure

_AS_STORED = ("uint8", "uint16", "int16", "float32")
"""Data types that the graph takes; others are widened to float32 before."""

_SHAPES = 4
"""Compiled patch shapes that are kept: each holds its own activations."""


class OpenVinoPredictor:
    """A bundle's network in float32.

    Patches are run one by one: a patch's answer cannot depend on the batch that it came in, only one shape per patch
    size is compiled, and on a CPU one patch keeps all threads busy (benchmarks/runtimes.py).

    Args:
        bundle: converted first if its IR is not cached.
        threads: of the arithmetic; None for all cores.

    Raises:
        BundleError: if OpenVINO cannot take the network.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None) -> None:
        import openvino

        card = bundle.card
        self.multiple = card.multiple
        self.notes: tuple[str, ...] = ()
        shape = (1, len(card.bands), 1, 1)
        self._mean = np.array(card.normalisation.mean, np.float32).reshape(shape)
        self._scale = (1.0 / np.array(card.normalisation.std, np.float32)).reshape(shape)
        self._core = openvino.Core()
        self._options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads or 0,
            "ENABLE_CPU_PINNING": False,  # or the processes of a host would all be pinned to its first cores
        }
        self._network = self._read(bundle)
        self._classes = len(card.legend)
        self._requests: OrderedDict[tuple[str, tuple[int, ...]], Any] = OrderedDict()

    def logits(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """See :class:`geoseg.models.runtimes.base.Predictor`.

        Raises:
            PlanError: if the network does not take patches of this size.
            OutOfMemoryError: if memory does not take them.
        """
        import openvino

        if pixels.dtype.name not in _AS_STORED:
            pixels = pixels.astype(np.float32)
        count, _, height, width = pixels.shape
        pixels, valid = np.ascontiguousarray(pixels), np.ascontiguousarray(valid)
        try:
            request = self._request(pixels.dtype.name, pixels.shape[1:])
            found = np.empty((count, self._classes, height, width), np.float32)
            for k in range(count):
                request.set_output_tensor(openvino.Tensor(found[k : k + 1], shared_memory=True))
                request.infer([pixels[k : k + 1], valid[k : k + 1, None]], share_inputs=True, share_outputs=True)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise failure(error, pixels.shape, multiple=self.multiple) from error
        return found

    def _read(self, bundle: Bundle) -> Any:
        """The network from the cache; one that is damaged is made again, once."""
        for last in (False, True):
            found = ir.converted(bundle, anew=last)
            self.notes = () if found.note is None else (found.note,)
            try:
                return self._core.read_model(found.path)
            except RuntimeError as error:
                if last:
                    raise BundleError(f"OpenVINO cannot read {found.path}: {' '.join(str(error).split())}") from error
        raise AssertionError

    def _request(self, dtype: str, shape: tuple[int, ...]) -> Any:
        """What runs one patch (C, h, w) of a stored data type; compiled at the first one.

        Of the shapes the last ``_SHAPES`` used are kept.
        """
        key = (dtype, shape)
        if key not in self._requests:
            while len(self._requests) >= _SHAPES:
                self._requests.popitem(last=False)
            model = self._with_normalisation(dtype, shape)
            self._requests[key] = self._core.compile_model(model, "CPU", self._options).create_infer_request()
        self._requests.move_to_end(key)
        return self._requests[key]

    def _with_normalisation(self, dtype: str, shape: tuple[int, ...]) -> Any:
        """The network for one patch shape, behind cast, normalisation and fill; inputs are pixels and validity."""
        import openvino
        from openvino import opset13 as ops

        pixels = ops.parameter([1, *shape], np.dtype(dtype), name="pixels")
        valid = ops.parameter([1, 1, *shape[1:]], openvino.Type.boolean, name="valid")
        normal = ops.multiply(ops.subtract(ops.convert(pixels, "f32"), self._mean), self._scale)
        filled = ops.select(valid, normal, np.float32(0))  # a choice, not a product: NaN times 0 is NaN
        network = self._network.clone()
        network.get_parameters()[0].output(0).replace(filled.output(0))
        return openvino.Model(network.get_results(), [pixels, valid], "geoseg")
