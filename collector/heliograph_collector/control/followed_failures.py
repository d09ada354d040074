"""Tell new failures at an endpoint from those of a lasting block.

A failure is new in a country until passes of controls have followed FOLLOWED of its failures there
within FOLLOWED_US. Of failures that no pass has followed yet, the first counts.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from heliograph.units import HOUR_US

FOLLOWED = 3  # assumed; two lost packets in an hour are no lasting block
FOLLOWED_US = HOUR_US  # assumed; a lasting block is looked at every 10 to 20 min

_Key = TypeVar("_Key")


@dataclass(slots=True)
class _Country:
    failed_us: int | None = None  # of the first failure that no pass has followed
    passes_us: tuple[int, ...] = ()


@dataclass(slots=True)
class FollowedFailures(Generic[_Key]):
    """Remember failures and passes of endpoints; the endpoint longest without a failure goes."""

    max_endpoints: int
    _by_endpoint: OrderedDict[_Key, dict[str, _Country]] = field(default_factory=OrderedDict)

    def add_failure(self, endpoint: _Key, country: str, at_us: int) -> bool:
        """Note a failure; return whether it is new."""
        countries = self._by_endpoint.setdefault(endpoint, {})
        self._by_endpoint.move_to_end(endpoint)
        if len(self._by_endpoint) > self.max_endpoints:
            self._by_endpoint.popitem(last=False)
        seen = countries.setdefault(country, _Country())
        if seen.failed_us is None:
            seen.failed_us = at_us
        return sum(pass_us > at_us - FOLLOWED_US for pass_us in seen.passes_us) < FOLLOWED

    def add_pass(self, endpoint: _Key, at_us: int) -> None:
        """Note that the endpoint worked for a control."""
        for seen in self._by_endpoint.get(endpoint, {}).values():
            if seen.failed_us is not None and at_us > seen.failed_us:
                seen.passes_us = (*seen.passes_us, at_us)[-FOLLOWED:]
                seen.failed_us = None
