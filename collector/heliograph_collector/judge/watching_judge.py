"""Judge with the operator's lists of fingerprints, in processes that reload them."""

from dataclasses import dataclass

from heliograph_collector.judge import judge
from heliograph_collector.judge.fingerprints.library import LIBRARY, ListSource
from heliograph_collector.model.records import (
    ControlView,
    ReceivedMeasurement,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class WatchingJudge:
    """Judge that uses the lists of a source; it may be sent to another process."""

    lists: ListSource

    def __call__(self, record: ReceivedMeasurement, control: ControlView, /) -> tuple[Verdict, ...]:
        LIBRARY.watch(self.lists)
        return judge(record, control)
