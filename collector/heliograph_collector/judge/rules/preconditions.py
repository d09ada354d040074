"""Before any layer is looked at: what proves itself, what cannot be known, what is down.

The order matters, and it is: not run, proved by TLS, the vantage's link, the control, doubt,
cleartext and bare successes, failures that the control shares.
"""

from heliograph.failure import Operation as Op
from heliograph_collector.judge.feature_names import Sign
from heliograph_collector.judge.rules.rule import BLOCKED, DOWN, REACHABLE, UNKNOWN, Rule, signs


def _down(name: str, step: Op, says: str) -> Rule:
    return Rule(f"down.{name}", DOWN, says, 0.8, step=step, needs=signs(Sign.CONTROL_FAILED))


NOT_RUN = (
    Rule(
        "none.not_measured",
        UNKNOWN,
        "The task could not run at all.",
        needs=signs(Sign.NOT_MEASURED),
    ),
    Rule("none.no_steps", UNKNOWN, "Nothing was tried.", needs=signs(Sign.NO_STEPS)),
)

# What no link and no control can take back: a verified handshake proves who answered.
STRONG = (
    Rule(
        "down.endless",
        DOWN,
        "It sends on and on, and the control comes to no end either.",
        0.8,
        needs=signs(Sign.ENDLESS, Sign.CONTROL_FAILED),
        layer="http",
        method="endless_redirect",
    ),
    Rule(
        "http.throttled",
        UNKNOWN,
        "The body stopped coming while the control read it whole: perhaps throttled. One slow "
        "transfer does not tell a slow network from a slowed service, so it stays unknown.",
        needs=signs(Sign.SLOW_BODY, Sign.CONTROL_BODY),
        lacks=signs(Sign.FROZEN),
        layer="http",
        method="throttled?",
    ),
    Rule(
        "http.slow_body",
        UNKNOWN,
        "The body did not come in time, and the control's is not known to.",
        needs=signs(Sign.SLOW_BODY),
        lacks=signs(Sign.FROZEN),
        method="slow_body",
    ),
    Rule(
        "http.cut_body",
        UNKNOWN,
        "The body broke off: a poor link does that as well as a censor.",
        needs=signs(Sign.CUT_BODY),
        method="truncated_body",
    ),
    Rule(
        "reached.https",
        REACHABLE,
        "TLS verified and HTTP was answered; what it says is the server's business.",
        0.98,
        needs=signs(Sign.VERIFIED, Sign.ANSWERED),
        lacks=signs(Sign.FROZEN),
        alone=True,
    ),
    Rule(
        "reached.tls",
        REACHABLE,
        "The expected certificate was shown and verified.",
        0.95,
        needs=signs(Sign.VERIFIED),
        lacks=signs(Sign.FAILED),
        alone=True,
    ),
)

LINK = (
    Rule("link.offline", UNKNOWN, "The vantage itself was offline.", needs=signs(Sign.OFFLINE)),
    Rule("link.captive", UNKNOWN, "A portal answered for everybody.", needs=signs(Sign.CAPTIVE)),
    Rule(
        "link.no_resolver",
        UNKNOWN,
        "The vantage could resolve nothing, so this name is no special case.",
        needs=signs(Sign.NO_RESOLVER),
    ),
    Rule(
        "link.domestic_only",
        UNKNOWN,
        "Everything abroad was out of reach: the network is cut, not this target.",
        needs=signs(Sign.DOMESTIC_ONLY),
    ),
    Rule(
        "link.unknown",
        UNKNOWN,
        "Nobody knows whether the vantage had a link.",
        needs=signs(Sign.LINK_UNKNOWN),
    ),
)

CONTROL = (
    Rule(
        "control.missing", UNKNOWN, "No control to compare with.", needs=signs(Sign.CONTROL_MISSING)
    ),
    Rule(
        "control.not_online",
        UNKNOWN,
        "The control's own link was in doubt.",
        needs=signs(Sign.CONTROL_NOT_ONLINE),
    ),
    Rule(
        "control.stale",
        UNKNOWN,
        "The control's result is more than 15 minutes away.",
        needs=signs(Sign.CONTROL_STALE),
    ),
    Rule(
        "control.other_way",
        UNKNOWN,
        "The server sent the control elsewhere, so it has not seen this page.",
        needs=signs(Sign.CONTROL_OTHER_WAY),
    ),
)

DOUBT = (
    Rule(
        "none.interrupted",
        UNKNOWN,
        "The agent was stopped, paused or changed network in the middle.",
        needs=signs(Sign.INTERRUPTED),
        lacks=signs(Sign.FAILED, Sign.AS_FAR_AS_CONTROL),
    ),
    Rule(
        "none.local",
        UNKNOWN,
        "Only the vantage's own system failed.",
        needs=signs(Sign.LOCAL_FAILURE),
        lacks=signs(Sign.FAILED, Sign.AS_FAR_AS_CONTROL),
    ),
    Rule(
        "none.ipv6",
        UNKNOWN,
        "Only IPv6 failed, and that does not count here.",
        needs=signs(Sign.IPV6_FAILURE),
        lacks=signs(Sign.FAILED, Sign.AS_FAR_AS_CONTROL),
    ),
    Rule(
        "http.more_to_come",
        UNKNOWN,
        "The page only sends on, and what follows was not seen.",
        needs=signs(Sign.MORE_TO_COME),
        lacks=signs(Sign.FAILED, Sign.VERIFIED),
    ),
)

WEAK = (
    Rule(
        "reached.http",
        REACHABLE,
        "The cleartext answer is the control's.",
        0.85,
        needs=signs(Sign.PAGE_SAME),
        lacks=signs(Sign.FAILED),
    ),
    Rule(
        "reached.protocol",
        REACHABLE,
        "It answers in its own protocol, and the control got no further.",
        0.9,
        needs=signs(Sign.SPOKEN, Sign.AS_FAR_AS_CONTROL),
        lacks=signs(Sign.FAILED),
    ),
    Rule(
        "reached.tcp",
        REACHABLE,
        "It connects, and the control went no further.",
        0.7,
        needs=signs(Sign.CONNECTED, Sign.AS_FAR_AS_CONTROL),
        lacks=signs(Sign.FAILED, Sign.ANSWERED, Sign.BOGON, Sign.BOGON_EVERYWHERE),
    ),
    Rule(
        "reached.dns",
        REACHABLE,
        "It resolves, and the control went no further.",
        0.6,
        needs=signs(Sign.RESOLVED, Sign.AS_FAR_AS_CONTROL),
        lacks=signs(Sign.FAILED, Sign.CONNECTED, Sign.BOGON, Sign.BOGON_EVERYWHERE),
    ),
)

# What contradicts the control, and would else pass for a failure that it shares.
GONE = (
    Rule(
        "down.nowhere",
        DOWN,
        "The name leads to private or reserved addresses, for the control as well.",
        0.6,
        needs=signs(Sign.BOGON_EVERYWHERE),
        layer="dns",
        method="bogon",
    ),
    Rule(
        "dns.ghost",
        BLOCKED,
        "There is no such name any more, and yet the resolver leads somewhere; an answer here, or "
        "the page that is there, tells that it is a blocking that outlived its target.",
        0.7,
        needs=signs(Sign.GHOST),
        lacks=signs(Sign.VERIFIED),
        layer="dns",
        method="ghost",
    ),
)

FAILS_EVERYWHERE = (
    _down("dns", Op.RESOLVE, "Nobody resolves it."),
    _down("tcp", Op.CONNECT, "The control does not get a connection either."),
    _down("tls", Op.TLS_HANDSHAKE, "The control's handshake fails too, or never gets so far."),
    _down("quic", Op.QUIC_HANDSHAKE, "The control's handshake fails too."),
    _down("http", Op.HTTP_ROUND_TRIP, "The control gets no answer either."),
    _down("protocol", Op.EXCHANGE, "The control gets no reply either."),
    _down("body", Op.READ_BODY, "The control does not get the body either."),
    Rule(
        "control.silent",
        UNKNOWN,
        "The control has not come to a conclusion about this step.",
        needs=signs(Sign.FAILED),
        lacks=signs(Sign.CONTROL_PASSED),
    ),
)

GATES: tuple[Rule, ...] = (
    *NOT_RUN,
    *STRONG,
    *LINK,
    *CONTROL,
    *DOUBT,
    *WEAK,
    *GONE,
    *FAILS_EVERYWHERE,
)
