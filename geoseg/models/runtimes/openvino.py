"""OpenVINO on the CPU: no PyTorch is imported where the bundle's IR is in the cache.

Cast, normalisation and the fill of invalid pixels are part of the compiled graph, so stored pixels go in as they are
and all threads share that work too; so is the choice of the winning channel where nothing but classes is wanted.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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
"""Compiled patch shapes that are kept; only those in use hold activations."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Compiled:
    """The network for one shape, what runs it that nobody uses at the moment, and how many do use some."""

    model: Any
    free: list[Any] = field(default_factory=list)
    users: int = 0


class OpenVinoPredictor:
    """A bundle's network in float32.

    Patches are run one by one: a patch's answer cannot depend on the batch that it came in, and only one shape per
    patch size is compiled. Safe on several threads, of which as many compute at once as there are streams.

    Args:
        bundle: converted first if its IR is not cached.
        threads: of the arithmetic; None for all cores.
        streams: callers among which the threads are shared out.

    Raises:
        BundleError: if OpenVINO cannot take the network.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None, streams: int = 1) -> None:
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
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": threads or 0,
            "ENABLE_CPU_PINNING": False,  # or the processes of a host would all be pinned to its first cores
        }
        self._network = self._read(bundle)
        self._classes = len(card.legend)
        self._compiled: OrderedDict[tuple[str, tuple[int, ...], bool], _Compiled] = OrderedDict()
        self._lock = threading.Lock()

    def logits(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """See :class:`geoseg.models.runtimes.base.Predictor`.

        Raises:
            PlanError: if the network does not take patches of this size.
            OutOfMemoryError: if memory does not take them.
        """
        found: npt.NDArray[np.float32] = self._run(pixels, valid, decide=False)
        return found

    def winners(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
        """See :class:`geoseg.models.runtimes.base.DecidingPredictor`.

        Raises:
            PlanError: if the network does not take patches of this size.
            OutOfMemoryError: if memory does not take them.
        """
        found: npt.NDArray[np.uint8] = self._run(pixels, valid, decide=True)
        return found

    def _run(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_], *, decide: bool) -> npt.NDArray[Any]:
        """Patch by patch."""
        import openvino

        shape = (len(pixels), 1 if decide else self._classes, *pixels.shape[2:])
        if pixels.dtype.name not in _AS_STORED:
            pixels = pixels.astype(np.float32)
        try:
            pixels, valid = np.ascontiguousarray(pixels), np.ascontiguousarray(valid)
            found = np.empty(shape, np.uint8 if decide else np.float32)
            with self._request(pixels.dtype.name, pixels.shape[1:], decide=decide) as request:
                for k in range(len(pixels)):
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

    @contextmanager
    def _request(self, dtype: str, shape: tuple[int, ...], *, decide: bool) -> Iterator[Any]:
        """What runs one patch (C, h, w) of a stored data type, for one caller alone; compiled at the first one.

        Of the shapes the last ``_SHAPES`` used are kept.
        """
        with self._lock:
            compiled = self._compiled_for((dtype, shape, decide))
            request = compiled.free.pop() if compiled.free else compiled.model.create_infer_request()
            compiled.users += 1
        try:
            yield request
            compiled.free.append(request)  # not after an error: nobody knows its state then
        finally:
            with self._lock:
                compiled.users -= 1

    def _compiled_for(self, key: tuple[str, tuple[int, ...], bool]) -> _Compiled:
        """Under the lock. When another shape's turn comes, those that nobody uses give their activations back."""
        if key in self._compiled and next(reversed(self._compiled)) == key:
            return self._compiled[key]
        for other in self._compiled.values():
            if other.users == 0:
                other.model.release_memory()
        if key not in self._compiled:
            while len(self._compiled) >= _SHAPES:
                self._compiled.popitem(last=False)
            dtype, shape, decide = key
            model = self._with_normalisation(dtype, shape, decide=decide)
            self._compiled[key] = _Compiled(model=self._core.compile_model(model, "CPU", self._options))
        self._compiled.move_to_end(key)
        return self._compiled[key]

    def _with_normalisation(self, dtype: str, shape: tuple[int, ...], *, decide: bool) -> Any:
        """The network for one patch shape, behind cast, normalisation and fill; inputs are pixels and validity.

        It gives logits (1, K, h, w), or, to ``decide``, the channel that wins (1, 1, h, w) uint8, of equals the lower.
        """
        import openvino
        from openvino import opset13 as ops

        pixels = ops.parameter([1, *shape], np.dtype(dtype), name="pixels")
        valid = ops.parameter([1, 1, *shape[1:]], openvino.Type.boolean, name="valid")
        normal = ops.multiply(ops.subtract(ops.convert(pixels, "f32"), self._mean), self._scale)
        filled = ops.select(valid, normal, np.float32(0))  # a choice, not a product: NaN times 0 is NaN
        network = self._network.clone()
        network.get_parameters()[0].output(0).replace(filled.output(0))
        answer = network.get_results()[0].input_value(0)
        channels = answer.get_partial_shape()[1]
        if channels.is_static and channels.get_length() != self._classes:
            raise ValueError(f"it gives {channels.get_length()} channels for {self._classes} classes")
        if decide:
            best = ops.topk(answer, np.int64(1), 1, "max", "value", index_element_type="i32", stable=True)
            answer = ops.convert(best.output(1), "u8").output(0)
        return openvino.Model([answer], [pixels, valid], "geoseg")
