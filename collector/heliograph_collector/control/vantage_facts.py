"""Extract facts on the vantage itself: its resolver, and interceptors of its TLS.

A neutral name is one of the anchors', or the name that `dns_integrity` asks for because nobody
blocks it. An anomaly of neutral names has its cause at the vantage.
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache

import msgspec

from heliograph.address import FAKE_NETWORK, is_special_purpose
from heliograph.experiments.web import BROWSER_HELLOS, ONE_SEGMENT
from heliograph.failure import HANDSHAKES, HELLO_CUTS, Failure, Operation
from heliograph.observation import SYSTEM_ENGINES, Dns, Measurement, Observation, Tls
from heliograph.plan import ANCHORS, HELLO
from heliograph_collector.model.control_look import HelloSize
from heliograph_collector.model.identity_cache import keep_by_identity
from heliograph_collector.model.page_digest import digest_page, read_host

NEUTRAL_LABEL = "neutral"  # of dns_integrity
WHOAMI_LABEL = "whoami_system"  # of dns_integrity; the answer is the asking resolver's network
# They ask a server for names of others, or go no further than a hello.
FOREIGN_NAMES = frozenset({"sni", "ech", "hello", "http_host"})
SEALED_ENGINES = ("dot", "doh")
# Somebody else's certificate; a wrong clock or a late renewal gives SSL_INVALID_CERTIFICATE.
FOREIGN_FAILURES = (Failure.SSL_UNKNOWN_AUTHORITY, Failure.SSL_INVALID_HOSTNAME)
DENIALS = (Failure.DNS_NXDOMAIN_ERROR, Failure.DNS_REFUSED_ERROR, Failure.DNS_NO_ANSWER)
OK = 200
ERRORS = 400  # 4xx and 5xx: RFC 9110 sections 15.5 and 15.6

Lookups = Sequence[tuple[Observation, Dns]]  # steps and their content
Handshakes = Sequence[tuple[Observation, Tls]]


class AnswerKind(StrEnum):
    """Kind of answer that the system's resolver gives for a name."""

    PUBLIC = "public"
    FAKE = "fake"  # made up by a tunnel of the vantage's own
    FALSE = "false"  # denied, or private: a lie, if the name is neutral


class ChainFact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The certificates that a name showed in one measurement."""

    issuer: str = ""  # of a chain that no authority of the trust store signed
    leaf: str = ""  # SHA-256 of a leaf that is somebody else's
    is_self_signed: bool = False
    is_verified: bool = False


VERIFIED = ChainFact(is_verified=True)


class HelloFinding(StrEnum):
    """Result of one run of `hello` for a name, without any control."""

    OWN_FILTERED = "own_filtered"  # ours is cut, and browsers' pass
    OWN_CUT = "own_cut"  # ours is cut, and not browsers' alone pass
    BROWSERS_DROPPED = "browsers_dropped"  # ours, which is as large, passes before and after
    BROWSERS_IN_DOUBT = "browsers_in_doubt"  # the same, and ours is smaller: by print or by size
    PASSES = "passes"  # ours


class HelloFact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Result of one run of `hello`, and the address that it tested."""

    finding: HelloFinding
    address: str
    answers_browsers: bool  # all of them


class VantageFacts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Facts of one measurement, by name where they are of a name."""

    chains: Mapping[str, ChainFact]
    answers: Mapping[str, AnswerKind]
    sealed_names: frozenset[str]  # that a sealed lookup resolved
    neutral_names: frozenset[str]
    resolver_network: str  # "" unknown
    hellos: Mapping[str, HelloFact] = msgspec.field(default_factory=dict)  # by name
    passed_hellos: frozenset[HelloSize] = frozenset()
    private_answers: Mapping[str, str] = msgspec.field(default_factory=dict)  # addresses by name
    # Digests by name, "" of a site's own:
    pages: Mapping[str, str] = msgspec.field(default_factory=dict)
    private_issuers: frozenset[str] = frozenset()  # of whatever chain
    foreign_leaves: frozenset[str] = frozenset()  # digests, of whatever chain

    @property
    def is_plain(self) -> bool:
        """Return whether no facts of the network's other vantages are needed."""
        is_odd = self.private_issuers or self.foreign_leaves or self.private_answers
        return not (is_odd or any(self.pages.values()) or AnswerKind.FALSE in self.answers.values())


@keep_by_identity(12_288)  # the half is more than the 5,200 of the largest block
def extract_facts(measurement: Measurement) -> VantageFacts:
    """Extract the facts, once for all that ask while a block is judged.

    An experiment that asks servers for names of others has no `chains`.
    """
    steps = measurement.observations
    lookups = [(x, x.dns) for x in steps if x.dns is not None]
    handshakes = [(x, x.tls) for x in steps if x.tls is not None]
    shown = list(_iter_chains(handshakes))
    strangers = [chain for _, chain in shown if chain.leaf]  # of somebody else
    chains: dict[str, ChainFact] = {}
    if measurement.experiment not in FOREIGN_NAMES:
        for name, chain in shown:
            known = chains.setdefault(name, chain)
            if known is not chain:
                chains[name] = _merge_chains(known, chain)
    answers = dict(_iter_answers(lookups))
    neutral_names = frozenset(_iter_neutral_names(measurement))
    if neutral_names:
        tunneled = _iter_tunneled(steps, handshakes)
        answers |= dict.fromkeys((x for x in tunneled if x in neutral_names), AnswerKind.FAKE)
    return VantageFacts(
        chains=chains,
        answers=answers,
        sealed_names=frozenset(
            _fold(dns.name) for _, dns in lookups if dns.engine in SEALED_ENGINES and dns.addresses
        ),
        neutral_names=neutral_names,
        resolver_network=_find_resolver_network(lookups),
        hellos=find_hellos(measurement),
        passed_hellos=frozenset(_iter_passed_hellos(steps, handshakes)),
        private_answers=dict(_iter_private_answers(lookups)),
        pages=find_pages(measurement),
        private_issuers=frozenset([chain.issuer for chain in strangers if chain.issuer]),
        foreign_leaves=frozenset([chain.leaf for chain in strangers]),
    )


def find_pages(measurement: Measurement) -> dict[str, str]:
    """Find the digests of the pages that came in clear, "" for one that is no notice."""
    pages: dict[str, str] = {}
    for http in [x.http for x in measurement.observations if x.http is not None]:
        if OK <= http.status < ERRORS and http.url.startswith("http://"):
            name = read_host(http)
            pages[name] = digest_page(http) or pages.get(name, "")
    return pages


def _iter_private_answers(lookups: Lookups) -> Iterator[tuple[str, str]]:
    """Yield names for which the system's resolver gave a single non-public address."""
    for observation, dns in lookups:
        if observation.failure is None and (dns.engine, dns.query_type) == (SYSTEM_ENGINES[0], "A"):
            addresses = dns.addresses
            if len(addresses) == 1 and is_special_purpose(addresses[0]):
                yield _fold(dns.name), addresses[0]


def _iter_passed_hellos(
    steps: Sequence[Observation], handshakes: Handshakes
) -> Iterator[HelloSize]:
    """Yield the sizes of hellos whose handshakes over TCP passed, if reported."""
    for step, tls in handshakes:
        if step.operation is not Operation.TLS_HANDSHAKE or step.failure is not None:
            continue
        tcp = steps[step.parent].tcp if step.parent is not None else None
        if tcp is not None and tls.hello_bytes:
            yield HelloSize(":" in tcp.address, tls.hello_bytes > ONE_SEGMENT)


def _iter_chains(handshakes: Handshakes) -> Iterator[tuple[str, ChainFact]]:
    for observation, tls in handshakes:
        if observation.operation not in HANDSHAKES or not tls.server_name:
            continue
        name = _fold(tls.server_name)
        if observation.failure is None:
            yield name, VERIFIED
        elif observation.failure in FOREIGN_FAILURES and tls.chain and tls.chain[0].sha256:
            leaf = tls.chain[0]
            is_untrusted = observation.failure is Failure.SSL_UNKNOWN_AUTHORITY
            yield (
                name,
                ChainFact(
                    issuer=leaf.issuer if is_untrusted else "",
                    leaf=leaf.sha256,
                    is_self_signed=leaf.issuer == leaf.subject,
                ),
            )


def find_hellos(measurement: Measurement) -> dict[str, HelloFact]:
    """Find the outcome of our own hello and of browsers', if it was measured.

    That ours is filtered needs no control: the server answers browsers at the same address in the
    same minute. That browsers' are needs one, as a server may trip over them.
    """
    if measurement.experiment != HELLO:
        return {}
    steps = measurement.observations
    hellos = {x.endpoint: x for x in steps if x.operation is Operation.TLS_HANDSHAKE and x.tls}
    own = hellos.get("own")
    finding = _classify_hellos(hellos)
    if own is None or own.tls is None or not own.tls.server_name or finding is None:
        return {}
    tcp = steps[own.parent].tcp if own.parent is not None else None
    answers = all(x in hellos and hellos[x].failure is None for x in BROWSER_HELLOS)
    return {_fold(own.tls.server_name): HelloFact(finding, tcp.address if tcp else "", answers)}


def _classify_hellos(hellos: Mapping[str, Observation]) -> HelloFinding | None:
    ends = {label: x.failure for label, x in hellos.items()}
    has_again = "again" in ends
    if ends.get("own", Failure.UNKNOWN_FAILURE) is None:
        is_dropped = all(ends.get(label) in HELLO_CUTS for label in BROWSER_HELLOS)
        own = hellos["own"].tls
        is_large = own is not None and own.hello_bytes > ONE_SEGMENT
        if not (is_dropped and has_again and ends["again"] is None):
            return HelloFinding.PASSES
        return HelloFinding.BROWSERS_DROPPED if is_large else HelloFinding.BROWSERS_IN_DOUBT
    if has_again and ends.get("own") in HELLO_CUTS and ends["again"] in HELLO_CUTS:
        is_answered = all(label in ends and ends[label] is None for label in BROWSER_HELLOS)
        return HelloFinding.OWN_FILTERED if is_answered else HelloFinding.OWN_CUT
    return None


def _merge_chains(first: ChainFact, second: ChainFact) -> ChainFact:
    """Merge two handshakes for one name, whose addresses may differ."""
    return ChainFact(
        issuer=first.issuer or second.issuer,
        leaf=first.leaf or second.leaf,
        is_self_signed=first.is_self_signed or second.is_self_signed,
        is_verified=first.is_verified or second.is_verified,
    )


def _iter_answers(lookups: Lookups) -> Iterator[tuple[str, AnswerKind]]:
    for observation, dns in lookups:
        if dns.engine not in SYSTEM_ENGINES or dns.query_type != "A":
            continue
        if observation.failure in DENIALS:
            yield _fold(dns.name), AnswerKind.FALSE
        elif observation.failure is None and (ipv4 := [a for a in dns.addresses if ":" not in a]):
            yield _fold(dns.name), _classify_addresses(ipv4)


def _classify_addresses(addresses: list[str]) -> AnswerKind:
    if all(map(_is_fake, addresses)):
        return AnswerKind.FAKE
    return AnswerKind.FALSE if all(map(is_special_purpose, addresses)) else AnswerKind.PUBLIC


@lru_cache(4_096)  # addresses; a network's vantages get the same few; assumed
def _is_fake(address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in FAKE_NETWORK
    except ValueError:
        return False


def _iter_neutral_names(measurement: Measurement) -> Iterator[str]:
    """Yield the names of foreign anchors, or that of the experiment's neutral lookup."""
    if measurement.experiment == ANCHORS:
        neutral = [x for x in measurement.observations if not x.endpoint.startswith("domestic")]
    else:
        neutral = [x for x in measurement.observations if x.endpoint == NEUTRAL_LABEL]
    for observation in neutral:
        if observation.dns:
            yield _fold(observation.dns.name)
        if observation.tls and observation.tls.server_name:
            yield _fold(observation.tls.server_name)


def _iter_tunneled(steps: Sequence[Observation], handshakes: Handshakes) -> Iterator[str]:
    """Yield names whose right certificate was shown at a non-public address.

    No server of a neutral name is there: a tunnel of the vantage's user answers.
    """
    for x, tls in handshakes:
        if x.failure is None and x.operation in HANDSHAKES and x.parent is not None:
            end = x.udp or steps[x.parent].tcp
            if end and ":" not in end.address and is_special_purpose(end.address):
                yield _fold(tls.server_name)


def _find_resolver_network(lookups: Lookups) -> str:
    networks = (
        answer.data
        for observation, dns in lookups
        if observation.endpoint == WHOAMI_LABEL and observation.failure is None
        for answer in dns.answers
        if answer.type in ("A", "AAAA") and "/" in answer.data
    )
    return next(networks, "")


def _fold(name: str) -> str:
    return name.lower().rstrip(".")
