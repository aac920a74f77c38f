"""Scenes to class maps on a SLURM cluster: Dask workers as SLURM jobs (`pip install 'geoseg[slurm]'`).

    python pipelines/slurm_predict.py scenes.csv maps/ --jobs 8 --cores 16 --memory 32GB --walltime 04:00:00 \
        --partition normal --account my_project --interface ib0

To be started where `sbatch` works: on a login node within `tmux`, or in a small job of its own (one core, 2 GB).
Scenes, maps and the bundle must lie on a disk that every node sees. Jobs that end at their wall time are replaced, and
their unfinished tiles are done by others; when this program itself is ended, the same command goes on where it was.
The connections are encrypted and need certificates that only you can read: others cannot use your workers. For GPUs:
`--directive=--gres=gpu:1 --device cuda`, one GPU and one worker per job. `--print-job` shows the job's script.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from dask_jobqueue import SLURMCluster
from distributed import Client, Security

import geoseg
from geoseg.errors import GeosegError

SLOTS = 3
"""Tiles in work at once in a worker: one computes, the others read or write."""


def make_cluster(
    folder: Path,
    *,
    cores: int,
    memory: str,
    walltime: str,
    interface: str | None,
    security: Security | None = None,
    partition: str | None = None,
    account: str | None = None,
    directives: tuple[str, ...] = (),
) -> SLURMCluster:
    """A scheduler in this process, and what a job of one worker looks like; no job yet.

    Args:
        folder: for logs and certificates; on a disk that every node sees.
        cores: CPU cores of a job, for the network's arithmetic.
        memory: of a job, as Dask writes it: ``16GB``.
        walltime: of a job, ``HH:MM:SS``; a worker leaves a little earlier, when it has finished its tiles.
        interface: network between the nodes, as in ``ip address``; None is the default one.
        security: certificates of the connections; None for a network of your own.
        partition: SLURM's partition.
        account: what is charged.
        directives: further ``#SBATCH`` lines.
    """
    hours, minutes, seconds = map(int, walltime.split(":"))
    lifetime = max(60, hours * 3600 + minutes * 60 + seconds - 120)
    return SLURMCluster(
        cores=SLOTS,
        job_cpu=cores,
        processes=1,
        memory=memory,
        walltime=walltime,
        queue=partition,
        account=account,
        interface=interface,
        protocol=None if security is None else "tls://",
        security=security,
        shared_temp_directory=str(folder),
        log_directory=str(folder / "logs"),
        local_directory=os.environ.get("TMPDIR", "/tmp"),  # noqa: S108 - the node's own disk
        python=sys.executable,
        job_extra_directives=list(directives),
        job_script_prologue=[f"export OMP_NUM_THREADS={cores}"],
        worker_extra_args=[
            "--no-dashboard", "--dashboard-address", "127.0.0.1:0",  # by default it listens on every network
            "--lifetime", f"{lifetime}s", "--lifetime-stagger", f"{min(60, lifetime // 10)}s",
        ],
        scheduler_options={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
    )  # fmt: skip


def write_certificates(folder: Path, security: Security) -> dict[str, str]:
    """The client's side of temporary certificates as files in a folder of one's own, named as geoseg's options."""
    found = security.get_tls_config_for_role("client")
    paths = {}
    for option, name in (("tls_ca_file", "ca_file"), ("tls_cert", "cert"), ("tls_key", "key")):
        path = folder / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_text(found[name])
        paths[option] = str(path)
    return paths


def run(manifest: str, maps: str, cluster: SLURMCluster, *, jobs: int, **options: Any) -> int:
    """Waits for the first worker and runs the batch; the number of scenes that failed."""
    cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)  # unlike scale(), this replaces jobs that ended
    with Client(cluster) as client:
        click.echo(f"waiting for the first of {jobs} jobs", err=True)
        client.wait_for_workers(1)
    found = geoseg.batch(
        manifest,
        output=maps,
        scheduler=cluster.scheduler_address,
        on_note=lambda note: click.echo(f"note  {note}", err=True),
        on_scene=lambda place, count, scene: click.echo(f"scene {place} of {count}  {scene}", err=True),
        on_row=lambda row: click.echo(f"{row.state}  {row.error or ''}", err=True),
        **options,
    )
    click.echo(f"{found.totals['done']} of {found.totals['scenes']} scenes done, table {found.table}")
    return len(found.failed)


@click.command()
@click.argument("manifest")
@click.argument("maps", type=click.Path(file_okay=False))
@click.option("--jobs", default=2, show_default=True, help="SLURM jobs, one worker each.")
@click.option("--cores", default=8, show_default=True, help="CPU cores of a job.")
@click.option("--memory", default="16GB", show_default=True, help="Of a job.")
@click.option("--walltime", default="01:00:00", show_default=True, metavar="HH:MM:SS", help="Of a job.")
@click.option("--partition", help="SLURM's partition.")
@click.option("--account", help="What is charged.")
@click.option("--interface", help="Network between the nodes, such as ib0.")
@click.option("--directive", "directives", multiple=True, metavar="--NAME=VALUE", help="Further #SBATCH lines.")
@click.option("--print-job", is_flag=True, help="Print the job's script and stop.")
@click.option("--model", "-m", help="Bundle; the default model if not given.")
@click.option("--references", type=click.Path(exists=True, file_okay=False), help="Label rasters of the scenes' stems.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--retry-failed", is_flag=True, help="Try scenes again that failed before.")
def main(
    manifest: str,
    maps: str,
    *,
    jobs: int,
    cores: int,
    memory: str,
    walltime: str,
    partition: str | None,
    account: str | None,
    interface: str | None,
    directives: tuple[str, ...],
    print_job: bool,
    **options: Any,
) -> None:
    """Predict every scene of MANIFEST into the folder MAPS."""
    folder = Path(maps).absolute() / ".dask"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    security = Security.temporary()
    cluster = make_cluster(
        folder, cores=cores, memory=memory, walltime=walltime, interface=interface, security=security,
        partition=partition, account=account, directives=directives,
    )  # fmt: skip
    with cluster, TemporaryDirectory(dir=folder) as private:
        if print_job:
            click.echo(cluster.job_script())
            return
        try:
            failed = run(manifest, maps, cluster, jobs=jobs, **write_certificates(Path(private), security), **options)
        except GeosegError as error:
            raise click.ClickException(str(error)) from error
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
