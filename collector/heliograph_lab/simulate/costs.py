"""What a process costs, by /proc (Linux): CPU seconds and resident memory."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True, slots=True)
class Cost:
    """At one moment. `at_s` is by any clock that runs evenly."""

    at_s: float
    cpu_s: float
    rss_kib: int


def cost(pid: int, clock_s: Callable[[], float]) -> Cost | None:
    """None where it cannot be known: no such process, or no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    rss = next((x.split()[1] for x in status.splitlines() if x.startswith("VmRSS:")), "0")
    return Cost(clock_s(), (int(stat[11]) + int(stat[12])) / _TICKS, int(rss))
