"""What is to be run: services, their endpoints, tasks and limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

ROLES = ("volunteer", "control")


class EndpointKind(StrEnum):
    """What is said to an endpoint, from the bottom up to the last step named."""

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


class Carrier(StrEnum):
    """How envelopes travel to an entrance."""

    STREAM = "stream"  # gRPC, a session for hours
    POST = "post"  # one envelope per connection
    RELAY = "relay"  # the same, to another volunteer's agent, which sees sealed bytes alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """One way into the collector; behind each stands the pinned key, behind a relay its own."""

    carrier: Carrier
    host: str  # a name, or an address literal
    port: int
    addresses: tuple[str, ...] = ()  # where it is also found, when no resolver says so
    server_name: str = ""  # said in the ClientHello in place of the host
    pin: str = ""  # of a relay alone: SHA-256 of its own SubjectPublicKeyInfo, in hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    id: str
    kind: EndpointKind
    host: str  # a name, or an address literal
    port: int
    path: str = "/"
    method: str = "GET"
    group: str = ""  # endpoints that stand in for each other: dc, web, chat
    trust: str = ""  # name of a shipped CA set, "" for the public one


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    name: str
    title: str
    experiment: str
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTask:
    """One line of the plan: an experiment on a service or on a lone target, over and over."""

    experiment: str
    interval_s: int
    service: str = ""
    target: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    role: str = ""  # of the agents it is for, one of ROLES; "" for everybody


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    bytes_per_month: int = 300_000_000
    concurrency: int = 8
    target_pause_s: int = 10  # least time between two visits to one host


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    version: int
    issued_s: int
    expires_s: int
    services_version: str
    services: tuple[Service, ...] = ()
    tasks: tuple[PlannedTask, ...] = ()
    limits: Limits = field(default_factory=Limits)
    heartbeat_s: int = 15
    entrances: tuple[Entrance, ...] = ()  # in the order in which they are tried
    beacon_zone: str = ""  # where a last word may be said by DNS; "" for nowhere

    def for_role(self, role: str) -> "Plan":
        """What an agent of this role is asked to run, and the services which that needs.

        A line for a role that this edition does not know applies to no agent.
        """
        tasks = tuple(task for task in self.tasks if task.role in ("", role))
        named = {task.service for task in tasks}
        services = tuple(service for service in self.services if service.name in named)
        return replace(self, tasks=tasks, services=services)
