"""Where tiles run, as a user says it."""

from __future__ import annotations

from dataclasses import dataclass

from geoseg.choices import SCHEDULERS
from geoseg.errors import PlanError

RETRIES = 3
"""How often a tile may be lost with its worker, or fail for a reason that may pass, before the run ends."""

PATIENCE = 60.0
"""Seconds to wait for workers where there are none, or for a scheduler that does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """Where tiles run; the default is this process.

    Raises:
        PlanError: if they contradict each other.
    """

    scheduler: str = "threads"
    """``threads``: Dask in this process. ``sync``: a plain loop. ``tcp://HOST:PORT``, ``tls://HOST:PORT``: a cluster
    that runs already."""
    scheduler_file: str | None = None
    """The file that ``dask scheduler --scheduler-file`` wrote, in place of its address."""
    workers: int | None = None
    """Processes of a cluster on this machine, in place of one that runs already."""
    tls_ca_file: str | None = None
    """Certificates (PEM) that the cluster's are signed by."""
    tls_cert: str | None = None
    """Certificate (PEM) of this client."""
    tls_key: str | None = None
    """Its key (PEM)."""
    dashboard: bool = False
    """Open Dask's dashboard, on loopback, for a cluster of our own."""
    retries: int = RETRIES
    """How often a tile may be lost with its worker, or fail for a reason that may pass, before the run ends."""
    patience: float = PATIENCE
    """Seconds to wait for workers where there are none, or for a scheduler that does not answer."""

    def __post_init__(self) -> None:
        if self.scheduler not in SCHEDULERS and not self.is_remote:
            known = ", ".join(SCHEDULERS)
            raise PlanError(f"scheduler {self.scheduler!r}: there are {known}, tcp://HOST:PORT and tls://HOST:PORT")
        named = [
            *(["--scheduler"] if self.scheduler != "threads" else []),
            *(["--scheduler-file"] if self.scheduler_file is not None else []),
            *(["--workers"] if self.workers is not None else []),
        ]
        if len(named) > 1:
            raise PlanError(f"{' and '.join(named)} name different clusters: give one of them")
        for name, value, least in (("workers", self.workers, 1), ("retries", self.retries, 0)):
            if value is not None and value < least:
                raise PlanError(f"{name} {value}: use {least} or more")
        if not self.patience > 0:
            raise PlanError(f"patience of {self.patience:g} s: use more than 0")
        if self.dashboard and (self.is_remote or self.scheduler_file is not None or self.scheduler == "sync"):
            raise PlanError("a dashboard is opened for clusters of our own: another scheduler has its own")
        tls = [name for name in ("tls_ca_file", "tls_cert", "tls_key") if getattr(self, name) is not None]
        if tls and self.in_process:
            raise PlanError(f"{', '.join(tls)} are for a cluster: give its address by --scheduler tls://HOST:PORT")
        if self.scheduler.startswith("tls://") and "tls_ca_file" not in tls:
            raise PlanError(f"{self.scheduler} needs --tls-ca-file, and --tls-cert and --tls-key if it asks for them")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise PlanError("--tls-cert and --tls-key go together")

    @property
    def is_remote(self) -> bool:
        """True if the scheduler is named by its address."""
        return self.scheduler.startswith(("tcp://", "tls://"))

    @property
    def in_process(self) -> bool:
        """True if tiles run in this process."""
        return not self.is_remote and self.scheduler_file is None and self.workers is None
