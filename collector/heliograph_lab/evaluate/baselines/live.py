"""How many vantages are live, per country, region and ASN, step by step: what IODA would count."""

from collections import Counter
from collections.abc import Sequence

from heliograph_collector.incidents.scope import Scope
from heliograph_collector.model.signals import SECOND_US, Arrival, Fault, Goodbye, Lost, Place, Why
from heliograph_collector.sources.replay import Replay, Series

SOURCE = "vantages"


def entities(place: Place) -> tuple[Scope, ...]:
    """A country, its regions, its networks. Nobody else has cells by access, or intersections."""
    found = [Scope(place.country)]
    found += [Scope(place.country, region=place.region)] if place.region else []
    found += [Scope(place.country, asn=place.asn)] if place.asn else []
    return tuple(found)


def live(replay: Replay, step_s: float) -> Sequence[Series]:
    """Sampled at the end of each whole step; None before an entity's first vantage."""
    step_us = int(step_s * SECOND_US)
    counted = _Counted(replay.since_us, step_us)
    for signal in replay.signals:
        counted.until(signal.at_us)
        if isinstance(signal, Arrival):
            counted.come(signal.witness.nym, signal.witness.place)
        elif isinstance(signal, Lost | Goodbye):
            counted.go(signal.nym)
        elif isinstance(signal, Fault) and signal.why is Why.RESTART:
            counted.forget()
    counted.until(replay.until_us)
    return [
        Series(scope, SOURCE, replay.since_us, step_us, values)
        for scope, values in sorted(counted.values.items())
    ]


class _Counted:
    def __init__(self, since_us: int, step_us: int) -> None:
        self.values: dict[Scope, list[float | None]] = {}
        self._places: dict[str, Place] = {}
        self._now: Counter[Scope] = Counter()
        self._next_us, self._step_us, self._steps = since_us + step_us, step_us, 0

    def until(self, now_us: int) -> None:
        """Write down the steps that have ended. What happens at their last moment is the next's."""
        while self._next_us <= now_us:
            for scope, values in self.values.items():
                values.append(float(self._now[scope]))
            self._steps += 1
            self._next_us += self._step_us

    def come(self, nym: str, place: Place) -> None:
        self.go(nym)
        self._places[nym] = place
        for scope in entities(place):
            self._now[scope] += 1
            if scope not in self.values:
                self.values[scope] = [None] * self._steps

    def go(self, nym: str) -> None:
        place = self._places.pop(nym, None)
        if place is not None:
            self._now.subtract(entities(place))

    def forget(self) -> None:
        """The collector began anew: nobody is connected, until they come back."""
        self._places.clear()
        self._now.clear()
