"""Choose the number of processes for a machine, if the configuration has none."""

import os
from pathlib import Path

SMALL_MEMORY_BYTES = 2 * 1_073_741_824  # below it, one process does all
MOST_WORKERS = 4  # assumed: then serve, which stores what they judge, is the bottleneck
_MEMINFO = Path("/proc/meminfo")
_OWN_GROUP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def choose_worker_count(configured: int | None) -> int:
    """Return the configured number, else the cores less one, 0 on a small machine."""
    if configured is not None:
        return configured
    return 0 if _is_small() else min(_count_cores() - 1, MOST_WORKERS)


def choose_ingest_count(configured: int | None) -> int:
    """Return the configured number, else 1, or 0 with one core or small memory."""
    if configured is not None:
        return configured
    return 0 if _is_small() or _count_cores() == 1 else 1


def _is_small() -> bool:
    return read_memory_bytes() < SMALL_MEMORY_BYTES


def _count_cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_memory_bytes() -> int:
    """Return the memory of the machine, unit or container; 0 if it is not known."""
    try:
        total_kib = _MEMINFO.read_text().split("MemTotal:", 1)[1].split()[0]
        memory_bytes = int(total_kib) * 1_024
        group = _OWN_GROUP.read_text().strip().rpartition("::/")[2]  # "0::/system.slice/…"
    except (OSError, IndexError, ValueError):
        return 0
    for folder in (_GROUPS / group, _GROUPS):
        try:
            memory_bytes = min(memory_bytes, int((folder / "memory.max").read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return memory_bytes
