"""What training minimises: a weighted sum of terms over labelled pixels, each off where its weight is 0.

| term | source |
| --- | --- |
| cross-entropy | class-weighted, label-smoothed; with ``border_w0`` weighed pixel by pixel by U-Net's map |
| Dice | segmentation-models-pytorch's, over the classes present in a batch |
| focal | Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, on the softmax; ``class_weights`` are its α |
| Lovász | Berman et al., "The Lovász-Softmax loss", CVPR 2018; segmentation-models-pytorch's, over a batch's classes |

The focal loss is not segmentation-models-pytorch's: with several classes that one is the mean of one-against-the-rest
sigmoid losses, so it is no cross-entropy at gamma = 0 and pulls logits towards absolute values that an argmax does not
ask for, and a batch without a labelled pixel makes it NaN. The adversarial term is in :mod:`geoseg.training.adversary`.
"""

from __future__ import annotations

import torch
from segmentation_models_pytorch.losses import DiceLoss, LovaszLoss
from torch import nn
from torch.nn import functional

from geoseg.legend import IGNORE
from geoseg.training.settings import FitConfig

_TINY = 1e-6


class SegmentationLoss(nn.Module):
    """Weighted sum of the terms that the configuration asks for.

    Label 255 counts in none of them. A batch without one labelled pixel has loss 0, where the mean would be 0/0.
    """

    def __init__(self, config: FitConfig) -> None:
        super().__init__()
        self._config = config.losses
        self._smoothing = config.label_smoothing
        self._dice = DiceLoss("multiclass", from_logits=True, ignore_index=IGNORE)
        self._lovasz = LovaszLoss("multiclass", ignore_index=IGNORE)
        weights = torch.tensor(config.class_weights) if config.class_weights else None
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, border: torch.Tensor | None = None) -> torch.Tensor:
        """The loss, a scalar.

        Args:
            logits: (N, K, H, W), any float type; computed in float32.
            labels: (N, H, W) int64 channel indices, 255 = ignored.
            border: (N, H, W) float32, the border part of U-Net's map; None: no map.
        """
        config = self._config
        with torch.autocast(logits.device.type, enabled=False):
            logits = logits.float()
            loss = config.cross_entropy * self._cross_entropy(logits, labels, border)
            if config.dice:
                loss = loss + config.dice * self._dice(logits, labels)
            if config.focal:
                loss = loss + config.focal * self._focal(logits, labels)
            if config.lovasz:  # of no labelled pixel it is an empty tensor, whose sum is 0
                loss = loss + config.lovasz * self._lovasz(logits, labels).sum()
        return loss

    def _cross_entropy(self, logits: torch.Tensor, labels: torch.Tensor, border: torch.Tensor | None) -> torch.Tensor:
        weights = self._class_weights()
        if border is not None:
            each = functional.cross_entropy(
                logits, labels, ignore_index=IGNORE, label_smoothing=self._smoothing, reduction="none"
            )
            share = unet_map(labels, border, classes=logits.shape[1], class_weights=weights)
            return (share * each).sum() / share.sum().clamp_min(_TINY)
        entropy = functional.cross_entropy(
            logits, labels, weight=weights, ignore_index=IGNORE, label_smoothing=self._smoothing, reduction="sum"
        )
        return entropy / self._total(labels[labels != IGNORE]).clamp_min(_TINY)

    def _focal(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        known = labels != IGNORE
        truth = labels[known]
        picked = logits.log_softmax(dim=1).movedim(1, -1)[known].gather(1, truth[:, None])[:, 0]
        wrong = -torch.expm1(picked)  # 1 - p without the cancellation
        each = -picked * wrong.clamp_min(_TINY) ** self._config.focal_gamma  # at 0 a root's slope is infinite
        weights = self._class_weights()
        return (each if weights is None else each * weights[truth]).sum() / self._total(truth).clamp_min(_TINY)

    def _total(self, truth: torch.Tensor) -> torch.Tensor:
        """What a weighted mean over pixels of these classes is divided by."""
        weights = self._class_weights()
        return torch.tensor(truth.numel(), device=truth.device) if weights is None else weights[truth].sum()

    def _class_weights(self) -> torch.Tensor | None:
        weights: torch.Tensor | None = self.class_weights  # type: ignore[assignment]
        return weights


def unet_map(
    labels: torch.Tensor, border: torch.Tensor, *, classes: int, class_weights: torch.Tensor | None = None
) -> torch.Tensor:
    """U-Net's weight map w(x) = w_c(x) + w0 exp(-(d1 + d2)² / 2σ²) (Ronneberger et al., MICCAI 2015, eq. 2).

    The paper takes w_c from the frequencies of the classes in the training data. Here patches are drawn by class
    already, so w_c is the given class weights, or else the inverse frequency of the classes in this batch, scaled such
    that its mean over the labelled pixels is 1.

    Args:
        labels: (N, H, W) int64 channel indices, 255 = ignored.
        border: (N, H, W) the second term, from :func:`geoseg.training.border_weights.border_weights`.
        classes: how many there are.
        class_weights: (classes,), or None.

    Returns:
        (N, H, W) float32, 0 at ignored pixels.
    """
    known = labels != IGNORE
    if class_weights is None:
        counts = torch.bincount(labels[known], minlength=classes)
        class_weights = counts.sum() / ((counts > 0).sum() * counts).clamp_min(1)
    return torch.where(known, class_weights[labels.where(known, 0)] + border, 0.0)
