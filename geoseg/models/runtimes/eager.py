"""Eager PyTorch, on CPU or CUDA.

Everything per pixel that needs floats happens on the device: cast, normalise, fill, forward. What is moved there is as
small as what is stored.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from geoseg.choices import PlannedPrecision
from geoseg.errors import GeosegError, PlanError
from geoseg.models.card import Normalisation
from geoseg.models.networks import multiple_of
from geoseg.models.runtimes.base import failure

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class EagerPredictor:
    """Eager PyTorch, channels last.

    Invalid pixels are filled with the band's mean, which is 0 after normalisation (0 for a network without one).

    Args:
        network: (N, C, h, w) to logits; put into evaluation mode and onto the device.
        normalisation: of a bundle; None for a caller's module, which gets pixels as they are and keeps its layout.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        multiple: what sides must be multiples of; None asks the network.
        precision: of convolutions and products, under autocast; sums and logits stay float32.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        normalisation: Normalisation | None = None,
        device: str | torch.device = "cpu",
        multiple: int | None = None,
        precision: PlannedPrecision = "fp32",
    ) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        if normalisation is not None:  # a bundle's network is ours to rearrange; a caller's module is left as it is
            self.network = self.network.to(memory_format=torch.channels_last)
        self.multiple = multiple_of(network) if multiple is None else multiple
        self._dtype = _DTYPES.get(precision)
        self._normalisation = normalisation
        if normalisation is not None:
            shape = (1, len(normalisation.mean), 1, 1)
            self._mean = torch.tensor(normalisation.mean, device=self.device).view(shape)
            self._scale = 1.0 / torch.tensor(normalisation.std, device=self.device).view(shape)

    def logits(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> torch.Tensor:
        """See :class:`geoseg.models.runtimes.base.Predictor`.

        Raises:
            PlanError: if the network's output is no (N, K, h, w) of the patches' height and width.
            OutOfMemoryError: if memory does not take the batch.
        """
        with torch.inference_mode():
            try:
                batch = self._prepare(pixels, valid)
                with self._autocast():
                    found = self._forward(batch)
            except GeosegError:  # says it already
                raise
            except (RuntimeError, ValueError, MemoryError) as error:
                raise failure(error, pixels.shape, multiple=self.multiple) from error
            if isinstance(found, dict) and "out" in found:  # torchvision's segmentation models
                found = found["out"]
            if not isinstance(found, torch.Tensor) or found.ndim != 4 or found.shape[2:] != batch.shape[2:]:
                got = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
                raise PlanError(
                    f"the network answered {got} to patches {tuple(batch.shape)}: logits must be (N, K, h, w) of the"
                    " patches' height and width"
                )
            return found.float()

    def _forward(self, batch: torch.Tensor) -> Any:
        """The network's answer."""
        return self.network(batch)

    def _autocast(self) -> AbstractContextManager[object]:
        return nullcontext() if self._dtype is None else torch.autocast(self.device.type, dtype=self._dtype)

    def _prepare(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> torch.Tensor:
        """Stored pixels as the network wants them: float32, normalised, filled, on the device."""
        if pixels.dtype.kind not in "iu" or pixels.dtype.itemsize > 2:
            pixels = pixels.astype(np.float32, copy=False)
        # torch computes in uint8/int16 where it can; uint16 has few kernels, so NumPy widens it
        batch = self._moved(pixels.astype(np.float32) if pixels.dtype == np.uint16 else pixels)
        if self._normalisation is None:
            batch = batch.float()
        else:
            batch = batch.to(torch.float32, memory_format=torch.channels_last)
            batch = batch.sub_(self._mean).mul_(self._scale)
        if not valid.all():
            batch = batch.masked_fill(self._moved(~valid).unsqueeze(1), 0.0)
        return batch

    def _moved(self, array: npt.NDArray[np.generic]) -> torch.Tensor:
        """The array on the device; to CUDA through pinned memory, without waiting for it."""
        source = torch.from_numpy(array)
        if self.device.type == "cuda":
            source = source.pin_memory()
        return source.to(self.device, non_blocking=True)
