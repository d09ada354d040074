"""A collector of our own for the time of a play: throwaway keys, tables for made-up addresses.

Its plan has no tasks and it runs no control agent: nobody is asked anything for it.
"""

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml

from heliograph.clock import Clock
from heliograph.plan import Plan
from heliograph.services import shipped
from heliograph_collector.fleet import Fleet, invite_line, open_keyring
from heliograph_collector.fleet.plans import issue
from heliograph_lab.simulate.addresses import write_tables
from heliograph_lab.simulate.script import Actor

HOST = "127.0.0.1"
START_S = 60.0
_LOOK_S = 0.05
_INVITE_S = 86_400
_ASK_S, _ASK_AGAIN_S = 5.0, 0.25


class OwnCollectorError(Exception):
    """It does not come up; the text is a sentence."""


@dataclass(slots=True)
class OwnCollector:
    data: Path
    log: Path
    grpc: str = f"{HOST}:0"
    http: str = f"{HOST}:0"
    process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        return 0 if self.process is None else self.process.pid

    async def start(self) -> None:
        """Until both doors are open; on the same ports as before. Raises OwnCollectorError."""
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "heliograph_collector", "serve"),
                *("--data", str(self.data), "--config", str(self.data.with_suffix(".yml"))),
                *("--grpc", self.grpc, "--http", self.http),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(START_S):
                await self._both_doors()
        except TimeoutError:
            raise OwnCollectorError(f"The collector is not up after {START_S:g} s.") from None

    async def _both_doors(self) -> None:
        for _ in range(int(START_S / _LOOK_S)):  # it tells by a file, which nobody can wait for
            if self._found():
                return
            await asyncio.sleep(_LOOK_S)
        raise TimeoutError

    def _found(self) -> bool:
        if self.process is not None and self.process.returncode is not None:
            raise OwnCollectorError(f"The collector ended: {self.last_words()}")
        try:
            places = json.loads((self.data / "serving.json").read_text())
        except (OSError, ValueError):
            return False
        if places.get("pid") != self.pid or not {"grpc", "http"} <= places.keys():
            return False
        self.grpc, self.http = places["grpc"], places["http"]
        return True

    async def ready(self) -> None:
        """Until the store is open as well. Raises OwnCollectorError."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ASK_S)) as session:
            for _ in range(int(START_S / _ASK_AGAIN_S)):
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(f"http://{self.http}/readyz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(_ASK_AGAIN_S)
        raise OwnCollectorError(f"The collector's store is not open after {START_S:g} s.")

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing."

    async def kill(self) -> None:
        process = self.process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    def age(self, days: Mapping[bytes, float], clock: Clock) -> None:
        """Agent → how long ago it was enrolled. The collector notices within two seconds."""
        now_s = clock.wall_us() // 1_000_000
        with closing(sqlite3.connect(self.data / "fleet.db", timeout=10)) as db, db:
            db.executemany(
                "UPDATE agents SET created_s = ? WHERE id = ?",
                [(now_s - int(age * 86_400), agent) for agent, age in days.items()],
            )


@dataclass(frozen=True, slots=True)
class Invites:
    """INVITE lines, of an own collector."""

    volunteers: str
    controls: str


@asynccontextmanager
async def own_collector(
    folder: Path,
    actors: Sequence[Actor],
    heartbeat_s: int,
    clock: Clock,
    log: Path | None = None,
) -> AsyncIterator[tuple[OwnCollector, Invites]]:
    """Running, with an INVITE for all of them; killed at the end. Raises OwnCollectorError."""
    data = folder / "data"
    write_tables(actors, data / "geo")
    data.with_suffix(".yml").write_text(yaml.safe_dump(_config(len(actors))))
    now_s = clock.wall_us() // 1_000_000
    keyring, services = open_keyring(data, [HOST]), shipped()
    plan = Plan(
        version=0,
        issued_s=0,
        expires_s=0,
        services_version=services.version,
        services=services.services,
        heartbeat_s=heartbeat_s,
    )
    with closing(Fleet(data)) as fleet:
        issue(fleet, keyring.signing, plan, now_s)
        tokens = [
            fleet.invite(role=role, uses=len(actors), now_s=now_s, expires_s=now_s + _INVITE_S)
            for role in ("volunteer", "control")
        ]
    collector = OwnCollector(data, log or folder / "collector.log")
    try:
        await collector.start()
        yield collector, Invites(*(invite_line(collector.grpc, keyring.pin, t) for t in tokens))
    finally:
        await asyncio.shield(collector.kill())


def _config(agents: int) -> dict[str, object]:
    """Room for everybody, and for the half-open leftovers of those who come back."""
    return {
        "control": {"endpoints": []},
        "intake": {"trusted_proxies": ["127.0.0.0/8"]},
        "limits": {
            "sessions": min(100_000, agents + agents // 2 + 100),
            "batches_per_hour": 100_000,
        },
    }
