"""Six ways to make a feature map larger, behind one small interface.

| name | what it does | weights | source |
| --- | --- | --- | --- |
| ``nearest`` | repeats each value | no | |
| ``bed-of-nails`` | each value in the corner of a block of zeros | no | Dumoulin & Visin, arXiv 1603.07285 |
| ``bilinear`` | interpolates, pixel centres aligned | no | |
| ``max-unpooling`` | each value where the encoder's maximum was | no | Zeiler & Fergus, ECCV 2014 |
| ``transposed`` | learned, starts as bilinear | yes | Long et al., CVPR 2015 |
| ``resize-convolution`` | nearest, then a learned 3 x 3 convolution | yes | Odena et al., Distill 2016 |

Transposed convolutions whose kernel is no multiple of the factor write some pixels more often than others, a
checkerboard; even those whose kernel is one learn it easily. Resize-convolution treats all pixels alike.
Shapes: (N, C, h, w) to (N, C', h * factor, w * factor).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from geoseg.errors import BundleError
from geoseg.models.networks import spans
from geoseg.models.networks.spans import Span

UPSAMPLINGS = ("nearest", "bed-of-nails", "bilinear", "max-unpooling", "transposed", "resize-convolution")
"""The names."""


class Upsampling(nn.Module):
    """Makes a feature map larger by a whole factor."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, features: torch.Tensor, indices: torch.Tensor | None = None) -> torch.Tensor:
        """The larger map.

        Args:
            features: (N, C, h, w).
            indices: (N, C, h, w) int64, where the encoder's max pooling found its values; only max-unpooling reads it.
        """
        raise NotImplementedError

    def support(self, output: Span) -> Span:
        """The input positions that output positions depend on."""
        raise NotImplementedError


class Nearest(Upsampling):
    """Repeats each value ``factor`` times along both axes."""

    def forward(self, features: torch.Tensor, indices: torch.Tensor | None = None) -> torch.Tensor:  # noqa: ARG002
        """See :class:`Upsampling`."""
        return F.interpolate(features, scale_factor=self.factor, mode="nearest")

    def support(self, output: Span) -> Span:
        """See :class:`Upsampling`."""
        return spans.of_nearest(output, factor=self.factor)


class BedOfNails(Upsampling):
    """Each value in the upper left corner of its block, zeros elsewhere."""

    def forward(self, features: torch.Tensor, indices: torch.Tensor | None = None) -> torch.Tensor:  # noqa: ARG002
        """See :class:`Upsampling`."""
        height, width = features.shape[-2:]
        larger = features.new_zeros((*features.shape[:-2], height * self.factor, width * self.factor))
        larger[..., :: self.factor, :: self.factor] = features
        return larger

    def support(self, output: Span) -> Span:
        """See :class:`Upsampling`."""
        return spans.of_nails(output, factor=self.factor)


class Bilinear(Upsampling):
    """Interpolates between the centres of pixels, so that the result depends on places, not on the map's size."""

    def forward(self, features: torch.Tensor, indices: torch.Tensor | None = None) -> torch.Tensor:  # noqa: ARG002
        """See :class:`Upsampling`."""
        return F.interpolate(features, scale_factor=self.factor, mode="bilinear", align_corners=False)

    def support(self, output: Span) -> Span:
        """See :class:`Upsampling`."""
        return spans.of_bilinear(output, factor=self.factor)


class MaxUnpooling(Upsampling):
    """Each value where the encoder's maximum was, zeros elsewhere."""

    def forward(self, features: torch.Tensor, indices: torch.Tensor | None = None) -> torch.Tensor:
        """See :class:`Upsampling`; ``indices`` are needed."""
        assert indices is not None, "max-unpooling without the indices of the pooling"
        return F.max_unpool2d(features, indices, (self.factor, self.factor))

    def support(self, output: Span) -> Span:
        """See :class:`Upsampling`."""
        return spans.of_nearest(output, factor=self.factor)


class Transposed(Upsampling):
    """A transposed convolution; where it keeps the channels it starts as bilinear interpolation (Long et al. 2015).

    Args:
        channels: C.
        outputs: C'.
        factor: how much larger.
        kernel: taps; None: 2 * factor, with which it can be bilinear.
        fixed: not learned.
    """

    def __init__(
        self, channels: int, outputs: int, *, factor: int, kernel: int | None = None, fixed: bool = False
    ) -> None:
        super().__init__(factor)
        self.kernel = 2 * factor if kernel is None else kernel
        if self.kernel < factor:
            raise BundleError(f"a transposed convolution of {self.kernel} taps at stride {factor} leaves holes")
        # the output's side is (h - 1) * factor - 2 * before + kernel + far: an odd rest is kept on the far side
        self.before = -(-(self.kernel - factor) // 2)
        far = 2 * self.before - (self.kernel - factor)
        self.layer = nn.ConvTranspose2d(
            channels, outputs, self.kernel, stride=factor, padding=self.before, output_padding=far, bias=False
        )
        if channels == outputs:
            same = torch.arange(channels)
            with torch.no_grad():
                self.layer.weight.zero_()[same, same] = _triangle(self.kernel, factor)
        else:
            nn.init.kaiming_normal_(self.layer.weight, nonlinearity="linear")
        self.layer.weight.requires_grad_(not fixed)

    def forward(self, features: torch.Tensor, indices: torch.Tensor | None = None) -> torch.Tensor:  # noqa: ARG002
        """See :class:`Upsampling`."""
        larger: torch.Tensor = self.layer(features)
        return larger

    def support(self, output: Span) -> Span:
        """See :class:`Upsampling`."""
        return spans.of_transposed(output, kernel=self.kernel, stride=self.factor, before=self.before)


class ResizeConvolution(Upsampling):
    """Nearest upsampling, then a 3 x 3 convolution (Odena et al. 2016): no pixel is written more often than another."""

    def __init__(self, channels: int, outputs: int, *, factor: int) -> None:
        super().__init__(factor)
        self.layer = nn.Conv2d(channels, outputs, 3, padding=1)
        nn.init.kaiming_normal_(self.layer.weight, nonlinearity="linear")
        nn.init.zeros_(self.layer.bias)  # type: ignore[arg-type]

    def forward(self, features: torch.Tensor, indices: torch.Tensor | None = None) -> torch.Tensor:  # noqa: ARG002
        """See :class:`Upsampling`."""
        larger: torch.Tensor = self.layer(F.interpolate(features, scale_factor=self.factor, mode="nearest"))
        return larger

    def support(self, output: Span) -> Span:
        """See :class:`Upsampling`."""
        return spans.of_nearest(spans.of_convolution(output, kernel=3, before=1), factor=self.factor)


class Projected(Upsampling):
    """A 1 x 1 convolution to other channels, then one of the upsamplings without weights."""

    def __init__(self, channels: int, outputs: int, *, upsampling: Upsampling) -> None:
        super().__init__(upsampling.factor)
        self.layer = nn.Conv2d(channels, outputs, 1)
        nn.init.kaiming_normal_(self.layer.weight, nonlinearity="linear")
        nn.init.zeros_(self.layer.bias)  # type: ignore[arg-type]
        self.upsampling = upsampling

    def forward(self, features: torch.Tensor, indices: torch.Tensor | None = None) -> torch.Tensor:
        """See :class:`Upsampling`; ``indices`` are of C' channels."""
        larger: torch.Tensor = self.upsampling(self.layer(features), indices)
        return larger

    def support(self, output: Span) -> Span:
        """See :class:`Upsampling`."""
        return self.upsampling.support(output)


def make_upsampling(
    name: str,
    *,
    channels: int,
    outputs: int | None = None,
    factor: int = 2,
    kernel: int | None = None,
    fixed: bool = False,
    family: str = "this network",
    allowed: Sequence[str] = UPSAMPLINGS,
) -> Upsampling:
    """An upsampling by name, any case.

    Args:
        name: one of :data:`UPSAMPLINGS`.
        channels: C.
        outputs: C'; None: C. Kinds without weights get a 1 x 1 convolution where it differs.
        factor: how much larger.
        kernel: taps of a transposed convolution; None: 2 * factor.
        fixed: a transposed convolution is not learned.
        family: who asks, for the message.
        allowed: the names that make sense there.

    Raises:
        BundleError: if the name is unknown or not allowed, or the factor below 2.
    """
    wanted = str(name).lower()
    if wanted not in allowed:
        raise BundleError(f"{family} cannot upsample by {name!r}: it takes {', '.join(allowed)}")
    if factor < 2:
        raise BundleError(f"{family} cannot upsample by a factor of {factor}: give one from 2 on")
    outputs = channels if outputs is None else outputs
    if wanted == "transposed":
        return Transposed(channels, outputs, factor=factor, kernel=kernel, fixed=fixed)
    if wanted == "resize-convolution":
        return ResizeConvolution(channels, outputs, factor=factor)
    plain = _PLAIN[wanted](factor)
    return plain if outputs == channels else Projected(channels, outputs, upsampling=plain)


_PLAIN: dict[str, type[Upsampling]] = {
    "nearest": Nearest,
    "bed-of-nails": BedOfNails,
    "bilinear": Bilinear,
    "max-unpooling": MaxUnpooling,
}


def _triangle(kernel: int, factor: int) -> torch.Tensor:
    """(kernel, kernel) weights of bilinear interpolation at the stride ``factor``."""
    away = (torch.arange(kernel) - (kernel - 1) / 2).abs() / factor
    taps = (1 - away).clamp_min(0)
    return torch.outer(taps, taps)
