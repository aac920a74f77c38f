"""A real SLURM on loopback: munged, slurmctld and slurmd of Debian's packages, one node, all files in one folder."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel")

_CONFIGURATION = """
ClusterName=geoseg
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/run/munge.sock
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
SchedulerType=sched/builtin
SlurmdParameters=config_overrides
NodeName=node1 NodeHostname=localhost NodeAddr=127.0.0.1 CPUs=8 RealMemory=16000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def reason_against() -> str | None:
    """Why SLURM cannot be started here; None if it can."""
    missing = [name for name in PROGRAMS if _find(name) is None]
    if missing:
        return f"no {', '.join(missing)} (Debian: slurm-wlm, munge)"
    return None if os.geteuid() == 0 else "SLURM's daemons are started by root here"


@contextmanager
def slurm_here() -> Iterator[dict[str, str]]:
    """Runs SLURM and yields the environment for its commands; ``SLURM_CONF`` lies in its folder."""
    folder = Path(tempfile.mkdtemp(prefix="geoseg-slurm-"))
    folder.chmod(0o755)  # munged wants every folder above its socket to be open
    with ExitStack() as started:
        started.callback(shutil.rmtree, folder, ignore_errors=True)
        environment = _start(folder, started)
        yield environment
        subprocess.run([_find("scancel"), "--user", "root"], env=environment, check=False)
        _wait_until(lambda: not _answer("squeue", environment), folder)


def _start(folder: Path, started: ExitStack) -> dict[str, str]:
    for name in ("state", "spool", "run"):
        (folder / name).mkdir(mode=0o755)
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(1024))
    socket_file = folder / "run" / "munge.sock"
    files = {"key-file": key, "socket": socket_file, "pid-file": folder / "pid", "seed-file": folder / "seed"}
    configuration = folder / "slurm.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, controller=_free_port(), node=_free_port()))
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    daemon = partial(_daemon, folder=folder, environment=environment, started=started)
    daemon("munged", "--foreground", "--force", *(f"--{name}={path}" for name, path in files.items()))
    _wait_until(socket_file.exists, folder)
    daemon("slurmctld", "-D", "-c", "-i")
    daemon("slurmd", "-D", "-c", "-N", "node1")
    _wait_until(lambda: "idle" in _answer("sinfo", environment), folder)
    return environment


def _daemon(name: str, *arguments: str, folder: Path, environment: dict[str, str], started: ExitStack) -> None:
    """Starts a daemon as a child of this process, which ends it."""
    program = _find(name)
    assert program is not None
    log = started.enter_context((folder / f"{name}.out").open("w"))
    process = subprocess.Popen(
        [program, *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
    )
    started.callback(process.wait, timeout=60)
    started.callback(process.terminate)


def _answer(command: str, environment: dict[str, str]) -> str:
    done = subprocess.run([_find(command), "-h"], env=environment, capture_output=True, text=True, check=False)
    return done.stdout


def _wait_until(holds: Callable[[], bool], folder: Path) -> None:
    limit = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < limit, [p.read_text()[-2000:] for p in folder.glob("*.out")]
        time.sleep(0.1)


def _find(name: str) -> str | None:
    """Daemons lie in folders that are not on everybody's path."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
