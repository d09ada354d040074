"""Statements that are wrong by the script, or that two outputs of one moment do not share. Pure.

On a crowded machine a round takes a minute and a half, in which the log goes on: outputs of two
moments may differ.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from support.worst_day.outputs import INCIDENT, NETWORK, SERVICES, Statement
from support.worst_day.truth import Place, Truth

# A heartbeat of 15 s before a line is missed, and the minute in which it must be told.
SILENT_S = 75.0
BACK_S = 180.0  # an end is confirmed after a minute of who waited up to a minute: at most three
# A public cell is of the last whole five minutes, told up to half a minute later, of tests that
# each takes within two minutes: so long may an older reading stand.
READING_S = 450.0
WELL = frozenset(("reachable",))
BAD = frozenset(("blocked", "down", "offline", "partial"))
HEADLINES = "headline"


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A statement that is wrong, or one of a pair, and why."""

    second: float
    why: str
    statement: Statement
    other: Statement | None = None

    def __str__(self) -> str:
        at = f"{int(self.second) // 60}:{int(self.second) % 60:02}"
        what = f"{_name(self.statement)}"
        beside = f", but {_name(self.other)}" if self.other else ""
        return f"{at:6} {self.why:34} {what}{beside}"


def _name(statement: Statement) -> str:
    place = "/".join(str(part) for part in statement.place if part)
    words = f" “{statement.words[:90]}”" if statement.words else ""
    return f"{statement.output}: {place} {statement.subject} {statement.claim}{words}"


def find_wrong(
    statements: Iterable[Statement], truth: Truth, second: float
) -> Iterator[Contradiction]:
    """What the script contradicts at this second."""
    for statement in statements:
        why = _why_wrong(statement, truth, second)
        if why:
            yield Contradiction(second, why, statement)


def _why_wrong(said: Statement, truth: Truth, second: float) -> str:
    place, claim = said.place, said.claim
    if truth.is_in_doubt(place, second - READING_S, second):
        return ""
    if claim in BAD and truth.is_calm_until(place.country, second):
        return "trouble in a calm country"
    if truth.is_dark_since(place, second, SILENT_S):
        if claim in WELL:
            return "well in a dark place"
        if said.output.endswith(HEADLINES) and claim != "offline":
            return "a headline without the silence"
        return ""
    if said.subject == NETWORK:
        # What a cut of the country spares is known a while after it.
        is_lit = truth.is_lit_since(place, second, BACK_S) and truth.is_steady_since(
            Place(place.country), second, BACK_S
        )
        return "offline though all are back" if claim == "offline" and is_lit else ""
    return _why_wrong_of_service(said, truth, second)


def _why_wrong_of_service(said: Statement, truth: Truth, second: float) -> str:
    if not truth.is_lit_since(said.place, second, READING_S):
        return ""
    if said.claim in WELL and truth.fails_since(said.place, said.subject, second, READING_S):
        return "reachable though it fails"
    if said.claim == "blocked" and truth.is_down_since(said.subject, second, READING_S):
        return "blocked though it is down for all"
    is_bad = said.claim in ("blocked", "down")
    services = truth.script.services if said.subject == SERVICES else [said.subject]
    works = (truth.works_since(said.place, name, second, READING_S) for name in services)
    if is_bad and all(works):
        return "blocked though it works"
    return ""


def find_disagreements(statements: Iterable[Statement], second: float) -> Iterator[Contradiction]:
    """Pairs of outputs of which one says that a place is well, and another that it is not."""
    by_subject: defaultdict[tuple[Place, str], list[Statement]] = defaultdict(list)
    for statement in statements:
        by_subject[statement.place, statement.subject].append(statement)
    for group in by_subject.values():
        well = [statement for statement in group if statement.claim in WELL]
        bad = [statement for statement in group if statement.claim in BAD]
        pairs = ((one, other) for one in well for other in bad if _is_of_one_moment(one, other))
        for one, other in islice(pairs, 1):
            yield Contradiction(second, "two outputs disagree", one, other)


def _is_of_one_moment(one: Statement, other: Statement) -> bool:
    """Whether two statements are of one moment; one without a moment is held against all."""
    return one.moment is None or other.moment is None or one.moment.is_also(other.moment)


def find_different_tellings(
    statements: Iterable[Statement], second: float
) -> Iterator[Contradiction]:
    """Incidents of which two outputs tell another sentence or state; a picture has no state."""
    by_incident: defaultdict[str, list[Statement]] = defaultdict(list)
    for statement in statements:
        if statement.subject.startswith(INCIDENT):
            by_incident[statement.subject].append(statement)
    for first, *others in by_incident.values():
        for other in others:
            if other.words != first.words or other.claim not in ("", first.claim):
                yield Contradiction(second, "an incident told in two ways", first, other)
