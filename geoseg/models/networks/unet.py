"""U-Net as published: valid convolutions on a mirrored input.

Ronneberger, Fischer & Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015 (arXiv
1505.04597).

Valid convolutions: each eats a pixel on every side, and skips are cut to the size of what they join, so that every
output pixel was computed from real context. The published overlap-tile strategy supplies the context that is missing
around the input by mirroring; here the network mirrors its own input by what its convolutions eat, so the output has
the input's size.

| level | encoder | side, published | decoder | side, published |
| --- | --- | --- | --- | --- |
| input | C | 572 | K | 388 |
| 0 | 64, 64 | 568 | 64, 64 | 388 |
| 1 | 128, 128 | 280 | 128, 128 | 196 |
| 2 | 256, 256 | 136 | 256, 256 | 100 |
| 3 | 512, 512 | 64 | 512, 512 | 52 |
| 4 | 1024, 1024 | 28 | | |

Sizes: with b pixels at the bottom, 16 b + 124 go in and 16 b - 60 come out: 92 are eaten on every side. A side of 16 k
is mirrored by 92 pixels on the left and 96 on the right, and the 4 that come out too many are cut; so sides are
multiples of 2 ** depth, from that on.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from geoseg.models.networks import spans
from geoseg.models.networks.base import Network, positive, share
from geoseg.models.networks.spans import Span
from geoseg.models.networks.upsampling import make_upsampling

UPSAMPLINGS = ("transposed", "nearest", "bed-of-nails", "bilinear", "resize-convolution")
"""All but max-unpooling: skips and places of different sizes do not lie on each other."""

_RIMMED = ("bilinear", "resize-convolution")  # their outermost pixel is made up, so it is cut: they eat one as well


class UNetPublished(Network):
    """U-Net with valid convolutions and mirrored input.

    Args:
        bands: input channels C.
        classes: output channels K.
        width: channels of level 0; 64 as published.
        depth: poolings; 4 as published.
        dropout: at the end of the contracting path (its last two levels), in training; 0.5 as in the published model.
        batch_norm: after each convolution (published: none).
        upsampling: one of :data:`UPSAMPLINGS`; published: transposed, 2 x 2.
    """

    def __init__(
        self,
        *,
        bands: int,
        classes: int,
        width: int = 64,
        depth: int = 4,
        dropout: float = 0.5,
        batch_norm: bool = False,
        upsampling: str = "transposed",
    ) -> None:
        super().__init__()
        positive("UNetPublished", bands=bands, classes=classes, width=width, depth=depth)
        share("UNetPublished", dropout=dropout)
        self.depth = depth
        self.multiple = 2**depth
        self.dropout = dropout
        channels = [bands] + [width * 2**level for level in range(depth + 1)]
        self.contracting = nn.ModuleList(_double(a, b, batch_norm=batch_norm) for a, b in pairwise(channels))
        self.upsamplings = nn.ModuleList()
        self.expanding = nn.ModuleList()
        for level in reversed(range(depth)):
            here = width * 2**level
            self.upsamplings.append(
                make_upsampling(
                    upsampling, channels=2 * here, outputs=here, kernel=2, family="UNetPublished", allowed=UPSAMPLINGS
                )
            )
            self.expanding.append(_double(2 * here, here, batch_norm=batch_norm))
        self.classifier = nn.Conv2d(width, classes, 1)
        self._cut = 1 if str(upsampling).lower() in _RIMMED else 0
        self._offsets = _offsets(depth, cut=self._cut)
        self._before = self._offsets[0] + 4
        # of 2 ** depth * b bottom pixels, this much less comes out; what is left beyond a multiple is cut
        self._excess = -(self.multiple - 1) * (4 + 2 * self._cut) % self.multiple

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (N, K, H, W) of pixels (N, C, H, W), H and W multiples of 2 ** depth."""
        self.refuse(pixels)
        height, width = pixels.shape[-2:]
        features = mirrored(pixels, before=self._before, after=self._before + self._excess)
        kept = []
        for level, block in enumerate(self.contracting):
            features = block(features if level == 0 else F.max_pool2d(features, 2))
            if level >= self.depth - 1:
                features = F.dropout(features, self.dropout, training=self.training)
            kept.append(features)
        kept.pop()
        for up, block, offset in zip(self.upsamplings, self.expanding, reversed(self._offsets), strict=True):
            larger = _inner(up(features), by=self._cut)
            features = block(torch.cat([_inner(kept.pop(), by=offset), larger], dim=1))
        logits: torch.Tensor = self.classifier(features[..., :height, :width])
        return logits

    def support(self, output: Span) -> Span:
        """See :class:`Network`."""
        return self._expanding_support(output, level=0).shifted(-self._before)

    def _expanding_support(self, output: Span, *, level: int) -> Span:
        """What positions of the expanding path at a level read of the mirrored input."""
        if level == self.depth:
            return _contracting_support(output, level=level)
        joined = spans.of_convolution(output, kernel=5)
        up = self.upsamplings[self.depth - 1 - level]
        below = up.support(joined.shifted(self._cut))  # type: ignore[operator]
        skip = _contracting_support(joined.shifted(self._offsets[level]), level=level)
        return self._expanding_support(below, level=level + 1) | skip


def mirrored(pixels: torch.Tensor, *, before: int, after: int) -> torch.Tensor:
    """Pixels (N, C, H, W) grown by mirroring about the outermost pixels, which are not repeated (NumPy's ``reflect``).

    PyTorch's own reflection refuses rims as wide as the input; this folds back and forth.
    """
    for axis in (-2, -1):
        side = pixels.shape[axis]
        period = max(2 * side - 2, 1)
        places = torch.arange(-before, side + after, device=pixels.device) % period
        pixels = pixels.index_select(axis, torch.minimum(places, period - places))
    return pixels


def _double(inputs: int, outputs: int, *, batch_norm: bool) -> nn.Module:
    """Two valid 3 x 3 convolutions, each with ReLU; weights of deviation sqrt(2 / N) as published."""
    layers: list[nn.Module] = []
    for before in (inputs, outputs):
        convolution = nn.Conv2d(before, outputs, 3, bias=not batch_norm)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)
        layers += [convolution, *([nn.BatchNorm2d(outputs)] if batch_norm else []), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _offsets(depth: int, *, cut: int) -> list[int]:
    """Per level, the pixels on every side by which a skip is larger than the upsampled map it joins (88, 40, 16, 4)."""
    found: list[int] = []
    excess = 0  # of the contracting path's map over the expanding path's, one level below
    for _ in range(depth):
        found.insert(0, 2 * excess + 4 + cut)  # both convolutions there, doubled; what is cut of the upsampled map
        excess = found[0] + 2
    return found


def _inner(features: torch.Tensor, *, by: int) -> torch.Tensor:
    """The map without ``by`` pixels on every side."""
    return features[..., by:-by, by:-by] if by else features


def _contracting_support(output: Span, *, level: int) -> Span:
    """What positions of the contracting path at a level read of the mirrored input."""
    output = spans.of_convolution(output, kernel=5)
    for _ in range(level):
        output = spans.of_convolution(spans.of_convolution(output, kernel=2, stride=2), kernel=5)
    return output
