"""What was said of incidents, and what is to be said next: the log, and the book read from it."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from heliograph.keys import SigningKey
from heliograph_collector.incidents import cause_hints, operator_entries
from heliograph_collector.incidents.book import Book, Entry
from heliograph_collector.incidents.diff import Change, Revision, revise
from heliograph_collector.incidents.hash_chain import body_of, hash_of
from heliograph_collector.incidents.incident import Incident, State
from heliograph_collector.incidents.log_file import AlertLog, Grounds, body, lines_of
from heliograph_collector.incidents.record import incident_of, micros, record
from heliograph_collector.incidents.state import Act, is_operators
from heliograph_collector.model.signals import DAY_US

REVISE_US = 60_000_000  # least time between two entries that change nothing but particulars
_OVER = (State.CLOSED, State.WITHDRAWN)
_CALLS = {Act.CONFIRMED: Change.CONFIRMED, Act.WITHDRAWN: Change.WITHDRAWN}
REMEMBERED_US = 5 * DAY_US  # how long a closed incident can reopen or be corrected


class Ledger:
    """Reads and proves the whole log at once. Raises AlertLogError, OSError."""

    def __init__(self, file: Path, key: SigningKey, least: float) -> None:
        self._log = AlertLog(file, key)
        self._least = least
        self._known: set[str] = set()  # found by the channels since we began
        self.said: dict[str, Incident] = {}  # the last of each that is not long over
        self._when: dict[str, int] = {}  # of each, when that was
        self._calls: set[tuple[str, Change]] = set()
        self.book = Book()
        for number, line in enumerate(lines_of(file), 1):
            self._take(Entry(number, hash_of(line), line, body_of(line)))

    def say(
        self,
        found: Iterable[Incident],
        grounds: Grounds,
        at_us: int,
        amended: Container[str] = (),
    ) -> Sequence[Entry]:
        """Write down what changed. Raises OSError: then it will be said the next time.

        Entries about `amended` ones say that they rest on the store's verdicts.
        """
        return self._write(
            [
                (r, _amended(grounds) if r.incident.id in amended else grounds)
                for r in self._news(found, at_us)
            ],
            at_us,
        )

    def act(self, saying: operator_entries.Saying, at_us: int) -> Entry:
        """Write down an operator's word beside the detector's. Raises ActError, OSError."""
        standing = self.book.standing(saying.incident)
        taken = operator_entries.admit(saying, standing)
        entries = self.book.of(saying.incident)
        if taken.act in _CALLS and any(_matters(e, taken.seen) for e in entries):
            raise operator_entries.ChangedError(
                "It has changed since you looked: look again, then say so."
            )
        about = next(e for e in reversed(entries) if not is_operators(e.body))
        return self._put([operator_entries.body(taken, about, at_us, self._calls_for(taken))])[0]

    def _calls_for(self, saying: operator_entries.Saying) -> bool:
        """Subscribers are called by the operator's verdicts too, and not twice for the same; again
        by a confirmation that takes back a withdrawal they were told of."""
        call = _CALLS.get(saying.act)
        done = {change for id_, change in self._calls if id_ == saying.incident}
        if call is Change.WITHDRAWN:  # told to those who were told of the beginning
            return Change.CONFIRMED in done and not done & {Change.CLOSED, Change.WITHDRAWN}
        return call is not None and (call not in done or Change.WITHDRAWN in done)

    def _news(self, found: Iterable[Incident], at_us: int) -> list[Revision]:
        self._forget(at_us - REMEMBERED_US)
        before = list(self.said.values())
        noted = [_noted(incident, before) for incident in found]
        named, revisions = revise(before, noted, self._calls, self._least)
        now = {incident.id for incident in named}
        news = [
            self._reopening(r if r.incident.id in now else _gone(r, at_us))
            for r in revisions
            if self._due(r, now, at_us)
        ]
        self._known |= now
        return news

    def _reopening(self, revision: Revision) -> Revision:
        """Who was told that an operator withdrew it is told that there is new evidence."""
        id_ = revision.incident.id
        standing = self.book.standing(id_)
        told = (id_, Change.WITHDRAWN) in self._calls
        if standing and told and standing.reopens(record(revision.incident), revision.change):
            return replace(revision, alert=True)
        return revision

    def _due(self, revision: Revision, named: set[str], at_us: int) -> bool:
        """What only an earlier process or detector knew of is not taken back by this one."""
        id_ = revision.incident.id
        if id_ not in named and id_ not in self._known:
            return False
        return revision.change is not Change.REVISED or at_us - self._when[id_] >= REVISE_US

    def _write(self, news: Sequence[tuple[Revision, Grounds]], at_us: int) -> Sequence[Entry]:
        if not news:
            return ()
        return self._put([body(r, grounds, at_us) for r, grounds in news])

    def _put(self, bodies: Sequence[Mapping[str, Any]]) -> Sequence[Entry]:
        first = self._log.proof.entries + 1
        lines = self._log.write(bodies)
        entries = [
            Entry(number, hash_of(line), line, body_of(line))
            for number, line in enumerate(lines, first)
        ]
        for entry in entries:
            self._take(entry)
        return entries

    def _take(self, entry: Entry) -> None:
        self.book.take(entry)
        standing = self.book.standing(entry.incident)
        if standing and standing.state()["state"] in ("suspected", "confirmed"):
            self._calls.discard((entry.incident, Change.WITHDRAWN))  # it may end once more
        if is_operators(entry.body):
            call = _CALLS.get(Act(entry.body["change"]))
            if call and entry.body["alert"]:
                self._calls.add((entry.incident, call))
            return
        incident = incident_of(entry.body["incident"])
        self.said[incident.id] = incident
        self._when[incident.id] = micros(entry.body["at"])
        if entry.body["alert"]:
            self._calls.add((incident.id, Change(entry.body["change"])))

    def _forget(self, before_us: int) -> None:
        for id_, incident in list(self.said.items()):
            over_us = incident.closed_us or self._when[id_]
            if incident.state in _OVER and over_us < before_us:
                del self.said[id_], self._when[id_]
                self._known.discard(id_)
                self._calls = {call for call in self._calls if call[0] != id_}


def _gone(revision: Revision, at_us: int) -> Revision:
    """What is not found any more does not say since when it is over: by now."""
    closed_us = revision.incident.closed_us or at_us
    return replace(revision, incident=replace(revision.incident, closed_us=closed_us))


def _matters(entry: Entry, seen: int) -> bool:
    """Whether it is news to who saw the entries up to `seen`: particulars and notes are not."""
    small = (Change.REVISED, Act.ACKNOWLEDGED, Act.ANNOTATED)
    return entry.number > seen and entry.body["change"] not in small


def _amended(grounds: Grounds) -> Grounds:
    return replace(grounds, versions={**grounds.versions, "verdicts": "store"})


def _noted(incident: Incident, earlier: Sequence[Incident]) -> Incident:
    again = cause_hints.recurring(incident, earlier)
    return replace(incident, hints=(*incident.hints, *again)) if again else incident
