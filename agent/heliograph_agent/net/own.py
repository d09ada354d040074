"""The scrubber for the addresses that this machine has now."""

from heliograph.clock import Clock
from heliograph_agent.net.local import own_addresses
from heliograph_agent.net.scrub import Scrubber

_FRESH_US = 1_000_000  # to ask the kernel costs as much as a probe


class OwnAddresses:
    """Asks the kernel at most once a second, and keeps the scrubber while nothing has changed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked_us = -_FRESH_US
        self._scrubber = Scrubber(())

    def scrubber(self) -> Scrubber:
        now_us = self._clock.monotonic_us()
        if now_us - self._asked_us >= _FRESH_US:
            self._asked_us = now_us
            own = own_addresses()
            if own != self._scrubber.addresses:
                self._scrubber = Scrubber(own)
        return self._scrubber
