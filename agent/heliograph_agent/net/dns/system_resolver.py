"""Look up names as glibc does, with every step recorded by the agent.

An address literal resolves to itself. Other names are looked up in the hosts file, then at the
servers of resolv.conf in turn, along the search path, with its timeouts and attempts.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from heliograph.address import is_special_purpose, parse_literal
from heliograph.failure import Failure
from heliograph.observation import PUBLIC_RESOLVER, Dns, DnsAnswer, DnsReply
from heliograph_agent.net.dns.message import DnsQuestion, DnsResponse
from heliograph_agent.net.dns.transport import ask_server, ask_tcp
from heliograph_agent.net.dns.truncate import coarsen_answer
from heliograph_agent.net.failure_mapping import NETWORK_ERRORS, StepError
from heliograph_agent.net.step import StepFacts
from heliograph_agent.net.tcp import TrafficMeter

RESOLV_CONF_MAX_FILE = 65_536
_MAX_SERVERS = 3  # glibc's MAXNS
_MAX_SEARCH = 32
_MAX_NAME = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvConf:
    servers: tuple[tuple[str, int], ...] = ()
    search: tuple[str, ...] = ()
    ndots: int = 1
    timeout_s: int = 5
    attempts: int = 2
    rotate: bool = False
    use_tcp: bool = False


def parse_resolv_conf(content: str, *, hostname: str = "") -> ResolvConf:
    """Parse resolv.conf and ignore lines that are not understood, as the system does.

    `hostname` gives the default search path: the domain of this machine.
    """
    servers: list[tuple[str, int]] = []
    search = _parse_domains([hostname.partition(".")[2]])
    options: dict[str, str] = {}
    for line in content[:RESOLV_CONF_MAX_FILE].splitlines():
        if line.startswith((";", "#")):
            continue
        keyword, *values = line.split() or [""]
        if keyword == "nameserver" and values and parse_literal(values[0]):
            servers.append((values[0], 53))
        elif keyword in ("search", "domain"):
            # The last line wins.
            search = _parse_domains(values[:1] if keyword == "domain" else values)
        elif keyword == "options":
            options |= {name: number for name, _, number in (v.partition(":") for v in values[:64])}
    return ResolvConf(
        servers=tuple(servers[:_MAX_SERVERS]),
        search=search,
        ndots=_parse_number(options, "ndots", 1, 0, 15),
        timeout_s=_parse_number(options, "timeout", 5, 1, 30),
        attempts=_parse_number(options, "attempts", 2, 1, 5),
        rotate="rotate" in options,
        use_tcp="use-vc" in options,
    )


def candidate_names(name: str, conf: ResolvConf) -> tuple[str, ...]:
    """List the names to query, in order; each ends in a dot."""
    if name.endswith("."):
        return (name,)
    absolute = f"{name}."
    names = (f"{name}.{domain}." for domain in conf.search if domain)
    fitting = [candidate for candidate in names if len(candidate) <= _MAX_NAME + 1]
    if name.count(".") >= conf.ndots:
        return (absolute, *fitting)
    return (*fitting, absolute)


def _parse_domains(domains: list[str]) -> tuple[str, ...]:
    stripped = (domain.strip(".") for domain in domains[:_MAX_SEARCH])
    return tuple(domain for domain in stripped if domain and len(domain) <= _MAX_NAME)


def _parse_number(options: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    value = options.get(name, "")
    if not (value.isascii() and value.isdigit()):
        return default
    return max(low, min(high, int(value[:9])))


MAX_FILE = 4 * 1024 * 1024  # hosts files can hold block lists; a larger file is cut here
_MAX_ADDRESSES = 64


def parse_hosts(content: str, name: str) -> tuple[str, ...]:
    """Return every address of `name`, in the file's order, of both families."""
    target_name = name.rstrip(".").lower()
    if not target_name:
        return ()
    addresses: list[str] = []
    for line in content.splitlines():
        if target_name not in line.lower():  # cheap, and it skips nearly every line of a long file
            continue
        address, *names = line.partition("#")[0].split() or [""]
        is_match = target_name in (host_name.rstrip(".").lower() for host_name in names)
        if is_match and address not in addresses and parse_literal(address):
            addresses.append(address)
    return tuple(addresses[:_MAX_ADDRESSES])


_NEXT_NAME = (Failure.DNS_NXDOMAIN_ERROR, Failure.DNS_NO_ANSWER, Failure.DNS_SERVFAIL_ERROR)
_NEXT_SERVER = (
    Failure.DNS_SERVFAIL_ERROR,
    Failure.DNS_REFUSED_ERROR,
    Failure.DNS_SERVER_MISBEHAVING,
)


@dataclass(slots=True, kw_only=True)
class Lookup:
    """Hold one lookup and its facts so far, so that an interrupted step keeps them."""

    name: str
    query_type: str
    engine: str
    resolver: str = ""
    coarse: bool = False
    rcode: int | None = None
    answers: tuple[DnsAnswer, ...] = ()
    later: list[DnsReply] = field(default_factory=list)

    def step_facts(self) -> StepFacts:
        return {"dns": self.describe()}

    def describe(self) -> Dns:
        return Dns(
            engine=self.engine,
            resolver=self.resolver,
            name=self.name[:255],
            query_type=self.query_type,
            rcode=self.rcode,
            answers=self._coarsen(self.answers),
            later=tuple(replace(r, answers=self._coarsen(r.answers)) for r in self.later),
        )

    def _coarsen(self, answers: tuple[DnsAnswer, ...]) -> tuple[DnsAnswer, ...]:
        return tuple(coarsen_answer(answer) for answer in answers) if self.coarse else answers

    def set_reply(self, reply: DnsResponse) -> None:
        """Set the reply as the answer. Raises StepError when it is a failure."""
        self.rcode = reply.rcode
        self.answers = reply.answers
        if reply.failure is not None:
            raise StepError(reply.failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemResolver:
    """Resolve names as this system does; `resolver` overrides resolv.conf's servers."""

    hosts_file: str
    resolv_conf: str
    resolver: tuple[str, int] | None
    rng: Random

    async def resolve(self, lookup: Lookup, deadline_s: float, meter: TrafficMeter) -> None:
        """Fill `lookup`.

        `deadline_s` bounds the wait for one server; the caller bounds the whole. Raises OSError,
        EOFError or StepError; ValueError when the name cannot be encoded.
        """
        if self._resolve_locally(lookup):
            return
        conf = self._read_conf()
        if not conf.servers:
            raise StepError(Failure.DNS_NO_RESOLVER)
        if are_public(conf.servers):
            lookup.resolver = PUBLIC_RESOLVER
        search = _ResolverSearch(conf, lookup, deadline_s, meter, self.rng)
        await search.search_names()

    def _resolve_locally(self, lookup: Lookup) -> bool:
        """Resolve a literal or a name in the hosts file; False when neither applies."""
        literal = parse_literal(lookup.name)
        if literal:
            lookup.answers = (DnsAnswer(type=_record_type(literal), data=literal),)
            return True
        addresses = parse_hosts(_read_file(self.hosts_file, MAX_FILE), lookup.name)
        answers = [DnsAnswer(type=_record_type(address), data=address) for address in addresses]
        lookup.answers = tuple(a for a in answers if a.type == lookup.query_type)
        if lookup.answers:
            lookup.engine = "hosts"
        return bool(lookup.answers)

    def _read_conf(self) -> ResolvConf:
        conf = parse_resolv_conf(
            _read_file(self.resolv_conf, MAX_FILE), hostname=socket.gethostname()
        )
        if self.resolver is None:
            return conf
        return replace(conf, servers=(self.resolver,), rotate=False)


def are_public(servers: Sequence[tuple[str, int]]) -> bool:
    """Return whether all servers have public IPv4 addresses, so none is a home's.

    An office's own server has none either. A home's router may have a public IPv6 address (RFC
    8106), so IPv6 shows nothing.
    """
    return all(":" not in host and not is_special_purpose(host) for host, _ in servers)


async def resolve_address(host: str, system_resolver: SystemResolver, meter: TrafficMeter) -> str:
    """Return a resolver's first IPv4 address, else IPv6; raise as `resolve`."""
    for query_type in ("A", "AAAA"):
        lookup = Lookup(name=host, query_type=query_type, engine="system")
        try:
            await system_resolver.resolve(lookup, 5, meter)
        except StepError as error:
            if error.failure is not Failure.DNS_NO_ANSWER:
                raise
        else:
            return lookup.describe().addresses[0]
    raise StepError(Failure.DNS_NO_ANSWER)


@dataclass(frozen=True, slots=True)
class _ResolverSearch:
    """Query the names of the search path in turn, and for each name the servers."""

    conf: ResolvConf
    lookup: Lookup
    deadline_s: float
    meter: TrafficMeter
    rng: Random

    async def search_names(self) -> None:
        """Search as glibc's res_search; on failure the plain name's result counts."""
        lookup = self.lookup
        names = candidate_names(lookup.name, self.conf)
        plain_name = lookup.name if lookup.name.endswith(".") else f"{lookup.name}."
        result: DnsResponse | None = None
        for name in names:
            reply = await self._query_servers(DnsQuestion(name, lookup.query_type, self.rng))
            if result is None or name == plain_name or reply.failure is None:
                result = reply
            if reply.failure not in _NEXT_NAME:
                break
        if result is not None:
            lookup.set_reply(result)

    async def _query_servers(self, question: DnsQuestion) -> DnsResponse:
        """Return the first sound reply, else the last unsound one, else raise."""
        ask = ask_tcp if self.conf.use_tcp else ask_server
        failed_reply: DnsResponse | None = None
        error: Exception | None = None
        for attempt in range(self.conf.attempts):
            for server in self._order_servers():
                try:
                    reply = await ask(question, server, self._timeout_s(attempt), self.meter)
                except NETWORK_ERRORS as network_error:
                    error = network_error
                    continue
                if reply.failure not in _NEXT_SERVER:
                    return reply
                failed_reply = reply
            if failed_reply is not None:
                return failed_reply
        raise error or StepError(Failure.DNS_NO_RESOLVER)

    def _order_servers(self) -> tuple[tuple[str, int], ...]:
        servers = self.conf.servers
        start = self.rng.randrange(len(servers)) if self.conf.rotate else 0
        return servers[start:] + servers[:start]

    def _timeout_s(self, attempt: int) -> float:
        """Compute glibc's timeout: doubled with each attempt, then shared by the servers."""
        server_count = len(self.conf.servers) if attempt else 1
        return min(self.deadline_s, max(1, (self.conf.timeout_s << attempt) // server_count))


def _record_type(address: str) -> str:
    return "AAAA" if ":" in address else "A"


def _read_file(path: str, limit: int) -> str:
    """Read a file; a missing file is empty, as for the system."""
    try:
        with Path(path).open("rb") as file:
            return file.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""
