"""What late data make of the past: which windows to look at again, and what is then amended. Pure.

The live channel is not told; what it says of an incident is amended each time before it is written.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from heliograph_collector.incidents.incident import Incident, Kind, State, carry
from heliograph_collector.model.signals import BAD, SECOND_US, Opinion, Standing

PAUSE_US = 30 * SECOND_US  # what comes late comes together
MOST_US = 48 * 3_600 * SECOND_US
LEAD_US = 1_800 * SECOND_US  # what begins sooner in a window may have begun before it
AFTER_US = 6 * 3_600 * SECOND_US  # it may have gone on beyond the last late word
LEAST_FAILING = 3  # vantages that failed in what came late …
FAILING_SHARE = 0.2  # … and their share of all that came: fewer make no block
LEAST_US = 3_600 * SECOND_US  # a shorter window shows nothing
_MINUTE_US = 60 * SECOND_US


@dataclass(slots=True)
class Reopened:
    """One service in one country, to be looked at again from … until …, not before `due_us`."""

    country: str
    service: str
    since_us: int
    until_us: int
    due_us: int
    after: int = 0  # the journal's entry after which all that came late was read
    heard: set[str] = field(default_factory=set)  # vantages …
    failing: set[str] = field(default_factory=set)  # … and those of them that failed

    def take(self, opinion: Opinion) -> None:
        self.since_us = min(self.since_us, opinion.at_us)
        self.until_us = max(self.until_us, opinion.at_us)
        self.heard.add(opinion.witness.nym)
        if opinion.standing in BAD:
            self.failing.add(opinion.witness.nym)

    def worth_it(self, said: Iterable[Incident]) -> bool:
        """Whether it can change anything: enough of them failed, or it is about a time that was
        spoken of. Verdicts that a control's word changes come late all day."""
        many = len(self.failing) >= max(LEAST_FAILING, FAILING_SHARE * len(self.heard))
        since_us, until_us = self.since_us - LEAD_US, self.until_us + LEAD_US
        return many or any(_of(i, self) and _meets(i, since_us, until_us) for i in said)

    def window(self, closed_us: int) -> tuple[int, int]:
        """Whole minutes around what came late, up to the last bin that is closed; the newest part
        of it where it would be too long."""
        until_us = min(self.until_us + AFTER_US, closed_us) // _MINUTE_US * _MINUTE_US
        since_us = max(self.since_us - 2 * LEAD_US, until_us - MOST_US)
        return since_us // _MINUTE_US * _MINUTE_US, until_us


class Late:
    """Opinions that came too late for the live channel, by country and service."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], Reopened] = {}

    @property
    def after(self) -> int | None:
        """The entry after which all that waits came; None when nothing does."""
        return min((one.after for one in self._waiting.values()), default=None)

    def add(self, opinion: Opinion, now_us: int, after: int = 0) -> None:
        if opinion.standing is Standing.UNKNOWN:
            return  # it votes for nothing
        key = opinion.witness.place.country, opinion.service
        one = self._waiting.get(key)
        if one is None:
            due_us = now_us + PAUSE_US
            one = Reopened(*key, opinion.at_us, opinion.at_us, due_us, after)
            self._waiting[key] = one
        one.take(opinion)

    def put_back(self, one: Reopened, now_us: int) -> None:
        """It could not be looked at now."""
        other = self._waiting.pop((one.country, one.service), one)
        one.since_us = min(one.since_us, other.since_us)
        one.until_us = max(one.until_us, other.until_us)
        one.after = min(one.after, other.after)
        one.heard |= other.heard
        one.failing |= other.failing
        one.due_us = now_us + PAUSE_US
        self._waiting[one.country, one.service] = one

    def due(self, now_us: int, said: Sequence[Incident]) -> Reopened | None:
        """The one that has waited longest, and long enough, and is worth it; others are dropped."""
        ripe = [one for one in self._waiting.values() if one.due_us <= now_us]
        for one in sorted(ripe, key=lambda one: one.due_us):
            del self._waiting[one.country, one.service]
            if one.worth_it(said):
                return one
        return None


def amendments(
    said: Iterable[Incident], again: Sequence[Incident], one: Reopened, since_us: int, until_us: int
) -> dict[str, Incident]:
    """What a window that was looked at again says of incidents, by the names they were said by.

    Only those that began well within the window and were over in it, or are known: of others it
    cannot tell the beginning or the end. Said ones that all data of their time do not show are
    withdrawn.
    """
    before = [i for i in said if _of(i, one) and _meets(i, since_us, until_us)]
    whole = [i for i in again if i.started.earliest_us >= since_us + LEAD_US]
    named = carry(before, again)
    known = {i.id for i in before}
    found = {
        new.id: new
        for new, old in zip(named, sorted(again, key=_start), strict=True)
        if old in whole
        and old.confirmed_us is not None
        and (new.id in known or old.state is State.CLOSED)
    }
    shown = {i.id for i in named}
    for incident in before:
        inside = incident.started.earliest_us >= since_us + LEAD_US
        over = incident.ended is not None and incident.ended.latest_us <= until_us
        if inside and over and incident.id not in shown and incident.state is State.CLOSED:
            found[incident.id] = replace(incident, state=State.WITHDRAWN)
    return found


def amended(live: Sequence[Incident], found: Mapping[str, Incident]) -> list[Incident]:
    """The live channel's incidents with what is known better, and those that it missed."""
    every = [_better(incident, found.get(incident.id)) for incident in live]
    ids = {incident.id for incident in live}
    missed = [i for name, i in found.items() if name not in ids]
    return every + [m for m in missed if not any(m.overlaps(i) for i in every)]


def _better(incident: Incident, known: Incident | None) -> Incident:
    if known is None:
        return incident
    over = incident.state in (State.CLOSED, State.WITHDRAWN)
    if over and known.state in (State.CLOSED, State.WITHDRAWN):
        return known
    return replace(incident, started=known.started)


def _of(incident: Incident, one: Reopened) -> bool:
    return (
        incident.kind is not Kind.SILENCE
        and incident.service == one.service
        and incident.scope.country == one.country
        and incident.state is not State.WITHDRAWN
    )


def _meets(incident: Incident, since_us: int, until_us: int) -> bool:
    over_us = incident.closed_us or until_us
    return incident.started.latest_us < until_us and over_us >= since_us


def _start(incident: Incident) -> int:
    return incident.started.earliest_us
