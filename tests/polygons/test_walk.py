"""Chains and rings."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from geoseg.polygons.walk import walk


@pytest.mark.parametrize("seed", range(40))
def test_every_item_comes_once_and_after_the_one_that_leads_to_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 40))
    following = rng.permutation(count)
    following[rng.random(count) < 0.2] = -1
    plain = walk(following)
    for order, offsets, open_count in (plain, walk(following, second=rng.random(count) < 0.5)):
        assert sorted(order.tolist()) == list(range(count))
        assert (len(offsets), open_count) == (len(plain[1]), plain[2])
        for number, (start, stop) in enumerate(pairwise(offsets.tolist())):
            chain = order[start:stop]
            np.testing.assert_array_equal(following[chain[:-1]], chain[1:])
            assert following[chain[-1]] == (-1 if number < open_count else chain[0])
