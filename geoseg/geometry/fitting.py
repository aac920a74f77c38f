"""Fits a context to a scene: the patch sides, and the lattice that they make."""

from __future__ import annotations

from geoseg.errors import PlanError
from geoseg.geometry.lattice import Axis, Lattice, round_up


def fit_patch(context: int, *, length: int, halo: int, multiple: int, least: int = 1, core: int | None = None) -> int:
    """The patch side for a context on an axis: a context c means "about c".

    Among the multiples of m within an eighth of c, the one that computes the fewest pixels, n * p; ties go to the one
    nearest c. (4096 px, c = 1024, h = 32, m = 32: 4 patches of 1088, 1.06 times the axis; unfitted 5 of 1024, 1.25.)

    Args:
        context: c, pixels.
        length: L, pixels of the axis.
        halo: h, pixels.
        multiple: m.
        least: the smallest side that the network takes, pixels.
        core: side of the cores that another context's cells make, pixels: a stride that divides it comes before
            everything else, the one nearest c first, because then no core's rim is computed twice.

    Raises:
        PlanError: if no multiple of m lies within an eighth of c, or none is larger than the overlap.
    """
    low, high = -(-context * 7 // 8), context * 9 // 8
    candidates = range(round_up(max(low, least), multiple), high + 1, multiple)
    if not candidates:
        below = context // multiple * multiple
        near = [v for v in (below, below + multiple) if v > 0]
        raise PlanError(
            f"no patch of about {context} px fits the network: its sides are multiples of {multiple};"
            f" use {' or '.join(str(v) for v in near)}"
        )
    padded = round_up(length, multiple)
    usable = [p for p in candidates if p > 2 * halo or padded <= p]
    if not usable or (context <= 2 * halo and padded > high):  # a stride of a pixel or two is not what was meant
        raise PlanError(
            f"patches of about {context} px leave nothing inside an overlap of {2 * halo} px;"
            f" use a patch size of more than {2 * halo} px or a smaller overlap"
        )

    def cost(p: int) -> tuple[int, int, int]:
        axis = Axis(length=length, patch=p, halo=halo, multiple=multiple)
        return axis.count * axis.side, abs(p - context), p

    if core is not None and padded > high:
        dividing = [p for p in usable if core % (p - 2 * halo) == 0]
        if dividing:
            return min(dividing, key=lambda p: (abs(p - context), p))
    return min(usable, key=cost)


def make_lattice(
    shape: tuple[int, int],
    *,
    context: int,
    halo: int,
    multiple: int = 1,
    exact: bool = False,
    least: int = 1,
    core: tuple[int, int] | None = None,
) -> Lattice:
    """The lattice of a scene.

    Args:
        shape: (height, width) of the scene, pixels.
        context: wanted patch side, pixels; fitted to each axis unless ``exact``.
        halo: pixels at a patch's rim that are not trusted; rounded up to ``multiple``.
        multiple: what the network's sides are multiples of.
        exact: take ``context`` as the patch side as it is.
        least: the smallest side that the network takes, pixels.
        core: (height, width) of the cores of another context's tiles, whose rims should not be computed twice.

    Raises:
        PlanError: if the sizes cannot be met together.
    """
    if context < 1 or halo < 0:
        raise PlanError(f"a patch size of {context} px and an overlap of {2 * halo} px: sizes are positive")
    halo = round_up(halo, multiple)

    def axis(which: int) -> Axis:
        length, side = shape[which], context
        if not exact:
            within = None if core is None else core[which]
            side = fit_patch(context, length=length, halo=halo, multiple=multiple, least=least, core=within)
        return Axis(length=length, patch=side, halo=halo, multiple=multiple)

    return Lattice(rows=axis(0), cols=axis(1))
