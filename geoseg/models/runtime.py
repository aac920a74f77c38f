"""Runtimes: what turns a batch of stored pixels into logits. Eager PyTorch on CPU or CUDA for now.

Everything per pixel that needs floats happens here, on the device: cast, normalise, fill, forward. A predictor is not
thread-safe; the executor gives each device one thread.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from geoseg.errors import PlanError
from geoseg.models.bundle import Bundle
from geoseg.models.card import Normalisation
from geoseg.models.networks import multiple_of


class Predictor(Protocol):
    """Anything that gives logits for patches."""

    multiple: int
    """Sides of patches must be multiples of it."""

    def logits(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> torch.Tensor:
        """Logits of a batch.

        Args:
            pixels: (N, C, h, w) in the scene's stored dtype.
            valid: (N, h, w), True = data. What invalid pixels hold has no influence.

        Returns:
            (N, K, h, w) float32 on the predictor's device.
        """


class EagerPredictor:
    """Eager PyTorch in float32, channels last.

    Invalid pixels are filled with the band's mean, which is 0 after normalisation (0 for a network without one).
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        normalisation: Normalisation | None = None,
        device: str | torch.device = "cpu",
        multiple: int | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        if normalisation is not None:  # a bundle's network is ours to rearrange; a caller's module is left as it is
            self.network = self.network.to(memory_format=torch.channels_last)
        self.multiple = multiple_of(network) if multiple is None else multiple
        self._normalisation = normalisation
        if normalisation is not None:
            shape = (1, len(normalisation.mean), 1, 1)
            self._mean = torch.tensor(normalisation.mean, device=self.device).view(shape)
            self._scale = 1.0 / torch.tensor(normalisation.std, device=self.device).view(shape)

    def logits(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> torch.Tensor:
        """See :class:`Predictor`.

        Raises:
            PlanError: if the network's output is no (N, K, h, w) of the patches' height and width.
        """
        with torch.inference_mode():
            batch = self._prepare(pixels, valid)
            found = self._forward(batch)
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
        """The network's answer; what PyTorch raises becomes one line with the way out."""
        try:
            return self.network(batch)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            size = f"{batch.shape[0]} patches of {batch.shape[2]} x {batch.shape[3]} px with {batch.shape[1]} bands"
            if isinstance(error, torch.OutOfMemoryError) or "alloc" in reason:
                raise PlanError(f"out of memory with {size}: use a smaller --batch-size or --patch-size") from error
            raise PlanError(
                f"the network does not take {size} (multiples of {self.multiple} were planned): {reason}"
            ) from error

    def _prepare(self, pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]) -> torch.Tensor:
        """Stored pixels as the network wants them: float32, normalised, filled, on the device."""
        if pixels.dtype.kind not in "iu" or pixels.dtype.itemsize > 2:
            pixels = pixels.astype(np.float32, copy=False)
        # torch computes in uint8/int16 where it can; uint16 has few kernels, so NumPy widens it
        source = torch.from_numpy(pixels.astype(np.float32) if pixels.dtype == np.uint16 else pixels)
        batch = source.to(self.device, non_blocking=True)
        if self._normalisation is None:
            batch = batch.float()
        else:
            batch = batch.to(torch.float32, memory_format=torch.channels_last)
            batch = batch.sub_(self._mean).mul_(self._scale)
        if not valid.all():
            invalid = torch.from_numpy(~valid).to(self.device).unsqueeze(1)
            batch = batch.masked_fill(invalid, 0.0)
        return batch


def make_predictor(bundle: Bundle, *, device: str = "cpu") -> EagerPredictor:
    """The eager predictor of a bundle.

    Raises:
        BundleError: if the weights do not fit the architecture.
    """
    return EagerPredictor(
        bundle.load_network(), normalisation=bundle.card.normalisation, device=device, multiple=bundle.card.multiple
    )
