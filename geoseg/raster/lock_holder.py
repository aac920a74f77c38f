"""Who holds a lock, and whether it is still there."""

from __future__ import annotations

import json
import os
import platform
import time
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

STALE_SECONDS = 300.0
"""A lock of another machine that was not renewed for so long is left behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lock."""

    host: str
    machine: str
    """Host, boot and process namespace: where the same process number means the same process."""
    pid: int
    born: str
    """When the process began, in the kernel's ticks: its number may be another's later."""
    since: float
    """Seconds since 1970."""
    renewed: float
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    run: dict[str, Any] | None = None
    """What the run goes by, as JSON holds it: where its lock was left behind, that tells whose the outputs are."""

    @classmethod
    def here(cls) -> Holder:
        """This process, now."""
        now = time.time()
        return cls(
            host=platform.node(),
            machine=machine_name(),
            pid=os.getpid(),
            born=_born(os.getpid()),
            since=now,
            renewed=now,
        )

    @classmethod
    def parse(cls, data: bytes | None) -> Holder | None:
        """What a lock says; None if it says nothing that can be read."""
        try:
            return cls(**json.loads(data or b""))
        except (ValueError, TypeError):
            return None

    def to_bytes(self) -> bytes:
        """What ``parse`` reads."""
        return json.dumps(asdict(self)).encode()

    @property
    def is_gone(self) -> bool:
        """True if its process has ended, or has not been heard of for too long."""
        if self.machine == machine_name():
            return _born(self.pid) != self.born
        return time.time() - self.renewed > STALE_SECONDS

    def describe(self) -> str:
        """For a message."""
        since = datetime.fromtimestamp(self.since, UTC)
        return f"process {self.pid} on {self.host} since {since:%Y-%m-%d %H:%M:%S} UTC"


def machine_name() -> str:
    """Host, boot and process namespace: containers of one host have processes of their own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - a link to nowhere
    except OSError:
        return platform.node()
    return f"{platform.node()} {boot} {namespace}"


def _born(pid: int) -> str:
    """When a process of this machine began; empty if there is none of that number, or it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return "unknown"
