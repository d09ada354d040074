"""Print the peak RSS in KiB of a process that sends a spool's first envelopes.

Run as a program with the spool's file: `python -m support.spool_memory FILE`.
"""

import asyncio
import sys
from pathlib import Path

from heliograph.clock import SystemClock
from heliograph_agent.spool import Spool
from support.results import PLAIN

ROUNDS, WINDOW = 40, 16


async def main(path: Path) -> None:
    spool = Spool(path, PLAIN, clock=SystemClock())
    await spool.read_counts()
    for _ in range(ROUNDS):
        waiting = await spool.list_waiting(WINDOW)
        await spool.mark_offered([number for number, _ in waiting])
        for number, _ in waiting:
            await spool.record_receipt(number, "stored")
        await spool.read_counts()
    await spool.close()
    print(peak_kib())


def peak_kib() -> int:
    """Return the peak RSS of this program alone; getrusage counts its parent's too."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1])


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
