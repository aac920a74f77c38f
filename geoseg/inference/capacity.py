"""What one worker has to give to a plan: memory, threads, a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from geoseg.errors import ClusterError
from geoseg.inference import machine
from geoseg.models.device import pick_device
from geoseg.models.runtimes.availability import lacking

_MEMORY_SHARE = 0.7  # of the machine's memory that a plan may use
_DEVICE_SHARE = 0.85  # of a GPU's free memory: its libraries and fragments take the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What the smallest worker of a run has."""

    memory_bytes: int
    """Memory of its process."""
    threads: int
    """Cores that are its own."""
    device: str
    """``cpu``, ``cuda`` or ``cuda:N``; never ``auto``."""
    device_bytes: int = 0
    """Free memory of its GPU; 0 on a CPU."""
    where: str = "this machine"
    """Whose memory that is, for messages."""
    lacks: tuple[tuple[str, str], ...] = ()
    """Runtimes that not every worker can use, and why not."""
    workers: int = 1
    """How many there are."""
    local: bool = True
    """True if it works on this machine's cores, whose speed is known."""

    @property
    def host_to_give(self) -> int:
        """Bytes of memory that a plan may use."""
        return int(self.memory_bytes * _MEMORY_SHARE)

    @property
    def device_to_give(self) -> int:
        """Bytes of the GPU's memory that a plan may use."""
        return int(self.device_bytes * _DEVICE_SHARE)


def capacity_here(device: str = "auto") -> Capacity:
    """The capacity of this process.

    Raises:
        PlanError: if the device is unknown or not here.
    """
    picked = pick_device(device)
    return Capacity(
        memory_bytes=machine.memory_bytes(),
        threads=machine.core_count(),
        device=picked,
        device_bytes=_free_bytes(picked),
        lacks=tuple(lacking(device=picked).items()),
    )


def facts_here(device: str) -> dict[str, Any]:
    """What a worker answers when it is asked what it has.

    Args:
        device: what the user asked for; a worker whose answer has a ``refusal`` has no such device.
    """
    from geoseg.errors import PlanError

    try:
        picked, refusal = pick_device(device), None
    except PlanError as error:
        picked, refusal = "cpu", str(error)
    return {
        "memory": machine.memory_bytes(),
        "cores": machine.core_count(),
        "device": picked,
        "device_bytes": _free_bytes(picked),
        "lacks": dict(lacking(device=picked)),
        "refusal": refusal,
    }


def smallest(facts: dict[str, dict[str, Any]]) -> Capacity:
    """What all workers have at least.

    Args:
        facts: what ``facts_here`` answered, by the worker's name, with ``limit`` (memory limit in bytes, 0 for none)
            and ``host``: workers of one host share its memory and cores.

    Raises:
        ClusterError: if workers lack the device that was asked for; names them.
    """
    lacking = [f"{name}: {fact['refusal']}" for name, fact in facts.items() if fact["refusal"] is not None]
    if lacking:
        raise ClusterError(f"{len(lacking)} of {len(facts)} workers lack the device: {'; '.join(lacking[:5])}")
    hosts = [fact["host"] for fact in facts.values()]
    shares = {name: _share(fact, hosts.count(fact["host"])) for name, fact in facts.items()}
    least = min(shares, key=lambda name: shares[name])
    found = {fact["device"] for fact in facts.values()}
    picked = found.pop() if len(found) == 1 else "cpu"  # one plan for all: a mixed cluster computes on CPUs
    return Capacity(
        memory_bytes=shares[least],
        threads=max(1, min(fact["cores"] // hosts.count(fact["host"]) for fact in facts.values())),
        device=picked,
        device_bytes=0 if picked == "cpu" else min(fact["device_bytes"] for fact in facts.values()),
        where=f"the worker {least}",
        lacks=_lacked({name: fact["lacks"] for name, fact in facts.items()}),
        workers=len(facts),
        local=False,
    )


def _lacked(lacks: dict[str, dict[str, str]]) -> tuple[tuple[str, str], ...]:
    """Runtimes that some workers lack, with the reason and the workers' names."""
    found = []
    for runtime in sorted({runtime for each in lacks.values() for runtime in each}):
        names = [name for name, each in lacks.items() if runtime in each]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        reason = f"{lacks[names[0]][runtime]} (on {len(names)} of {len(lacks)} workers: {', '.join(names[:3])}{more})"
        found.append((runtime, reason))
    return tuple(found)


def memory_there(device: str) -> int:
    """Bytes that the memory has in which ``device`` computes: the GPU's, or what this process may use."""
    if device == "cpu":
        return machine.memory_bytes()
    import torch

    return int(torch.cuda.mem_get_info(device)[1])


def _share(fact: dict[str, Any], beside: int) -> int:
    """Bytes of a worker's own: its limit, or its part of a host with ``beside`` workers."""
    return int(min(fact["limit"] or fact["memory"] // beside, fact["memory"]))


def _free_bytes(device: str) -> int:
    if device == "cpu":
        return 0
    import torch

    return int(torch.cuda.mem_get_info(device)[0])
