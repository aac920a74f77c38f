"""What training minimises: cross-entropy plus Dice, over labelled pixels only."""

from __future__ import annotations

import torch
from segmentation_models_pytorch.losses import DiceLoss
from torch import nn
from torch.nn import functional

from geoseg.legend import IGNORE
from geoseg.training.settings import FitConfig


class SegmentationLoss(nn.Module):
    """Weighted sum of cross-entropy and Dice (segmentation-models-pytorch's, over the classes present in a batch).

    Label 255 counts in neither. A batch without one labelled pixel has loss 0, where the mean would be 0/0.
    """

    def __init__(self, config: FitConfig) -> None:
        super().__init__()
        self._cross_entropy = config.losses.cross_entropy
        self._dice = config.losses.dice
        self._smoothing = config.label_smoothing
        self._overlap = DiceLoss("multiclass", from_logits=True, ignore_index=IGNORE)
        weights = torch.tensor(config.class_weights) if config.class_weights else None
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss, a scalar.

        Args:
            logits: (N, K, H, W), any float type; computed in float32.
            labels: (N, H, W) int64 channel indices, 255 = ignored.
        """
        logits = logits.float()
        weights: torch.Tensor | None = self.class_weights  # type: ignore[assignment]
        known = labels != IGNORE
        entropy = functional.cross_entropy(
            logits, labels, weight=weights, ignore_index=IGNORE, label_smoothing=self._smoothing, reduction="sum"
        )
        share = known.sum() if weights is None else weights[labels[known]].sum()
        loss: torch.Tensor = self._cross_entropy * entropy / share.clamp_min(1e-6)
        if self._dice:
            loss = loss + self._dice * self._overlap(logits, labels)
        return loss
