"""What a process weighs that sends a spool's first envelopes: prints its peak RSS in KiB.

Run as a program with the spool's file: `python -m support.spool_memory FILE`.
"""

import asyncio
import sys
from pathlib import Path

from heliograph.clock import SystemClock
from heliograph_agent.spool import Spool

ROUNDS, WINDOW = 40, 16


async def main(path: Path) -> None:
    spool = Spool(path, clock=SystemClock())
    await spool.counts()
    for _ in range(ROUNDS):
        waiting = await spool.waiting(WINDOW)
        await spool.offer([number for number, _ in waiting])
        for number, _ in waiting:
            await spool.settle(number, "stored")
        await spool.counts()
    await spool.close()
    print(peak_kib())


def peak_kib() -> int:
    """Of this program alone: what getrusage tells began with whoever started it."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1])


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
