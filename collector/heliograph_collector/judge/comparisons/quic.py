"""Comparison of QUIC to the target with TLS over TCP and a neutral QUIC server.

Endpoints: `target`, `tcp`, `neutral`. A UDP port 443 that is closed for every server is `unknown`:
an office firewall closes it as well as a national one, and one measurement cannot tell which.
"""

from heliograph.failure import Operation
from heliograph_collector.judge.comparisons.outcome import OutcomeComparison
from heliograph_collector.judge.comparisons.table import ComparisonRule
from heliograph_collector.judge.rules.rule import BLOCKED, REACHABLE, UNKNOWN

GOALS = {
    "target": Operation.QUIC_HANDSHAKE,
    "tcp": Operation.TLS_HANDSHAKE,
    "neutral": Operation.QUIC_HANDSHAKE,
}

RULES = (
    ComparisonRule(
        "quic.reached",
        REACHABLE,
        "The expected certificate was shown and verified over QUIC.",
        0.95,
        needs="target_passed",
        needs_no_control=True,
    ),
    ComparisonRule(
        "quic.down",
        UNKNOWN,
        "The target does not use QUIC with the control either.",
        needs="target_failed control_target_failed",
    ),
    ComparisonRule(
        "quic.udp_dropped",
        UNKNOWN,
        "No QUIC to any server: UDP port 443 is closed here, and it is unknown who closed it.",
        needs="target_failed neutral_failed",
        layer="quic",
        method="udp_443",
    ),
    ComparisonRule(
        "quic.tcp_too",
        UNKNOWN,
        "TLS over TCP fails too, so QUIC is not at fault.",
        needs="target_failed tcp_failed",
    ),
    *(
        ComparisonRule(
            f"quic.only_{name}",
            BLOCKED,
            f"{says}; TCP to the same target and QUIC to a neutral server work.",
            strength,
            needs=f"target:{method} tcp_passed neutral_passed control_target_passed same_target",
            layer="quic",
            method=method,
        )
        for name, method, says, strength in (
            ("timeout", "timeout_after_initial", "Silence after the name was sent", 0.8),
            ("closed", "closed_after_initial", "Closed after the name was sent", 0.75),
            ("reset", "reset_after_initial", "Ended after the name was sent", 0.75),
            ("refused", "refused", "Refused", 0.7),
            ("unreachable", "host_unreachable", "Routers report that there is no route", 0.7),
            ("alert", "alert", "An alert that the control does not get", 0.6),
            ("certificate", "certificate_substitution", "Another certificate", 0.7),
        )
    ),
    ComparisonRule(
        "quic.no_comparison",
        UNKNOWN,
        "QUIC fails, and what it should be compared with was not measured.",
        needs="target_failed",
    ),
)


COMPARISON = OutcomeComparison("quic", RULES, GOALS)
