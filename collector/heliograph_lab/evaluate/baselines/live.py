"""Live vantages by country, region and ASN, counted in steps as IODA would."""

from collections import Counter
from collections.abc import Sequence

from heliograph.units import SECOND_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    Fault,
    FaultReason,
    Goodbye,
    VantageArrival,
    VantageLocation,
    VantageLoss,
)
from heliograph_collector.sources.replay import Replay, Series

SOURCE = "vantages"
FEED_US = 1_500_000  # from a decision to the row of our own detectors, for the others too


def scopes_at(location: VantageLocation) -> tuple[Scope, ...]:
    """Return the country, region and ASN of a location, as other detectors use them."""
    scopes = [Scope(location.country)]
    scopes += [Scope(location.country, region=location.region)] if location.region else []
    scopes += [Scope(location.country, asn=location.asn)] if location.asn else []
    return tuple(scopes)


def count_live(replay: Replay, step_s: float) -> Sequence[Series]:
    """Count live vantages at the end of each step; None before an entity's first."""
    step_us = int(step_s * SECOND_US)
    counter = _LiveCounter(replay.since_us, step_us)
    for signal in replay.signals:
        counter.advance_to(signal.at_us)
        if isinstance(signal, VantageArrival):
            counter.add_vantage(signal.witness.nym, signal.witness.place)
        elif isinstance(signal, VantageLoss | Goodbye):
            counter.remove_vantage(signal.nym)
        elif isinstance(signal, Fault) and signal.why is FaultReason.RESTART:
            counter.clear()
    counter.advance_to(replay.until_us)
    return [
        Series(scope, SOURCE, replay.since_us, step_us, values)
        for scope, values in sorted(counter.values.items())
    ]


class _LiveCounter:
    def __init__(self, since_us: int, step_us: int) -> None:
        self.values: dict[Scope, list[float | None]] = {}
        self._locations: dict[str, VantageLocation] = {}
        self._live_counts: Counter[Scope] = Counter()
        self._next_us = since_us + step_us
        self._step_us = step_us
        self._steps = 0

    def advance_to(self, now_us: int) -> None:
        """Append the counts of ended steps; a signal at the end belongs to the next step."""
        while self._next_us <= now_us:
            for scope, values in self.values.items():
                values.append(float(self._live_counts[scope]))
            self._steps += 1
            self._next_us += self._step_us

    def add_vantage(self, pseudonym: str, location: VantageLocation) -> None:
        self.remove_vantage(pseudonym)
        self._locations[pseudonym] = location
        for scope in scopes_at(location):
            self._live_counts[scope] += 1
            if scope not in self.values:
                self.values[scope] = [None] * self._steps

    def remove_vantage(self, pseudonym: str) -> None:
        location = self._locations.pop(pseudonym, None)
        if location is not None:
            self._live_counts.subtract(scopes_at(location))

    def clear(self) -> None:
        """Remove all vantages, because a restart of the collector ends their sessions."""
        self._locations.clear()
        self._live_counts.clear()
