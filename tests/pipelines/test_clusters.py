"""The recipes for clusters: run on loopback where that is possible, looked at where it is not."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import geoseg
from tests.pipelines.conftest import PIPELINES
from tests.pipelines.slurm_here import reason_against, slurm_here
from tests.scenes import random_pixels, write_scene

KUBERNETES = PIPELINES / "kubernetes"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PIPELINES.parent), "OMP_NUM_THREADS": "1", **more}


def test_batches_from_python(tmp_path: Path, tiny_bundle: Path) -> None:
    import batch_predict

    scenes = tmp_path / "scenes"
    scenes.mkdir()
    for i in range(2):
        write_scene(scenes / f"{i}.tif", random_pixels((64, 64), seed=i))
        truth = write_scene(tmp_path / f"{i}.tif", random_pixels((64, 64), seed=i, bands=1) % 5)
    (tmp_path / "truths").mkdir()
    truth.rename(tmp_path / "truths" / truth.name)
    (scenes / "2.tif").write_text("no raster")
    arguments = [str(scenes), str(tmp_path / "maps"), "-m", str(tiny_bundle), "--references", str(tmp_path / "truths")]
    found = CliRunner().invoke(batch_predict.main, arguments)
    assert found.exit_code == 1, found.output
    rows = list(csv.DictReader(io.StringIO(found.stdout)))
    assert [(Path(row["scene"]).name, row["state"]) for row in rows] == [("2.tif", "failed"), ("1.tif", "done")]
    assert float(rows[1]["miou"]) >= 0
    assert Path(rows[1]["output"]).exists()
    assert "scene 3 of 3" in found.stderr


def _containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pod["containers"]
    return found


def test_kubernetes_files_agree_with_each_other() -> None:
    cluster, policy = yaml.safe_load_all((KUBERNETES / "cluster.yaml").read_text())
    (job,) = yaml.safe_load_all((KUBERNETES / "job.yaml").read_text())
    assert (cluster["apiVersion"], cluster["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    name = cluster["metadata"]["name"]
    spec = cluster["spec"]
    (worker,), (scheduler,) = (_containers(spec[part]["spec"]) for part in ("worker", "scheduler"))
    (runner,) = _containers(job["spec"]["template"]["spec"])
    assert {c["image"] for c in (worker, scheduler, runner)} == {f"geoseg:{geoseg.__version__}"}
    assert (worker["name"], scheduler["name"]) == ("worker", "scheduler")
    assert worker["args"][:4] == ["dask", "worker", "--name", "$(DASK_WORKER_NAME)"]
    assert scheduler["args"][:2] == ["dask", "scheduler"]
    assert all(isinstance(word, str) for c in (worker, scheduler) for word in c["args"])
    assert worker["volumeMounts"] == runner["volumeMounts"]
    assert spec["worker"]["spec"]["volumes"] == job["spec"]["template"]["spec"]["volumes"]
    assert spec["scheduler"]["service"]["selector"] == {
        "dask.org/cluster-name": name, "dask.org/component": "scheduler",
    }  # fmt: skip
    ports = {port["name"]: port["containerPort"] for port in scheduler["ports"]}
    assert ports == {"tcp-comm": 8786, "http-dashboard": 8787}
    assert {p["name"]: p["port"] for p in spec["scheduler"]["service"]["ports"]} == ports
    command = runner["command"]
    assert command[:2] == ["geoseg", "batch"]
    assert command[command.index("--scheduler") + 1] == f"tcp://{name}-scheduler:{ports['tcp-comm']}"
    assert policy["spec"]["podSelector"]["matchLabels"] == {"dask.org/cluster-name": name}
    labels = [f.get("podSelector", {}).get("matchLabels") for f in policy["spec"]["ingress"][0]["from"]]
    assert job["spec"]["template"]["metadata"]["labels"] in labels


def test_the_command_of_the_kubernetes_job_is_one_of_geoseg(tmp_path: Path) -> None:
    (job,) = yaml.safe_load_all((KUBERNETES / "job.yaml").read_text())
    (runner,) = _containers(job["spec"]["template"]["spec"])
    found = subprocess.run(
        [sys.executable, "-c", "from geoseg.cli import main; main()", *runner["command"][1:]],
        capture_output=True, text=True, env=_environment(), cwd=tmp_path, check=False,
    )  # fmt: skip
    assert found.returncode == 1, found.stderr  # 2 would be the usage
    assert "no such manifest" in found.stderr


def test_the_job_of_slurm(tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    import slurm_predict

    with slurm_predict.make_cluster(
        tmp_path, cores=16, memory="32GB", walltime="04:00:00", interface="lo", partition="normal", account="project",
        directives=("--gres=gpu:1",), security=slurm_predict.Security.temporary(),
    ) as cluster:  # fmt: skip
        script = cluster.job_script()
        lines = script.splitlines()
        for words in (
            "-p normal", "-A project", "--cpus-per-task=16", "--mem=30G", "-t 04:00:00", "--gres=gpu:1",
        ):  # fmt: skip
            assert f"#SBATCH {words}" in lines
        assert "export OMP_NUM_THREADS=16" in lines
        for words in (
            f"{sys.executable} -m distributed.cli.dask_worker tls://127.0.0.1:", "--nthreads 3", "--interface lo",
            "--lifetime 14280s", "--dashboard-address 127.0.0.1:0", "--tls-key ",
        ):  # fmt: skip
            assert words in lines[-1]
        assert "PRIVATE" not in script
        keys = [p for p in tmp_path.iterdir() if p.is_file()]
        assert len(keys) == 3
        assert {p.stat().st_mode & 0o777 for p in keys} == {0o600}
        given = slurm_predict.write_certificates(tmp_path, cluster.security)
        assert set(given) == {"tls_ca_file", "tls_cert", "tls_key"}
        assert "PRIVATE KEY" in Path(given["tls_key"]).read_text()
        assert Path(given["tls_key"]).stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_plain_dask_processes_give_the_bytes_of_a_local_run(tmp_path: Path, tiny_bundle: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_pixels((600, 700)))
    options = ["-m", str(tiny_bundle), "--tile", "224", "--threads", "1"]
    geoseg.predict(scene, outputs=tmp_path / "here.tif", model=tiny_bundle, tile=224, threads=1)
    found = subprocess.run(
        [str(PIPELINES / "dask_cluster.sh"), "predict", str(scene), "-o", str(tmp_path / "there.tif"), *options],
        env=_environment(PYTHON=sys.executable, TMPDIR=str(tmp_path)),
        capture_output=True, text=True, timeout=290, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert _digest(tmp_path / "there.tif") == _digest(tmp_path / "here.tif")
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == []  # its logs and its cluster are gone
    failing = subprocess.run(
        [str(PIPELINES / "dask_cluster.sh"), "predict", "none.tif", "-o", str(tmp_path / "none.tif")],
        env=_environment(PYTHON=sys.executable, TMPDIR=str(tmp_path), WORKERS="1"),
        capture_output=True, text=True, timeout=290, check=False,
    )  # fmt: skip
    assert failing.returncode == 1
    assert "none.tif" in failing.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(reason_against() is not None, reason=f"SLURM cannot be started here: {reason_against()}")
def test_a_batch_through_a_real_slurm(tmp_path: Path, tiny_bundle: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    for i in range(2):
        write_scene(scenes / f"{i}.tif", random_pixels((500, 400), seed=i))
    geoseg.predict(scenes / "1.tif", outputs=tmp_path / "here.tif", model=tiny_bundle)
    maps = tmp_path / "maps"
    with slurm_here() as environment:
        found = subprocess.run(
            [
                sys.executable, str(PIPELINES / "slurm_predict.py"), str(scenes), str(maps), "--jobs", "2",
                "--cores", "1", "--memory", "4GB", "--walltime", "00:10:00", "--interface", "lo",
                "-m", str(tiny_bundle),
            ],
            env={**environment, **_environment(SLURM_CONF=environment["SLURM_CONF"])},
            capture_output=True, text=True, timeout=560, check=False,
        )  # fmt: skip
        logs = [p.read_text() for p in (maps / ".dask" / "logs").glob("*.err")]
        assert found.returncode == 0, (found.stdout, found.stderr, logs)
    assert "2 of 2 scenes done" in found.stdout
    assert len(logs) == 2
    assert all("Registered to:" in log and "tls://127.0.0.1" in log for log in logs)
    assert _digest(maps / "1_classes.tif") == _digest(tmp_path / "here.tif")
    assert [p.name for p in (maps / ".dask").iterdir()] == ["logs"]  # no certificate is left
