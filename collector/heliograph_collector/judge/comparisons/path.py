"""Location of interference on the path, from packets with a limited TTL.

Endpoints: `target` and `neutral`. Both send the same packets to the same address and differ only
in the name inside. A reply to a name from fewer hops away than the server is not the server's.
The networks of the hops show where the reply comes from; this module does not name them.
"""

from heliograph.failure import Failure
from heliograph.observation import Hop, Measurement
from heliograph_collector.judge.comparisons.table import (
    Comparison,
    ComparisonRule,
    Facts,
    select_observations,
)
from heliograph_collector.judge.rules.rule import BLOCKED, REACHABLE, UNKNOWN

# Replies that the server itself gives, by packet.
SERVER_REPLIES = {"client_hello": ("server_hello", "data"), "dns": ("dns",), "syn": ("synack",)}
NAMED_PACKETS = ("client_hello", "dns")  # packets that contain a name
MIN_LOST = 2  # packets; assumed: one packet may be lost anywhere
# Outcomes that surely show a reply or its absence.
CONCLUSIVE_FAILURES = (None, Failure.GENERIC_TIMEOUT_ERROR, Failure.CONNECTION_RESET)
TTL_APART = 2  # assumed: packets of one sender arrive with the same TTL or one that differs by less

HopsByTtl = dict[int, tuple[int, Hop]]  # TTL: (observation index, hop)

RULES = (
    ComparisonRule(
        "path.injected_rst_elsewhere",
        BLOCKED,
        "A reset from nearer than the server answers the name, with a TTL unlike the server's.",
        0.95,
        needs="rst_early rst_foreign control_clean",
        layer="tls",
        method="injected_rst at hop {hop}",
    ),
    ComparisonRule(
        "path.injected_rst",
        BLOCKED,
        "A reset from nearer than the server answers the name, and not a neutral name.",
        0.9,
        needs="rst_early control_clean",
        layer="tls",
        method="injected_rst at hop {hop}",
    ),
    ComparisonRule(
        "path.injected_answer",
        BLOCKED,
        "A DNS reply from nearer than the resolver answers the name.",
        0.9,
        needs="dns_early control_clean",
        layer="dns",
        method="injected at hop {hop}",
    ),
    ComparisonRule(
        "path.dropped",
        BLOCKED,
        "The server answers a neutral name, and nothing answers this one.",
        0.7,
        needs="dropped control_clean",
        layer="tls",
        method="dropped after hop {hop}",
    ),
    ComparisonRule(
        "path.at_the_end",
        UNKNOWN,
        "A reset from as far as the server answers the name: its own, or a forged one.",
        needs="rst_late",
    ),
    ComparisonRule(
        "path.clean",
        REACHABLE,
        "The server itself answers both the name and the neutral name.",
        0.8,
        needs="clean",
        lacks="rst_early dns_early dropped rst_late",
    ),
    ComparisonRule("path.doubt", UNKNOWN, "The path was not measured to its end."),
)


class PathComparison(Comparison):
    def collect_facts(self, measurement: Measurement) -> Facts:
        return {
            f: i for sent in NAMED_PACKETS for f, i in _collect_facts(measurement, sent).items()
        }

    def extract_facts(self, measurement: Measurement, control: Measurement | None) -> Facts:
        """Extract the vantage's facts, and `control_clean` if the control's path is clean."""
        facts: Facts = {}
        for sent in NAMED_PACKETS:
            facts = _collect_facts(measurement, sent) | facts
        if control is None or any(
            "early" in fact or fact == "dropped" for fact in self.collect_facts(control)
        ):
            return facts
        is_located = any(fact.startswith("hop=") for fact in facts)
        sent = "dns" if "dns_early" in facts else "client_hello"
        if not is_located or "clean" in _collect_facts(control, sent):
            facts["control_clean"] = ()
        return facts


def _collect_facts(measurement: Measurement, sent: str) -> Facts:
    """Compare the target's hops with the neutral hops for one kind of packet."""
    target, neutral = (_collect_hops(measurement, label, sent) for label in ("target", "neutral"))
    ends = [ttl for ttl, (_, h) in sorted(neutral.items()) if h.reply in SERVER_REPLIES[sent]]
    if not target or not ends:
        return {}
    end = ends[0]
    neutral_resets = {ttl for ttl, (_, h) in neutral.items() if h.reply == "rst"}
    resets = [ttl for ttl, (_, h) in sorted(target.items()) if h.reply == "rst"]
    early = [ttl for ttl in resets if ttl < end and not neutral_resets]
    if early:
        return _collect_reset_facts(target, neutral, early[0], end)
    answered_ttls = [t for t, (_, h) in sorted(target.items()) if h.reply in SERVER_REPLIES[sent]]
    if sent == "dns" and answered_ttls and answered_ttls[0] < end:
        return _build_hop_facts("dns_early", target, answered_ttls[0])
    if answered_ttls:
        return {"clean": (target[answered_ttls[0]][0],)}
    if resets:
        return {"rst_late": (target[resets[0]][0],)}
    return _collect_silence_facts(target, neutral, end)


def _collect_reset_facts(target: HopsByTtl, neutral: HopsByTtl, ttl: int, end: int) -> Facts:
    facts = _build_hop_facts("rst_early", target, ttl)
    reset = target[ttl][1]
    server = neutral[end][1]
    has_both_ttls = reset.reply_ttl and server.reply_ttl
    if has_both_ttls and abs(reset.reply_ttl - server.reply_ttl) >= TTL_APART:
        facts["rst_foreign"] = (target[ttl][0],)
    return facts


def _collect_silence_facts(target: HopsByTtl, neutral: HopsByTtl, end: int) -> Facts:
    """Find consecutive unanswered target packets whose neutral packets were answered.

    The unanswered packets must reach as far as the server, and be at least MIN_LOST.
    """
    last = max((ttl for ttl, (_, h) in target.items() if h.reply), default=0)
    lost = [t for t in target if t > last and t in neutral and neutral[t][1].reply]
    if len(lost) < MIN_LOST or end not in lost:
        return {}
    return {"dropped": tuple(target[t][0] for t in lost), f"hop={last}": ()}


def _build_hop_facts(fact: str, hops: HopsByTtl, ttl: int) -> Facts:
    return {fact: (hops[ttl][0],), f"hop={ttl}": ()}


def _collect_hops(measurement: Measurement, label: str, sent: str) -> HopsByTtl:
    """Return the hops of one endpoint and packet kind by TTL.

    Hops do not carry an address family, because an experiment measures one path at a time.
    """
    hops: HopsByTtl = {}
    for index, observation in select_observations(measurement, label):
        hop = observation.hop
        if hop is None or hop.sent != sent or observation.failure not in CONCLUSIVE_FAILURES:
            continue
        if hop.ttl not in hops or not hops[hop.ttl][1].reply:
            hops[hop.ttl] = (index, hop)
    return hops


COMPARISON = PathComparison("path", RULES)
