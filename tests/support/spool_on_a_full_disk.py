"""Fill a spool on a disk that is too small, and print what became of the results.

Run as a program, as root, in a separate mount namespace, with an empty folder to mount on: `unshare
--mount python -m support.spool_on_a_full_disk FOLDER`; prints one JSON object.
"""

import asyncio
import json
import sys
from pathlib import Path

from heliograph.clock import SystemClock
from heliograph_agent.spool import Priority, Spool, SpoolFullError
from support.results import EPOCH, PLAIN, deliver_all, measurement
from support.small_disk import fill_up, mount

DISK = "3m"
TRIES = 4_000
LONG = "x" * 1_500


async def fill(spool: Spool, priority: Priority) -> tuple[list[int], int]:
    taken, refused = [], 0
    for index in range(TRIES):
        try:
            one = measurement(f"t{index}", not_measured=LONG)
            taken.append(await spool.append(one, EPOCH, priority))
        except SpoolFullError:
            refused += 1
            if refused > 20:
                break
    return taken, refused


async def story(path: Path) -> dict[str, object]:
    spool = Spool(path, PLAIN, clock=SystemClock())
    routine, _ = await fill(spool, Priority.P3)
    ballast = path.with_name("other-files")
    fill_up(ballast)  # somebody else takes what is left
    changes, refused = await fill(spool, Priority.P1)
    full = await spool.read_counts()
    await spool.close()
    again = Spool(path, PLAIN, clock=SystemClock())  # a start on a full disk
    started = await again.read_counts()
    ballast.unlink()
    late, _ = await fill(again, Priority.P1) if refused else ([], 0)
    kept = []
    while batches := await deliver_all(again):  # which frees the disk on the way
        kept += [m.sequence for batch in batches for m in batch.measurements]
    counts = await again.read_counts()
    await again.close()
    return {
        "routine": len(routine),
        "changes": len(changes),
        "refused": refused,
        "changes_lost": len({*changes, *late} - set(kept)),
        "twice": len(kept) - len(set(kept)),
        "kept": len(kept),
        "taken": len(routine) + len(changes) + len(late),
        "dropped": dict(counts.dropped),
        "problem_when_full": full.problem,
        "problem_at_start": started.problem,
        "problem_in_the_end": counts.problem,
    }


def main() -> None:
    folder = Path(sys.argv[1])
    assert mount(DISK, folder)
    print(json.dumps(asyncio.run(story(folder / "spool.db"))))


if __name__ == "__main__":
    main()
