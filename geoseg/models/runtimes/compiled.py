"""``torch.compile``: the network as one compiled function per patch shape, weights frozen into it."""

from __future__ import annotations

from typing import Any

import torch
from torch import _dynamo

from geoseg.errors import PlanError
from geoseg.models.runtimes.eager import EagerPredictor

_SHAPES = 64
"""Shapes that are compiled before PyTorch would give up and run the network as it is, without a word.
None is let go of: a run has a few, and PyTorch can only forget all compiled functions of the process, a caller's too.
"""


class CompiledPredictor(EagerPredictor):
    """As :class:`EagerPredictor`, compiled for static shapes.

    On a CPU patches are run one by one, on CUDA in batches that are filled up to a power of two: so few shapes are
    compiled, and how a patch is computed does not depend on the batch that it came in.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        options: dict[str, Any] = {"freezing": True}
        if self.device.type == "cuda":
            options["triton.cudagraphs"] = True
        self._compiled = torch.compile(self.network, dynamic=False, options=options)

    def _forward(self, batch: torch.Tensor) -> Any:
        """The network's answer, copied out: a graph's own output is overwritten when it runs again."""
        try:
            with _dynamo.config.patch(recompile_limit=_SHAPES):
                if self.device.type != "cuda":
                    return torch.cat([self._compiled(one) for one in torch.split(batch, 1)])
                count = len(batch)
                missing = (1 << (count - 1).bit_length()) - count
                if missing:
                    batch = torch.cat([batch, batch[-1:].expand(missing, *batch.shape[1:])])
                    batch = batch.contiguous(memory_format=torch.channels_last)
                return self._compiled(batch)[:count].clone()
        except _dynamo.exc.TorchDynamoException as error:
            reason = " ".join(str(error).split())[:300]
            raise PlanError(f"torch.compile failed ({reason}): use --runtime eager") from error
