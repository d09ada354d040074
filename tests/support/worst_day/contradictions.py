"""Find statements that the script or another output contradicts. Pure.

On a crowded machine a round takes a minute and a half, in which the log continues: outputs of two
moments may differ.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from support.worst_day.outputs import INCIDENT, NETWORK, SERVICES, Statement
from support.worst_day.truth import Place, Truth, list_places

# Issue 19: nothing is well, and no headline is of something else, a minute after all of a place is
# dark. A vantage is missed 22.5 to 37.5 s after its last heartbeat (2.5 of 15 s), the silence is
# suspected a second after that, and pages follow within two: 41 s, and 19 for a slow machine.
SILENT_S = 60.0
BACK_S = 180.0  # an end is confirmed after a minute of who waited up to a minute: at most three
# A public cell is of the last whole five minutes, told up to half a minute later, of tests that
# each takes within two minutes: so long may an older reading stand.
READING_S = 450.0
# Issue 18: a block of our address is shown as `collector_blocked` within five minutes. Until
# then vantages may be called silent, as they are, but not offline (design/detection.md).
DISTURBED_S = 300.0
CUT = re.compile(r"(?<!may be )\boffline\b", re.I)
DISTURBED = re.compile(r"\bto this site\b", re.I)
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
    """Yield the statements that the script contradicts at this second."""
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
        return _why_wrong_of_dark(said)
    if truth.is_disturbed_within(place, second, DISTURBED_S):
        why = _why_wrong_of_disturbed(said, truth, second)
        if why or said.subject == NETWORK:
            return why
    if said.subject == NETWORK:
        return _why_wrong_of_lit(said, truth, second)
    return _why_wrong_of_service(said, truth, second)


def _why_wrong_of_dark(said: Statement) -> str:
    if said.claim in WELL:
        return "well in a dark place"
    is_headline = said.output.endswith(HEADLINES)
    return "a headline without the silence" if is_headline and said.claim != "offline" else ""


def _why_wrong_of_lit(said: Statement, truth: Truth, second: float) -> str:
    """Return a fault if a place that the cut spares is shown offline after BACK_S."""
    is_lit = truth.is_lit_since(said.place, second, BACK_S) and truth.is_steady_since(
        Place(said.place.country), second, BACK_S
    )
    return "offline though all are back" if said.claim == "offline" and is_lit else ""


def _why_wrong_of_disturbed(said: Statement, truth: Truth, second: float) -> str:
    """Judge a place whose lines work and from which our address is or was blocked.

    No output may show it as offline; after some minutes none may call it silent, and each headline
    of the country must name the block: in public only whole countries have headlines.
    """
    is_told = truth.is_disturbed_since(said.place, second, DISTURBED_S)
    if said.claim == "offline" and (is_told or CUT.search(said.words)):
        return "offline where our address is blocked"
    is_headline = said.output.endswith(HEADLINES) and said.place == Place(said.place.country)
    if is_told and is_headline and not DISTURBED.search(said.words):
        return "a headline without our block"
    return ""


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


def find_untold(
    statements: Iterable[Statement], truth: Truth, second: float
) -> Iterator[Contradiction]:
    """Yield countries from which our address is blocked for long without an incident."""
    told = {said.place.country for said in statements if said.claim == "disturbed"}
    for place in list_places(truth.script):
        is_country = place == Place(place.country) and place.country not in told
        if is_country and truth.is_disturbed_since(place, second, DISTURBED_S):
            said = Statement("incidents", place, NETWORK, "nothing")
            yield Contradiction(second, "our address is blocked, untold", said)


def find_disagreements(statements: Iterable[Statement], second: float) -> Iterator[Contradiction]:
    """Yield pairs of outputs that contradict each other about a place."""
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
    """Return whether two statements are of one moment; no moment matches all."""
    return one.moment is None or other.moment is None or one.moment.is_also(other.moment)


def find_different_tellings(
    statements: Iterable[Statement], second: float
) -> Iterator[Contradiction]:
    """Yield incidents with different sentences or states; pictures have no state."""
    by_incident: defaultdict[str, list[Statement]] = defaultdict(list)
    for statement in statements:
        if statement.subject.startswith(INCIDENT):
            by_incident[statement.subject].append(statement)
    for first, *others in by_incident.values():
        for other in others:
            if other.words != first.words or other.claim not in ("", first.claim):
                yield Contradiction(second, "an incident told in two ways", first, other)
