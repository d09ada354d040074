"""Comparison that shows whether Encrypted ClientHello itself is blocked.

Endpoints at one server: `none` (no extension), `grease` (a meaningless extension), `real`. Each
is one ClientHello and its answer. An alert may come from a censor or from the server.
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
    select_observations,
)

GOAL = Operation.TLS_HANDSHAKE
FAILURE_KINDS = (
    ("reset", "reset_after_hello", "Reset", 0.85),
    ("eof", "eof_after_hello", "Closed", 0.75),
    ("timeout", "timeout_after_hello", "Silence", 0.8),
    ("alert", "alert", "An alert", 0.6),
)

RULES = (
    ComparisonRule(
        id="ech.server",
        state=UNKNOWN,
        says="The hidden name fails at the control too: the server, or its keys.",
        needs="real_failed control_real_failed",
    ),
    ComparisonRule(
        id="ech.server_grease",
        state=UNKNOWN,
        says="Even the empty extension fails at the control.",
        needs="grease_failed control_grease_failed",
    ),
    ComparisonRule(
        id="ech.not_only_ech",
        state=UNKNOWN,
        says="The plain handshake fails too.",
        needs="none_failed",
    ),
    *(
        ComparisonRule(
            id=f"ech.any_{name}",
            state=BLOCKED,
            says=f"{says} for the extension as such, even one that means nothing.",
            strength=strength,
            needs=f"grease:{word} none_passed control_grease_passed",
            lacks="real_passed",
            layer="tls",
            method=f"ech_{name}",
        )
        for name, word, says, strength in FAILURE_KINDS
    ),
    *(
        ComparisonRule(
            id=f"ech.hidden_{name}",
            state=BLOCKED,
            says=f"{says} for a hidden name: its outer name, or the server's use of it.",
            strength=round(strength - 0.1, 2),
            needs=f"real:{word} none_passed control_real_passed",
            layer="tls",
            method=f"ech_{name}",
        )
        for name, word, says, strength in FAILURE_KINDS
    ),
    ComparisonRule(
        id="ech.unopened",
        state=UNKNOWN,
        says="The hidden name was not opened: an old key, or somebody who answers in its place.",
        needs="real_unopened",
    ),
    ComparisonRule(
        id="ech.reached",
        state=REACHABLE,
        says="A hidden name gets through.",
        strength=0.9,
        needs="real_passed",
    ),
    ComparisonRule(
        id="ech.grease_reached",
        state=REACHABLE,
        says="The empty extension gets through; a hidden name was not tried to an end.",
        strength=0.7,
        needs="grease_passed",
        lacks="real_failed",
    ),
    ComparisonRule(
        id="ech.doubt", state=UNKNOWN, says="Nothing here tells the extension from the server."
    ),
)


def extract_facts(measurement: Measurement, control: Measurement | None) -> Facts:
    return _collect_facts(measurement) | (
        prefix_facts("control_", _collect_facts(control)) if control else {}
    )


def _collect_facts(measurement: Measurement) -> Facts:
    facts: Facts = {}
    for label in ("none", "grease", "real"):
        facts |= describe_outcome(label, find_outcome(measurement, label, GOAL), GOAL)
    unopened = tuple(
        index
        for index, observation in select_observations(measurement, "real")
        if observation.exchange is not None and observation.exchange.reply == "server_hello"
    )
    if unopened:
        facts["real_unopened"] = unopened
    return facts


COMPARISON = Comparison("ech", extract_facts, RULES)
