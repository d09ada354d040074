"""Past runs: what a detector knew in the windows that late votes reopen again and again.

Theory of operation. A block that lasts is detected again from its beginning whenever votes came
late, so that hours are computed anew for votes that are minutes late. A run keeps its state each
quarter of an hour. The next run of the same window goes on from the last state that has all votes
of its time; each vote that is read later drops the states that lack it.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from heliograph.units import MINUTE_US
from heliograph_collector.detect.blocking.detector import (
    BlockingDetector,
    BlockingDetectorState,
    JudgedCell,
)
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.signals import ServiceVote

_STEP_US = 15 * MINUTE_US  # between two states; most late votes are later by less; assumed


@dataclass(slots=True)
class _PastRun:
    """The states of the last run of one window, in order of time."""

    since_us: int
    states: dict[int, bytes] = field(default_factory=dict)

    def drop_states(self, after_us: int) -> None:
        for at_us in [at_us for at_us in self.states if at_us > after_us]:
            del self.states[at_us]


class PastRuns:
    """The last run of each window, by its service and country."""

    def __init__(self) -> None:
        self._runs: dict[JudgedCell, _PastRun] = {}

    def note(self, vote: ServiceVote) -> None:
        """Drop the states that lack a vote which is read only now."""
        for (service, country), run in self._runs.items():
            if vote.service == service or vote.witness.place.country == country:
                run.drop_states(vote.at_us)

    def detect(
        self, votes: Iterable[ServiceVote], since_us: int, until_us: int, judged: JudgedCell
    ) -> tuple[Incident, ...]:
        """Detect blocking in a window as `detect_blocking` does, from the last state that holds.

        Args:
            votes: All votes of the window, of its service and of its country.
            since_us: The window.
            until_us: Its end.
            judged: Its service and country.
        """
        run = self._runs.get(judged)
        if run is None or run.since_us != since_us:
            run = self._runs[judged] = _PastRun(since_us)
        run.drop_states(until_us)
        detector = _resume(run, judged)
        width_us = detector.width_us
        bins: defaultdict[int, list[ServiceVote]] = defaultdict(list)
        for vote in votes:
            if vote.at_us >= detector.since_us:
                bins[(vote.at_us - since_us) // width_us].append(vote)
        first = (detector.since_us - since_us) // width_us
        for index in range(first, max(0, (until_us - since_us) // width_us)):
            for vote in bins.get(index, ()):
                detector.add_vote(vote)
            end_us = since_us + (index + 1) * width_us
            detector.close_bins(end_us)
            if end_us % _STEP_US == 0:
                run.states[end_us] = msgspec.json.encode(detector.state())
        return detector.incidents()


def _resume(run: _PastRun, judged: JudgedCell) -> BlockingDetector:
    if not run.states:
        return BlockingDetector(run.since_us, judged=judged)
    state = msgspec.json.decode(run.states[max(run.states)], type=BlockingDetectorState)
    return BlockingDetector.from_state(state, judged)
