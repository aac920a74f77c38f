"""The benchmark of networks: what it counts can be counted by hand, and what cannot be measured is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

from geoseg.cli.main import cli
from geoseg.errors import BundleError, PlanError
from geoseg.models.benchmark import costs, weight_bytes
from geoseg.models.measure import peak_bytes
from geoseg.verbs.model_benchmark import NETWORKS, BenchmarkRow, benchmark_table, model_benchmark

SEGNET = "SegNet"  # its receptive field is arithmetic, so it is quick


def benchmark(*arguments: str | Path) -> Result:
    command = ["model", "benchmark", "--repeats", "1", "--threads", "1", "--device", "cpu", *map(str, arguments)]
    return CliRunner().invoke(cli, command, standalone_mode=False)


def test_training_holds_what_the_backward_pass_needs() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.Conv2d(8, 2, 1, bias=False))
    pixels = 16 * 16
    inference = peak_bytes(network, bands=3, side=16)
    assert inference == 4 * pixels * (3 + 8 + 2)
    training = peak_bytes(network, bands=3, side=16, training=True)
    # input, both maps and log-probabilities wait for the backward pass; labels count twice as wide
    kept = 4 * pixels * (3 + 8 + 2 + 2) + 8 * pixels
    gradients = 4 * (3 * 8 + 8 * 2)
    assert kept <= training <= kept + 4 * pixels * (2 + 2 + 8) + gradients + 1000
    assert peak_bytes(network, bands=3, side=16, batch=3) == 3 * inference


def test_training_memory_grows_with_depth_and_inference_memory_does_not() -> None:
    shallow, deep = (nn.Sequential(*(nn.Conv2d(4, 4, 1) for _ in range(n))) for n in (5, 20))
    assert peak_bytes(shallow, bands=4, side=16) == peak_bytes(deep, bands=4, side=16)
    more = peak_bytes(deep, bands=4, side=16, training=True) - peak_bytes(shallow, bands=4, side=16, training=True)
    assert more == pytest.approx(15 * 4 * 4 * 256, rel=0.1)


def test_measuring_leaves_the_network_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 1)).train()
    network[2].eval()
    network[0].weight.grad = torch.ones_like(network[0].weight)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    costs(network, bands=3, size=8, repeats=1)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert [module.training for module in network] == [True, True, False, True]
    assert torch.equal(network[0].weight.grad, torch.ones_like(network[0].weight))
    assert network[3].weight.grad is None


def test_a_batch_of_one_can_be_trained_through_global_pooling() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(2))
    assert costs(network, bands=1, size=8, repeats=1).backward_seconds > 0
    with pytest.raises(ValueError, match="more than 1 value"):
        network.train()(torch.zeros(1, 1, 8, 8))


def test_rows_say_what_was_measured_and_what_was_refused(tiny_bundle: Path) -> None:
    seen: list[BenchmarkRow] = []
    rows = model_benchmark([SEGNET, tiny_bundle], sizes=(32, 40), repeats=1, device="cpu", progress=seen.append)
    assert tuple(seen) == rows
    assert [(row.network, row.size, row.multiple) for row in rows] == [
        (SEGNET, 32, 32), (SEGNET, 40, 32), (str(tiny_bundle), 32, 8), (str(tiny_bundle), 40, 8),
    ]  # fmt: skip
    assert [row.refused is None for row in rows] == [True, False, True, True]
    assert "multiples of 32; the nearest are 32, 64 px" in str(rows[1].refused)
    for row in rows[:1] + rows[2:]:
        assert row.forward_seconds is not None
        assert row.training_bytes is not None
        assert row.inference_bytes is not None
        assert 0 < row.inference_bytes < row.training_bytes
        assert row.pixels_per_second == pytest.approx(row.size**2 / row.forward_seconds)
        assert row.receptive_field is not None
    assert rows[1].forward_seconds is None
    assert rows[1].pixels_per_second is None
    assert rows[0].model_bytes > 4 * 29e6


def test_fixed_and_small_sizes_are_refused_in_their_row() -> None:
    rows = model_benchmark(["DPT:tu-vit_tiny_patch16_224"], sizes=(64,), repeats=1, device="cpu")
    assert "224 px only" in str(rows[0].refused)
    assert rows[0].receptive_field is None
    line = " ".join(benchmark_table(rows)[1])
    assert "global" in line
    assert "refused" in line


class Broken(nn.Module):
    """Fails at run time, as a network does that says nothing of its sizes."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("sizes of tensors\nmust match")


def test_a_failing_network_is_one_line() -> None:
    with pytest.raises(PlanError, match=r"^8 px: sizes of tensors must match$"):
        costs(Broken(), bands=3, size=8)


def test_weights_are_counted_with_their_statistics() -> None:
    assert weight_bytes(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))) == 4 * (3 * 8 * 9 + 8 + 4 * 8) + 8


@pytest.mark.parametrize(
    ("networks", "arguments", "error", "said"),
    [
        (["Unet", "Nonesuch"], {}, BundleError, "unknown architecture 'Nonesuch'"),
        (["Unet:nonesuch"], {}, BundleError, "nonesuch"),
        (["segnet:resnet18"], {}, BundleError, "takes no encoder"),
        (["missing.safetensors"], {}, BundleError, "missing.safetensors"),
        ([], {}, PlanError, "networks 0"),
        ([SEGNET], {"sizes": (0,)}, PlanError, "size 0"),
        ([SEGNET], {"batch": 0}, PlanError, "batch 0"),
        ([SEGNET], {"repeats": 0}, PlanError, "repeats 0"),
        ([SEGNET], {"device": "tpu"}, PlanError, "unknown device"),
    ],
)
def test_bad_input_is_said_before_anything_is_measured(
    networks: list[str], arguments: dict[str, object], error: type[Exception], said: str
) -> None:
    seen: list[BenchmarkRow] = []
    with pytest.raises(error, match=said):
        model_benchmark(networks, progress=seen.append, **arguments)  # type: ignore[arg-type]
    assert not seen


def test_the_number_of_threads_is_given_back() -> None:
    before = torch.get_num_threads()
    model_benchmark([SEGNET], sizes=(33,), repeats=1, threads=before + 1, device="cpu")
    assert torch.get_num_threads() == before


def test_the_command_prints_a_table_and_its_progress_apart() -> None:
    result = benchmark("--network", SEGNET, "--sizes", "32,40")
    lines = result.stdout.splitlines()
    assert lines[0].split()[:2] == ["network", "px"]
    assert "receptive" not in lines[0]
    assert lines[2].split()[:2] == [SEGNET, "32"]
    assert lines[3].split()[:3] == [SEGNET, "40", "-"]
    assert "refused: 40 px: the network takes multiples of 32" in lines[3]
    assert f"{SEGNET}: 32 px measured" in result.stderr


def test_the_command_gives_json(tiny_bundle: Path) -> None:
    result = benchmark("--network", tiny_bundle, "--sizes", "16", "--json", "-q")
    assert result.stderr == ""
    (row,) = json.loads(result.stdout)["rows"]
    assert set(row) >= {
        "network", "size", "forward_seconds", "backward_seconds", "training_bytes", "inference_bytes", "model_bytes",
        "pixels_per_second", "receptive_field", "multiple", "refused",
    }  # fmt: skip


def test_the_command_refuses_sizes_that_are_none() -> None:
    assert "sizes such as 256,512" in str(benchmark("--sizes", "6x4").exception)
    assert "model benchmark" in benchmark("--help").stdout


@pytest.mark.slow
def test_every_default_network_is_measured() -> None:
    rows = model_benchmark(sizes=(64,), repeats=1, device="cpu")
    assert [row.network for row in rows] == list(NETWORKS)
    assert not any(row.refused for row in rows)
