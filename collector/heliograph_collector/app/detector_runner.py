"""Runs the detectors: follows the journal, hears verdicts, tells the stream what is new.

What it knows is put down every hour; a restart goes on from there, by the rows that came since.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Gauge

from heliograph.clock import Clock
from heliograph_collector.detect.late_data import Late, Reopened
from heliograph_collector.detect.late_queries import Past, look_again
from heliograph_collector.detect.recovery import Recalled
from heliograph_collector.detect.silence.detector import Blind
from heliograph_collector.detect.state import Keeper, Study
from heliograph_collector.detect.vote_reader import opinions
from heliograph_collector.errors import CannotServeError
from heliograph_collector.http.api.coverage import gap
from heliograph_collector.http.event_bus import Bus
from heliograph_collector.http.incident_document import document, state
from heliograph_collector.incidents.book import Book, Entry
from heliograph_collector.incidents.incident import Incident, State
from heliograph_collector.incidents.log_file import AlertLogError
from heliograph_collector.incidents.operator_entries import Saying
from heliograph_collector.model.records import Block, JournalRow
from heliograph_collector.model.signals import Opinion
from heliograph_collector.store.clickhouse import StoreError
from heliograph_collector.store.journal.journal import JournalError


class Herald:
    """`titles` are those of the services, `k` that of k-anonymity."""

    def __init__(self, bus: Bus, titles: Mapping[str, str], k: int) -> None:
        self._bus, self._titles, self._k = bus, titles, k

    def incident(self, book: Book, id_: str) -> None:
        """As `/api/v1/incidents/{id}` gives it; nothing of those that it does not give."""
        told = document(book.of(id_), self._titles, self._k)
        if told is not None:
            self._bus.publish("incident", json.dumps(told))

    def blind(self, book: Book, spell: Mapping[str, Any]) -> None:
        """As in `/api/v1/coverage`. A country of which nothing was ever said is not named:

        that we are blind there would tell that somebody is there. Whoever asks gets what is shown.
        """
        country = spell["country"]
        named = not country or self._k <= 1 or self._told(book, country)
        told = gap(spell) if named else {"ask": "/api/v1/coverage"}
        self._bus.publish("coverage", json.dumps(told))

    def _told(self, book: Book, country: str) -> bool:
        mine = (i for i in book.incidents() if i["scope"]["country"] == country)
        return any(state(i, self._titles, self._k) for i in mine)


log = logging.getLogger("heliograph.detect")

TICK_S = 1.0
_ROWS = 1_000  # read at once
_HEARD = 200_000  # opinions that may wait for a look: a minute of a very large collector
_AGAIN_S = 5.0
_STUCK_S = 180  # without a look: one takes some seconds after a long silence
_AHEAD_S = 60.0  # of what was judged already
_BEHIND_S = 300.0  # of arrivals that nobody has judged by
_THRIFT = 4  # the past gets a fifth of the time at most

Spell = dict[str, Any]


class Rows(Protocol):
    """What is needed of the journal."""

    @property
    def position(self) -> int: ...
    async def read(self, after: int, limit: int) -> list[JournalRow]: ...
    async def wait_beyond(self, position: int, timeout_s: float) -> bool: ...


class Memory(Protocol):
    """What was judged of entries after `position`; raises JournalError, StoreError."""

    async def since(self, position: int | None) -> Recalled: ...


class Detector:
    """`took` with blocks; `run` belongs in the collector's TaskGroup. Raises CannotServeError."""

    def __init__(
        self,
        study: Study,
        journal: Rows,
        past: Past,
        *,
        clock: Clock,
        bus: Bus,
        registry: CollectorRegistry,
        titles: Mapping[str, str] | None = None,
    ) -> None:
        try:
            self._keeper = Keeper(study)
        except (AlertLogError, OSError) as error:
            raise CannotServeError(
                f"The alert log cannot be gone on with. {error} Restore alerts.jsonl and the keys "
                "from one backup, or move alerts.jsonl away to begin a new log."
            ) from error
        self._journal, self._past, self._clock = journal, past, clock
        self._herald = Herald(bus, titles or {}, study.k_anonymity)
        self._turn = asyncio.Lock()  # the keeper does one thing at a time
        self._late = Late()
        self._open: Reopened | None = None  # what is being looked at again
        self._heard: list[Opinion] = []
        self._upto, self._looked_upto = 0, 0  # the last entry of what was heard; at the last look
        self._others: Sequence[Callable[[], int | None]] = ()
        self._recalled = False  # whether what the process before us had in mind is heard again
        self._over: tuple[Blind, ...] = ()  # when we were blind, at the last look …
        self._lasting: tuple[tuple[int, str, str], ...] = ()  # … and where we are
        self._looked = False
        self._trouble = ""
        self._stepped_us, self._late_by_s, self._ahead_s = clock.monotonic_us(), 0.0, 0.0
        self._incidents = Gauge(
            "heliograph_incidents", "Incidents by state.", ("state",), registry=registry
        )
        self._behind = Gauge(
            "heliograph_detector_behind_seconds",
            "How old the journal's oldest row is that the detectors have not read.",
            registry=registry,
        )
        self._count()

    @property
    def book(self) -> Book:
        return self._keeper.ledger.book

    def problems(self) -> list[str]:
        """Sentences on why nothing is said; none when all is well."""
        found = [self._trouble] if self._trouble else []
        idle_s = (self._clock.monotonic_us() - self._stepped_us) // 1_000_000
        if not found and idle_s > _STUCK_S:
            found.append(f"The detectors have not looked for {idle_s} s: they are stuck.")
        if self._late_by_s > _BEHIND_S:
            found.append(f"The detectors are {self._late_by_s:.0f} s behind the journal.")
        if self._ahead_s > _AHEAD_S:
            found.append(
                f"The clock was set back: the detectors judge nothing for {self._ahead_s:.0f} s, "
                "until it is where it was."
            )
        return found

    def took(self, block: Block) -> None:
        """Hear what a block's verdicts say; the oldest are let go when too many wait."""
        self._heard.extend(opinions(block.judged))
        del self._heard[:-_HEARD]
        self._upto = block.last

    def blind(self, since_us: int, until_us: int) -> list[Spell]:
        """When and where we could not tell, oldest first; "until" None: still."""
        found = [
            spell
            for _, spell in self._spells()
            if spell["from"] < until_us and (spell["until"] is None or spell["until"] > since_us)
        ]
        return sorted(found, key=lambda spell: (spell["from"], spell["country"]))

    async def run(self) -> None:
        """Until cancelled."""
        await self._patiently_resume()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._reopen())

    async def resume(self) -> None:
        """Raises OSError."""
        async with self._turn:
            last, now_us = self._journal.position, self._clock.wall_us()
            await asyncio.to_thread(self._keeper.resume, last, now_us)

    async def step(self) -> bool:
        """Read on, and once all is read let time pass and say what is new; whether it was.

        Raises JournalError, OSError, AlertLogError.
        """
        async with self._turn:
            now_us, last = self._clock.wall_us(), self._journal.position
            rows = await self._read(last)
            if rows:
                await asyncio.to_thread(self._keeper.read, rows)
            if rows and rows[-1].position < last:
                self._be_behind((now_us - rows[-1].received_us) / 1e6)
                return False
            self._be_behind(0.0)
            heard, self._heard, upto = self._heard, [], self._upto
            try:
                late = await asyncio.to_thread(self._keeper.look, heard, now_us)
            except OSError:
                self._heard = heard + self._heard  # who is heard twice is counted once
                raise
            for opinion in late:
                self._late.add(opinion, now_us, self._looked_upto)
            self._ahead_s = self._keeper.lookout.ahead_us(now_us) / 1e6
            self._tell(await asyncio.to_thread(self._keeper.say, now_us))
            await asyncio.to_thread(self._settle, self._looked_upto)
            self._looked_upto = upto
        return True

    def _settle(self, upto: int) -> None:
        """Note how far nothing can be lost by a kill. Raises OSError."""
        waiting = [self._late.after, None if self._open is None else self._open.after]
        waiting += [each() for each in self._others]
        if self._recalled and self._keeper.wrote:
            self._keeper.note(min([upto, *(after for after in waiting if after is not None)]))

    async def recall(
        self, memory: Memory, others: Sequence[Callable[[], int | None]] = ()
    ) -> tuple[int, Recalled]:
        """Hear again what the process before us may not have written down, and give it to whoever
        else may want it (and after which entry it came); once the store is open, patiently.

        Nothing is lost by a kill in between. Each of `others` says after which entry that came
        which it still has in mind alone, None of nothing: that is recalled too.
        """
        self._others = others
        while True:
            try:
                return await self._recall(memory)
            except (StoreError, JournalError) as error:
                log.warning("What was heard last is not recalled yet: %s", error)
                await asyncio.sleep(_AGAIN_S)

    async def _recall(self, memory: Memory) -> tuple[int, Recalled]:
        """Raises StoreError, JournalError."""
        known = self._keeper.heard
        found = await memory.since(known)
        async with self._turn:
            self._heard = [*found.heard, *self._heard]
            self._looked_upto = found.upto if known is None else known
            self._upto, self._recalled = max(self._upto, found.upto), True
            return self._looked_upto, found

    def _be_behind(self, seconds: float) -> None:
        self._late_by_s, self._stepped_us = seconds, self._clock.monotonic_us()
        self._behind.set(seconds)

    async def act(self, saying: Saying) -> Entry:
        """Write down an operator's word between two looks, and tell it. Raises ActError, OSError,
        AlertLogError."""
        async with self._turn:
            entry = await asyncio.to_thread(self._keeper.act, saying, self._clock.wall_us())
            self._tell([entry])
        return entry

    async def reopen(self) -> bool:
        """Look at one late window again, if one is due; whether there was any. Raises OSError."""
        now_us = self._clock.wall_us()
        async with self._turn:
            said: Sequence[Incident] = list(self._keeper.ledger.said.values())
            one = self._open = self._late.due(now_us, said)
        if one is None:
            return False
        window = one.window(self._keeper.lookout.reach.since_us)
        try:
            found = await look_again(self._past, one, window, said)
            async with self._turn:
                await asyncio.to_thread(self._keeper.amend, found)
        except (StoreError, OSError) as error:
            self._late.put_back(one, now_us)
            if isinstance(error, OSError):
                raise
            log.warning("Late data of %s in %s wait: %s", one.service, one.country, error)
        finally:
            self._open = None
        return True

    async def _patiently_resume(self) -> None:
        while True:
            try:
                await self.resume()
            except OSError as error:
                await self._fail(f"The detectors' state cannot be kept: {error}.")
            else:
                self._trouble = ""
                return

    async def _follow(self) -> None:
        while True:
            try:
                caught_up = await self.step()
            except (JournalError, OSError, AlertLogError) as error:
                await self._fail(f"The detectors cannot go on: {error}")
                continue
            self._trouble = ""
            if caught_up:
                position = self._keeper.lookout.position
                await self._journal.wait_beyond(position, TICK_S)
                await asyncio.sleep(TICK_S / 10)  # what comes together is read together

    async def _reopen(self) -> None:
        while True:
            began_us = self._clock.monotonic_us()
            try:
                await self.reopen()
            except OSError as error:
                await self._fail(f"What late data say cannot be kept: {error}.")
                continue
            took_s = (self._clock.monotonic_us() - began_us) / 1e6
            await asyncio.sleep(max(TICK_S, _THRIFT * took_s))

    async def _fail(self, sentence: str) -> None:
        if sentence != self._trouble:
            log.error("%s", sentence)
        self._trouble = sentence
        await asyncio.sleep(_AGAIN_S)

    async def _read(self, last: int) -> list[JournalRow]:
        position = self._keeper.lookout.position
        rows = await self._journal.read(position, _ROWS) if last > position else []
        if not rows:
            self._keeper.lookout.position = max(position, last)  # what was between is forgotten
        return rows

    def _tell(self, entries: Sequence[Entry]) -> None:
        for id_ in dict.fromkeys(entry.incident for entry in entries):
            self._herald.incident(self.book, id_)
        for spell in self._new_spells():
            self._herald.blind(self.book, spell)
        if entries:
            self._count()

    def _new_spells(self) -> list[Spell]:
        """Remember what there is; none are new at the first look."""
        lookout, first = self._keeper.lookout, not self._looked
        self._looked = True
        over, lasting = tuple(lookout.blind()), tuple(lookout.thin_now())
        if (over, lasting) == (self._over, self._lasting):
            return []
        known: set[object] = {*self._over, *self._lasting}
        self._over, self._lasting = over, lasting
        news = [spell for spell in self._spells() if spell[0] not in known]
        return [] if first else [spell for _, spell in news]

    def _spells(self) -> Iterator[tuple[object, Spell]]:
        for b in self._over:
            yield b, _spell(b.since_us, b.until_us, b.why, b.country)
        for lasting in self._lasting:
            since_us, why, country = lasting
            yield lasting, _spell(since_us, None, why, country)

    def _count(self) -> None:
        states = [incident["state"] for incident in self.book.incidents()]
        for each in State:
            self._incidents.labels(each.value).set(states.count(each.value))


def _spell(since_us: int, until_us: int | None, why: str, country: str) -> Spell:
    return {"from": since_us, "until": until_us, "because": why, "country": country}
