"""Which way to the collector is tried next. Pure: clock and chance are arguments.

A pass is one try of each way. It begins with the one that delivered last; now and then, with those
above it. A way is good only once it has brought something and stood: on a network that freezes
flows every session begins well.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from heliograph_agent.uplink.transports import Rung

FIRST_PROBE_S = 60.0  # after a fall; a way may have failed by chance
MOST_PROBE_S = 21_600.0
JITTER = 0.25  # one part of a wait, more or less


@dataclass(slots=True)
class Ladder:
    """`good` and `probes` outlive a restart; the rest is of this run."""

    good: str = ""  # name of the rung that delivered last
    probes: int = 0  # looks at better ones in a row that found none
    _pass: list[Rung] = field(default_factory=list)  # what is left of it
    _above: frozenset[str] = frozenset()  # rungs that are tried in this pass though `good` stands
    _probe_at_us: int | None = None

    def next(self, rungs: Sequence[Rung], now_us: int, rng: random.Random) -> Rung:
        """The rung to try now. `rungs` are never none; they may be others than before."""
        known = set(rungs)
        self._pass = [rung for rung in self._pass if rung in known]
        if not self._pass:
            self._begin(rungs, now_us, rng)
        return self._pass[0]

    def failed(self, rung: Rung, now_us: int, rng: random.Random) -> bool:
        """It is not tried again in this pass; whether that was the last one of the pass."""
        self._pass = [other for other in self._pass if other != rung]
        if rung.name in self._above:
            self._above -= {rung.name}
            if not self._above:
                self.probes += 1
                self._plan_probe(now_us, rng)
        return not self._pass

    def held(self, rung: Rung, rungs: Sequence[Rung], now_us: int, rng: random.Random) -> bool:
        """It has delivered, and stood; whether that is news. The next pass begins with it."""
        self._pass = []
        news = self.good != rung.name
        if rung == rungs[0]:
            self.probes, self._probe_at_us = 0, None
        elif news or self._probe_at_us is None:
            self._plan_probe(now_us, rng)
        self.good = rung.name
        return news

    def probe_in_s(self, now_us: int) -> float | None:
        """Seconds until better rungs are to be tried; None while there is no better one."""
        return None if self._probe_at_us is None else max(0.0, (self._probe_at_us - now_us) / 1e6)

    def moved(self) -> None:
        """Another network: what was blocked may be open there, and the other way round."""
        self.probes, self._pass, self._probe_at_us = 0, [], 0

    def _begin(self, rungs: Sequence[Rung], now_us: int, rng: random.Random) -> None:
        at = next((i for i, rung in enumerate(rungs) if rung.name == self.good), 0)
        if at and self._probe_at_us is None:  # a restart: it was looked at not long ago
            self._plan_probe(now_us, rng)
        probing = at > 0 and self._probe_at_us is not None and self._probe_at_us <= now_us
        self._above = frozenset(rung.name for rung in rungs[:at]) if probing else frozenset()
        good = [rungs[at]]
        self._pass = list(rungs) if probing else good + [r for r in rungs if r not in good]

    def _plan_probe(self, now_us: int, rng: random.Random) -> None:
        wait_s = min(MOST_PROBE_S, FIRST_PROBE_S * 2.0 ** min(self.probes, 20))
        wait_s *= rng.uniform(1 - JITTER, 1 + JITTER)
        self._probe_at_us = now_us + int(wait_s * 1e6)
