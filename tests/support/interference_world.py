"""Worlds for any experiment: everything answers, or one thing fails.

`works()` answers to any name, port and page. `Trouble` gives what fails: at the target alone
(everything with "target" in its name, and its address) or everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from heliograph.failure import Failure
from heliograph.observation import Arrival, Hop
from support.fake_world import Page, World

TARGET = "www.target.example"
TARGET_FOUR, TARGET_SIX = "5.6.7.8", "2a00:1::8"
OTHER_FOUR, OTHER_SIX = "5.9.9.9", "2a00:9::9"
FAR = 3  # routers to anybody
FAST = tuple(Arrival(at_us=(i + 1) * 1_000, bytes=(i + 1) * 16_384) for i in range(20))
SLOW = tuple(Arrival(at_us=(i + 1) * 1_000_000, bytes=(i + 1) * 2_000) for i in range(16))
GOOD = Page(title="The free newspaper", body_bytes=327_680, arrivals=FAST)
BLOCK = Page(title="Bloqueado por ordem judicial", body_bytes=700, body_sha256="11" * 32)
DENIED = Failure.DNS_NXDOMAIN_ERROR
SILENCE = Failure.GENERIC_TIMEOUT_ERROR
RESET = Failure.CONNECTION_RESET


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """The failure of each step; None means that the step works."""

    name: str
    everywhere: bool = False
    lookup: Failure | str | None = None  # a failure or a false address
    plain_only: bool = False  # sealed lookups are spared
    connect: Failure | None = None
    handshake: Failure | None = None
    page: Failure | Page | None = None
    quic: Failure | None = None
    speech: Failure | None = None
    hop: str = ""

    def meets(self, place: object) -> bool:
        """Return whether the trouble affects this name, address or URL."""
        known = ("target", TARGET_FOUR, TARGET_SIX)
        return self.everywhere or any(word in str(place) for word in known)


NOTHING = Trouble(name="nothing")
TARGET_ONLY = (Trouble(name="denied", lookup=DENIED),
 Trouble(name="denied in clear", lookup=DENIED, plain_only=True),
 Trouble(name="bogon", lookup="10.10.34.35", plain_only=True),
 Trouble(name="silent address", connect=SILENCE, speech=SILENCE),
 Trouble(name="refused address", connect=Failure.CONNECTION_REFUSED),
 Trouble(name="reset name", handshake=RESET, hop="rst"),
 Trouble(name="silent name", handshake=SILENCE),
 Trouble(name="intercepted", handshake=Failure.SSL_UNKNOWN_AUTHORITY),
 Trouble(name="reset request", page=RESET),
 Trouble(name="block page", page=BLOCK),
 Trouble(name="no QUIC", quic=SILENCE),
 Trouble(name="slow", page=replace(GOOD, arrivals=SLOW, body_bytes=32_000)),
 Trouble(name="protocol reset", speech=RESET))  # fmt: skip
TROUBLES = (*TARGET_ONLY, *(replace(t, name=f"all {t.name}", everywhere=True) for t in TARGET_ONLY))


class _Answers(dict[Any, Any]):
    def __init__(self, made: Callable[[Any], Any]) -> None:
        super().__init__()
        self._made = made

    def get(self, key: Any, default: Any = None) -> Any:
        found = self._made(key)
        return default if found is KeyError else found


def world(trouble: Trouble = NOTHING, *, six: Failure | None = None, four: bool = True) -> World:
    """Return a world; `six` is IPv6's failure, without `four` names have only AAAA."""
    t = trouble

    def names(key: str) -> Any:
        engine, _, name = key.rpartition(":")
        if not engine:
            return KeyError  # each engine is asked by itself
        if (
            t.lookup is not None
            and t.meets(name)
            and not (t.plain_only and engine in ("doh", "dot"))
        ):
            return (t.lookup,) if not isinstance(t.lookup, Failure) else t.lookup
        of_target = "target" in name
        both = (TARGET_FOUR, TARGET_SIX) if of_target else (OTHER_FOUR, OTHER_SIX)
        return both if four else both[1:]

    def ports(key: tuple[str, int]) -> Failure | None:
        return six if ":" in key[0] and six is not None else t.connect if t.meets(key) else None

    def met(what: Any, good: Any) -> Callable[[Any], Any]:
        return lambda key: what if what is not None and t.meets(key) else good

    def speeches(key: tuple[str, int]) -> Any:
        if ":" in key[0] and six is not None:
            return six
        return t.speech if t.speech is not None and t.meets(key) else "ok"

    return World(
        names=_Answers(names), ports=_Answers(ports), handshakes=_Answers(met(t.handshake, None)),
        pages=_Answers(met(t.page, GOOD)), speeches=_Answers(speeches),
        quic=_Answers(met(t.quic, None)), hops=_Answers(lambda key: _hop(t, *key)),
    )  # fmt: skip


def _hop(trouble: Trouble, name: str, ttl: int) -> Hop:
    sent = "client_hello" if name else "syn"
    if trouble.hop and name and trouble.meets(name) and ttl >= FAR - 1:
        return Hop(ttl=ttl, sent=sent, reply=trouble.hop, reply_ttl=100)
    far = {"syn": "synack", "client_hello": "server_hello"}[sent]
    return Hop(ttl=ttl, sent=sent, reply=far if ttl >= FAR else "time_exceeded", reply_ttl=60)
