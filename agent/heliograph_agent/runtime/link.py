"""Derive the state of the link from the anchors.

A doubtful link is `unknown`, because a wrong "online" would turn a dead link into a hundred blocked
services.
"""

from collections.abc import Iterable, Sequence
from enum import Enum

from heliograph.failure import Failure, Operation
from heliograph.observation import Link, Observation


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
