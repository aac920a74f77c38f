"""Memory that runs out anywhere in a run: one line with what was planned and the way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from geoseg.errors import OutOfMemoryError
from geoseg.inference import machine
from geoseg.inference.plan import Plan


@contextmanager
def memory_told(plan: Plan, *, doing: str, way: str, here: bool = True) -> Iterator[None]:
    """Turns what Python and NumPy raise within, when memory is short, into one line with the plan's estimate.

    Args:
        plan: of the run.
        doing: what is done within.
        way: what the user may do about it.
        here: it is done in this process, so its memory is told too.

    Raises:
        OutOfMemoryError: if memory runs out. One that was raised as such has said it already.
    """
    try:
        yield
    except OutOfMemoryError:
        raise
    except MemoryError as error:
        told = " ".join(str(error).split())
        estimate = f"the plan estimated {plan.cost.memory_bytes / 1e9:.1f} GB"
        if here:
            estimate += f", this machine has {machine.memory_bytes() / 1e9:.1f} GB that others use too"
        raise OutOfMemoryError(
            f"out of memory while {doing}{f': {told}' if told else ''} ({estimate}); {way}"
        ) from error
