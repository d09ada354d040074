"""Evidence of a verdict beyond its control: further looks, the vantage's profile."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from heliograph.observation import Link, Measurement

MAX_LOOKS = 16  # assumed; further control results in one view, so that a verdict stays cheap
ALL_NAMES = "*"  # in place of names, where it is so at all that were tried


@dataclass(frozen=True, slots=True)
class ControlLook:
    """A further fresh control result on the target, by another control or a visit."""

    measurement: Measurement
    age_us: int  # distance in time from the compared measurement
    link: Link  # the control's own
    network: str  # the control's own, as prefix or ASN; "" unknown
    is_visit: bool = False  # asked for later, at the endpoints that vantages met
    is_later: bool | None = None  # than the compared measurement; None if unknown


@dataclass(frozen=True, slots=True)
class ControlSite:
    """A connected control that can be asked for visits."""

    agent: bytes
    network: str  # as of a look


@dataclass(frozen=True, slots=True)
class ConnectedVantage:
    """A volunteer's agent in a session, as far as a draw needs it."""

    agent: bytes
    prefix: str
    asn: int


class HelloSize(NamedTuple):
    """Class of TLS hellos that a path treats alike, by protocol and size."""

    is_ipv6: bool
    is_large: bool  # its first segment is as large as the path may carry


@dataclass(frozen=True, slots=True, kw_only=True)
class VantageProfile:
    """Facts on a vantage's resolver and path in its epoch; None and "" are unknown."""

    resolver_network: str = ""  # of the resolver that asks for it, as prefix or ASN
    has_foreign_resolver: bool | None = None  # the resolver is of somebody else than the provider
    own_filter: bool | None = None  # its user or household chose a resolver that filters
    own_interceptor_issuer: str = ""  # of its certificates for all targets, anchors included
    # Issuers that several vantages of its network met at some targets, while others verified.
    shared_issuers: frozenset[str] = frozenset()
    # Certificates (SHA-256) of a host that is shown in its network in place of several names.
    shared_leaves: frozenset[str] = frozenset()
    # Private addresses that its network's resolvers give for the same name to most vantages.
    shared_answers: frozenset[str] = frozenset()
    # Names whose cleartext page its network shows in place of unrelated sites, and the prefixes
    # that met it so.
    shared_pages: Mapping[str, int] = field(default_factory=dict)
    fake_addresses: bool | None = None  # a local tunnel invents addresses
    # The system's resolver denies or misdirects most neutral names, which sealed lookups resolve.
    sealed_disagrees: bool | None = None
    portal: bool | None = None  # a captive portal answers in place of servers
    # Names at which our own TLS hello is cut while browsers' hellos pass, or ALL_NAMES.
    filtered_hellos: frozenset[str] = frozenset()
    # Names at which every browser's hello was just dropped while ours, as large, passes, and which
    # answer browsers at that address for a control.
    dropped_browsers: frozenset[str] = frozenset()
    doubted_browsers: frozenset[str] = frozenset()  # the same, hours ago or without the control
    # Of hellos that lately brought a handshake to its end, wherever; None where nobody notes them.
    passed_hellos: frozenset[HelloSize] | None = None
