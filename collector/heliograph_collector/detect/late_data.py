"""Select past windows to detect again with late data, and amend their incidents.

See amendments.py.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Protocol

from heliograph.units import DAY_US, MINUTE_US, SECOND_US
from heliograph_collector.detect.blocking.detector import BlockingDetector, JudgedCell
from heliograph_collector.detect.signal_reader import read_stored_votes
from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.incidents.incident import Incident, IncidentState, carry_ids
from heliograph_collector.model.records import StoredVote, WorldTally
from heliograph_collector.model.signals import FAILING_VALUES, ServiceVote, VoteValue
from heliograph_collector.model.thresholds import THRESHOLDS
from heliograph_collector.store.clickhouse import TooMuchError

_BIN_S = int(THRESHOLDS.bin_s)
_BIN_US = _BIN_S * SECOND_US
_FRESH_S = int(THRESHOLDS.fresh_s)

SETTLE_US = 30 * SECOND_US  # from the first late vote, because late votes come together; assumed
PUBLISHED_US = 270 * SECOND_US  # longer while a published block is ongoing; assumed
MAX_WINDOW_US = 30 * DAY_US  # an agent offline for longer explains no incident of today; assumed
_PIECE_US = 6 * 3_600 * SECOND_US  # of a window in one query, which bounds memory; assumed
LEAD_US = 1_800 * SECOND_US  # an incident nearer to the start may have begun before; assumed
AFTER_US = 6 * 3_600 * SECOND_US  # an incident may last beyond the last late vote; assumed
MIN_FAILING = 3  # vantages that fail in the late votes …; assumed
FAILING_SHARE = 0.2  # … and their share, below which no block is likely; assumed


@dataclass(slots=True)
class ReopenedWindow:
    """A past window of one service in one country, to detect again from `due_us`."""

    country: str
    service: str
    since_us: int
    until_us: int
    due_us: int
    after_position: int = 0  # journal position before all late votes
    voters: set[str] = field(default_factory=set)  # vantages with late votes
    failing: set[str] = field(default_factory=set)  # those with a failing late vote

    def add_vote(self, vote: ServiceVote) -> None:
        self.since_us = min(self.since_us, vote.at_us)
        self.until_us = max(self.until_us, vote.at_us)
        self.voters.add(vote.witness.nym)
        if vote.standing in FAILING_VALUES:
            self.failing.add(vote.witness.nym)

    def is_due(self, now_us: int, incidents: Iterable[Incident]) -> bool:
        """Return whether it is time: late votes change little of a published block.

        A window due later than any can be was made while the clock was ahead.
        """
        is_published = any(
            incident.confirmed_us is not None and incident.closed_us is None
            for incident in incidents
            if _is_same_service(incident, self)
        )
        wait_us = PUBLISHED_US if is_published else 0
        return not now_us - wait_us < self.due_us <= now_us + SETTLE_US

    def is_worthwhile(self, incidents: Iterable[Incident]) -> bool:
        """Return whether many late votes failed or an incident overlaps the window.

        Verdicts that change with the control arrive late all day, and they alone must not reopen
        the past.
        """
        has_many_failures = len(self.failing) >= max(MIN_FAILING, FAILING_SHARE * len(self.voters))
        since_us = self.since_us - LEAD_US
        until_us = self.until_us + LEAD_US
        return has_many_failures or any(
            _is_same_service(i, self) and _overlaps_window(i, since_us, until_us) for i in incidents
        )

    def bounds(self, closed_us: int, incidents: Iterable[Incident] = ()) -> tuple[int, int]:
        """Return whole minutes around the late votes, up to the last closed bin.

        An ongoing incident lies in the window with its beginning, because the window's detector
        must see it begin to see it end. A window longer than `MAX_WINDOW_US` keeps its newest part.
        """
        until_us = min(self.until_us + AFTER_US, closed_us) // MINUTE_US * MINUTE_US
        begun_us = [
            incident.started.earliest_us
            for incident in incidents
            if _is_same_service(incident, self) and incident.closed_us is None
        ]
        since_us = min([self.since_us, *begun_us]) - 2 * LEAD_US
        return max(since_us, until_us - MAX_WINDOW_US) // MINUTE_US * MINUTE_US, until_us


class LateVotes:
    """Votes that came too late for the live detector, by country and service."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str], ReopenedWindow] = {}

    @property
    def oldest_position(self) -> int | None:
        """Return the journal position before all waiting votes; None without votes."""
        return min((window.after_position for window in self._windows.values()), default=None)

    @property
    def has_votes(self) -> bool:
        return bool(self._windows)

    def may_be_due(self, now_us: int) -> bool:
        """Return whether a window is due if no block is published, which delays it further."""
        return any(window.is_due(now_us, ()) for window in self._windows.values())

    def add(self, vote: ServiceVote, now_us: int, after_position: int = 0) -> None:
        if vote.standing is VoteValue.UNKNOWN:
            return  # it abstains
        key = vote.witness.place.country, vote.service
        window = self._windows.get(key)
        if window is None:
            due_us = now_us + SETTLE_US
            window = ReopenedWindow(*key, vote.at_us, vote.at_us, due_us, after_position)
            self._windows[key] = window
        window.add_vote(vote)

    def put_back(self, window: ReopenedWindow, now_us: int) -> None:
        """Keep a window for later, because it could not be detected now."""
        newer = self._windows.pop((window.country, window.service), window)
        window.since_us = min(window.since_us, newer.since_us)
        window.until_us = max(window.until_us, newer.until_us)
        window.after_position = min(window.after_position, newer.after_position)
        window.voters |= newer.voters
        window.failing |= newer.failing
        window.due_us = now_us + SETTLE_US
        self._windows[window.country, window.service] = window

    def pop_due(self, now_us: int, incidents: Sequence[Incident]) -> ReopenedWindow | None:
        """Return the oldest due window; drop due windows that change nothing."""
        due_windows = [w for w in self._windows.values() if w.is_due(now_us, incidents)]
        for window in sorted(due_windows, key=attrgetter("due_us")):
            del self._windows[window.country, window.service]
            if window.is_worthwhile(incidents):
                return window
        return None


def find_amendments(
    incidents: Iterable[Incident],
    reevaluated: Sequence[Incident],
    window: ReopenedWindow,
    since_us: int,
    until_us: int,
    *,
    is_current: bool = False,
) -> dict[str, Incident]:
    """Return amended incidents by published id, from a window that was detected again.

    A new incident must begin at least `LEAD_US` after the start of the window and end in it,
    because the window does not show other beginnings and ends. A published incident inside the
    window that the complete data do not show is withdrawn.

    Args:
        is_current: The window reaches the last closed bin: what is open at its end is ongoing.
    """
    known_incidents = [
        i
        for i in incidents
        if _is_same_service(i, window) and _overlaps_window(i, since_us, until_us)
    ]
    renamed = carry_ids(known_incidents, reevaluated)
    known_ids = {i.id for i in known_incidents}
    amended_by_id = {
        i.id: i
        for i in renamed
        if i.started.earliest_us >= since_us + LEAD_US
        and i.confirmed_us is not None
        and (i.id in known_ids or is_current or i.state is IncidentState.CLOSED)
    }
    shown_ids = {i.id for i in renamed}
    for incident in known_incidents:
        if (
            incident.id not in shown_ids
            and incident.state is IncidentState.CLOSED
            and incident.started.earliest_us >= since_us + LEAD_US
            and incident.ended is not None
            and incident.ended.latest_us <= until_us
        ):
            amended_by_id[incident.id] = replace(incident, state=IncidentState.WITHDRAWN)
    return amended_by_id


def _is_same_service(incident: Incident, window: ReopenedWindow) -> bool:
    return (
        not incident.kind.is_silence
        and incident.service == window.service
        and incident.scope.country == window.country
        and incident.state is not IncidentState.WITHDRAWN
    )


def _overlaps_window(incident: Incident, since_us: int, until_us: int) -> bool:
    over_us = incident.closed_us or until_us
    return incident.started.latest_us < until_us and over_us >= since_us


class VoteHistory(Protocol):
    """Queries of the store for past votes; both raise StoreError."""

    async def opinions(
        self, service: str, country: str, since_us: int, until_us: int
    ) -> Sequence[StoredVote]: ...

    async def world_tally(
        self,
        service: str,
        not_country: str,
        since_us: int,
        until_us: int,
        bin_s: int,
        *,
        fresh_s: int = 0,
    ) -> Sequence[WorldTally]: ...


async def reevaluate(
    history: VoteHistory,
    reopened: ReopenedWindow,
    incidents: Sequence[Incident],
    live: BlockingDetector,
) -> dict[str, Incident]:
    """Detect a past window again with all data; return amendments. Raises StoreError.

    Where that shows a block, the votes of its time on other services are read too, since what fails
    no more than these is none.

    Args:
        history: The stored votes.
        reopened: The window.
        incidents: The published incidents.
        live: The live detector, which says how far it is and which services there are.
    """
    since_us, until_us = reopened.bounds(live.since_us, incidents)
    detector = await _detect_past(history, reopened, since_us, until_us, _OtherVotes())
    others = _OtherVotes(
        tuple(name for name in live.services if name != reopened.service),
        tuple(
            (i.started.earliest_us - LEAD_US, i.confirmed_us)
            for i in detector.incidents()
            if i.confirmed_us is not None
        ),
    )
    if others.services and others.spans_us:
        detector = await _detect_past(history, reopened, since_us, until_us, others)
    reevaluated = detector.incidents()
    is_current = until_us >= live.since_us // MINUTE_US * MINUTE_US
    return find_amendments(
        incidents, reevaluated, reopened, since_us, until_us, is_current=is_current
    )


async def _detect_past(
    history: VoteHistory,
    reopened: ReopenedWindow,
    since_us: int,
    until_us: int,
    others: "_OtherVotes",
) -> BlockingDetector:
    """Detect a window piece by piece.

    A piece with too many rows for one query is halved, down to one bin.
    """
    past = _PastDetector(since_us, (reopened.service, reopened.country))
    piece_us = _PIECE_US
    while past.until_us < until_us:
        end_us = min(past.until_us + piece_us, until_us)
        try:
            votes = await _read_piece(history, reopened, past.until_us, end_us, others)
            world_tallies = await history.world_tally(
                reopened.service, reopened.country, past.until_us, end_us, _BIN_S, fresh_s=_FRESH_S
            )
        except TooMuchError:
            if piece_us <= _BIN_US:
                raise
            piece_us = max(_BIN_US, piece_us // 2 // _BIN_US * _BIN_US)
            continue
        await asyncio.to_thread(past.read_piece, votes, world_tallies, end_us)
    return past.detector


async def _read_piece(
    history: VoteHistory,
    reopened: ReopenedWindow,
    since_us: int,
    until_us: int,
    others: "_OtherVotes",
) -> list[ServiceVote]:
    names = [reopened.service, *others.select(since_us, until_us)]
    votes: list[ServiceVote] = []
    for name in names:
        stored = await history.opinions(name, reopened.country, since_us, until_us)
        votes += read_stored_votes(stored, name)
    return sorted(votes, key=attrgetter("at_us"))


@dataclass(frozen=True, slots=True)
class _OtherVotes:
    """The other services whose votes are read, and when: until a block was confirmed."""

    services: tuple[str, ...] = ()
    spans_us: tuple[tuple[int, int], ...] = ()

    def select(self, since_us: int, until_us: int) -> tuple[str, ...]:
        is_near = any(begin < until_us and since_us <= end for begin, end in self.spans_us)
        return self.services if is_near else ()


class _PastDetector:
    """A detector of a past window, which reads it piece by piece."""

    def __init__(self, since_us: int, judged: JudgedCell) -> None:
        self._world = _StoredWorld({})
        self.detector = BlockingDetector(since_us, world=self._world, judged=judged)
        self.until_us = since_us

    def read_piece(
        self, votes: Sequence[ServiceVote], tallies: Sequence[WorldTally], end_us: int
    ) -> None:
        self._world.counts = {t.start_us: VoteCount(t.good + t.bad, t.bad) for t in tallies}
        for vote in votes:
            self.detector.close_bins(vote.at_us // _BIN_US * _BIN_US)
            self.detector.add_vote(vote)
        self.detector.close_bins(end_us)
        self.until_us = end_us


@dataclass(slots=True)
class _StoredWorld:
    """Votes of the other countries in the store, by the start of their bin."""

    counts: dict[int, VoteCount]

    def count_bin(self, end_us: int) -> VoteCount:
        return self.counts.get(end_us - _BIN_US, VoteCount())
