"""torch.compile: the classes of eager PyTorch, the same whatever a patch's company; what it needs is named."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch

from geoseg.errors import PlanError
from geoseg.geometry.windows import Window
from geoseg.models.bundle import open_bundle
from geoseg.models.runtimes import availability, available, make_predictor
from geoseg.synthesis.world import render


@pytest.mark.slow
@pytest.mark.skipif(available("compile") is not None, reason="no C++ compiler here")
def test_classes_are_eagers_and_a_patch_answers_alike_in_any_batch(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    windows = [Window(row_off=0, col_off=128 * k, height=128, width=128) for k in range(3)]
    pixels = np.stack([render(window, seed=4)[0] for window in windows])
    valid = np.ones((3, 128, 128), bool)
    predictor = make_predictor(bundle, runtime="compile")
    found, truth = predictor.logits(pixels, valid), make_predictor(bundle).logits(pixels, valid)
    assert isinstance(found, torch.Tensor)
    assert isinstance(truth, torch.Tensor)
    assert (found.argmax(1) == truth.argmax(1)).double().mean() >= 0.999
    assert (found - truth).abs().max() <= 1e-4 * truth.abs().max()
    for k in range(3):
        assert torch.equal(torch.as_tensor(predictor.logits(pixels[k:][:1], valid[k:][:1]))[0], found[k])


def test_a_missing_compiler_is_named(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(PlanError, match=r"needs a C\+\+ compiler: install g\+\+, or --runtime eager"):
        make_predictor(open_bundle(tiny_bundle), runtime="compile")
    (tmp_path / "g++").touch(mode=0o755)
    assert available("compile") is None or "headers" in str(available("compile"))
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    assert "Python's headers" in str(available("compile"))
    monkeypatch.setattr(availability, "_installed", lambda _: False)
    assert "triton" in str(available("compile", device="cuda"))
