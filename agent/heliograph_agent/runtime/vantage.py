"""Derive the link and what its own side does to traffic, and begin an epoch for each network.

A doubtful link is `unknown`, because a wrong "online" would turn a dead link into a hundred blocked
services.

What this machine, its house or its network does to traffic is shown by `status`. Such a sign is for
the volunteer alone: it is kept in memory, never on the disk, and ends with the epoch. The collector
draws its own from the same observations (control/vantage_profiles.py).
"""

import ipaddress
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Protocol

from heliograph.address import FAKE_NETWORK
from heliograph.clock import Clock
from heliograph.failure import Failure, Operation
from heliograph.observation import SYSTEM_ENGINES, Access, Epoch, Link, Measurement, Observation
from heliograph.plan import ANCHORS

STABLE_US = 6_000_000  # a shorter stay on a network begins no epoch
MAX_ISSUER = 200  # characters of a text that anybody on the way can choose; assumed
DENIALS = (Failure.DNS_NXDOMAIN_ERROR, Failure.DNS_REFUSED_ERROR)


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
ANCHOR_KINDS = ("foreign", "domestic", "resolver")  # an anchor's id begins with its kind


def classify_link(observations: Iterable[Observation]) -> Link:
    """Classify the link from the observations of a `connectivity` measurement."""
    steps = tuple(observations)
    foreign, domestic, resolver = (anchor_kind_state(steps, kind) for kind in ANCHOR_KINDS)
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


class OwnSign(StrEnum):
    """Name what the own side does."""

    DECRYPTS = "decrypts"  # with the issuer as detail
    FILTERS = "filters"
    DENIES = "denies"
    TUNNELS = "tunnels"
    CHANGES_WEB = "changes_web"


OwnSigns = dict[str, str]  # OwnSign → detail, "" without one
# An anchor result shows these or refutes them; the others stay until the epoch ends.
_SHOWN_BY_ANCHORS = frozenset({OwnSign.DECRYPTS, OwnSign.DENIES, OwnSign.TUNNELS})


def update_signs(signs: OwnSigns, measurement: Measurement) -> OwnSigns:
    """Return the signs after a measurement; one that did not run changes nothing."""
    if measurement.not_measured or not measurement.observations:
        return signs
    new_signs = dict(_iter_signs(measurement))
    if measurement.experiment != ANCHORS:
        return signs | {s: d for s, d in new_signs.items() if s not in _SHOWN_BY_ANCHORS}
    return {s: d for s, d in signs.items() if s not in _SHOWN_BY_ANCHORS} | new_signs


def _iter_signs(measurement: Measurement) -> Iterator[tuple[OwnSign, str]]:
    steps = measurement.observations
    anchors = [x for x in steps if x.endpoint.startswith(ANCHOR_KINDS) and not _is_domestic(x)]
    issuer = _find_common_issuer(anchors)
    if issuer:
        yield OwnSign.DECRYPTS, issuer
    answers = [list(_list_addresses(x)) for x in steps]
    if any(addresses and all(map(_is_null, addresses)) for addresses in answers):
        yield OwnSign.FILTERS, ""
    if any(addresses and all(a in FAKE_NETWORK for a in addresses) for addresses in answers):
        yield OwnSign.TUNNELS, ""
    lookups = [x for x in anchors if x.dns and x.dns.query_type == "A" and x.failure is None]
    denials = [x for x in anchors if x.dns and x.failure in DENIALS]
    if len(denials) > len(lookups):
        yield OwnSign.DENIES, ""
    if any(x.exchange and x.exchange.differences for x in steps):
        yield OwnSign.CHANGES_WEB, ""


def _is_domestic(observation: Observation) -> bool:
    return observation.endpoint.startswith("domestic")


def _find_common_issuer(anchors: Sequence[Observation]) -> str:
    """Return the issuer of all anchors' certificates that no known authority signed, else ""."""
    handshakes = [x for x in anchors if x.operation is Operation.TLS_HANDSHAKE and x.tls]
    issuers = {
        x.tls.chain[0].issuer
        if x.failure is Failure.SSL_UNKNOWN_AUTHORITY and x.tls and x.tls.chain
        else ""
        for x in handshakes
        if x.failure in (None, Failure.SSL_UNKNOWN_AUTHORITY)
    }
    return issuers.pop()[:MAX_ISSUER] if len(issuers) == 1 else ""


def _list_addresses(
    observation: Observation,
) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    if observation.dns and observation.failure is None and observation.dns.engine in SYSTEM_ENGINES:
        for address in observation.dns.addresses:
            try:
                yield ipaddress.ip_address(address)
            except ValueError:
                continue


def _is_null(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_unspecified or address.is_loopback
