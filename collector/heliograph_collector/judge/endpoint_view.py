"""Observations of one endpoint, ordered as lookups and connection attempts."""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from urllib.parse import unquote, urlsplit

import msgspec

from heliograph.address import enclosing_network
from heliograph.failure import Failure, Operation
from heliograph.host_name import encode_host
from heliograph.observation import SYSTEM_ENGINES, Http, Observation, Tcp, Udp
from heliograph_collector.judge.failure_semantics import (
    LOCAL_FAILURES,
    find_depth,
    find_method,
)
from heliograph_collector.judge.lazy_attribute import lazy

CACHE_SIZE = 4096  # addresses; one measurement asks for the same few many times; assumed

ENCRYPTED_ENGINES = ("dot", "doh")  # nobody on the path can answer for these resolvers


class ObservedStep(msgspec.Struct, frozen=True, gc=False):
    """Observation and its index in the measurement."""

    index: int
    observation: Observation

    @property
    def operation(self) -> Operation:
        return self.observation.operation

    @property
    def has_succeeded(self) -> bool:
        return self.observation.failure is None

    @property
    def method(self) -> str:
        failure = self.observation.failure
        return "" if failure is None else find_method(self.observation.operation, failure)

    @property
    def is_local(self) -> bool:
        return self.observation.failure in LOCAL_FAILURES


class ConnectionAttempt(msgspec.Struct, frozen=True, dict=True):
    """One connection and all steps over it."""

    steps: tuple[ObservedStep, ...]

    @lazy
    def _end(self) -> Tcp | Udp | None:
        for step in self.steps:  # a loop, as this is asked of each connection of a messenger
            end = step.observation.tcp or step.observation.udp
            if end:
                return end
        return None

    @lazy
    def address(self) -> str:
        return canonicalize(self._end.address) if self._end else ""

    @lazy
    def port(self) -> int:
        return self._end.port if self._end else 0

    @lazy
    def is_ipv6(self) -> bool:
        return ":" in self.address

    @lazy
    def protocol(self) -> str:
        return "udp" if any(s.observation.udp for s in self.steps) else "tcp"

    @lazy
    def name(self) -> str:
        """Return the server name, the host of the URL or the protocol that it is for."""
        for observation in (s.observation for s in self.steps):
            if observation.tls and observation.tls.server_name:
                return observation.tls.server_name.lower().rstrip(".")
            if observation.http and parse_host(observation.http.url):
                return parse_host(observation.http.url).lower().rstrip(".")
            if observation.exchange:
                return observation.exchange.protocol
        return ""

    def get_step(self, operation: Operation) -> ObservedStep | None:
        for step in self.steps:
            if step.observation.operation is operation:
                return step
        return None

    @lazy
    def passed_operations(self) -> frozenset[Operation]:
        seen = [s.observation for s in self.steps]
        return frozenset([x.operation for x in seen if x.failure is None])

    @lazy
    def failed_step(self) -> ObservedStep | None:
        """Return the first step whose failure can be interference."""
        failed = [s for s in self.steps if s.observation.failure is not None]
        return next((s for s in failed if s.method), None)


class EndpointView(msgspec.Struct, frozen=True, dict=True):
    """All observations of one measurement for one endpoint."""

    lookups: tuple[ObservedStep, ...]
    attempts: tuple[ConnectionAttempt, ...]
    # The control asked its system resolver, so other lookups alone prove nothing.
    control_asked_system: bool = False
    control_has_ipv4: bool = False  # the control got IPv4 addresses, so an empty answer fails
    addresses_optional: bool = False  # a control may report results without its address
    ipv6_works: bool = False  # some step of the measurement succeeded over IPv6
    url: str = ""  # of the page, as far as the redirects show it

    def add_context(
        self,
        *,
        control_asked_system: bool = False,
        control_has_ipv4: bool = False,
        addresses_optional: bool = False,
        ipv6_works: bool = False,
    ) -> "EndpointView":
        """Return the view with what the other side and the whole measurement show."""
        context = (control_asked_system, control_has_ipv4, addresses_optional, ipv6_works)
        is_empty = not self.lookups and not self.attempts
        if is_empty or not any(context):  # nothing that would be read in its light
            return self
        return EndpointView(self.lookups, self.attempts, *context, self.url)

    @lazy
    def as_control(self) -> "EndpointView":
        """Return the view as that of a control, one object for all that ask for it."""
        return self.add_context(addresses_optional=True)

    @lazy
    def system_lookups(self) -> tuple[ObservedStep, ...]:
        if not self.lookups:
            return ()
        return tuple(
            [
                s
                for s in self.lookups
                if s.observation.dns and s.observation.dns.engine in SYSTEM_ENGINES
            ]
        )

    @lazy
    def own_lookups(self) -> tuple[ObservedStep, ...]:
        """Return the system's lookups, or all when neither side asked the system."""
        return self.system_lookups or (() if self.control_asked_system else self.lookups)

    @lazy
    def other_lookups(self) -> tuple[ObservedStep, ...]:
        own = self.own_lookups
        return (
            tuple(s for s in self.lookups if s not in own) if len(own) < len(self.lookups) else ()
        )

    @lazy
    def own_addresses(self) -> frozenset[str]:
        return collect_addresses(self.own_lookups)

    @lazy
    def has_ipv4(self) -> bool:
        """Return whether the own lookups gave any IPv4 address."""
        return any(":" not in address for address in self.own_addresses)

    @lazy
    def other_addresses(self) -> frozenset[str]:
        return collect_addresses(self.other_lookups)

    @lazy
    def encrypted_lookups(self) -> tuple[ObservedStep, ...]:
        engines = [(s, s.observation.dns.engine) for s in self.other_lookups if s.observation.dns]
        return tuple([s for s, engine in engines if engine in ENCRYPTED_ENGINES])

    @lazy
    def encrypted_addresses(self) -> frozenset[str]:
        return collect_addresses(self.encrypted_lookups)

    @lazy
    def name(self) -> str:
        """Return the requested host, "" when the observations do not contain it."""
        return next((name.rstrip(".").lower() for name in self._iter_names() if name), "")

    def _iter_names(self) -> Iterator[str]:
        yield from (s.observation.dns.name for s in self.lookups if s.observation.dns)
        for step in (s for a in self.attempts for s in a.steps):
            yield step.observation.tls.server_name if step.observation.tls else ""
            yield parse_host(step.observation.http.url) if step.observation.http else ""
        yield parse_host(self.url)  # the redirect of the previous page named it

    @lazy
    def counted_lookups(self) -> tuple[ObservedStep, ...]:
        """Return the own lookups without AAAA.

        AAAA alone proves nothing: about half of all names have no AAAA record, and some servers
        fail on it.
        """
        return tuple(
            [
                s
                for s in self.own_lookups
                if s.observation.dns is None or s.observation.dns.query_type != "AAAA"
            ]
        )

    @lazy
    def is_resolved(self) -> bool:
        """Return whether the system resolved the name, or no lookup was needed."""
        if not self.lookups and not self.control_asked_system:
            return bool(self.attempts)
        if any(s.has_succeeded for s in self.counted_lookups):
            return True
        failures = {s.observation.failure for s in self.counted_lookups if s.method}
        is_empty_expected = not self.control_has_ipv4 and failures <= {Failure.DNS_NO_ANSWER}
        has_connected = any(Operation.CONNECT in a.passed_operations for a in self.own_attempts)
        return (is_empty_expected or has_connected) and any(
            s.has_succeeded for s in self.own_lookups
        )

    @lazy
    def is_cleartext(self) -> bool:
        """Return whether the page is requested by cleartext HTTP, without TLS."""
        for attempt in self.attempts:
            for step in attempt.steps:
                if step.observation.http:
                    return step.observation.http.url.lower().startswith("http://")
        return self.url.lower().startswith("http://")

    @lazy
    def validations(self) -> tuple[ConnectionAttempt, ...]:
        """Return handshakes made beside a cleartext page to verify who owns an address."""
        if not self.is_cleartext:
            return ()
        secure = [a for a in self.attempts if a.port == 443 or a.get_step(Operation.TLS_HANDSHAKE)]
        validating = tuple(a for a in secure if a.get_step(Operation.HTTP_ROUND_TRIP) is None)
        return validating if len(validating) < len(self.attempts) else ()

    @lazy
    def own_attempts(self) -> tuple[ConnectionAttempt, ...]:
        """Return attempts to addresses that the vantage's programs would have used."""
        validations = self.validations
        attempts = self.attempts
        if validations:
            attempts = tuple(a for a in attempts if a not in validations)
        if not self.lookups and not self.control_asked_system:
            return attempts
        addresses = self.own_addresses | {""} if self.addresses_optional else self.own_addresses
        return tuple([a for a in attempts if a.address in addresses])

    @lazy
    def other_attempts(self) -> tuple[ConnectionAttempt, ...]:
        """Return attempts to addresses that only another resolver or the control gave."""
        own = (*self.own_attempts, *self.validations)
        return (
            tuple(a for a in self.attempts if a not in own) if len(own) < len(self.attempts) else ()
        )

    @lazy
    def passed_operations(self) -> frozenset[Operation]:
        looked_up = (Operation.RESOLVE,) if self.lookups and self.is_resolved else ()
        return frozenset(looked_up).union(*[a.passed_operations for a in self.own_attempts])

    @lazy
    def depth(self) -> int:
        return find_depth(self.passed_operations)

    def find_steps(self, operation: Operation) -> tuple[ObservedStep, ...]:
        """Find the steps of one operation in the own attempts."""
        if operation not in self._operations:
            return ()
        steps = (a.get_step(operation) for a in self.own_attempts)
        return tuple(s for s in steps if s is not None)

    @lazy
    def _operations(self) -> frozenset[Operation]:
        return frozenset([s.observation.operation for a in self.attempts for s in a.steps])

    @lazy
    def page(self) -> tuple[ObservedStep, Http] | None:
        """Return the HTTP answer, with facts of its body when the body was read."""
        if self._operations.isdisjoint((Operation.READ_BODY, Operation.HTTP_ROUND_TRIP)):
            return None
        for attempt in self.own_attempts:
            for operation in (Operation.READ_BODY, Operation.HTTP_ROUND_TRIP):
                step = attempt.get_step(operation)
                if step and step.observation.http and step.observation.http.status:
                    return step, step.observation.http
        return None

    @lazy
    def has_failed_attempt(self) -> bool:
        """Return whether any step over a connection failed."""
        if not self.failures:
            return False
        return any(s.observation.failure is not None for a in self.attempts for s in a.steps)

    @lazy
    def failures(self) -> frozenset[Failure]:
        steps = (*self.lookups, *(s for a in self.attempts for s in a.steps))
        failures = [s.observation.failure for s in steps]
        return frozenset([failure for failure in failures if failure is not None])


EMPTY_VIEW = EndpointView((), ())


_NO_ADDRESSES: frozenset[str] = frozenset()


def collect_addresses(lookups: Sequence[ObservedStep]) -> frozenset[str]:
    if not lookups:  # mostly so: nobody but the system was asked
        return _NO_ADDRESSES
    return frozenset(
        [canonicalize(a) for s in lookups if s.observation.dns for a in s.observation.dns.addresses]
    )


@lru_cache(CACHE_SIZE)
def canonicalize(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def has_near_pair(addresses: Iterable[str], other_addresses: Iterable[str]) -> bool:
    """Return whether any address is in the same /24 or /48 as any other address."""
    own = frozenset(addresses)
    others = frozenset(other_addresses)
    if not own or not others:
        return False
    if not own.isdisjoint(others):
        return True  # most pairs end here
    return not set(map(get_prefix, own)).isdisjoint(map(get_prefix, others))


@lru_cache(CACHE_SIZE)
def get_prefix(address: str) -> str:
    """Return the /24 or /48 of an address, or the input if it is no address."""
    return enclosing_network(address) or address


def parse_host(url: str) -> str:
    """Return the host of a URL as it is queried, "" without one."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    is_plain = host.isascii() and "%" not in host
    return host if is_plain else encode_host(unquote(host)) or host
