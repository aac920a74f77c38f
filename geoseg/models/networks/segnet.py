"""SegNet: max-unpooling with the encoder's places.

Badrinarayanan, Kendall & Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation",
IEEE TPAMI 39(12), 2017 (arXiv 1511.00561).

VGG16's convolutions with batch norm; the decoder mirrors them and puts each value back where the encoder's max pooling
found it, so that no map has to be kept, only places.

| stage | encoder | side | decoder | side |
| --- | --- | --- | --- | --- |
| 1 | 2 x 64 | H | 64, K | H |
| 2 | 2 x 128 | H/2 | 128, 64 | H/2 |
| 3 | 3 x 256 | H/4 | 256, 256, 128 | H/4 |
| 4 | 3 x 512 | H/8 | 512, 512, 256 | H/8 |
| 5 | 3 x 512 | H/16 | 3 x 512 | H/16 |
| bottom | | H/32 | | |
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from geoseg.models.networks import spans
from geoseg.models.networks.base import VGG16, Network, convolution, of_stage, positive, vgg_stages
from geoseg.models.networks.spans import Span
from geoseg.models.networks.upsampling import make_upsampling


class SegNet(Network):
    """SegNet with max-unpooling, or any other upsampling in its place.

    Args:
        bands: input channels C.
        classes: output channels K.
        width: channels of the first stage; 64 as published.
        upsampling: one of :data:`geoseg.models.networks.upsampling.UPSAMPLINGS`.
    """

    multiple = 32

    def __init__(self, *, bands: int, classes: int, width: int = 64, upsampling: str = "max-unpooling") -> None:
        super().__init__()
        positive("SegNet", bands=bands, classes=classes, width=width)
        self.encoder_stages = vgg_stages(bands, width=width, batch_norm=True)
        self.upsamplings = nn.ModuleList()
        self.decoder_stages = nn.ModuleList()
        for number in reversed(range(len(VGG16))):
            units, count = VGG16[number]
            channels = units * width
            self.upsamplings.append(make_upsampling(upsampling, channels=channels, family="SegNet"))
            layers = [convolution(channels, channels, batch_norm=True) for _ in range(count - 1)]
            if number:
                layers.append(convolution(channels, VGG16[number - 1][0] * width, batch_norm=True))
            else:
                layers.append(nn.Conv2d(channels, classes, 3, padding=1))
            self.decoder_stages.append(nn.Sequential(*layers))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits (N, K, H, W) of pixels (N, C, H, W), H and W multiples of 32."""
        self.refuse(pixels)
        features, places = pixels, []
        for stage in self.encoder_stages:
            features, indices = F.max_pool2d(stage(features), 2, return_indices=True)
            places.append(indices)
        for up, stage in zip(self.upsamplings, self.decoder_stages, strict=True):
            features = stage(up(features, places.pop()))
        return features

    def support(self, output: Span) -> Span:
        """See :class:`Network`; where a maximum lies depends on no more than its value does."""
        for up, (_, count) in zip(reversed(list(self.upsamplings)), VGG16, strict=True):
            output = up.support(of_stage(output, count=count))  # type: ignore[operator]
        for _, count in reversed(VGG16):
            output = of_stage(spans.of_convolution(output, kernel=2, stride=2), count=count)
        return output
