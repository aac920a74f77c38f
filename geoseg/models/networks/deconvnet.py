"""DeconvNet: unpooling and deconvolution behind a fully-connected bottleneck.

Noh, Hong & Han, "Learning Deconvolution Network for Semantic Segmentation", ICCV 2015 (arXiv 1505.04366).

VGG16's convolutions and, as convolutions too, its fully-connected layers; then unpooling with the encoder's places and
deconvolutions (transposed 3 x 3, stride 1), batch norm after each.

| layer | channels (width 64) | side |
| --- | --- | --- |
| stages 1 to 5 with their pooling | 64, 128, 256, 512, 512 | H/2 … H/32 |
| fc6, 7 x 7 without padding | 4096 | H/32 - 6 |
| fc7, 1 x 1 | 4096 | H/32 - 6 |
| deconv-fc6, 7 x 7 | 512 | H/32 |
| unpool5, deconv5 | 512, 512, 512 | H/16 |
| unpool4, deconv4 | 512, 512, 256 | H/8 |
| unpool3, deconv3 | 256, 256, 128 | H/4 |
| unpool2, deconv2 | 128, 64 | H/2 |
| unpool1, deconv1 | 64, 64 | H |
| classifier, 1 x 1 | K | H |

Sizes: multiples of 32; fc6 needs 7 pixels at 1/32, so the least is 224, the published size, at which fc6 sees the whole
input once. Larger inputs slide it, as FCNs do.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from geoseg.models.networks import spans
from geoseg.models.networks.base import VGG16, Network, convolution, of_stage, positive, vgg_stages
from geoseg.models.networks.spans import Span


class DeconvNet(Network):
    """DeconvNet.

    Args:
        bands: input channels C.
        classes: output channels K.
        width: channels of the first stage; 64 as published.
        hidden: channels of fc6 and fc7; None: 64 * width, 4096 as published.
        kernel: taps of fc6 and deconv-fc6; 7 as published. The least size is 32 times it.
    """

    multiple = 32

    def __init__(
        self, *, bands: int, classes: int, width: int = 64, hidden: int | None = None, kernel: int = 7
    ) -> None:
        super().__init__()
        hidden = 64 * width if hidden is None else hidden
        positive("DeconvNet", bands=bands, classes=classes, width=width, hidden=hidden, kernel=kernel)
        self.kernel = kernel
        self.least = 32 * kernel
        self.encoder_stages = vgg_stages(bands, width=width, batch_norm=True)
        bottom = VGG16[-1][0] * width
        self.bottleneck = nn.Sequential(
            nn.Conv2d(bottom, hidden, kernel, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            convolution(hidden, hidden, kernel=1, batch_norm=True),
            nn.ConvTranspose2d(hidden, bottom, kernel, bias=False),
            nn.BatchNorm2d(bottom),
            nn.ReLU(inplace=True),
        )
        self.decoder_stages = nn.ModuleList()
        for number in reversed(range(len(VGG16))):
            units, count = VGG16[number]
            after = VGG16[max(number - 1, 0)][0]
            channels = [units * width] * count + [after * width]
            self.decoder_stages.append(
                nn.Sequential(*(convolution(a, b, batch_norm=True, transposed=True) for a, b in pairwise(channels)))
            )
        self.classifier = nn.Conv2d(width, classes, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (N, K, H, W) of pixels (N, C, H, W), H and W multiples of 32 from 224 on."""
        self.refuse(pixels)
        features, places = pixels, []
        for stage in self.encoder_stages:
            features, indices = F.max_pool2d(stage(features), 2, return_indices=True)
            places.append(indices)
        features = self.bottleneck(features)
        for stage in self.decoder_stages:
            features = stage(F.max_unpool2d(features, places.pop(), (2, 2)))
        logits: torch.Tensor = self.classifier(features)
        return logits

    def support(self, output: Span) -> Span:
        """See :class:`Network`."""
        for _, count in VGG16:
            output = spans.of_nearest(of_stage(output, count=count), factor=2)
        bottom = spans.of_transposed(output, kernel=self.kernel, stride=1)
        output = spans.of_convolution(bottom, kernel=self.kernel) | output  # places of pool5 are used at its own pixel
        for _, count in reversed(VGG16):
            output = of_stage(spans.of_convolution(output, kernel=2, stride=2), count=count)
        return output
