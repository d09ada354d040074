"""The collector's door in a process of its own, without the store behind it: its memory is its own.

Run as a program: `python -m support.door_alone FOLDER`; prints its port, and ends with its input.
"""

import asyncio
import sys
from pathlib import Path

from support.intake import ingest_server


async def main(folder: Path) -> None:
    async with ingest_server(folder) as home:
        print(home.intake.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
