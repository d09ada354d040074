"""What the tests of a silent vantage say of its link, in a file that holds them as votes.

A service that answers proves a link. A collector reads that from the anchors of each envelope
(`detect/link_readings.py`); many files have no line of a report beside their votes. Where nothing
answered the link was dead, and its failures say nothing of the services (`judge`).
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter, itemgetter

from heliograph.plan import ANCHORS
from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.model.signals import (
    FAILING_VALUES,
    LinkTest,
    OfflineReport,
    ServiceVote,
    VantageArrival,
    VantageLoss,
    VantageSignal,
    VoteValue,
)

_MARGIN_US = 15 * SECOND_US  # a heartbeat, as in `detect/link_readings.py`
# An agent tests each messenger every 480 s. One whose first test answers hours after its loss had
# no link until then: its test shows that the link was repaired.
_PROMPT_US = 30 * MINUTE_US  # assumed: three such tests, and one that failed
_LONG_US = 1 << 62  # of who is not back


@dataclass(slots=True)
class _Silence:
    heard_us: int
    noticed_us: int
    back_us: int
    answers: int = 0
    failures: int = 0
    is_told: bool = False

    def holds(self, at_us: int) -> bool:
        return self.noticed_us + _MARGIN_US <= at_us <= self.back_us - _MARGIN_US

    def is_prompt(self, at_us: int) -> bool:
        return at_us <= self.heard_us + _PROMPT_US


def report_tested_links(
    signals: Sequence[VantageSignal], votes: Iterable[tuple[int, ServiceVote]]
) -> Iterator[OfflineReport | LinkTest]:
    """Yield a report for each silence in which most tests of a service answered.

    A silence of which a line says whether the link worked gets none. Votes on hosts abroad are
    tests of the link of one that is back.

    Args:
        votes: Tests, with the time at which they came.
    """
    silences = _list_silences(signals)
    _mark_reported(silences, signals)
    for came_us, vote in sorted(votes, key=itemgetter(0)):
        nym = vote.witness.nym
        if vote.source == ANCHORS and vote.standing in (VoteValue.ISOLATED, VoteValue.GOOD):
            yield LinkTest(came_us, nym, vote.at_us, vote.standing is VoteValue.GOOD)
        silence = _find_silence(silences.get(nym, ()), vote.at_us)
        if silence is None or not silence.is_prompt(vote.at_us):
            continue
        silence.answers += vote.standing is VoteValue.GOOD
        silence.failures += vote.standing in FAILING_VALUES
        if silence.is_told or silence.answers <= silence.failures:
            continue
        silence.is_told = True
        until_us = silence.back_us if silence.back_us <= came_us else vote.at_us
        yield OfflineReport(
            came_us, nym, silence.heard_us, until_us, True, True, measured_us=vote.at_us
        )


def drop_dead_tests(
    signals: Iterable[VantageSignal], votes: Sequence[tuple[int, ServiceVote]]
) -> list[tuple[int, ServiceVote]]:
    """Return the votes; those of a silence in which no test answered are unknown."""
    silences = _list_silences(signals)
    held = [_find_silence(silences.get(v.witness.nym, ()), v.at_us) for _, v in votes]
    for (_, vote), silence in zip(votes, held, strict=True):
        if silence is not None:
            silence.answers += vote.standing is VoteValue.GOOD
    return [
        timed
        if silence is None or silence.answers or timed[1].standing not in FAILING_VALUES
        else (timed[0], replace(timed[1], standing=VoteValue.UNKNOWN))
        for timed, silence in zip(votes, held, strict=True)
    ]


def _list_silences(signals: Iterable[VantageSignal]) -> dict[str, list[_Silence]]:
    silences: defaultdict[str, list[_Silence]] = defaultdict(list)
    moves = [s for s in signals if isinstance(s, VantageArrival | VantageLoss)]
    for move in sorted(moves, key=attrgetter("at_us")):
        if isinstance(move, VantageLoss):
            noticed_us = move.closed_us or move.at_us
            silences[move.nym].append(_Silence(move.heard_us, noticed_us, _LONG_US))
        elif silences[move.witness.nym]:
            last = silences[move.witness.nym][-1]
            last.back_us = min(last.back_us, move.at_us)
    return silences


def _mark_reported(
    silences: Mapping[str, Sequence[_Silence]], signals: Iterable[VantageSignal]
) -> None:
    for report in signals:
        if not isinstance(report, OfflineReport) or report.online is None:
            continue
        for silence in silences.get(report.nym, ()):
            is_of_it = silence.heard_us <= report.until_us and report.since_us <= silence.back_us
            silence.is_told = silence.is_told or is_of_it


def _find_silence(silences: Sequence[_Silence], at_us: int) -> _Silence | None:
    index = bisect_right(silences, at_us, key=attrgetter("noticed_us"))
    if not index or not silences[index - 1].holds(at_us):
        return None
    return silences[index - 1]
