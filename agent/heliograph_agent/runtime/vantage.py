"""Begin an epoch for each network, and hold the present one's facts."""

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from heliograph.clock import Clock
from heliograph.observation import Access, Epoch, Link
from heliograph_agent.runtime.own_signs import OwnSigns
from heliograph_agent.runtime.service_status import ServiceStates

if TYPE_CHECKING:
    from heliograph_agent.config import Config
    from heliograph_agent.consent import Consent

STABLE_US = 6_000_000  # a shorter stay on a network begins no epoch


@dataclass(slots=True, kw_only=True)
class VantageState:
    """Hold the state of the network on which this agent measures now."""

    epoch: Epoch
    link: Link = Link.UNKNOWN
    link_known: bool = False  # its anchors were measured in this epoch
    last_results: dict[str, int] = field(default_factory=dict)  # experiment → wall clock
    service_states: ServiceStates = field(default_factory=dict)  # by class, as last tested
    own_signs: OwnSigns = field(default_factory=dict)  # of this epoch


class NetworkView(Protocol):
    """Declare what the tracker reads of a net.local_addresses.LocalView."""

    @property
    def ipv4(self) -> bool: ...
    @property
    def ipv6(self) -> bool: ...
    @property
    def fingerprint(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredVantage:
    """Hold the place as the volunteer declares it; nothing is looked up."""

    country: str = ""
    region: str = ""
    access: Access = Access.UNKNOWN


def declare_vantage(config: "Config", consent: "Consent | None") -> DeclaredVantage:
    """Return the declared place: from the configuration, else from the consent."""
    declared = consent or DeclaredVantage()
    return DeclaredVantage(
        country=config.country or declared.country,
        region=config.region or declared.region,
        access=declared.access if config.access is None else config.access,
    )


@dataclass(frozen=True, slots=True)
class _CandidateNetwork:
    """Hold another network, and when it was first seen."""

    fingerprint: str
    monotonic_us: int
    wall_us: int


class VantageTracker:
    """Begin an epoch for every network that lasts for STABLE_US.

    States: on the network of the epoch, or with a candidate. Another fingerprint with an address
    becomes the candidate. The candidate becomes the network, and a new epoch begins, once STABLE_US
    have passed. The old network, or none, drops the candidate: a lost network ends no epoch,
    because the same network after a loss is the same vantage. Ids are random, so that two epochs on
    one network cannot be linked.
    """

    def __init__(
        self, view: NetworkView, clock: Clock, declared: DeclaredVantage | None = None
    ) -> None:
        self._clock = clock
        self._declared = declared or DeclaredVantage()
        self._fingerprint = view.fingerprint
        self._candidate: _CandidateNetwork | None = None
        self.epoch = self._begin_epoch(view, clock.wall_us())

    def check_network(self, view: NetworkView) -> bool:
        """Compare the present network; return whether a new epoch has begun in `epoch`."""
        is_unchanged = view.fingerprint == self._fingerprint
        if is_unchanged or not (view.ipv4 or view.ipv6):
            self._candidate = None
            return False
        now_us = self._clock.monotonic_us()
        if self._candidate is None or self._candidate.fingerprint != view.fingerprint:
            self._candidate = _CandidateNetwork(view.fingerprint, now_us, self._clock.wall_us())
        if now_us - self._candidate.monotonic_us < STABLE_US:
            return False
        self.epoch = self._begin_epoch(view, self._candidate.wall_us)
        self._fingerprint = view.fingerprint
        self._candidate = None
        return True

    def _begin_epoch(self, view: NetworkView, wall_us: int) -> Epoch:
        return Epoch(
            id=secrets.token_hex(8),
            started_us=wall_us,
            country=self._declared.country,
            region=self._declared.region,
            access=self._declared.access,
            ipv4=view.ipv4,
            ipv6=view.ipv6,
        )
