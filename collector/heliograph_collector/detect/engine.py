"""Both channels and the inbox before them, with how far they have read: what a collector keeps.

Pure: the same state, rows, opinions and moments make the same incidents, so that every entry of the
log can be made again from the checkpoint and the rows that it names.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from heliograph_collector.detect.blocking.detector import Reach, ReachState
from heliograph_collector.detect.signal_reader import Gap, Inbox
from heliograph_collector.detect.silence.detector import Blind, Watch, WatchState
from heliograph_collector.incidents.incident import Incident, Kind, State
from heliograph_collector.incidents.log_writer import REMEMBERED_US
from heliograph_collector.model.records import JournalRow
from heliograph_collector.model.signals import (
    DAY_US,
    SECOND_US,
    Arrival,
    Fault,
    Goodbye,
    Lost,
    Opinion,
    Replay,
)
from heliograph_collector.model.thresholds import DETECT_VERSION, THRESHOLDS, Thresholds

FEW = "too_few_vantages"
LEAST = 5  # live vantages of a country; fewer confirm nothing


@dataclass(slots=True)
class Thin:
    """Spells of countries in which anybody was ever seen."""

    since: dict[str, int] = field(default_factory=dict)  # under way
    spells: list[Blind] = field(default_factory=list)  # over

    def look(self, country: str, live: int, at_us: int) -> None:
        if live < LEAST:
            self.since.setdefault(country, at_us)
        elif country in self.since:
            since_us = self.since.pop(country)
            if at_us > since_us:
                self.spells.append(Blind(since_us, at_us, FEW, country))

    def forget(self, before_us: int) -> None:
        self.spells = [spell for spell in self.spells if spell.until_us >= before_us]


CLOSE_US = 20 * SECOND_US  # so long after its end a bin is closed
GLANCE_US = 10 * SECOND_US  # so often it is asked whether a block is over
_BLIND_US = 90 * DAY_US
_LATE = 1_000  # of these an entry can name

# Which bins were closed, or at which moment between them one was over, and what had come in before.
Frame = tuple[int, int, list[Opinion]]


@dataclass(slots=True, kw_only=True)
class LookoutState:
    """What a checkpoint holds."""

    version: int
    journal: str  # its id
    position: int
    received_us: int
    gaps: dict[str, Gap]
    backs: list[tuple[int, str]]
    posts: dict[str, int]
    watch: WatchState
    reach: ReachState
    thin: Thin


@dataclass(slots=True)
class Lookout:
    journal: str
    inbox: Inbox
    watch: Watch
    reach: Reach
    thin: Thin = field(default_factory=Thin)
    position: int = 0  # of the last row taken …
    received_us: int = 0  # … and when that came in
    frame: list[Opinion] = field(default_factory=list)  # taken since a bin was closed
    late: list[tuple[int, int]] = field(default_factory=list)
    _now_us: int = 0
    _glanced_us: int = 0

    @classmethod
    def new(
        cls, journal: str, secret: bytes, at_us: int, limits: Thresholds = THRESHOLDS
    ) -> "Lookout":
        """That knows nothing. `at_us`: whole minutes from before it are the first bin."""
        width = int(limits.bin_s * SECOND_US)
        reach = Reach(at_us // width * width, limits)
        return cls(journal, Inbox(secret), Watch(limits), reach)

    def read(self, rows: Iterable[JournalRow], late: Mapping[int, int] | None = None) -> None:
        """Rows in order. One that came in after a later moment had been looked at is noted in
        `late`, with that moment; so is one that `late` says did."""
        for row in rows:
            known_us = (late or {}).get(row.position, 0)
            if known_us or self.watch.fired_us > row.received_us:
                self.late.append((row.position, max(known_us, self._now_us)))
                self.until(known_us)
            self.watch.until(row.received_us)
            for signal in self.inbox.take(row):
                self.watch.take(signal)
                self._count(signal)
            self.position, self.received_us = row.position, row.received_us

    def until(self, now_us: int) -> None:
        """Let time pass. Times only rise."""
        self._now_us = max(now_us, self._now_us)
        self.watch.until(now_us)

    def ahead_us(self, now_us: int) -> int:
        """How far what was looked at lies beyond now, as after a clock was set back: until then
        nothing is judged. 0 for not at all."""
        return max(0, self.watch.fired_us - now_us, self.reach.since_us - now_us)

    def hear(self, opinion: Opinion) -> bool:
        """Whether it came in time to count."""
        if not self.reach.take(opinion):
            return False
        self.frame.append(opinion)
        return True

    def close(self, bin_end_us: int) -> Frame | None:
        """Judge the bins up to this end; what went into them, if there were any."""
        since_us = self.reach.since_us
        if not self.reach.close(bin_end_us):
            return None
        heard, self.frame = self.frame, []
        return since_us, self.reach.since_us, heard

    def glance(self, now_us: int) -> Frame | None:
        """End blocks that are over by now; what had come in, if there were any. While a bin is
        still to be closed this waits: it would bring up again what was over after it."""
        at_us = now_us // GLANCE_US * GLANCE_US
        since_us, width_us = self.reach.since_us, self.reach.width_us
        if at_us <= self._glanced_us or not since_us < at_us < since_us + width_us:
            return None
        self._glanced_us = at_us
        if not self.reach.glance(at_us):
            return None
        heard, self.frame = self.frame, []
        return self.reach.since_us, at_us, heard

    def again(self, frame: Frame) -> None:
        """Go through closed bins once more. Those in which nothing came need not be given."""
        since_us, until_us, heard = frame
        self.reach.close(since_us)
        for opinion in heard:
            self.reach.take(opinion)
        if self._whole(until_us):
            self.reach.close(until_us)
        else:
            self.reach.glance(until_us)

    def due(self, frame: Frame, now_us: int) -> bool:
        """Whether that was done by then: bins are closed some time after their end."""
        return frame[1] + (CLOSE_US if self._whole(frame[1]) else 0) <= now_us

    def _whole(self, at_us: int) -> bool:
        return at_us % self.reach.width_us == 0

    def adopt(self, said: Iterable[Incident]) -> None:
        """Go on with what was open when all else was forgotten: a shutdown outlives our state."""
        for incident in said:
            if incident.state is State.CONFIRMED:
                channel = self.watch if incident.kind is Kind.SILENCE else self.reach
                channel.adopt(incident)

    def incidents(self) -> tuple[Incident, ...]:
        return (*self.watch.findings().incidents, *self.reach.findings())

    def blind(self) -> Sequence[Blind]:
        return (*self.watch.blind, *self.thin.spells)

    def thin_now(self) -> Iterator[tuple[int, str, str]]:
        """(since, why, country) of what is going on."""
        for country, since_us in sorted(self.thin.since.items()):
            yield since_us, FEW, country

    def forget(self, now_us: int) -> None:
        """What is long over."""
        self.watch.forget(now_us - REMEMBERED_US, now_us - _BLIND_US)
        self.reach.forget(now_us - REMEMBERED_US)
        self.thin.forget(now_us - _BLIND_US)

    @property
    def traceable(self) -> bool:
        """Whether an entry can name all that it takes to make it again."""
        return len(self.late) <= _LATE

    def state(self) -> LookoutState:
        """To go on from; it must be written down at once. What came late before is settled."""
        self.late, self.frame = [], []
        return LookoutState(
            version=DETECT_VERSION,
            journal=self.journal,
            position=self.position,
            received_us=self.received_us,
            gaps=self.inbox.gaps,
            backs=list(self.inbox.backs),
            posts=self.inbox.posts,
            watch=self.watch.state(),
            reach=self.reach.state(),
            thin=self.thin,
        )

    @classmethod
    def of(cls, state: LookoutState, secret: bytes, limits: Thresholds = THRESHOLDS) -> "Lookout":
        """One that goes on from there. Raises KeyError, IndexError on a state that is not whole."""
        run = cls(
            state.journal,
            Inbox(secret, state.gaps),
            Watch.of(state.watch, limits),
            Reach.of(state.reach, limits),
            state.thin,
            state.position,
            state.received_us,
        )
        run.inbox.backs.extend(state.backs)
        run.inbox.posts.update(state.posts)
        return run

    def _count(self, signal: Arrival | Goodbye | Lost | Fault | Replay) -> None:
        if isinstance(signal, Arrival):
            country = signal.witness.place.country
        elif isinstance(signal, Goodbye | Lost):
            country = self.watch.country_of(signal.nym)
        else:
            return
        if country:
            self.thin.look(country, self.watch.live(country), signal.at_us)
