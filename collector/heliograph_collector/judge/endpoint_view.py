"""The observations of one endpoint put in order: lookups, attempts, and how far each got."""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from urllib.parse import urlsplit

from heliograph.failure import Failure, Operation
from heliograph.observation import Http, Observation
from heliograph_collector.judge.failure_semantics import DEPTH, LOCAL, method_of

MEMORY = 4096  # addresses that are remembered; one measurement asks for the same few many times

OWN_ENGINES = ("system", "hosts")  # what the vantage's programs would get
SEALED_ENGINES = ("dot", "doh")  # nobody on the path can answer in their place


@dataclass(frozen=True, slots=True)
class Step:
    """An observation and its index in the measurement."""

    index: int
    seen: Observation

    @property
    def operation(self) -> Operation:
        return self.seen.operation

    @property
    def ok(self) -> bool:
        return self.seen.failure is None

    @property
    def method(self) -> str:
        return method_of(self.seen.operation, self.seen.failure)

    @property
    def local(self) -> bool:
        return self.seen.failure in LOCAL


@dataclass(frozen=True, slots=True)
class Attempt:
    """One connection and what was said over it."""

    steps: tuple[Step, ...]

    @property
    def address(self) -> str:
        ends = (s.seen.tcp or s.seen.udp for s in self.steps)
        return next((canonical(end.address) for end in ends if end), "")

    @property
    def port(self) -> int:
        ends = (s.seen.tcp or s.seen.udp for s in self.steps)
        return next((end.port for end in ends if end), 0)

    @property
    def ipv6(self) -> bool:
        return ":" in self.address

    def step(self, operation: Operation) -> Step | None:
        return next((s for s in self.steps if s.operation is operation), None)

    @property
    def passed(self) -> frozenset[Operation]:
        return frozenset(s.operation for s in self.steps if s.ok)

    @property
    def failed(self) -> Step | None:
        """The step at which somebody may have interfered."""
        return next((s for s in self.steps if s.method), None)


@dataclass(frozen=True)
class Sight:
    """Everything one measurement says about one endpoint."""

    lookups: tuple[Step, ...]
    attempts: tuple[Attempt, ...]
    named: bool = False  # the control asked its system for a name, so less than that proves nothing
    four_known: bool = False  # the control got IPv4 addresses, so to have none is a failure
    anywhere: bool = False  # it may tell what it got and not from which address, as a control may
    six_works: bool = False  # something else of the measurement, or this, got through over IPv6
    url: str = ""  # of the page, as far as the chain of redirects tells

    @cached_property
    def system_lookups(self) -> tuple[Step, ...]:
        return tuple(s for s in self.lookups if s.seen.dns and s.seen.dns.engine in OWN_ENGINES)

    @cached_property
    def own_lookups(self) -> tuple[Step, ...]:
        """Those of the system, or all when nobody meant to ask it."""
        return self.system_lookups or (() if self.named else self.lookups)

    @cached_property
    def other_lookups(self) -> tuple[Step, ...]:
        return tuple(s for s in self.lookups if s not in self.own_lookups)

    @cached_property
    def own_addresses(self) -> frozenset[str]:
        return answers(self.own_lookups)

    @cached_property
    def name(self) -> str:
        """The host that was asked for, "" when the observations do not tell."""
        names = [s.seen.dns.name for s in self.lookups if s.seen.dns]
        for step in (s for a in self.attempts for s in a.steps):
            names.append(step.seen.tls.server_name if step.seen.tls else "")
            names.append(host_of(step.seen.http.url) if step.seen.http else "")
        names.append(host_of(self.url))  # as the page before said
        return next((name.rstrip(".").lower() for name in names if name), "")

    @cached_property
    def counted_lookups(self) -> tuple[Step, ...]:
        """AAAA alone proves nothing: half of all names have none, and some servers choke on it."""
        lookups = self.own_lookups
        return tuple(s for s in lookups if s.seen.dns is None or s.seen.dns.query_type != "AAAA")

    @cached_property
    def resolved(self) -> bool:
        """By the system's own way, or no lookup was called for."""
        if not self.lookups and not self.named:
            return bool(self.attempts)
        if any(s.ok for s in self.counted_lookups):
            return True
        words = {s.seen.failure for s in self.counted_lookups if s.method}
        none_wanted = not self.four_known and words <= {Failure.DNS_NO_ANSWER}
        used = any(Operation.CONNECT in a.passed for a in self.own_attempts)
        return (none_wanted or used) and any(s.ok for s in self.own_lookups)

    @cached_property
    def clear(self) -> bool:
        """Whether the page is asked for in clear, so that TLS is no part of it."""
        urls = [s.seen.http.url for a in self.attempts for s in a.steps if s.seen.http]
        return (urls[0] if urls else self.url).lower().startswith("http://")

    @cached_property
    def validations(self) -> tuple[Attempt, ...]:
        """Handshakes beside a page in clear: they ask whose an address is, and no more."""
        if not self.clear:
            return ()
        secure = [a for a in self.attempts if a.port == 443 or a.step(Operation.TLS_HANDSHAKE)]
        aside = tuple(a for a in secure if a.step(Operation.HTTP_ROUND_TRIP) is None)
        return aside if len(aside) < len(self.attempts) else ()

    @cached_property
    def own_attempts(self) -> tuple[Attempt, ...]:
        """Those to addresses that the vantage's programs would have used."""
        attempts = tuple(a for a in self.attempts if a not in self.validations)
        if not self.lookups and not self.named:
            return attempts
        unsaid = {""} if self.anywhere else set()
        return tuple(a for a in attempts if a.address in self.own_addresses | unsaid)

    @cached_property
    def other_attempts(self) -> tuple[Attempt, ...]:
        """Those to addresses that only another resolver, or only the control, gave."""
        own = (*self.own_attempts, *self.validations)
        return tuple(a for a in self.attempts if a not in own)

    @cached_property
    def passed(self) -> frozenset[Operation]:
        steps = {operation for a in self.own_attempts for operation in a.passed}
        looked_up = {Operation.RESOLVE} if self.lookups and self.resolved else set()
        return frozenset(steps | looked_up)

    @property
    def depth(self) -> int:
        return max((DEPTH.get(operation, 0) for operation in self.passed), default=0)

    def find(self, operation: Operation) -> tuple[Step, ...]:
        """The steps of this kind over connections the vantage's programs would have made."""
        steps = (a.step(operation) for a in self.own_attempts)
        return tuple(s for s in steps if s is not None)

    @property
    def page(self) -> tuple[Step, Http] | None:
        """What was answered, with the body's facts when it was read."""
        for attempt in self.own_attempts:
            for operation in (Operation.READ_BODY, Operation.HTTP_ROUND_TRIP):
                step = attempt.step(operation)
                if step is not None and step.seen.http is not None and step.seen.http.status:
                    return step, step.seen.http
        return None

    @property
    def words(self) -> frozenset[Failure]:
        steps = (*self.lookups, *(s for a in self.attempts for s in a.steps))
        return frozenset(s.seen.failure for s in steps if s.seen.failure is not None)


NOTHING = Sight((), ())


def sight(observations: Sequence[Observation], label: str, url: str = "") -> Sight:
    """The part of a measurement that carries this endpoint label."""
    lookups: list[Step] = []
    connections: dict[int, list[Step]] = {}
    for index, seen in enumerate(observations):
        if seen.endpoint != label:
            continue
        if seen.operation is Operation.RESOLVE:
            lookups.append(Step(index, seen))
        else:
            connections.setdefault(_root(observations, index), []).append(Step(index, seen))
    attempts = tuple(Attempt(tuple(steps)) for steps in connections.values())
    return Sight(tuple(lookups), attempts, url=url)


def answers(lookups: Iterable[Step]) -> frozenset[str]:
    return frozenset(canonical(a) for s in lookups if s.seen.dns for a in s.seen.dns.addresses)


@lru_cache(MEMORY)
def canonical(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def near(one: str, other: str) -> bool:
    """Whether two addresses lie in the same /24 or /48."""
    return prefix(one) == prefix(other)


def any_near(some: Iterable[str], others: Iterable[str]) -> bool:
    """Whether any two of them do."""
    return not {prefix(a) for a in some}.isdisjoint({prefix(b) for b in others})


@lru_cache(MEMORY)
def prefix(address: str) -> str:
    """The /24 or /48 that an address lies in; whatever is no address stands for itself."""
    try:
        size = 48 if ":" in address else 24
        return str(ipaddress.ip_network(f"{address}/{size}", strict=False))
    except ValueError:
        return address


def host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _root(observations: Sequence[Observation], index: int) -> int:
    """The connection, or the highest step short of the lookup, that this step stands on."""
    parent = observations[index].parent
    while parent is not None and 0 <= parent < index:
        if observations[parent].operation is Operation.RESOLVE:
            break
        index, parent = parent, observations[parent].parent
    return index
