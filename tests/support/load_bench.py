"""The processes of the load bench, and what its table is made of."""

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from heliograph_lab.simulate.channel import CollectorEndpoint, connect_endpoint, read_invite
from heliograph_lab.simulate.subscriber import IncidentSubscriber
from support.load_sender import Enrol, Report, Seal, Send
from support.programs import ask, cost_of, module_command

TESTS = Path(__file__).parents[1]
LINE = 256 * 1_048_576
LOOK_S = 0.4
LAG_LOOK_S = 1.0
_UNSTORED = re.compile(r"^heliograph_unstored_rows (\S+)", re.MULTILINE)


@dataclass
class Sender:
    """The load generator, from the parent's side."""

    process: asyncio.subprocess.Process

    async def _ask(self, line: bytes) -> Report:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(line + b"\n")
        await stdin.drain()
        answer = await stdout.readline()
        assert answer, "the load generator ended"
        return msgspec.json.decode(answer, type=Report)

    async def enrol(self, order: Enrol) -> Report:
        return await self._ask(msgspec.json.encode(order))

    async def seal(self, order: Seal) -> Report:
        return await self._ask(b"seal " + msgspec.json.encode(order))

    async def send(self, *, paced: bool) -> Report:
        return await self._ask(b"send " + msgspec.json.encode(Send(paced=paced)))

    async def connect(self) -> None:
        await self._ask(b"connect")

    async def leave(self) -> None:
        await self._ask(b"leave")

    async def join(self, door: CollectorEndpoint) -> None:
        await self._ask(b"join " + msgspec.json.encode(door))

    async def keep(self, file: Path) -> None:
        await self._ask(b"keep " + str(file).encode())


@asynccontextmanager
async def program(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a module of tests/support as a process; kill it at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=TESTS,
        limit=LINE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def bare_server(data: Path, sender: Sender) -> AsyncIterator[int]:
    """Run the minimal server with the sender's agents; yield its process id."""
    async with program("support.bare_intake", str(data)) as process:
        assert process.stdout is not None
        invite = (await process.stdout.readline()).decode()
        await sender.join(await asyncio.to_thread(connect_endpoint, read_invite(invite)))
        await sender.connect()
        yield process.pid
        await sender.leave()


async def flood(sender: Sender, pid: int, results: int) -> tuple[Report, float]:
    """Send results as fast as a process acknowledges; return its CPU µs per result."""
    await sender.seal(Seal(results=results, seconds=1.0))
    before_s = cost_of(pid).cpu_s
    report = await sender.send(paced=False)
    return report, 1e6 * (cost_of(pid).cpu_s - before_s) / report.results


async def answer_of(*words: str) -> dict[str, Any]:
    output = await asyncio.to_thread(ask, module_command(*words), timeout_s=3_600)
    found: dict[str, Any] = json.loads(output)
    return found


@dataclass
class Reader:
    """Asks the collector over HTTP, as an operator and as anybody does."""

    http: str
    password: str
    _session: aiohttp.ClientSession | None = None

    async def get(self, path: str, **asked: str) -> Any:
        return json.loads(await self.text(path, **asked))

    async def text(self, path: str, **asked: str) -> str:
        session = self._session = self._session or aiohttp.ClientSession()
        headers = {"Authorization": f"Bearer {self.password}"}
        url = f"http://{self.http}{path}"
        async with session.get(url, params=asked, headers=headers) as answer:
            answer.raise_for_status()
            return await answer.text()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def visible(self) -> int:
        """Return how many volunteers' results are counted by the aggregation."""
        document = await self.get("/api/v1/aggregation")
        return int(document["result"]["measurement_count"])

    async def unstored(self) -> int:
        """Return how many rows of the journal are not judged and stored."""
        return int(float(_UNSTORED.findall(await self.text("/metrics"))[0]))

    async def newest_us(self) -> int:
        """Return when the newest judged result was received, in µs; 0 for none."""
        found = (await self.get("/api/v1/measurements", limit="1"))["measurements"]
        return _us(found[0]["received"]) if found else 0

    async def is_blocked(self, country: str, service: str) -> bool:
        asked = {"country": country, "service": service, "state": "blocked", "limit": "1"}
        return bool((await self.get("/api/v1/measurements", **asked))["measurements"])


def _us(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1e6)


@dataclass
class Phase:
    name: str
    sent: Report
    cpu_us: float = 0.0  # of the collector, a result
    rss_mib: float = 0.0
    drained_s: float = 0.0  # from the first result sent to the last visible
    lag_s: float = 0.0  # the longest time that the newest visible result was old by
    blocked_s: float | None = None  # from the planted block's first result to its verdict
    incident_s: float | None = None  # … to the public row
    confirmed_s: float | None = None

    @property
    def results(self) -> int:
        return self.sent.results


@dataclass
class Stretch:
    """Send the sealed results and measure when they become visible."""

    sender: Sender
    reader: Reader
    pid: int
    # Results that were visible already. None: they are not counted, since the journal says what is
    # not stored; of a collector that shows a place only if enough vantages are there.
    before: int | None
    watch: IncidentSubscriber | None = None
    country: str = ""
    service: str = ""
    patience_s: float = 240.0

    async def run(self, name: str, *, paced: bool, sealed: Report, incident_s: float) -> Phase:
        """Run until all is visible and a planted block is published, or patience ends."""
        cost_before = cost_of(self.pid)
        if paced:
            await asyncio.sleep(max(0.0, sealed.begun_us / 1e6 - time.time()))
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(self.sender.send(paced=paced))
            blocked = group.create_task(self._blocked())
            drained = group.create_task(self._drained(sending, sealed.volunteers, began_s))
            lag = group.create_task(self._lag(drained))
        cost_after = cost_of(self.pid)
        phase = Phase(name, sending.result())
        phase.cpu_us = 1e6 * (cost_after.cpu_s - cost_before.cpu_s) / phase.results
        phase.rss_mib, phase.drained_s = cost_after.rss_kib / 1_024, drained.result()
        phase.lag_s = lag.result()
        if self.service:
            planted_us = phase.sent.planted_us
            phase.blocked_s = (blocked.result() - planted_us) / 1e6 if planted_us else None
            await self._published(phase, incident_s)
        return phase

    async def _drained(
        self, sending: "asyncio.Task[Report]", volunteers: int, began_s: float
    ) -> float:
        """Wait until all sent results are visible.

        It asks only after the last was sent: the query costs the collector as much as some results.
        """
        await sending
        end_s = time.monotonic() + self.patience_s
        while (missing := await self._count_missing(volunteers)) > 0:
            assert time.monotonic() < end_s, f"{missing} results are not visible"
            await asyncio.sleep(LOOK_S)
        return time.monotonic() - began_s

    async def _count_missing(self, volunteers: int) -> int:
        if self.before is None:
            return await self.reader.unstored()
        return self.before + volunteers - await self.reader.visible()

    async def _lag(self, drained: "asyncio.Task[float]") -> float:
        """Return the greatest age in seconds of the newest visible result."""
        first_us, most_s = await self.reader.newest_us(), 0.0
        while not drained.done():
            await asyncio.sleep(LAG_LOOK_S)
            newest_us = await self.reader.newest_us()
            if newest_us > first_us:
                most_s = max(most_s, time.time() - newest_us / 1e6)
        return most_s

    async def _blocked(self) -> float:
        """Return when the first verdict of the block can be read, in wall microseconds."""
        if not self.service:
            return 0.0
        end_s = time.monotonic() + self.patience_s
        while not await self.reader.is_blocked(self.country, self.service):
            assert time.monotonic() < end_s, f"no verdict says that {self.service} is blocked"
            await asyncio.sleep(LOOK_S)
        return time.time() * 1e6

    async def _published(self, phase: Phase, incident_s: float) -> None:
        """Wait for the public row and its confirmation; record their delays."""
        if self.watch is None or not incident_s:
            return
        onset_s = time.monotonic() - (time.time() - phase.sent.planted_us / 1e6)
        until_s = onset_s + incident_s
        while time.monotonic() < until_s and phase.confirmed_s is None:
            await asyncio.sleep(LOOK_S)
            for seen in self.watch.incidents.values():
                if seen.scope.get("service") == self.service:
                    phase.incident_s = seen.first_s - onset_s
                    phase.confirmed_s = (
                        None if seen.confirmed_s is None else seen.confirmed_s - onset_s
                    )


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Format columns of equal width; the first is text, the others numbers."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(widths[at]) if at in (0, len(row) - 1) else cell.rjust(widths[at])
            for at, cell in enumerate(row)
        ).rstrip()
        for row in rows
    )
