"""Comparison of QUIC to the target with TLS over TCP and a neutral QUIC server.

Endpoints: `target`, `tcp`, `neutral`. A UDP port 443 that is closed for every server is `unknown`:
an office firewall closes it as well as a national one, and one measurement cannot tell which.
"""

from heliograph.failure import Operation
from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.outcome import describe_outcome, find_outcome
from heliograph_collector.judge.comparisons.table import (
    BLOCKED,
    REACHABLE,
    UNKNOWN,
    Comparison,
    ComparisonRule,
    Facts,
    prefix_facts,
)

GOALS = {
    "target": Operation.QUIC_HANDSHAKE,
    "tcp": Operation.TLS_HANDSHAKE,
    "neutral": Operation.QUIC_HANDSHAKE,
}

RULES = (
    ComparisonRule(
        id="quic.reached",
        state=REACHABLE,
        says="The expected certificate was shown and verified over QUIC.",
        strength=0.95,
        needs="target_passed",
        needs_no_control=True,
    ),
    ComparisonRule(
        id="quic.down",
        state=UNKNOWN,
        says="The target speaks no QUIC with the control either.",
        needs="target_failed control_target_failed",
    ),
    ComparisonRule(
        id="quic.udp_dropped",
        state=UNKNOWN,
        says="No QUIC with anybody: UDP port 443 is closed here, by whomever.",
        needs="target_failed neutral_failed",
        layer="quic",
        method="udp_443",
    ),
    ComparisonRule(
        id="quic.tcp_too",
        state=UNKNOWN,
        says="TLS over TCP fails too, so it is not QUIC that is at fault.",
        needs="target_failed tcp_failed",
    ),
    *(
        ComparisonRule(
            id=f"quic.only_{name}",
            state=BLOCKED,
            says=f"{says}; TCP to the same target and QUIC to a neutral server work.",
            strength=strength,
            needs=f"target:{word} tcp_passed neutral_passed control_target_passed",
            layer="quic",
            method=word,
        )
        for name, word, says, strength in (
            ("timeout", "timeout_after_initial", "Silence after the name was sent", 0.8),
            ("closed", "closed_after_initial", "Closed after the name was sent", 0.75),
            ("reset", "reset_after_initial", "Ended after the name was sent", 0.75),
            ("refused", "refused", "Refused", 0.7),
            ("unreachable", "host_unreachable", "Routers say that there is no way", 0.7),
            ("alert", "alert", "An alert that the control does not get", 0.6),
            ("certificate", "certificate_substitution", "Another certificate", 0.7),
        )
    ),
    ComparisonRule(
        id="quic.no_comparison",
        state=UNKNOWN,
        says="QUIC fails, and what it should be held against was not measured.",
        needs="target_failed",
    ),
)


def extract_facts(measurement: Measurement, control: Measurement | None) -> Facts:
    return _collect_facts(measurement) | (
        prefix_facts("control_", _collect_facts(control)) if control else {}
    )


def _collect_facts(measurement: Measurement) -> Facts:
    facts: Facts = {}
    for label, goal in GOALS.items():
        facts |= describe_outcome(label, find_outcome(measurement, label, goal), goal)
    return facts


COMPARISON = Comparison("quic", extract_facts, RULES)
