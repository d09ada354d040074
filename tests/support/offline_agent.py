"""An agent behind a shutdown of months, in virtual time: its spool, sealing and digest are real.

Two hours of plain days, then everything abroad is dead and hosts at home live; every few days the
net opens for an hour. What it issues is written down by class, for whoever compares.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, DnsAnswer, Epoch, Link, Measurement, Observation, Tcp, Tls
from heliograph.voice_code import ServiceState
from heliograph_agent.runtime.batcher import Batcher, CollectorSealer, OfflineDigest
from heliograph_agent.spool import Priority, PriorityClassifier, Spool
from heliograph_agent.state import SPOOL, Collector, State
from support.agent_host import RecordingHost
from support.hand_clock import HandClock

DAY_S, HOUR_S = 86_400, 3_600
ONSET_S = 2 * HOUR_S
EPOCH = Epoch(id="e1", started_us=1, country="KZ", region="KZ-75")
SECRET = "very-secret-target"  # stands in every target, and must be readable nowhere on the disk


@dataclass(frozen=True, slots=True)
class Errand:
    """A test of a plan, as the shipped one has them."""

    service: str
    every_s: int
    endpoints: int
    abroad: bool = True

    @property
    def experiment(self) -> str:
        return "connectivity" if self.service == "anchors" else "web"


# As often as the shipped plan asks, in the same proportions.
PLAN = (
    Errand("anchors", 180, 6),
    Errand("telegram", 480, 8),
    Errand("whatsapp", 600, 6),
    Errand("signal", 600, 5),
    Errand("wikipedia", 600, 2),
    Errand("home", 600, 2, abroad=False),
    *(Errand(name, 7_200, 3) for name in ("viber", "threema", "matrix", "discord", "line")),
)


@dataclass
class Issued:
    """What was taken by the spool."""

    kept: dict[int, str] = field(default_factory=dict)  # P0 and P1: number → target
    runs: Counter[tuple[str, bool]] = field(
        default_factory=Counter
    )  # the rest: target, whether bad
    onset: set[int] = field(default_factory=set)  # all of the first hours of the dark


class OfflineAgent:
    """`folder` is the agent's state; the clock is the test's to hold."""

    def __init__(
        self, folder: Path, collector: Collector, clock: HandClock, limit_bytes: int, seed: int
    ) -> None:
        self.state, self.clock = State(folder), clock
        self.spool = Spool(self.state.path(SPOOL), limit_bytes=limit_bytes, clock=clock)
        self.darkness = OfflineDigest(clock, "boot")
        self.issued = Issued()
        self._began_us = clock.monotonic_us()
        self._triage = PriorityClassifier()
        self._rng = random.Random(seed)
        self._opened_day = -1
        sealer = CollectorSealer(self.state, collector, clock)
        host = RecordingHost(is_offline=True, digest=self._telling)
        self._sealing = Batcher(sealer, self.spool, clock, host)

    async def live(self, days: int, step_s: int) -> None:
        """So many days; what is due is measured and sealed once every `step_s`."""
        for at_s in range(0, days * DAY_S, step_s):
            async with asyncio.TaskGroup() as group:
                for errand in PLAN:
                    if at_s % errand.every_s < step_s:
                        group.create_task(self._measure(errand, at_s))
            await self._sealing.close_batches()
            self.clock.advance_us(step_s * 1_000_000)

    async def _measure(self, errand: Errand, at_s: int) -> None:
        dead = errand.abroad and at_s >= ONSET_S and not self._is_open(at_s)
        one = self._measurement(errand, dead=dead)
        planned = Priority.P0 if errand.service == "anchors" else Priority.P3
        priority = self._triage.classify(one, planned)
        number = await self.spool.append(one, EPOCH, priority)
        if priority <= Priority.P1:
            self.issued.kept[number] = one.target
        else:
            self.issued.runs[one.target, dead] += 1
        if ONSET_S - HOUR_S <= at_s < ONSET_S + 6 * HOUR_S:
            self.issued.onset.add(number)
        life = ServiceState.FAILS if dead else ServiceState.ANSWERS
        name = "foreign" if errand.service == "anchors" else errand.service
        known = {"home": "domestic", "wikipedia": "tor"}.get(name, name)
        self.darkness.add_states({known: (life, self.clock.wall_us())})

    def _is_open(self, at_s: int) -> bool:
        """An hour of every third day, at another time each."""
        day, hour = divmod(at_s // HOUR_S, 24)
        return day % 3 == 2 and hour == (day * 7) % 24

    def _measurement(self, errand: Errand, *, dead: bool) -> Measurement:
        steps: list[Observation] = []
        for index in range(errand.endpoints):
            steps += self._endpoint(f"{errand.service}-{index}", len(steps), dead=dead)
        return Measurement(
            experiment=errand.experiment, experiment_version=1, service=errand.service,
            target=f"https://{SECRET}.{errand.service}.example/", started_us=self.clock.wall_us(),
            monotonic_us=self.clock.monotonic_us(), boot="boot",
            runtime_us=self._rng.randrange(200_000, 12_000_000), epoch=EPOCH.id,
            link=Link.DOMESTIC_ONLY if dead else Link.ONLINE, plan_version=3,
            services_version="12", observations=tuple(steps),
        )  # fmt: skip

    def _endpoint(self, endpoint: str, first: int, *, dead: bool) -> list[Observation]:
        """A lookup, a connection and, where that stands, a handshake."""
        step = Observation(
            operation=Operation.RESOLVE, started_us=self._rng.randrange(9_000_000),
            duration_us=self._rng.randrange(2_000, 90_000), endpoint=endpoint,
        )  # fmt: skip
        address = f"198.51.100.{sum(endpoint.encode()) % 250}"
        answers = (DnsAnswer(type="A", data=address, ttl_s=self._rng.randrange(300)),)
        dns = Dns(
            engine="system", resolver="", name=f"{endpoint}.example", query_type="A", rcode=0,
            answers=answers,
        )  # fmt: skip
        connect = replace(
            step, operation=Operation.CONNECT,
            duration_us=self._rng.randrange(20_000, 10_000_000), parent=first,
            failure=Failure.GENERIC_TIMEOUT_ERROR if dead else None,
            tcp=Tcp(address=address, port=443),
        )  # fmt: skip
        tls = replace(
            connect, operation=Operation.TLS_HANDSHAKE, parent=first + 1,
            tls=Tls(server_name=f"{endpoint}.example", version="TLSv1.3", alpn="h2"),
        )  # fmt: skip
        return [replace(step, dns=dns), connect] + ([] if dead else [tls])

    def _telling(self) -> tuple[Sequence[Measurement], Epoch] | None:
        if not self.darkness.is_worth_sending:
            return None
        return [*self.darkness.build_digests(EPOCH, Link.DOMESTIC_ONLY)], EPOCH
