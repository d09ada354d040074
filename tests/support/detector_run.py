"""Run a detector on a real journal in virtual time, row by row as received."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from heliograph.keys import SigningKey
from heliograph.timestamps import parse_timestamp
from heliograph.units import SECOND_US
from heliograph_collector.detect.runner import DetectorRunner
from heliograph_collector.detect.state import DetectorConfig
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.http.published_incidents import IncidentEvents
from heliograph_collector.incidents.published.incident import BracketDocument
from heliograph_collector.incidents.published.log import IncidentRecord
from heliograph_collector.model.records import Block, JournalRow, StoredVote, WorldTally
from heliograph_collector.model.signals import (
    Fault,
    Goodbye,
    OfflineReport,
    VantageArrival,
    VantageLoss,
)
from heliograph_collector.store.clickhouse import StoreError
from heliograph_collector.store.journal.journal import Journal
from support.hand_clock import HandClock
from support.journal_rows import SECRET, row_of
from support.presence_model import Signals, at

KEY = SigningKey(b"k" * 32)


@dataclass
class FakeStore:
    stored: list[StoredVote] = field(default_factory=list)
    world: list[WorldTally] = field(default_factory=list)
    asked: list[tuple[str, str, int, int]] = field(default_factory=list)
    failures: list[StoreError] = field(default_factory=list)  # the first answers

    async def opinions(
        self, service: str, country: str, since_us: int, until_us: int
    ) -> Sequence[StoredVote]:
        self.asked.append((service, country, since_us, until_us))
        if self.failures:
            raise self.failures.pop(0)
        return [o for o in self.stored if since_us <= o.started_us < until_us]

    async def world_tally(
        self,
        service: str,
        not_country: str,
        since_us: int,
        until_us: int,
        bin_s: int,
        *,
        fresh_s: int = 0,
    ) -> Sequence[WorldTally]:
        return [w for w in self.world if since_us <= w.start_us < until_us]


class DetectorRun:
    """A detector over a folder; a second one on the folder is the one after a restart.

    Open it with `async with`.
    """

    def __init__(
        self,
        data: Path,
        *,
        start_s: float = 0.0,
        k_anonymity: int = 5,
        journal: Journal | None = None,
        clock: HandClock | None = None,
    ) -> None:
        self.data = data
        self.clock = clock or HandClock(at(start_s))
        self.bus = EventBus("b", memory=100_000)
        self.store = FakeStore()
        self._owns_journal = journal is None
        self.journal = journal or Journal(data / "journal.db")
        self.registry = CollectorRegistry()
        self.config = DetectorConfig(
            data=data, journal=self.journal.id, secret=SECRET, key=KEY,
            versions={"heliograph": "0"}, k_anonymity=k_anonymity,
        )  # fmt: skip

    async def __aenter__(self) -> "DetectorRun":
        """Read the log and the checkpoint. Raises LogUnusableError."""
        try:
            self.detector = DetectorRunner(
                self.config, self.journal, self.store,
                clock=self.clock, registry=self.registry,
                publisher=IncidentEvents(self.bus, {}, self.config.k_anonymity),
            )  # fmt: skip
            await self.detector.restore_state()
        except BaseException:
            await self.journal.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._owns_journal:
            await self.journal.close()

    async def play(self, rows: Iterable[JournalRow], until_s: float, tick_s: float = 5.0) -> None:
        """Feed the rows until second `until_s` of the world; run every `tick_s` seconds."""
        waiting = sorted(rows, key=lambda row: row.received_us)
        while self.clock.wall < at(until_s):
            now_us = min(at(until_s), self.clock.wall + int(tick_s * SECOND_US))
            self.clock.advance_us(now_us - self.clock.wall)
            due = [row for row in waiting if row.received_us <= now_us]
            del waiting[: len(due)]
            if due:
                await self.journal.append(due)
            await self.look()

    async def look(self) -> None:
        while not await self.detector.advance():
            pass

    def took(self, block: Block) -> None:
        self.detector.on_block(block)

    def confirmed(self) -> list[IncidentRecord]:
        """Return all incidents ever confirmed, oldest first."""
        records = [logged.record for logged in reversed(self.detector.book.incidents())]
        return [record for record in records if record.confirmed]

    def alerts(self, id_: str) -> list[str]:
        """Return the changes of an incident that subscribers were alerted to."""
        return [e.body.change for e in self.detector.book.entries_of(id_) if e.body.alert]


def rows_of(signals: Signals) -> list[JournalRow]:
    """Return the rows of signals, without offline reports, which come in envelopes."""
    told: list[VantageArrival | Goodbye | VantageLoss | Fault] = [
        s for s in signals if not isinstance(s, OfflineReport)
    ]
    rows = [row_of(signal) for signal in told]
    return sorted(rows, key=lambda row: row.received_us)


def seconds(moment: str) -> float:
    """Return the seconds between the start of the world and a moment in a record."""
    return (parse_timestamp(moment) - at(0)) / SECOND_US


def holds(bracket: BracketDocument | None, second: float, slack_s: float = 0.0) -> bool:
    assert bracket is not None
    earliest, latest = seconds(bracket.earliest), seconds(bracket.latest)
    return earliest - slack_s <= second <= latest + slack_s
