"""Derive the link state from the anchors, and begin an epoch for each network.

A doubtful link is `unknown`, because a wrong "online" would turn a dead link into a hundred blocked
services.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from heliograph.clock import Clock
from heliograph.failure import Failure, Operation
from heliograph.observation import Access, Epoch, Link, Observation

STABLE_US = 6_000_000  # a shorter stay on a network begins no epoch


class AnchorState(Enum):
    """Name the states of one anchor, or of all anchors of a kind."""

    REACHABLE = "reachable"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"  # not measured, or interrupted


# With these failures no packet left this machine.
NO_ROUTE = frozenset(
    {
        Failure.ADDRESS_FAMILY_NOT_SUPPORTED,
        Failure.ADDRESS_NOT_AVAILABLE,
        Failure.NETWORK_DOWN,
        Failure.NETWORK_UNREACHABLE,
    }
)
NO_ANSWER = NO_ROUTE | {
    Failure.DNS_NO_RESOLVER,
    Failure.GENERIC_TIMEOUT_ERROR,
    Failure.HOST_UNREACHABLE,
}
ANCHORS = ("foreign", "domestic", "resolver")  # an anchor's id begins with its kind


def classify_link(observations: Iterable[Observation]) -> Link:
    """Classify the link from the observations of a `connectivity` measurement."""
    steps = tuple(observations)
    foreign, domestic, resolver = (anchor_kind_state(steps, kind) for kind in ANCHORS)
    if _is_captive(steps):
        return Link.CAPTIVE
    if foreign is AnchorState.REACHABLE:
        return _classify_resolver(resolver, steps)
    if foreign is AnchorState.UNKNOWN:
        return Link.UNKNOWN
    if domestic is AnchorState.REACHABLE:
        return Link.DOMESTIC_ONLY
    return Link.OFFLINE if _is_offline(steps, domestic, resolver) else Link.UNKNOWN


def _classify_resolver(resolver: AnchorState, observations: Sequence[Observation]) -> Link:
    if resolver is AnchorState.REACHABLE or _has_foreign_tls(observations):
        return Link.ONLINE
    return Link.NO_RESOLVER if resolver is AnchorState.UNREACHABLE else Link.UNKNOWN


def _is_offline(
    observations: Sequence[Observation], domestic: AnchorState, resolver: AnchorState
) -> bool:
    """Return whether a link without any reachable anchor is offline.

    It is offline if no packet can leave this machine. It is also offline if nothing answered, and
    more than foreign anchors was measured. Else it is unknown.
    """
    if resolver is AnchorState.REACHABLE or any(
        x.failure is Failure.INTERRUPTED for x in observations
    ):
        return False
    connects = [x for x in observations if x.operation is Operation.CONNECT]
    if connects and all(x.failure in NO_ROUTE for x in connects):
        return True
    is_domestic_unreachable = AnchorState.UNREACHABLE in (domestic, resolver)
    return is_domestic_unreachable and all(x.failure in NO_ANSWER for x in observations)


def _is_captive(observations: Sequence[Observation]) -> bool:
    """Return whether empty pages had content and no foreign anchor proved itself."""
    pages = [
        x.http.status == 204
        for x in observations
        if x.endpoint.startswith("captive")
        and x.operation is Operation.HTTP_ROUND_TRIP
        and x.failure is None
        and x.http is not None
    ]
    return bool(pages) and not any(pages) and not _has_foreign_tls(observations)


def _has_foreign_tls(observations: Sequence[Observation]) -> bool:
    """Return whether a foreign anchor showed a valid certificate for its name."""
    return any(
        x.endpoint.startswith("foreign")
        and x.operation is Operation.TLS_HANDSHAKE
        and x.failure is None
        for x in observations
    )


def anchor_kind_state(observations: Sequence[Observation], kind: str) -> AnchorState:
    """Return REACHABLE if any anchor of the kind is, UNREACHABLE only if all are."""
    anchors = {x.endpoint for x in observations if x.endpoint.startswith(kind)}
    return _combine_states({endpoint_state(observations, anchor) for anchor in anchors})


def endpoint_state(observations: Sequence[Observation], endpoint: str) -> AnchorState:
    """Return the state of an anchor or other endpoint by the last steps of its chains."""
    parents = {x.parent for x in observations if x.parent is not None}
    return _combine_states(
        {
            _final_state(x)
            for index, x in enumerate(observations)
            if x.endpoint == endpoint and index not in parents
        }
    )


def _combine_states(states: set[AnchorState]) -> AnchorState:
    if AnchorState.REACHABLE in states:
        return AnchorState.REACHABLE
    return AnchorState.UNREACHABLE if states == {AnchorState.UNREACHABLE} else AnchorState.UNKNOWN


def _final_state(observation: Observation) -> AnchorState:
    if observation.failure is Failure.INTERRUPTED:
        return AnchorState.UNKNOWN
    if observation.operation is Operation.READ_BODY:
        return AnchorState.REACHABLE  # even a truncated body came from a server
    if observation.failure is not None:
        return AnchorState.UNREACHABLE
    if observation.operation is Operation.RESOLVE and not observation.endpoint.startswith(
        "resolver"
    ):
        return AnchorState.UNKNOWN  # a resolved name does not show contact with the host
    return AnchorState.REACHABLE


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
