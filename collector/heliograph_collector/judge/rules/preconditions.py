"""Rules that come before any layer: proof by TLS, doubts and failures everywhere.

The order matters: not run, proven by TLS, the vantage's link, the control, doubt, success that
agrees with the control, contradiction of the control, failures that the control shares.
"""

from heliograph.failure import Operation as Op
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.rules.rule import (
    BLOCKED,
    DOWN,
    REACHABLE,
    UNKNOWN,
    Rule,
    feature_set,
)


def _down_rule(name: str, step: Op, says: str) -> Rule:
    return Rule(
        f"down.{name}", DOWN, says, 0.8, step=step, needs=feature_set(Feature.CONTROL_FAILED)
    )


NOT_RUN_CHECKS = (
    Rule(
        "none.not_measured",
        UNKNOWN,
        "The task could not run at all.",
        needs=feature_set(Feature.NOT_MEASURED),
    ),
    Rule("none.no_steps", UNKNOWN, "Nothing was tried.", needs=feature_set(Feature.NO_STEPS)),
)

# No link and no control can refute these: a verified handshake proves who answered.
PROVEN = (
    Rule(
        "down.endless",
        DOWN,
        "It sends on and on, and the control comes to no end either.",
        0.8,
        needs=feature_set(Feature.REDIRECT_ENDLESS, Feature.CONTROL_FAILED),
        layer="http",
        method="endless_redirect",
    ),
    Rule(
        "http.throttled",
        UNKNOWN,
        "The body stopped coming while the control read it whole: perhaps throttled. One slow "
        "transfer does not tell a slow network from a slowed service, so it stays unknown.",
        needs=feature_set(Feature.SLOW_BODY, Feature.CONTROL_BODY),
        lacks=feature_set(Feature.FROZEN),
        layer="http",
        method="throttled?",
    ),
    Rule(
        "http.slow_body",
        UNKNOWN,
        "The body did not come in time, and the control's is not known to.",
        needs=feature_set(Feature.SLOW_BODY),
        lacks=feature_set(Feature.FROZEN),
        method="slow_body",
    ),
    Rule(
        "http.cut_body",
        UNKNOWN,
        "The body broke off: a poor link does that as well as a censor.",
        needs=feature_set(Feature.TRUNCATED_BODY),
        method="truncated_body",
    ),
    Rule(
        "reached.https",
        REACHABLE,
        "TLS verified and HTTP was answered; what it says is the server's business.",
        0.98,
        needs=feature_set(Feature.VERIFIED, Feature.ANSWERED),
        lacks=feature_set(Feature.FROZEN),
        needs_no_control=True,
    ),
    Rule(
        "reached.tls",
        REACHABLE,
        "The expected certificate was shown and verified.",
        0.95,
        needs=feature_set(Feature.VERIFIED),
        lacks=feature_set(Feature.FAILED),
        needs_no_control=True,
    ),
)

LINK_CHECKS = (
    Rule(
        "link.offline",
        UNKNOWN,
        "The vantage itself was offline.",
        needs=feature_set(Feature.OFFLINE),
    ),
    Rule(
        "link.captive",
        UNKNOWN,
        "A portal answered for everybody.",
        needs=feature_set(Feature.CAPTIVE),
    ),
    Rule(
        "link.no_resolver",
        UNKNOWN,
        "The vantage could resolve nothing, so this name is no special case.",
        needs=feature_set(Feature.NO_RESOLVER),
    ),
    Rule(
        "link.domestic_only",
        UNKNOWN,
        "Everything abroad was out of reach: the network is cut, not this target.",
        needs=feature_set(Feature.DOMESTIC_ONLY),
    ),
    Rule(
        "link.unknown",
        UNKNOWN,
        "Nobody knows whether the vantage had a link.",
        needs=feature_set(Feature.LINK_UNKNOWN),
    ),
)

CONTROL_CHECKS = (
    Rule(
        "control.missing",
        UNKNOWN,
        "No control to compare with.",
        needs=feature_set(Feature.CONTROL_MISSING),
    ),
    Rule(
        "control.not_online",
        UNKNOWN,
        "The control's own link was in doubt.",
        needs=feature_set(Feature.CONTROL_NOT_ONLINE),
    ),
    Rule(
        "control.stale",
        UNKNOWN,
        "The control's result is more than 15 minutes away.",
        needs=feature_set(Feature.CONTROL_STALE),
    ),
    Rule(
        "control.other_way",
        UNKNOWN,
        "The server sent the control elsewhere, so it has not seen this page.",
        needs=feature_set(Feature.CONTROL_REDIRECTED_AWAY),
    ),
)

DOUBT = (
    Rule(
        "none.interrupted",
        UNKNOWN,
        "The agent was stopped, paused or changed network in the middle.",
        needs=feature_set(Feature.INTERRUPTED),
        lacks=feature_set(Feature.FAILED, Feature.AS_FAR_AS_CONTROL),
    ),
    Rule(
        "none.local",
        UNKNOWN,
        "Only the vantage's own system failed.",
        needs=feature_set(Feature.LOCAL_FAILURE),
        lacks=feature_set(Feature.FAILED, Feature.AS_FAR_AS_CONTROL),
    ),
    Rule(
        "none.ipv6",
        UNKNOWN,
        "Only IPv6 failed, and that does not count here.",
        needs=feature_set(Feature.IPV6_FAILURE),
        lacks=feature_set(Feature.FAILED, Feature.AS_FAR_AS_CONTROL),
    ),
    Rule(
        "http.more_to_come",
        UNKNOWN,
        "The page only sends on, and what follows was not seen.",
        needs=feature_set(Feature.REDIRECT_UNFOLLOWED),
        lacks=feature_set(Feature.FAILED, Feature.VERIFIED),
    ),
)

CONTROL_AGREED = (
    Rule(
        "reached.http",
        REACHABLE,
        "The cleartext answer is the control's.",
        0.85,
        needs=feature_set(Feature.PAGE_SAME),
        lacks=feature_set(Feature.FAILED),
    ),
    Rule(
        "reached.protocol",
        REACHABLE,
        "It answers in its own protocol, and the control got no further.",
        0.9,
        needs=feature_set(Feature.PROTOCOL_ANSWERED, Feature.AS_FAR_AS_CONTROL),
        lacks=feature_set(Feature.FAILED),
    ),
    Rule(
        "reached.tcp",
        REACHABLE,
        "It connects, and the control went no further.",
        0.7,
        needs=feature_set(Feature.CONNECTED, Feature.AS_FAR_AS_CONTROL),
        lacks=feature_set(
            Feature.FAILED, Feature.ANSWERED, Feature.BOGON, Feature.BOGON_EVERYWHERE
        ),
    ),
    Rule(
        "reached.dns",
        REACHABLE,
        "It resolves, and the control went no further.",
        0.6,
        needs=feature_set(Feature.RESOLVED, Feature.AS_FAR_AS_CONTROL),
        lacks=feature_set(
            Feature.FAILED, Feature.CONNECTED, Feature.BOGON, Feature.BOGON_EVERYWHERE
        ),
    ),
)

# Contradictions of the control, which would otherwise match FAILS_EVERYWHERE.
CONTROL_CONTRADICTED = (
    Rule(
        "down.nowhere",
        DOWN,
        "The name leads to private or reserved addresses, for the control as well.",
        0.6,
        needs=feature_set(Feature.BOGON_EVERYWHERE),
        layer="dns",
        method="bogon",
    ),
    Rule(
        "dns.ghost",
        BLOCKED,
        "There is no such name any more, and yet the resolver leads somewhere; an answer here, or "
        "the page that is there, tells that it is a blocking that outlived its target.",
        0.7,
        needs=feature_set(Feature.NAME_GONE),
        lacks=feature_set(Feature.VERIFIED),
        layer="dns",
        method="ghost",
    ),
)

FAILS_EVERYWHERE = (
    _down_rule("dns", Op.RESOLVE, "Nobody resolves it."),
    _down_rule("tcp", Op.CONNECT, "The control does not get a connection either."),
    _down_rule("tls", Op.TLS_HANDSHAKE, "The control's handshake fails too, or never gets so far."),
    _down_rule("quic", Op.QUIC_HANDSHAKE, "The control's handshake fails too."),
    _down_rule("http", Op.HTTP_ROUND_TRIP, "The control gets no answer either."),
    _down_rule("protocol", Op.EXCHANGE, "The control gets no reply either."),
    _down_rule("body", Op.READ_BODY, "The control does not get the body either."),
    Rule(
        "control.silent",
        UNKNOWN,
        "The control has not come to a conclusion about this step.",
        needs=feature_set(Feature.FAILED),
        lacks=feature_set(Feature.CONTROL_PASSED),
    ),
)

PRECONDITIONS: tuple[Rule, ...] = (
    *NOT_RUN_CHECKS,
    *PROVEN,
    *LINK_CHECKS,
    *CONTROL_CHECKS,
    *DOUBT,
    *CONTROL_AGREED,
    *CONTROL_CONTRADICTED,
    *FAILS_EVERYWHERE,
)
