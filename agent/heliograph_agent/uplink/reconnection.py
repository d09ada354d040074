"""Bound the report of a broken session, and delay reconnection and old results.

Theory of operation. Whole countries reconnect at once, so waits are random. Their limit doubles
with each failed pass over the transports, up to RECONNECT.limit_s. It does so on a dead link too:
the attempt itself shows that the link is back, often before the anchors are measured again.

A balancer that knows nothing of its hosts leads each connection to another one, so a refusal says
little about the next connection. Once waits are longer than those of SHORT_WAIT_PASSES, a pass that
was refused at once on an online link is repeated within a second, REPEATS times, before it counts.

After a long absence the digest, changes and new results are sent at once. The rest of the backlog,
P2 and P3, starts after a random wait of up to SPREAD_S.
"""

import random
from dataclasses import dataclass

from heliograph.backoff import Backoff
from heliograph.clock import Clock
from heliograph.units import HOUR_US, SECOND_US
from heliograph_agent.spool import Spool

WORD_S = 30.0
PREPARE_S = 12.0  # for the anchors: longer than the timeout of one step
MIN_SHARE_S = 4.0  # assumed; four round trips of TCP, TLS and HTTP on a slow line
LEAST_BETWEEN_US = 180 * SECOND_US  # the interval of the anchors in the default plan
# Between attempts. The detectors count on the limit (`retry_s` of the collector's thresholds). When
# a collector of 30,000 agents is back after an hour, 1,000 a second try at first and none after
# 60 s; at 2.8 ms of CPU each (collector/README.md, "session") that is 2.8 cores, falling.
RECONNECT = Backoff(1.0, 60.0)
SHORT_WAIT_PASSES = 4  # waits of up to 8 s
REFUSED_US = 5 * SECOND_US  # assumed; half of what a silent path takes (channel.CONNECT_S)
REPEATS = 3  # with one dead host of three, 1 of 81 passes fails
AWAY_US = HOUR_US  # least time without a reply of an absence, least age of a backlog
SPREAD_S = 1_800.0


@dataclass(slots=True)
class SessionLoss:
    """Bound the report that an agent sends elsewhere when its session breaks. Pure.

    Theory of operation. A session that breaks while the anchors answer shows that something between
    this agent and the collector fails, and not this agent's network. So the collector is to get a
    report within WORD_S, by the next transport that plan and volunteer allow. After a loss
    (`begin`) the pass over the transports continues as after any failure, but each has only its
    share of the rest of WORD_S for its first answer (`limit_s`), so that some dead entrances do not
    use it up. The first answer, or the end of the pass, ends this (`end`).

    A collector that ends sessions itself announces it, so no session is lost then. A line that
    breaks all the time gets one report in LEAST_BETWEEN_US, because each costs a measurement of the
    anchors.
    """

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
        """Note that the collector answered, all transports failed, or no report can go."""
        self._is_due = False

    def limit_s(self, transports: int) -> float | None:
        """Return the seconds for the next remaining transport; None for its own limits."""
        if not self._is_due or self._began_us is None:
            return None
        remaining_s = WORD_S - (self.clock.monotonic_us() - self._began_us) / SECOND_US
        return max(MIN_SHARE_S, remaining_s / max(1, transports))


@dataclass(slots=True)
class FailedPasses:
    """Count passes that failed in a row, and determine the next wait. Pure."""

    count: int = 0
    for_wait: int = 0  # the failures that determine the next wait, 0 for no wait
    _repeats: int = 0  # of the last pass

    def record_pass(self, *, is_refusal: bool) -> None:
        """Count a failed pass, or have it repeated within a second if refused at once."""
        if is_refusal and self.count >= SHORT_WAIT_PASSES and self._repeats < REPEATS:
            self._repeats += 1
            self.for_wait = 1
            return
        self._repeats = 0
        self.count += 1
        self.for_wait = self.count

    def shorten(self) -> bool:
        """Lower the next wait to a few seconds; return whether it was longer."""
        is_long = self.count > SHORT_WAIT_PASSES
        if is_long:
            self.count = self.for_wait = SHORT_WAIT_PASSES
            self._repeats = 0
        return is_long

    def reset(self) -> None:
        """Forget all failures, because the collector answered or the network changed."""
        self.count = self.for_wait = self._repeats = 0


@dataclass(slots=True)
class ReconnectDelay:
    """Delay the backlog; all sessions of one run of the agent share the object."""

    clock: Clock
    rng: random.Random
    _replied_us: int | None = None  # monotonic, when the collector last answered
    _delayed_until_us: int = 0
    _backlog_end: int = 0  # the newest envelope of the backlog

    def draw_wait_s(self, failures: int) -> float:
        """Draw a wait with full jitter, so that agents do not reconnect in step."""
        return RECONNECT.draw_s(failures, self.rng)

    async def record_reply(self, spool: Spool) -> None:
        """Note that the collector answered. Raises SpoolError."""
        if self.is_away():
            self._backlog_end, self._delayed_until_us = await self._measure_backlog(spool)
        self._replied_us = self.clock.monotonic_us()

    async def skip_through(self, spool: Spool) -> int:
        """Return the number up to which envelopes of P2 and P3 wait, 0 for none.

        Before the collector has answered, the whole backlog waits. Raises SpoolError.
        """
        if self.is_away():
            return (await self._measure_backlog(spool))[0]
        return self._backlog_end if self.clock.monotonic_us() < self._delayed_until_us else 0

    def cancel_delay(self) -> None:
        """Send the backlog at once, for `run --once`."""
        self._replied_us = self.clock.monotonic_us()
        self._delayed_until_us = 0

    def is_away(self) -> bool:
        """Return whether the collector has not answered within AWAY_US."""
        now_us = self.clock.monotonic_us()
        return self._replied_us is None or now_us - self._replied_us > AWAY_US

    async def _measure_backlog(self, spool: Spool) -> tuple[int, int]:
        newest, oldest_us = await spool.read_backlog()
        if oldest_us is None or abs(self.clock.wall_us() - oldest_us) < AWAY_US:
            return 0, 0
        wait_us = int(self.rng.uniform(0.0, SPREAD_S) * 1e6)
        return newest, self.clock.monotonic_us() + wait_us
