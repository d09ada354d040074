"""Bound the one word that an agent says by another transport when its session breaks. Pure.

Theory of operation. A session that breaks while the anchors answer shows that something between
this agent and the collector fails, and not this agent's network. So the collector is to hear it
within WORD_S, by the next transport that plan and volunteer allow. After a loss (`begin`) the pass
over the transports continues as after any failure, but each has only its share of the rest of
WORD_S for its first answer (`limit_s`), so that some dead entrances do not use it up. The first
answer, or the end of the pass, ends this (`end`).

A collector that ends sessions itself announces it, so no session is lost then. A line that
breaks all the time gets one word in LEAST_BETWEEN_US, because each costs a measurement of the
anchors.
"""

from dataclasses import dataclass

from heliograph.clock import Clock
from heliograph.units import SECOND_US

WORD_S = 30.0
PREPARE_S = 12.0  # for the anchors: longer than the timeout of one step
MIN_SHARE_S = 4.0  # assumed; four round trips of TCP, TLS and HTTP on a slow line
LEAST_BETWEEN_US = 180 * SECOND_US  # the interval of the anchors in the default plan


@dataclass(slots=True)
class SessionLoss:
    """Say whether a word is due, and how long a transport may take for it."""

    clock: Clock
    _began_us: int | None = None  # the last loss for which there was a word
    _is_due: bool = False

    @property
    def is_due(self) -> bool:
        return self._is_due

    def begin(self) -> bool:
        """Note that a session broke; return whether a word is due."""
        now_us = self.clock.monotonic_us()
        if self._began_us is None or now_us - self._began_us >= LEAST_BETWEEN_US:
            self._began_us = now_us
            self._is_due = True
        return self._is_due

    def end(self) -> None:
        """Note that the collector answered, that all transports failed, or that no word can go."""
        self._is_due = False

    def limit_s(self, transports: int) -> float | None:
        """Return the seconds for the next of the remaining transports; None for its own limits."""
        if not self._is_due or self._began_us is None:
            return None
        remaining_s = WORD_S - (self.clock.monotonic_us() - self._began_us) / SECOND_US
        return max(MIN_SHARE_S, remaining_s / max(1, transports))
