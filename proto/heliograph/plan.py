"""The plan: services, their endpoints, tasks and limits."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import urlsplit

from heliograph.address import parse_literal

ROLES = ("volunteer", "control")
VERSION = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6}){0,4}")  # of the agent's software, in a plan
# A control is a server that tests every service whole within a quarter of an hour: by the default
# plan 190 MB a day, where volunteers may move 67.
CONTROL_SHARE = 3
LIGHT = "light"  # option of a task that visits one endpoint of its service, drawn by chance
LIGHT_ROUND = "light_round"  # experiment of a result that holds the light checks of many services
# At most, where the collector asks for longer intervals: so 50,000 agents of a country send what
# 2,000 would. Assumed.
MAX_INTERVAL_PERCENT = 2_500
MAX_PARTS = 32  # light checks of one round; the default plan has ten
APP_PATH = "path/"  # begins the labels of steps that follow an app's own order of attempts
MAX_ALPN = 4  # protocols that one hello offers
MAX_BUILT_IN = 8  # addresses that one endpoint lists
MAX_STAGES = 12  # of one service
MAX_ROOTS = 8  # of one service; two in a rotation; assumed
MAX_ROOT_BYTES = 4_096  # of one; an RSA-4096 root has 1,450; assumed
MAX_STAGE_ENDPOINTS = 64
MAX_STAGE_S = 60
ANCHORS = "connectivity"  # the experiment that measures the vantage's own connectivity
HELLO = "hello"  # the experiment that sends browsers' hellos; its lines may name many hosts in turn
BROWSER = "browser"  # the experiment that opens a page as a browser does
PAGES = "pages"  # target of such a line: the plan's pages by HTTPS, or their hosts
WEB = "web"  # the experiment that loads pages
TRUST = "trust"  # option of a hello: the CA set that its own handshake is checked with


class EndpointKind(StrEnum):
    """Name the steps of a visit to an endpoint, up to the last step named."""

    TCP = "tcp"  # connect
    TLS = "tls"  # connect, ClientHello with the real name
    HTTP = "http"  # connect, GET in clear
    HTTPS = "https"  # connect, ClientHello, GET
    DNS = "dns"  # resolve only
    MTPROTO = "mtproto"  # connect, Telegram's obfuscated hello
    NOISE = "noise"  # connect, WhatsApp's Noise hello
    WEBSOCKET = "websocket"  # connect, ClientHello, upgrade to a WebSocket
    STUN = "stun"  # one binding request over UDP
    QUIC = "quic"  # QUIC handshake with the real name


TLS_KINDS = frozenset((EndpointKind.TLS, EndpointKind.HTTPS, EndpointKind.WEBSOCKET))  # over TCP
UDP_KINDS = frozenset((EndpointKind.STUN, EndpointKind.QUIC))


class Carrier(StrEnum):
    """Name the way in which envelopes travel to an entrance."""

    STREAM = "stream"  # gRPC, a session for hours
    POST = "post"  # one envelope per connection
    RELAY = "relay"  # the same, through another volunteer's agent, which sees only sealed bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """Describe one address of the collector, or a relay.

    The pinned key of the collector is behind each entrance; a relay also has its own key.
    """

    carrier: Carrier
    host: str  # a name, or an address literal
    port: int
    addresses: tuple[str, ...] = ()  # tried after the resolver's answers
    server_name: str = ""  # sent in the ClientHello in place of the host
    pin: str = ""  # only for a relay: SHA-256 of its SubjectPublicKeyInfo, in hex

    @property
    def tag(self) -> int:
        """Return 32 bits that name this address in a hello; never 0, which names none.

        Both sides derive them from what the plan or the invite lists, so that a hello cannot hold
        any other address. It is the same for all names in the ClientHello.
        """
        address = f"{self.carrier}://{self.host.lower()}:{self.port}".encode()
        return int.from_bytes(hashlib.sha256(address).digest()[:4], "big") or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Describe one host, port and kind of a service."""

    id: str
    kind: EndpointKind
    host: str  # a name, or an address literal
    port: int
    path: str = "/"
    method: str = "GET"
    group: str = ""  # endpoints that can replace each other: dc, web, chat
    trust: str = ""  # a service whose roots count, "" for the public ones, "any" for all
    alpn: tuple[str, ...] = ()  # of a TLS kind; empty for a browser's
    addresses: tuple[str, ...] = ()  # built into the app, visited in place of a lookup
    resolver: str = ""  # https URL of the app's own DoH resolver, asked in place of the system's

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return all hosts that a visit may contact, for a volunteer to agree to."""
        resolver = self.resolver.removeprefix("https://").partition("/")[0]
        return (self.host, *self.addresses, *filter(None, (resolver,)))

    @property
    def is_named_tls(self) -> bool:
        """Return whether a visit shows its name in a ClientHello over TCP."""
        return self.kind in TLS_KINDS and not parse_literal(self.host)


class ServiceFunction(StrEnum):
    """Name a use of a service. Without messaging, a messenger does not work."""

    MESSAGING = "messaging"
    REGISTRATION = "registration"
    MEDIA = "media"
    CALLS = "calls"
    WEB = "web"


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionGroups:
    """Name the groups of endpoints that a function needs, all of them."""

    function: ServiceFunction
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectStage:
    """Name the endpoints that an app tries together, and when it gives up on them."""

    endpoints: tuple[str, ...]  # ids
    seconds: int
    if_unresolved: bool = False  # only where no lookup of an earlier stage gave an address


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Name a set of endpoints that one experiment visits."""

    name: str
    title: str
    experiment: str
    endpoints: tuple[Endpoint, ...]
    functions: tuple[FunctionGroups, ...] = ()
    stages: tuple[ConnectStage, ...] = ()  # how the app connects, in its order
    roots: tuple[bytes, ...] = ()  # DER certificates that its apps trust in place of the public

    @property
    def first_way(self) -> frozenset[str]:
        """Return the ids of the endpoints that the app tries first."""
        return frozenset(self.stages[0].endpoints if self.stages else ())

    def list_planned_endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints without those that only the app's own order leads to."""
        staged = {endpoint for stage in self.stages for endpoint in stage.endpoints}
        decisive = self.map_functions()
        return tuple(e for e in self.endpoints if e.id not in staged or e.id in decisive)

    def map_functions(self) -> dict[str, ServiceFunction]:
        """Return the function of each endpoint whose group has one, by the endpoint's id."""
        by_group = {group: f.function for f in self.functions for group in f.groups}
        return {e.id: by_group[e.group] for e in self.endpoints if e.group in by_group}

    def list_light_endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints of which a light check draws one by chance.

        Only those of messaging, where the service names them, because that decides whether a
        messenger works. IPv6 literals are none, because many vantages have no IPv6.
        """
        functions = self.map_functions()
        drawable = tuple(
            e
            for e in self.endpoints
            if e.kind is not EndpointKind.DNS
            and ":" not in e.host
            and (not functions or functions.get(e.id) is ServiceFunction.MESSAGING)
        )
        return drawable or self.endpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTask:
    """Describe one line of the plan: an experiment on a target, repeated."""

    experiment: str
    interval_s: int
    service: str = ""
    target: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    role: str = ""  # role of the agents that run it, one of ROLES; "" for all

    @property
    def is_light(self) -> bool:
        """Return whether it visits one endpoint of its service in place of all."""
        return self.options.get(LIGHT) == "true"

    @property
    def is_spread(self) -> bool:
        """Return whether its first run may come anywhere in its interval."""
        return self.is_light or self.experiment in (HELLO, BROWSER)

    @property
    def is_turn(self) -> bool:
        """Return whether each run tests the next of many hosts or pages.

        Hosts are tested by a hello, pages are opened.
        """
        is_of_pages = self.target == PAGES and self.experiment in (HELLO, BROWSER)
        return is_of_pages or (self.experiment == HELLO and bool(self.service))


def is_older(version: str, other: str) -> bool:
    """Return whether a version is older than another; False where one is no plain number."""
    if not (VERSION.fullmatch(version) and VERSION.fullmatch(other)):
        return False
    return _split_version(version) < _split_version(other)


def _split_version(version: str) -> list[int]:
    numbers = [int(number) for number in version.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()  # 0.2 is 0.2.0
    return numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limit the traffic and the concurrency of an agent."""

    bytes_per_month: int = 300_000_000
    concurrency: int = 8
    target_pause_s: int = 10  # least time between two visits to one host


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Hold the tasks that agents run, with their services, limits and entrances.

    Times are in Unix seconds; the signature is outside, in SignedPlan.
    """

    version: int
    issued_s: int
    expires_s: int
    services_version: str
    services: tuple[Service, ...] = ()
    tasks: tuple[PlannedTask, ...] = ()
    limits: Limits = field(default_factory=Limits)
    heartbeat_s: int = 15
    entrances: tuple[Entrance, ...] = ()  # in the order in which they are tried
    beacon_zone: str = ""  # zone for DNS beacons; "" for none
    fixed_schedule: bool = False  # no test runs out of its turn: no second looks, no early runs
    hello_profiles: bytes = b""  # a newer hello_profiles.yml; empty for what agents ship
    newest_version: str = ""  # of the agent's software; agents say so, and fetch nothing
    insecure_before: str = ""  # earlier versions of it have a known security hole

    def list_rounds(self) -> tuple[tuple[PlannedTask, ...], ...]:
        """Return the tasks by result: light checks of one interval run together, as one.

        Light checks beyond MAX_PARTS of one interval give a result each.
        """
        rounds: dict[int, list[PlannedTask]] = {}
        lone: list[tuple[PlannedTask, ...]] = []
        for task in self.expand_turns():
            if task.is_light and len(rounds.setdefault(task.interval_s, [])) < MAX_PARTS:
                rounds[task.interval_s].append(task)
            else:
                lone.append((task,))
        return (*lone, *map(tuple, rounds.values()))

    def expand_turns(self) -> tuple[PlannedTask, ...]:
        """Return the tasks, with one for each host in place of a line of many in turn.

        Each host has so long an interval that together they run as often as planned.
        """
        return tuple(host_task for task in self.tasks for host_task in self._expand_turn(task))

    def list_turn(self, task: PlannedTask) -> dict[str, str]:
        """Return the targets of a line of many in turn, each with its CA set."""
        if task.target == PAGES:
            pages = {t.target: urlsplit(t.target) for t in self.tasks if t.experiment == WEB}
            secure = {url: p for url, p in pages.items() if p.scheme == "https"}
            if task.experiment == BROWSER:
                return dict.fromkeys(secure, "")
            return {f"{p.hostname}:{p.port or 443}": "" for p in secure.values()}
        endpoints = (e for s in self.services if s.name == task.service for e in s.endpoints)
        return {f"{e.host}:{e.port}": e.trust for e in endpoints if e.is_named_tls}

    def _expand_turn(self, task: PlannedTask) -> tuple[PlannedTask, ...]:
        if not task.is_turn:
            return (task,)
        trusts = self.list_turn(task)
        return tuple(
            replace(
                task,
                service="",
                target=target,
                interval_s=task.interval_s * len(trusts),
                options={**task.options, TRUST: trust} if trust else task.options,
            )
            for target, trust in trusts.items()
        )

    def for_role(self, role: str) -> "Plan":
        """Return the plan with only the tasks of `role`, their services, and its limit.

        A task for a role that this version does not know applies to no agent. A control may move
        CONTROL_SHARE times the bytes. Call it once, on the plan that was signed.
        """
        tasks = tuple(task for task in self.tasks if task.role in ("", role))
        named = {task.service for task in tasks}
        services = tuple(service for service in self.services if service.name in named)
        share = CONTROL_SHARE if role == ROLES[1] else 1
        limits = replace(self.limits, bytes_per_month=self.limits.bytes_per_month * share)
        return replace(self, tasks=tasks, services=services, limits=limits)
