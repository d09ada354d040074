"""What other countries saw of the same service in the same hours, within what is imported.

A service that fails everywhere is down, and blocked nowhere. OONI's own tests of services cannot
tell, since each looks at one vantage alone.
"""

from collections import defaultdict
from dataclasses import replace

from heliograph.observation import Observation
from heliograph_collector.ooni.frame import Imported

WINDOW_US = 3 * 3600 * 1_000_000  # outages worth the name last longer than a run takes
ENOUGH = 2  # other countries that fail alike, before it counts as an outage
Key = tuple[str, str, int]  # service, endpoint, stretch of time


class World:
    """Countries by outcome. Feed it every measurement with `note`, then ask with `contrast`."""

    def __init__(self) -> None:
        self._passed: defaultdict[Key, set[str]] = defaultdict(set)
        self._failed: defaultdict[Key, set[str]] = defaultdict(set)

    def note(self, seen: Imported) -> None:
        if not seen.presumed:
            return
        for label, failed in _outcomes(seen).items():
            (self._failed if failed else self._passed)[_key(seen, label)].add(seen.probe_cc)

    def contrast(self, seen: Imported) -> Imported:
        """With a control that fails where other countries fail alike and none gets through."""
        if not seen.presumed or seen.control.measurement is None:
            return seen
        labels = {label for label, failed in _outcomes(seen).items() if failed}
        dead = {label for label in labels if self._dead(seen, label)}
        proven = labels and all(self._others(self._passed, seen, label) for label in labels)
        if not dead:
            return replace(seen, presumed=not proven)
        ours = seen.taken.measurement.observations
        theirs = seen.control.measurement.observations
        mixed = tuple(o if o.endpoint in dead else t for o, t in zip(ours, theirs, strict=True))
        measured = replace(seen.control.measurement, observations=mixed)
        return replace(seen, control=replace(seen.control, measurement=measured))

    def _dead(self, seen: Imported, label: str) -> bool:
        if self._others(self._passed, seen, label):
            return False
        return len(self._others(self._failed, seen, label)) >= ENOUGH

    def _others(self, found: defaultdict[Key, set[str]], seen: Imported, label: str) -> set[str]:
        return found.get(_key(seen, label), set()) - {seen.probe_cc, "ZZ"}


def _outcomes(seen: Imported) -> dict[str, bool]:
    """By endpoint, whether it failed: in its last step, and in no way that is the vantage's own."""
    last: dict[str, Observation] = {}
    for one in seen.taken.measurement.observations:
        last[one.endpoint] = one
    return {label: one.failure is not None for label, one in last.items()}


def _key(seen: Imported, label: str) -> Key:
    of = seen.taken.measurement
    return of.service, label, of.started_us // WINDOW_US
