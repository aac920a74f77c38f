"""The learning rate over a run, as a function of how much of it is done."""

from __future__ import annotations

import math

_START = 0.04
_END = 0.01


def learning_rate(done: float, *, peak: float, warm_up: float) -> float:
    """Linear warm-up from 4 % of the peak, then half a cosine down to 1 % of it.

    Args:
        done: share of the run that is done, 0..1.
        peak: largest learning rate.
        warm_up: share of the run at which the peak is reached.
    """
    done = min(max(done, 0.0), 1.0)
    if done < warm_up:
        return peak * (_START + (1 - _START) * done / warm_up)
    fall = (done - warm_up) / (1 - warm_up) if warm_up < 1 else 1.0
    return peak * (_END + (1 - _END) * 0.5 * (1 + math.cos(math.pi * fall)))


def share_done(*, step: int, steps: int, seconds: float, limit: float | None) -> float:
    """How much of a run is done: by steps, or by the time limit (seconds) if that will end it sooner.

    With a limit the schedule is budgeted by time (Li, Yumer and Ramanan, "Budgeted Training", ICLR 2020): a run on a
    busy machine takes fewer steps, but still ends at the lowest learning rate.
    """
    by_steps = step / steps
    return by_steps if limit is None else max(by_steps, seconds / limit)
