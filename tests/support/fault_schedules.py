"""Play random faults around a real spool and a real intake, and check the journal.

Run as a program, best as root in a mount namespace of its own (`unshare --mount`), so that its disk
can be full and read-only: `python -m support.fault_schedules FOLDER SOCKET FIRST_SEED COUNT`;
prints JSON. It has no thread of its own, so that a life can be forked.

What must hold, whatever was killed, full, flipped or lost: an envelope that was acknowledged is in
the journal once, and holds just what was in the bytes that were acknowledged; nothing is there that
was not issued, and no result twice; and where no byte was flipped, what was taken is there, alone
or in a sum, or counted as thinned.
"""

import asyncio
import contextlib
import json
import os
import random
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heliograph import keys
from support.fault_agent import Agent, Life
from support.fault_collector import framed
from support.small_disk import fill_up, mount

DISK = "5m"
ACTS = 40
LIFE_S = 0.15
DRAIN_S = 60.0
FAULTS = ("none", "kill", "kill", "kill", "kill", "full", "read-only", "short")
Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass
class Told:
    tried: set[str] = field(default_factory=set)
    took: set[str] = field(default_factory=set)
    sealed: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # number, CRC → names
    acked: dict[int, set[str]] = field(default_factory=dict)  # number → CRC of what was sent
    refused: list[str] = field(default_factory=list)
    held: list[Any] = field(default_factory=list)

    def hear(self, line: str) -> None:
        word, *rest = line.split(" ")
        match word:
            case "try":
                self.tried.add(rest[0])
            case "took":
                self.took.add(rest[0])
            case "sealed":
                self.sealed[rest[0], rest[1]] = rest[2:]
            case "acked":
                self.acked.setdefault(int(rest[0]), set()).add(rest[1])
            case "refused":
                self.refused.append(line)
            case "held":
                self.held = json.loads(line.partition(" ")[2])


def check(
    told: Told, stored: list[tuple[int, list[tuple[str, int]]]], *, flipped: bool
) -> list[str]:
    """Return what is wrong, as sentences. Pure."""
    wrong = [f"the door refused: {line}" for line in told.refused]
    numbers = Counter(number for number, _ in stored)
    wrong += [f"envelope {n} is stored {times} times" for n, times in numbers.items() if times > 1]
    wrong += [
        f"envelope {n} was acknowledged and is not stored" for n in told.acked - numbers.keys()
    ]
    for number, measured in stored:
        names = [f"+{runs}" if runs else target for target, runs in measured]
        sent = told.acked.get(number, ())
        if any(names != told.sealed.get((str(number), crc)) for crc in sent):
            wrong.append(f"envelope {number} holds something else than was acknowledged")
    single = Counter(t for _, measured in stored for t, runs in measured if not runs)
    single.pop("digest", None)
    in_sums = sum(runs for _, measured in stored for _, runs in measured)
    wrong += [f"{t} is stored {times} times" for t, times in single.items() if times > 1]
    wrong += [f"{t} was never issued" for t in single.keys() - told.tried]
    if len(single) + in_sums > len(told.tried):
        wrong.append(f"{len(single)} and {in_sums} in sums are more than {len(told.tried)} tried")
    return wrong + _lost(told, single, in_sums, flipped=flipped)


def _lost(told: Told, single: Counter[str], in_sums: int, *, flipped: bool) -> list[str]:
    if not told.held:
        return ["the last life did not come to its end"]
    dropped, _, waiting, quarantined, problem = told.held
    wrong = (
        [f"in the end {waiting} wait, {quarantined} aside {problem}"] if waiting or problem else []
    )
    lost = told.took - single.keys()
    accounted = in_sums + sum(dropped.values()) - dropped.get("refused", 0)
    if not flipped and len(lost) > accounted:
        wrong.append(f"{len(lost)} are lost, and {accounted} accounted for")
    return wrong


class Bench:
    """The disk and the intake of a schedule; agents run on them one after another."""

    def __init__(self, folder: Path, door: Path) -> None:
        self._disk, self._door = folder / "disk", door
        self._folder = folder
        self._disk.mkdir()
        self.mounted = mount(DISK, self._disk)
        self.acts: Counter[str] = Counter()

    def schedule(self, seed: int) -> list[str]:
        rng = random.Random(seed)
        home = self._disk / str(seed)
        home.mkdir()
        signer = keys.SigningKey(rng.randbytes(32))
        agent = Agent(
            signer=signer,
            sealing=self._ask(b"E" + signer.public),
            spool=home / "spool.db",
            report=self._folder / "report",
            socket=self._door,
            network=(seed % 65_536).to_bytes(2, "big"),
            limit_bytes=rng.choice((120_000, 67_108_864)),
        )
        agent.report.unlink(missing_ok=True)
        flipped = False
        for life in range(rng.randrange(2, 5)):
            self._live(agent, seed * 10 + life, rng)
            flipped |= rng.random() < 0.25 and self._flip(home, rng)
        self._fork(lambda: Life(agent, -seed - 1).drain(), DRAIN_S)
        told = Told()
        for line in agent.report.read_text().split("\n")[:-1]:
            told.hear(line)
        stored = json.loads(self._ask(b"D" + agent.id))
        self._count(told, stored, flipped=flipped)
        for path in home.iterdir():
            path.unlink()
        return check(told, stored, flipped=flipped)

    def _live(self, agent: Agent, seed: int, rng: random.Random) -> None:
        fault = rng.choice(FAULTS)
        if not self.mounted and fault in ("full", "read-only"):
            fault = "kill"
        self.acts[fault] += 1
        limit_s = rng.uniform(0.0, LIFE_S) if fault == "kill" else DRAIN_S
        with self._disk_that_is(fault):
            self._fork(lambda: Life(agent, seed).run(ACTS), limit_s, short=fault == "short")

    @contextlib.contextmanager
    def _disk_that_is(self, fault: str) -> Any:
        ballast = self._disk / "ballast"
        if fault == "full":
            fill_up(ballast)
        elif fault == "read-only":
            self._remount("ro")
        try:
            yield
        finally:
            if fault == "read-only":
                self._remount("rw")
            ballast.unlink(missing_ok=True)

    def _remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self._disk)], check=True)

    def _flip(self, home: Path, rng: random.Random) -> bool:
        files = sorted(p for p in home.iterdir() if p.stat().st_size and "shm" not in p.name)
        if not files:
            return False
        path = rng.choice(files)
        data = bytearray(path.read_bytes())
        for _ in range(rng.choice((1, 1, 3, 20))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        self.acts["flipped"] += 1
        return True

    def _fork(self, work: Work, limit_s: float, *, short: bool = False) -> None:
        """Run to its end, or killed after so long."""
        child = os.fork()
        if child == 0:
            if short:  # writes beyond so many bytes fail, with an error of the disk's own
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))
            with contextlib.suppress(BaseException):
                asyncio.run(work())
            os._exit(0)
        handle = os.pidfd_open(child)
        ended = select.select([handle], [], [], limit_s)[0]
        os.close(handle)
        if not ended:
            os.kill(child, signal.SIGKILL)
            self.acts["killed"] += 1
        os.waitpid(child, 0)

    def _count(self, told: Told, stored: list[Any], *, flipped: bool) -> None:
        self.acts["issued"] += len(told.took)
        self.acts["envelopes acknowledged"] += len(told.acked)
        self.acts["envelopes stored"] += len(stored)
        self.acts["results stored"] += sum(not runs for _, m in stored for _, runs in m)
        self.acts["results in sums"] += sum(runs for _, m in stored for _, runs in m)
        self.acts["schedules without flipped bits"] += not flipped

    def _ask(self, word: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(30)
            line.connect(str(self._door))
            line.sendall(framed(word))
            with line.makefile("rb") as answer:
                return answer.read(int.from_bytes(answer.read(4), "big"))


def main() -> None:
    folder, door, first, count = Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:5])
    bench, wrong, began = Bench(folder, door), {}, time.monotonic()
    for seed in range(first, first + count):
        found = bench.schedule(seed)
        if found:
            wrong[seed] = found[:5]
    told = {"schedules": count, "first_seed": first, "acts": bench.acts, "wrong": wrong,
            "own_disk": bench.mounted, "seconds": round(time.monotonic() - began, 1)}  # fmt: skip
    print(json.dumps(told))


if __name__ == "__main__":
    main()
