"""List the transports to the collector, and select the next one to try. Pure.

A pass tries each transport once. It begins with the preferred one, then follows the order of the
list. When a probe is due, a pass follows the order of the list from the start, so that better
transports come before the preferred one.

- A failure removes the transport from the pass; after the last one a new pass begins.
- A delivery ends the pass and makes the transport the preferred one. If it is not the first of the
  list, a probe is planned. Its wait is FIRST_PROBE_S, doubled up to MAX_PROBE_S each time that all
  better transports failed in a probe.
- What failed while no transport worked proves nothing on better ones: after a cut the next probe
  is due within AFTER_DARK_S, for a session shows the collector that this vantage is back.
- A network change makes a probe due at once.

A transport is preferred only once it has delivered and lasted, because on a network that freezes
flows every session begins well.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from heliograph.address import split_endpoint
from heliograph.backoff import Backoff
from heliograph.clock import Clock
from heliograph.plan import Carrier, Entrance
from heliograph.translation import mark
from heliograph.translation import translate as _

FIRST_PROBE_S = 60.0  # soon, because a transport may have failed by chance
MAX_PROBE_S = 21_600.0
AFTER_DARK_S = (5.0, 30.0)  # drawn, because the links of all agents return at once; assumed
JITTER = 0.25  # of a wait, more or less
PROBES = Backoff(FIRST_PROBE_S, MAX_PROBE_S, (1 - JITTER, 1 + JITTER))
POLLED = "poll"  # begins the name of a session by polls
SESSIONS = (Carrier.STREAM, POLLED)  # begin the names of transports that carry a session
SMALL_ENVELOPE_BYTES = 6_144 + 64  # passes a network that freezes flows after 25 packets


class ProxyUse(StrEnum):
    """Say when the user's proxy is used."""

    LAST = "last"  # after every entrance without it, before relays
    ALWAYS = "always"  # nothing bypasses it


class Reason(StrEnum):
    """Name the reason for having no session, as in status.json."""

    UNREACHABLE = "unreachable"
    NO_ENTRANCE = "no_entrance"  # that an agent without gRPC could use
    PIN_MISMATCH = "pin_mismatch"
    NO_ANSWER = "no_answer"
    UNKNOWN_AGENT = "unknown_agent"
    BAD_INVITE = "bad_invite"
    CHARTER = "charter"  # another trust root than the invite names
    BUSY = "busy"
    ENDED = "ended"
    REFUSED = "refused"
    SPOOL = "spool"  # this machine's disk, not the network
    STATE = "state"  # the agent's files, not the network


# Another transport may avoid these; it cannot avoid the collector's refusal or a local error.
PATH_REASONS = (Reason.UNREACHABLE, Reason.NO_ANSWER, Reason.PIN_MISMATCH)
SENTENCES = {
    Reason.UNREACHABLE: mark("the collector cannot be reached"),
    Reason.NO_ENTRANCE: mark(
        "the collector has no entrance for an agent without grpcio: install grpcio, or ask its "
        "operator for the key post.listen"
    ),
    Reason.PIN_MISMATCH: mark("somebody else answers in the collector's place, nothing was sent"),
    Reason.NO_ANSWER: mark("the collector does not answer"),
    Reason.UNKNOWN_AGENT: mark(
        "the collector does not know this agent (any more): ask its operator"
    ),
    Reason.BUSY: mark("the collector is busy"),
    Reason.ENDED: mark("the collector ended the session"),
    Reason.REFUSED: mark("the collector refused the session"),
    Reason.SPOOL: mark("the spool cannot be read or written: see `heliograph-agent status`"),
    Reason.STATE: mark("the agent's own files cannot be read: see `heliograph-agent status`"),
}


def choose_failure_sentence(reason: Reason) -> str:
    """Choose the log's sentence on a failed transport, with a place for the reason."""
    if reason is Reason.SPOOL:  # new results may be lost
        return mark("%s; nothing is sent meanwhile")
    return mark("%s; results are kept and sent later")


def describe_reason(reason: str) -> str:
    """Return a sentence in the reader's language; an unknown reason as it is."""
    return _(SENTENCES[Reason(reason)]) if reason in SENTENCES else reason


class UplinkError(Exception):
    """Report that there is no connection, for `reason`.

    `retry_after_s` is the collector's wish for the next attempt, 0 for none.
    """

    def __init__(self, reason: Reason, retry_after_s: int = 0) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStatus:
    """Describe the connection to the collector, for status.json."""

    connected: bool = False
    transport: str = ""  # name of the transport in use or last used
    last_success_us: int = 0
    last_failure: str = ""
    last_failure_us: int = 0
    last_beacon_us: int = 0  # when the collector last answered a DNS beacon


@dataclass(frozen=True, slots=True)
class Transport:
    """Hold one transport, an entrance with or without the user's proxy.

    With `is_guarded` it may not lead into a private network or this machine's own, because only the
    plan names it.
    """

    entrance: Entrance
    is_proxied: bool = False
    is_polled: bool = False  # a session by polls at an entrance for POST
    is_guarded: bool = False

    @property
    def is_session(self) -> bool:
        """Return whether it carries a session, with heartbeats and a goodbye."""
        return self.is_polled or self.entrance.carrier is Carrier.STREAM

    @property
    def is_relay(self) -> bool:
        """Return whether another agent answers, whose own answers prove nothing."""
        return self.entrance.carrier is Carrier.RELAY

    @property
    def tag(self) -> int:
        """Return its entrance's tag for the hello; 0 by the proxy, which is another way."""
        return 0 if self.is_proxied else self.entrance.tag

    def select_pin(self, collector: bytes) -> bytes:
        """Return the pin of the server; `collector` is the pin in the invite."""
        return bytes.fromhex(self.entrance.pin) if self.is_relay else collector

    @property
    def name(self) -> str:
        """Return a name that is stable and is the target of the uplink's measurements."""
        e = self.entrance
        host = f"[{e.host}]" if ":" in e.host else e.host
        name_suffix = f" as {e.server_name}" if e.server_name else ""
        scheme = POLLED if self.is_polled else e.carrier
        return f"{scheme}://{host}:{e.port}{name_suffix}{' by proxy' if self.is_proxied else ''}"


class EntranceGuard(Protocol):
    """Decide which entrances may not lead into a private network."""

    def is_guarded(self, entrance: Entrance) -> bool: ...


def list_transports(
    endpoint: str,
    entrances: Sequence[Entrance],
    proxy: ProxyUse | None,
    policy: EntranceGuard | None = None,
    *,
    agent: bytes = b"",
    has_streams: bool = True,
) -> tuple[Transport, ...]:
    """List transports in the order of preference.

    The order is the joined session entrance, the first POST entrance, the others as listed, all of
    these through the proxy, and relays last. Entrances of one carrier are as safe as each other, so
    each agent takes them in a different order: then not all agents are silent when one entrance
    is blocked. `proxy` is None without a proxy. Without `policy` no entrance is guarded. Without
    `agent`, the id of an agent, the order is the plan's. Without `has_streams` sessions are by
    polls, at the entrances for POST; there may be none. Raises ValueError when `endpoint` is not
    valid.
    """
    spread = _spread_entrances(entrances, agent) if agent else entrances
    ordered = tuple(dict.fromkeys(_order_entrances(endpoint, spread)))
    direct = tuple(entrance for entrance in ordered if entrance.carrier is not Carrier.RELAY)
    relays = tuple(entrance for entrance in ordered if entrance.carrier is Carrier.RELAY)
    transports = (*_make_transports(direct, proxy), *_make_transports(relays, proxy))
    if not has_streams:
        transports = _replace_streams(transports)
    if policy is None:
        return transports
    return tuple(replace(t, is_guarded=policy.is_guarded(t.entrance)) for t in transports)


def _spread_entrances(entrances: Sequence[Entrance], agent: bytes) -> list[Entrance]:
    """Permute each carrier's entrances by a stable hash; carriers keep their places.

    Each agent ranks the entrances differently (rendezvous hashing), so a further entrance
    leaves the order of the others as it was.
    """

    def rank(entrance: Entrance) -> bytes:
        name = Transport(entrance).name.encode()
        return hashlib.blake2b(agent + name, digest_size=8).digest()

    ranked = sorted(entrances, key=rank)
    by_carrier = {c: iter([e for e in ranked if e.carrier is c]) for c in Carrier}
    return [next(by_carrier[entrance.carrier]) for entrance in entrances]


def _make_transports(
    entrances: tuple[Entrance, ...], proxy: ProxyUse | None
) -> tuple[Transport, ...]:
    via_proxy = tuple(Transport(entrance, is_proxied=True) for entrance in entrances)
    if proxy is ProxyUse.ALWAYS:
        return via_proxy
    direct = tuple(Transport(entrance) for entrance in entrances)
    return direct + via_proxy if proxy is ProxyUse.LAST else direct


def _replace_streams(transports: Sequence[Transport]) -> tuple[Transport, ...]:
    """Leave streams out, and put sessions by polls before single envelopes.

    Transports by the user's proxy stay behind those without it, and before relays.
    """
    posts = [t for t in transports if t.entrance.carrier is Carrier.POST]
    polls = [replace(t, is_polled=True) for t in posts]
    sessions_first = sorted([*polls, *posts], key=_is_proxied)  # stable
    return (*sessions_first, *(t for t in transports if t.is_relay))


def _is_proxied(transport: Transport) -> bool:
    return transport.is_proxied


def _order_entrances(endpoint: str, entrances: Sequence[Entrance]) -> Iterator[Entrance]:
    host, port = split_endpoint(endpoint)
    session_entrances = [
        e for e in entrances if (e.carrier, e.host, e.port) == (Carrier.STREAM, host, port)
    ]
    yield from session_entrances[:1] or [Entrance(carrier=Carrier.STREAM, host=host, port=port)]
    yield from [e for e in entrances if e.carrier is Carrier.POST][:1]
    yield from (e for e in entrances if e.host and e.port)


@dataclass(slots=True)
class TransportSelector:
    """Select transports; `preferred` and `probes` survive a restart."""

    clock: Clock
    rng: random.Random
    preferred: str = ""  # name of the transport that delivered last
    probes: int = 0  # failed probes in a row
    _remaining: list[Transport] = field(default_factory=list)  # of this pass
    _probed_names: frozenset[str] = frozenset()  # tried in this pass before the preferred one
    _probe_at_us: int | None = None
    _is_dark: bool = False  # all transports of a pass have failed, and none has delivered since

    def select_next(self, transports: Sequence[Transport]) -> Transport:
        """Return the transport to try now; the list, never empty, may have changed."""
        available = set(transports)
        self._remaining = [transport for transport in self._remaining if transport in available]
        if not self._remaining or self.probe_in_s() == 0:
            self._start_pass(transports)
        return self._remaining[0]

    @property
    def remaining(self) -> int:
        """Return how many transports this pass has left."""
        return len(self._remaining)

    def order_after_loss(self, lost: Transport, transports: Sequence[Transport]) -> None:
        """Order the pass after a session broke: other hosts before that of the session.

        A session that had lasted is tried once more first, because most lines break by chance. One
        that had not is left out.
        """
        had_lasted = not self._remaining
        if had_lasted:
            self._start_pass(transports)
        else:  # as if it had not come about
            self._note_failed_probe(lost)

        def rank_transport(transport: Transport) -> tuple[bool, bool, bool]:
            is_same_host = transport.entrance.host == lost.entrance.host
            return transport.is_relay, transport.is_proxied, is_same_host

        others = [transport for transport in self._remaining if transport != lost]
        others.sort(key=rank_transport)
        self._remaining = [lost, *others] if had_lasted else others

    def record_failure(self, transport: Transport) -> bool:
        """Remove a transport from this pass; return whether it was the last one."""
        self._remaining = [other for other in self._remaining if other != transport]
        self._note_failed_probe(transport)
        self._is_dark |= not self._remaining
        return not self._remaining

    def record_delivery(self, transport: Transport, transports: Sequence[Transport]) -> bool:
        """Prefer a transport that delivered and lasted; return whether it is another one."""
        self._remaining = []
        is_new = self.preferred != transport.name
        if transport == transports[0]:
            self.probes = 0
            self._probe_at_us = None
        elif self._is_dark:
            self.probes = 0
            self._plan_probe_in(self.rng.uniform(*AFTER_DARK_S))
        elif is_new or self._probe_at_us is None:
            self._plan_probe()
        self._is_dark = False
        self.preferred = transport.name
        return is_new

    def probe_in_s(self) -> float | None:
        """Return the seconds until a probe; None while no transport is better."""
        if self._probe_at_us is None:
            return None
        return max(0.0, (self._probe_at_us - self.clock.monotonic_us()) / 1e6)

    def reset_network(self) -> None:
        """Start again on another network, where other transports may work."""
        self.probes = 0
        self._remaining = []
        self._probe_at_us = 0

    def _note_failed_probe(self, transport: Transport) -> None:
        """Plan the next probe once the last of the better transports has failed."""
        if transport.name in self._probed_names:
            self._probed_names -= {transport.name}
            if not self._probed_names:
                self.probes += 1
                self._plan_probe()

    def _start_pass(self, transports: Sequence[Transport]) -> None:
        """Order the transports, the better ones first when their probe is due.

        The pass is that probe: while it stayed due, each transport for single envelopes gave way
        to it at once, and the agent went round in a circle without sending.
        """
        is_due = self.probe_in_s() == 0
        names = [transport.name for transport in transports]
        index = names.index(self.preferred) if self.preferred in names else 0
        if index and self._probe_at_us is None:  # after a restart, wait as after a probe
            self._plan_probe()
        if is_due:
            self._probe_at_us = None
        if index and is_due:
            self._probed_names = frozenset(names[:index])
            self._remaining = list(transports)
        else:
            self._probed_names = frozenset()
            preferred = transports[index]
            self._remaining = [preferred, *(t for t in transports if t != preferred)]

    def _plan_probe(self) -> None:
        self._plan_probe_in(PROBES.draw_s(self.probes + 1, self.rng))

    def _plan_probe_in(self, wait_s: float) -> None:
        self._probe_at_us = self.clock.monotonic_us() + int(wait_s * 1e6)
