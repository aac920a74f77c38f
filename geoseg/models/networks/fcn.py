"""Fully convolutional networks: FCN-32s, FCN-16s and FCN-8s.

Long, Shelhamer & Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015 (arXiv 1411.4038).

VGG16's five stages, its fully-connected layers as convolutions, class scores at 1/32; FCN-16s adds scores of pool4,
FCN-8s those of pool3 too. Intermediate upsamplings start as bilinear interpolation and are learned, the last is fixed;
score layers on skips start at zero, all as published. Not as published: the published network pads its input by 100
pixels so that the 7 x 7 layer fits and cuts the output back; here every convolution keeps the size (the 7 x 7 one pads
by 3), so the output has the input's size and shifts by 32 pixels shift it exactly.

| map | channels (width 64) | side |
| --- | --- | --- |
| stage 1, pool1 | 64 | H, H/2 |
| stage 2, pool2 | 128 | H/2, H/4 |
| stage 3, pool3 | 256 | H/4, H/8 |
| stage 4, pool4 | 512 | H/8, H/16 |
| stage 5, pool5 | 512 | H/16, H/32 |
| fc6 (7 x 7), fc7 (1 x 1) | 4096 | H/32 |
| scores | K | H/32, FCN-16s: H/16, FCN-8s: H/8 |
| output | K | H |
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from geoseg.models.networks import spans
from geoseg.models.networks.base import VGG16, Network, convolution, positive, share, vgg_stages, vgg_support
from geoseg.models.networks.spans import Span
from geoseg.models.networks.upsampling import make_upsampling

UPSAMPLINGS = ("transposed", "bilinear", "nearest", "resize-convolution")
"""What a map of class scores can be enlarged by: zeros between the scores would be answers, and it has no maxima."""


class _FCN(Network):
    """The common body; the classes below say from which stride on it is upsampled in one step.

    Args:
        bands: input channels C.
        classes: output channels K.
        width: channels of the first stage; 64 as published.
        hidden: channels of fc6 and fc7; None: 64 * width, 4096 as published.
        dropout: of fc6 and fc7, in training.
        batch_norm: after each convolution of the encoder (VGG16 has none).
        upsampling: one of :data:`UPSAMPLINGS`.
    """

    multiple = 32
    skips: ClassVar[tuple[int, ...]]
    """Stages, counted from 1, whose pooled maps are scored too, the deepest first."""

    def __init__(
        self,
        *,
        bands: int,
        classes: int,
        width: int = 64,
        hidden: int | None = None,
        dropout: float = 0.5,
        batch_norm: bool = False,
        upsampling: str = "transposed",
    ) -> None:
        super().__init__()
        family = type(self).__name__
        hidden = 64 * width if hidden is None else hidden
        positive(family, bands=bands, classes=classes, width=width, hidden=hidden)
        share(family, dropout=dropout)
        steps = [2] * len(self.skips) + [2 ** (5 - len(self.skips))]
        self.upsamplings = nn.ModuleList(
            make_upsampling(upsampling, channels=classes, factor=step, fixed=last, family=family, allowed=UPSAMPLINGS)
            for step, last in zip(steps, [False] * len(self.skips) + [True], strict=True)
        )
        self.stages = vgg_stages(bands, width=width, batch_norm=batch_norm)
        self.head = nn.Sequential(
            convolution(VGG16[-1][0] * width, hidden, kernel=7, batch_norm=batch_norm),
            nn.Dropout2d(dropout),
            convolution(hidden, hidden, kernel=1, batch_norm=batch_norm),
            nn.Dropout2d(dropout),
            nn.Conv2d(hidden, classes, 1),
        )
        self.scores = nn.ModuleList(nn.Conv2d(VGG16[stage - 1][0] * width, classes, 1) for stage in self.skips)
        for score in self.scores:
            for parameter in score.parameters():
                nn.init.zeros_(parameter)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (N, K, H, W) of pixels (N, C, H, W), H and W multiples of 32."""
        self.refuse(pixels)
        features, pooled = pixels, []
        for stage in self.stages:
            features = F.max_pool2d(stage(features), 2)
            pooled.append(features)
        logits: torch.Tensor = self.head(features)
        for stage_number, score, up in zip(self.skips, self.scores, self.upsamplings, strict=False):
            logits = up(logits) + score(pooled[stage_number - 1])
        logits = self.upsamplings[-1](logits)
        return logits  # noqa: RET504 - the name gives the type

    def support(self, output: Span) -> Span:
        """See :class:`Network`: the ways through the skips and the way through the head, together."""
        ups = list(self.upsamplings)
        here = ups[-1].support(output)  # type: ignore[operator]
        found = None
        for stage_number, up in zip(reversed(self.skips), reversed(ups[:-1]), strict=True):
            skip = vgg_support(here, stages=stage_number)
            found = skip if found is None else found | skip
            here = up.support(here)  # type: ignore[operator]
        deepest = vgg_support(spans.of_convolution(here, kernel=7, before=3), stages=5)
        return deepest if found is None else found | deepest


class FCN32s(_FCN):
    """Scores at 1/32, upsampled in one step."""

    skips = ()


class FCN16s(_FCN):
    """Scores at 1/32 and of pool4."""

    skips = (4,)


class FCN8s(_FCN):
    """Scores at 1/32, of pool4 and of pool3."""

    skips = (4, 3)
