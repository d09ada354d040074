"""Derive effects of this machine, its home or its network that are no censorship.

Such a sign is for the volunteer alone, who sees it in `status`: it is kept in memory, never on the
disk, and ends with the epoch. The collector derives its own signs from the same observations
(control/vantage_profiles.py).
"""

import ipaddress
from collections.abc import Iterator, Sequence
from enum import StrEnum

from heliograph.address import FAKE_NETWORK
from heliograph.failure import Failure, Operation
from heliograph.observation import SYSTEM_ENGINES, Measurement, Observation
from heliograph.plan import ANCHORS
from heliograph_agent.runtime.link import ANCHOR_KINDS

MAX_ISSUER = 200  # characters of a text that anybody on the way can choose; assumed
DENIALS = (Failure.DNS_NXDOMAIN_ERROR, Failure.DNS_REFUSED_ERROR)


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
    """Return the issuer of all anchors' certificates if it is unknown, else ""."""
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
