"""Where on the path does the interference sit: packets that may pass only so many routers.

Endpoints: `target` and `neutral`, the same packets to the same address but for the name in them.
Whoever answers a name before the packet can have come to the server is not the server. Which
network that is, the hops' own networks tell; nothing here names it.
"""

from heliograph.failure import Failure
from heliograph.observation import Hop, Measurement
from heliograph_collector.judge.comparisons.table import (
    BLOCKED,
    REACHABLE,
    UNKNOWN,
    Reading,
    Row,
    Words,
    labelled,
)

SERVERS = {
    "client_hello": ("server_hello", "data"),
    "dns": ("dns",),
    "syn": ("synack",),
}  # how the far end answers what
NAMED = ("client_hello", "dns")  # what has a name in it
FEWEST_LOST = 2  # packets: one may be lost anywhere
HEARD = (None, Failure.GENERIC_TIMEOUT_ERROR, Failure.CONNECTION_RESET)  # or not, for sure
TTL_APART = 2  # the same sender's packets arrive with the same, or nearly the same, TTL

Hops = dict[int, tuple[int, Hop]]  # by TTL: index, and what came back

ROWS = (
    Row(
        id="path.injected_rst_elsewhere",
        state=BLOCKED,
        says="The name is answered by a reset from nearer than the server, in packets whose TTL "
        "is not the server's.",
        strength=0.95,
        needs="rst_early rst_foreign control_clean",
        layer="tls",
        method="injected_rst at hop {hop}",
    ),
    Row(
        id="path.injected_rst",
        state=BLOCKED,
        says="The name is answered by a reset from nearer than the server; a neutral one is not.",
        strength=0.9,
        needs="rst_early control_clean",
        layer="tls",
        method="injected_rst at hop {hop}",
    ),
    Row(
        id="path.injected_answer",
        state=BLOCKED,
        says="The name is answered by a DNS reply from nearer than the resolver.",
        strength=0.9,
        needs="dns_early control_clean",
        layer="dns",
        method="injected at hop {hop}",
    ),
    Row(
        id="path.dropped",
        state=BLOCKED,
        says="Where a neutral name is answered by the server, this one is met with silence.",
        strength=0.7,
        needs="dropped control_clean",
        layer="tls",
        method="dropped after hop {hop}",
    ),
    Row(
        id="path.at_the_end",
        state=UNKNOWN,
        says="The name is answered by a reset from as far as the server: its own, or one in its "
        "name.",
        needs="rst_late",
    ),
    Row(
        id="path.clean",
        state=REACHABLE,
        says="The name and the neutral one are answered alike, by the far end.",
        strength=0.8,
        needs="clean",
        lacks="rst_early dns_early dropped rst_late",
    ),
    Row(id="path.doubt", state=UNKNOWN, says="The path was not seen to its end."),
)


def words(here: Measurement, there: Measurement | None) -> Words:
    found: Words = {}
    for sent in NAMED:
        found = _told(here, sent) | found
    hop = next((w for w in found if w.startswith("hop=")), None)
    if there is not None and not any("early" in w or w == "dropped" for w in _all(there)):
        sent = "dns" if "dns_early" in found else "client_hello"
        if hop is None or "clean" in _told(there, sent):
            found["control_clean"] = ()
    return found


def _all(measurement: Measurement) -> Words:
    return {w: i for sent in NAMED for w, i in _told(measurement, sent).items()}


def _told(measurement: Measurement, sent: str) -> Words:
    """What the target's hops, held against the neutral ones, say of one kind of packet."""
    target, neutral = (_hops(measurement, label, sent) for label in ("target", "neutral"))
    ends = [ttl for ttl, (_, h) in sorted(neutral.items()) if h.reply in SERVERS[sent]]
    if not target or not ends:
        return {}
    end = ends[0]
    spoilt = {ttl for ttl, (_, h) in neutral.items() if h.reply == "rst"}
    resets = [ttl for ttl, (_, h) in sorted(target.items()) if h.reply == "rst"]
    early = [ttl for ttl in resets if ttl < end and not spoilt]
    if early:
        return _reset(target, neutral, early[0], end)
    answered = [t for t, (_, h) in sorted(target.items()) if h.reply in SERVERS[sent]]
    if sent == "dns" and answered and answered[0] < end:
        return _at("dns_early", target, answered[0])
    if answered:
        return {"clean": (target[answered[0]][0],)}
    if resets:
        return {"rst_late": (target[resets[0]][0],)}
    return _silence(target, neutral, end)


def _reset(target: Hops, neutral: Hops, at: int, end: int) -> Words:
    found = _at("rst_early", target, at)
    reset, server = target[at][1], neutral[end][1]
    known = reset.reply_ttl and server.reply_ttl
    if known and abs(reset.reply_ttl - server.reply_ttl) >= TTL_APART:
        found["rst_foreign"] = (target[at][0],)
    return found


def _silence(target: Hops, neutral: Hops, end: int) -> Words:
    """Several packets in a row, up to the end, unanswered, where the neutral ones were answered."""
    last = max((ttl for ttl, (_, h) in target.items() if h.reply), default=0)
    lost = [t for t in target if t > last and t in neutral and neutral[t][1].reply]
    if len(lost) < FEWEST_LOST or end not in lost:
        return {}
    return {"dropped": tuple(target[t][0] for t in lost), f"hop={last}": ()}


def _at(word: str, hops: Hops, ttl: int) -> Words:
    return {word: (hops[ttl][0],), f"hop={ttl}": ()}


def _hops(measurement: Measurement, label: str, sent: str) -> Hops:
    """IPv4 and IPv6 are not told apart by a hop: one path is measured at a time."""
    found: Hops = {}
    for index, seen in labelled(measurement, label):
        hop = seen.hop
        if hop is None or hop.sent != sent or seen.failure not in HEARD:
            continue
        if hop.ttl not in found or not found[hop.ttl][1].reply:
            found[hop.ttl] = (index, hop)
    return found


READING = Reading("path", words, ROWS)
