"""Kills a process that fills, closes and settles a spool, over and over, and checks what is left.

Run as a program: `python -m support.spool_killing FOLDER KILLS SEED`; prints one JSON object. It
keeps no thread of its own, so that forking a life costs a few milliseconds.

A life reports down a pipe: "appended NUMBER TARGET" and "closed ENVELOPE" when the act returned,
"settling ENVELOPE MEASUREMENTS" before and "settled ENVELOPE" after. What was appended must be
found after the kill, once: open, in an envelope, or in one that may have been settled.
"""

import asyncio
import contextlib
import itertools
import json
import os
import random
import select
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from heliograph.clock import SystemClock
from heliograph_agent.spool import Priority, Spool
from support.results import EPOCH, PLAIN, contents, measurement

WORKERS = 4
LIFE_REPORTS = (0, 40)  # after so many it ends, however busy the machine is …
LAST_S = (0.0, 0.004)  # … and so much later, in the middle of whatever it does then
STUCK_S = 20.0  # without a report


class Life:
    """Works until it is killed."""

    def __init__(self, path: Path, seed: int, pipe: int) -> None:
        self._path = path
        self._seed = seed
        self._pipe = pipe
        self._rng = random.Random(seed)

    async def run(self) -> None:
        spool = Spool(self._path, clock=SystemClock())
        self._report("alive")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ship(spool))
            for worker in range(WORKERS):
                group.create_task(self._append(spool, worker))

    async def _append(self, spool: Spool, worker: int) -> None:
        for count in itertools.count():
            name = f"{self._seed}-{worker}-{count}"
            worth = Priority(self._rng.randrange(4))
            number = await spool.append(measurement(name), EPOCH, worth)
            self._report("appended", number, name)
            await asyncio.sleep(self._rng.choice((0, 0.001)))

    async def _ship(self, spool: Spool) -> None:
        while True:
            await asyncio.sleep(self._rng.random() * 0.01)
            closed = await spool.close_batch(PLAIN)
            if closed is not None:
                self._report("closed", closed)
            for number, envelope in (await spool.list_waiting(3))[1:]:
                self._report("settling", number, *contents(envelope))
                await spool.record_receipt(number, "stored")
                self._report("settled", number)

    def _report(self, *words: object) -> None:
        os.write(self._pipe, (" ".join(map(str, words)) + "\n").encode())


@dataclass(slots=True)
class Ledger:
    """What was reported, and what was found so far."""

    appended: dict[int, str] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)
    settling: dict[int, list[int]] = field(default_factory=dict)  # envelope → measurements
    settled: set[int] = field(default_factory=set)
    found: dict[int, bytes] = field(default_factory=dict)  # every envelope ever
    wrong: list[str] = field(default_factory=list)
    acts: Counter[str] = field(default_factory=Counter)

    def hear(self, line: str) -> None:
        act, *words = line.split(" ")
        self.acts[act] += 1
        match act:
            case "appended":
                if int(words[0]) in self.appended:
                    self.wrong.append(f"measurement {words[0]} was given twice")
                self.appended[int(words[0])] = words[1]
            case "closed":
                self.closed.add(int(words[0]))
            case "settling":
                self.settling[int(words[0])] = [int(word) for word in words[1:]]
            case "settled":
                self.settled.add(int(words[0]))

    def check(self, path: Path) -> None:
        """After a kill: read a copy, for the file itself is the next life's to recover."""
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            shutil.copytree(path.parent, folder, dirs_exist_ok=True)
            db = stack.enter_context(contextlib.closing(sqlite3.connect(Path(folder) / path.name)))
            opened = [number for (number,) in db.execute("SELECT sequence FROM measurement")]
            envelopes = dict(db.execute("SELECT sequence, body FROM envelope").fetchall())
            (verdict,) = db.execute("PRAGMA integrity_check").fetchone()
        self._expect(verdict == "ok", f"the file is not whole: {verdict}")
        for number, body in envelopes.items():
            same = self.found.setdefault(number, body) == body
            self._expect(same, f"envelope {number} is not the bytes it was")
            self._expect(number not in self.settled, f"envelope {number} came back")
        lost = (self.closed | self.found.keys()) - envelopes.keys() - self.settling.keys()
        self._expect(not lost, f"envelopes {sorted(lost)} are lost")
        self._count(opened, envelopes)

    def _count(self, opened: list[int], envelopes: dict[int, bytes]) -> None:
        """Each measurement once, under the number and with the content that was reported."""
        there = Counter(opened)
        for body in envelopes.values():
            there.update(contents(body).keys())
            for number, name in contents(body).items():
                same = self.appended.get(number, name) == name
                self._expect(same, f"measurement {number} is another one")
        for number in self.settling.keys() - envelopes.keys():
            there.update(self.settling[number])
        twice = sorted(number for number, times in there.items() if times > 1)
        self._expect(not twice, f"measurements {twice} are there twice")
        lost = sorted(self.appended.keys() - there.keys())
        self._expect(not lost, f"measurements {lost} are lost")
        self.acts["held or delivered"] = len(there)

    def _expect(self, condition: bool, sentence: str) -> None:
        if not condition:
            self.wrong.append(sentence)


def one_life(path: Path, seed: int, ledger: Ledger) -> None:
    rng = random.Random(-seed)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        asyncio.run(Life(path, seed, write).run())
        os._exit(1)
    os.close(write)
    heard = bytearray()
    wanted = rng.randint(*LIFE_REPORTS)
    while heard.count(b"\n") <= wanted and select.select([read], [], [], STUCK_S)[0]:
        if not (more := os.read(read, 65_536)):
            break  # it ended by itself, which the count of what it reported tells
        heard += more
    time.sleep(rng.uniform(*LAST_S))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(read, 65_536):
        heard += more
    os.close(read)
    for line in heard.decode().split("\n")[:-1]:  # what follows the last newline was cut short
        ledger.hear(line)


def main() -> None:
    folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    ledger = Ledger()
    for life in range(kills):
        one_life(folder / "spool.db", seed * 10_000 + life, ledger)
        ledger.check(folder / "spool.db")
    print(json.dumps({"kills": kills, "acts": ledger.acts, "wrong": ledger.wrong[:20]}))


if __name__ == "__main__":
    main()
