"""Which input pixels an output pixel depends on, along one axis: intervals, from a layer's output to its input.

A network that walks its layers backwards with these functions gets its theoretical receptive field (Araujo et al.,
"Computing Receptive Fields of Convolutional Neural Networks", Distill, 2019), phase by phase: behind a pooling layer,
neighbouring output pixels see windows of different sides and places. Positions may be negative or beyond the input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """Positions ``first`` to ``last``, both included."""

    first: int
    last: int

    def __post_init__(self) -> None:
        assert self.first <= self.last, f"an empty span {self.first} to {self.last}"

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __or__(self, other: Span) -> Span:
        """The smallest span that holds both."""
        return Span(min(self.first, other.first), max(self.last, other.last))

    def shifted(self, by: int) -> Span:
        """The span moved by ``by`` positions."""
        return Span(self.first + by, self.last + by)


def of_convolution(span: Span, *, kernel: int, stride: int = 1, dilation: int = 1, before: int = 0) -> Span:
    """What a convolution or pooling reads for a span of its output; ``before`` is its padding on the near side."""
    return Span(span.first * stride - before, span.last * stride - before + dilation * (kernel - 1))


def of_transposed(span: Span, *, kernel: int, stride: int, before: int = 0) -> Span:
    """What a transposed convolution reads: input j writes outputs j * stride - before up to kernel - 1 further."""
    return Span(-((kernel - 1 - span.first - before) // stride), (span.last + before) // stride)


def of_nearest(span: Span, *, factor: int) -> Span:
    """What nearest upsampling reads, and max-unpooling: output i comes from input i // factor."""
    return Span(span.first // factor, span.last // factor)


def of_bilinear(span: Span, *, factor: int) -> Span:
    """What bilinear upsampling (pixel centres aligned) reads: output i lies at (i + 1/2) / factor - 1/2."""
    return Span((2 * span.first + 1 - factor) // (2 * factor), -((factor - 1 - 2 * span.last) // (2 * factor)))


def of_nails(span: Span, *, factor: int) -> Span:
    """What a bed of nails reads: input j stands at output j * factor, all else is zero."""
    return Span(-(-span.first // factor), span.last // factor)


def field(support: Callable[[Span], Span], *, multiple: int) -> tuple[int, int]:
    """Side of the largest support among one period of output pixels, and the farthest that any of them reaches.

    Args:
        support: from output positions to input positions.
        multiple: the period: shifted by it, the support is the same, shifted.

    Returns:
        (side, reach), pixels. Side is the receptive field; a halo of ``reach`` makes tiled prediction exact.
    """
    spans = [(i, support(Span(i, i))) for i in range(multiple)]
    return max(len(s) for _, s in spans), max(max(i - s.first, s.last - i) for i, s in spans)
