"""Dilated networks at full resolution: the multi-context method's own.

Nogueira et al., "Dynamic Multicontext Segmentation of Remote Sensing Images Based on Convolutional Networks", IEEE TGRS
57(10), 2019 (arXiv 1804.04020).

Stride 1 everywhere and a dilation that grows with depth, so any patch size fits. Every layer is a dilated convolution
that keeps the size (an odd rest of padding goes right and below), batch norm, leaky ReLU of slope 0.1, and in the
``Pooling`` networks a 3 x 3 max pool at stride 1. A 1 x 1 convolution classifies.

| layer | rate | kernel | Dilated6(Pooling) | DenseDilated6 | Dilated8Pooling |
| --- | --- | --- | --- | --- | --- |
| 1 | 1 | 5 | 64 | 32 | 64 |
| 2 | 2 | 5 | 64 | 32 | 64 |
| 3 | 3 | 4 | 128 | 64 | 128 |
| 4 | 4 | 4 | 128 | 64 | 128 |
| 5 | 5 | 3 | 256 | 128 | 192 |
| 6 | 6 | 3 | 256 | 128 | 192 |
| 7 | 7 | 3 | | | 256 |
| 8 | 8 | 3 | | | 256 |
| classifier | 1 | 1 | K | K, fed all 448 | K |

All maps are H x W. In DenseDilated6 every layer, the classifier too, is fed the concatenation of all before it.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from geoseg.models.networks import spans
from geoseg.models.networks.base import Network, positive
from geoseg.models.networks.spans import Span

_KERNELS = (5, 5, 4, 4, 3, 3, 3, 3)
_SLOPE = 0.1


class _Layer(nn.Module):
    """Dilated convolution that keeps the size, batch norm, leaky ReLU, and perhaps a max pool."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, rate: int, pooling: bool) -> None:
        super().__init__()
        self.kernel, self.rate, self.pooling = kernel, rate, pooling
        self.before, odd = divmod(rate * (kernel - 1), 2)
        self.convolution = nn.Conv2d(inputs, outputs, kernel, dilation=rate, padding=self.before, bias=False)
        self.odd = odd
        self.norm = nn.BatchNorm2d(outputs)
        nn.init.xavier_uniform_(self.convolution.weight)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        # one column and row of zeros more on the far side, where the kernel is even and the rate odd; the convolution
        # pads both sides by `before`, so the first output stays where it is
        padded = F.pad(features, (0, self.odd, 0, self.odd)) if self.odd else features
        found = F.leaky_relu(self.norm(self.convolution(padded)), _SLOPE)
        return F.max_pool2d(found, 3, stride=1, padding=1) if self.pooling else found

    def support(self, output: Span) -> Span:
        if self.pooling:
            output = spans.of_convolution(output, kernel=3, before=1)
        return spans.of_convolution(output, kernel=self.kernel, dilation=self.rate, before=self.before)


class _Dilated(Network):
    """A stack of dilated layers; each fed the one before it, or all of them."""

    units: ClassVar[tuple[int, ...]]
    """Channels per layer, in units of ``width``."""
    pooling: ClassVar[bool] = False
    dense: ClassVar[bool] = False

    def __init__(self, *, bands: int, classes: int, width: int) -> None:
        super().__init__()
        positive(type(self).__name__, bands=bands, classes=classes, width=width)
        self.layers = nn.ModuleList()
        inputs = bands
        total = 0
        for rate, (units, kernel) in enumerate(zip(self.units, _KERNELS, strict=False), start=1):
            outputs = units * width
            self.layers.append(_Layer(inputs, outputs, kernel=kernel, rate=rate, pooling=self.pooling))
            total += outputs
            inputs = total if self.dense else outputs
        self.classifier = nn.Conv2d(inputs, classes, 1)
        nn.init.xavier_uniform_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)  # type: ignore[arg-type]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (N, K, H, W) of pixels (N, C, H, W), any H and W."""
        features, found = pixels, []
        for layer in self.layers:
            features = layer(features)
            if self.dense:
                found.append(features)
                features = torch.cat(found, dim=1)
        logits: torch.Tensor = self.classifier(features)
        return logits

    def support(self, output: Span) -> Span:
        """See :class:`Network`; in the dense network the longest way holds all shorter ones."""
        for layer in reversed(self.layers):
            assert isinstance(layer, _Layer)
            output = layer.support(output)
        return output


class Dilated6(_Dilated):
    """Six dilated convolutions."""

    units = (1, 1, 2, 2, 4, 4)

    def __init__(self, *, bands: int, classes: int, width: int = 64) -> None:
        super().__init__(bands=bands, classes=classes, width=width)


class DenseDilated6(_Dilated):
    """Six dilated convolutions, each fed the concatenation of all before it."""

    units = (1, 1, 2, 2, 4, 4)
    dense = True

    def __init__(self, *, bands: int, classes: int, width: int = 32) -> None:
        super().__init__(bands=bands, classes=classes, width=width)


class Dilated6Pooling(_Dilated):
    """Six dilated convolutions, each with a 3 x 3 max pool at stride 1."""

    units = (1, 1, 2, 2, 4, 4)
    pooling = True

    def __init__(self, *, bands: int, classes: int, width: int = 64) -> None:
        super().__init__(bands=bands, classes=classes, width=width)


class Dilated8Pooling(_Dilated):
    """Eight dilated convolutions, each with a 3 x 3 max pool at stride 1."""

    units = (1, 1, 2, 2, 3, 3, 4, 4)
    pooling = True

    def __init__(self, *, bands: int, classes: int, width: int = 64) -> None:
        super().__init__(bands=bands, classes=classes, width=width)
