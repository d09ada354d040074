"""The system's way to look a name up, as glibc goes it, but each step ours to see.

An address literal is itself. Then the hosts file. Then the servers of resolv.conf in turn, along
the search path, with its timeouts and attempts.
"""

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from heliograph.address import literal
from heliograph.failure import Failure
from heliograph.observation import Dns, DnsAnswer, DnsReply
from heliograph_agent.net.dns.message import Question, Reply
from heliograph_agent.net.dns.transport import ask, ask_tcp
from heliograph_agent.net.dns.truncate import coarse_answer
from heliograph_agent.net.failure_mapping import CAUGHT, StepError
from heliograph_agent.net.tcp import Count

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


def parse(text: str, *, hostname: str = "") -> ResolvConf:
    """What cannot be understood is passed over, as the system does. `hostname` gives the search
    path its default: the domain this machine is in."""
    servers: list[tuple[str, int]] = []
    search = _names([hostname.partition(".")[2]])
    options: dict[str, str] = {}
    for line in text[:RESOLV_CONF_MAX_FILE].splitlines():
        if line.startswith((";", "#")):
            continue
        keyword, *words = line.split() or [""]
        if keyword == "nameserver" and words and literal(words[0]):
            servers.append((words[0], 53))
        elif keyword in ("search", "domain"):
            search = _names(words[:1] if keyword == "domain" else words)  # the last line wins
        elif keyword == "options":
            options |= dict(_option(word) for word in words[:64])
    return ResolvConf(
        servers=tuple(servers[:_MAX_SERVERS]),
        search=search,
        ndots=_number(options, "ndots", 1, 0, 15),
        timeout_s=_number(options, "timeout", 5, 1, 30),
        attempts=_number(options, "attempts", 2, 1, 5),
        rotate="rotate" in options,
        use_tcp="use-vc" in options,
    )


def candidates(name: str, conf: ResolvConf) -> tuple[str, ...]:
    """The names to ask for, in turn; each ends in a dot."""
    if name.endswith("."):
        return (name,)
    absolute = f"{name}."
    found = tuple(f"{name}.{domain}." for domain in conf.search if domain)
    fitting = tuple(each for each in found if len(each) <= _MAX_NAME + 1)
    if name.count(".") >= conf.ndots:
        return (absolute, *fitting)
    return (*fitting, absolute)


def _names(words: list[str]) -> tuple[str, ...]:
    cut = (word.strip(".") for word in words[:_MAX_SEARCH])
    return tuple(word for word in cut if word and len(word) <= _MAX_NAME)


def _option(word: str) -> tuple[str, str]:
    name, _, value = word.partition(":")
    return name, value


def _number(options: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    value = options.get(name, "")
    if not (value.isascii() and value.isdigit()):
        return default
    return max(low, min(high, int(value[:9])))


MAX_FILE = 4 * 1024 * 1024  # block lists live in hosts files; a bigger one is read this far
_MAX_ADDRESSES = 64


def addresses_of(text: str, name: str) -> tuple[str, ...]:
    """Every address that stands beside `name`, in the file's order, both families."""
    wanted = name.rstrip(".").lower()
    if not wanted:
        return ()
    found: list[str] = []
    for line in text.splitlines():
        if wanted not in line.lower():  # cheap, and true of nearly every line of a long file
            continue
        address, *names = line.partition("#")[0].split() or [""]
        known = wanted in (each.rstrip(".").lower() for each in names)
        if known and address not in found and literal(address):
            found.append(address)
    return tuple(found[:_MAX_ADDRESSES])


_NEXT_NAME = (Failure.DNS_NXDOMAIN_ERROR, Failure.DNS_NO_ANSWER, Failure.DNS_SERVFAIL_ERROR)
_NEXT_SERVER = (
    Failure.DNS_SERVFAIL_ERROR,
    Failure.DNS_REFUSED_ERROR,
    Failure.DNS_SERVER_MISBEHAVING,
)


@dataclass(slots=True, kw_only=True)
class Lookup:
    """One lookup and what it has learnt so far: a step that is cut off keeps its facts."""

    name: str
    query_type: str
    engine: str
    resolver: str = ""
    coarse: bool = False
    rcode: int | None = None
    answers: tuple[DnsAnswer, ...] = field(default=())
    later: list[DnsReply] = field(default_factory=list)

    def facts(self) -> Dns:
        return Dns(
            engine=self.engine,
            resolver=self.resolver,
            name=self.name[:255],
            query_type=self.query_type,
            rcode=self.rcode,
            answers=self._shown(self.answers),
            later=tuple(replace(r, answers=self._shown(r.answers)) for r in self.later),
        )

    def _shown(self, answers: tuple[DnsAnswer, ...]) -> tuple[DnsAnswer, ...]:
        return tuple(coarse_answer(answer) for answer in answers) if self.coarse else answers

    def settle(self, reply: Reply) -> None:
        """Take a reply as the answer. Raises StepError when it is a failure."""
        self.rcode = reply.rcode
        self.answers = reply.answers
        if reply.failure is not None:
            raise StepError(reply.failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Where this system keeps its answers. `resolver` (host:port) overrides resolv.conf's servers
    and nothing else."""

    hosts_file: str
    resolv_conf: str
    resolver: tuple[str, int] | None
    rng: Random

    async def look_up(self, lookup: Lookup, deadline_s: float, count: Count) -> None:
        """Fill `lookup`. `deadline_s` bounds the wait for one server; the caller bounds the whole.

        Raises OSError, EOFError or StepError; ValueError when the name cannot be asked for.
        """
        if self._is_known(lookup):
            return
        conf = self._conf()
        if not conf.servers:
            raise StepError(Failure.DNS_NO_RESOLVER)
        await _Walk(conf, lookup.query_type, deadline_s, count, self.rng).search(lookup)

    def _is_known(self, lookup: Lookup) -> bool:
        """Whether nobody need be asked."""
        own = literal(lookup.name)
        known = [own] if own else self._in_hosts(lookup)
        lookup.answers = tuple(DnsAnswer(type=_family(each), data=each) for each in known)
        if known and not own:
            lookup.engine = "hosts"
        return bool(known)

    def _in_hosts(self, lookup: Lookup) -> list[str]:
        text = _read(self.hosts_file, MAX_FILE)
        found = addresses_of(text, lookup.name)
        return [each for each in found if _family(each) == lookup.query_type]

    def _conf(self) -> ResolvConf:
        text = _read(self.resolv_conf, MAX_FILE)
        conf = parse(text, hostname=socket.gethostname())
        if self.resolver is None:
            return conf
        return ResolvConf(
            servers=(self.resolver,),
            search=conf.search,
            ndots=conf.ndots,
            timeout_s=conf.timeout_s,
            attempts=conf.attempts,
            use_tcp=conf.use_tcp,
        )


async def address_of(host: str, system: System, count: Count) -> str:
    """A resolver's own first address: IPv4, or IPv6 where it has no other. Raises as `look_up`."""
    for query_type in ("A", "AAAA"):
        lookup = Lookup(name=host, query_type=query_type, engine="system")
        try:
            await system.look_up(lookup, 5, count)
        except StepError as error:
            if error.failure is not Failure.DNS_NO_ANSWER:
                raise
        else:
            return lookup.facts().addresses[0]
    raise StepError(Failure.DNS_NO_ANSWER)


class _Walk:
    """Along the search path, and for each name along the servers."""

    def __init__(
        self, conf: ResolvConf, query_type: str, deadline_s: float, count: Count, rng: Random
    ) -> None:
        self._conf = conf
        self._type = query_type
        self._deadline_s = deadline_s
        self._count = count
        self._rng = rng

    async def search(self, lookup: Lookup) -> None:
        """glibc's res_search: the plain name's fate is the one reported when none is found."""
        names = candidates(lookup.name, self._conf)
        plain = lookup.name if lookup.name.endswith(".") else f"{lookup.name}."
        fate: Reply | None = None
        for name in names:
            reply = await self._servers(Question(name, self._type, self._rng))
            if fate is None or name == plain or reply.failure is None:
                fate = reply
            if reply.failure not in _NEXT_NAME:
                break
        if fate is not None:
            lookup.settle(fate)

    async def _servers(self, question: Question) -> Reply:
        """The first sound reply; else the last unsound one; else what the last wait ended in."""
        unsound: Reply | None = None
        error: Exception | None = None
        for attempt in range(self._conf.attempts):
            for server in self._turn():
                try:
                    reply = await self._ask(question, server, self._patience(attempt))
                except CAUGHT as caught:
                    error = caught
                    continue
                if reply.failure not in _NEXT_SERVER:
                    return reply
                unsound = reply
            if unsound is not None:
                return unsound
        raise error or StepError(Failure.DNS_NO_RESOLVER)

    def _turn(self) -> tuple[tuple[str, int], ...]:
        servers = self._conf.servers
        at = self._rng.randrange(len(servers)) if self._conf.rotate else 0
        return servers[at:] + servers[:at]

    def _patience(self, attempt: int) -> float:
        """glibc's: the timeout, doubled with each attempt and then shared among the servers."""
        shared = len(self._conf.servers) if attempt else 1
        return min(self._deadline_s, max(1, (self._conf.timeout_s << attempt) // shared))

    def _ask(
        self, question: Question, server: tuple[str, int], deadline_s: float
    ) -> Awaitable[Reply]:
        way: Callable[[Question, tuple[str, int], float, Count], Awaitable[Reply]]
        way = ask_tcp if self._conf.use_tcp else ask
        return way(question, server, deadline_s, self._count)


def _family(address: str) -> str:
    return "AAAA" if ":" in address else "A"


def _read(path: str, limit: int) -> str:
    """A file that is not there says nothing, as for the system."""
    try:
        with Path(path).open("rb") as file:
            return file.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""
