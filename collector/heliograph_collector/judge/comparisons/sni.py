"""Comparison that tells blocking by TLS server name from blocking by address.

Endpoints `target`, `neutral` and `none` (no name) are at one neutral server. `direct` is the
target's own server, and `direct_neutral` the same server with a neutral name. A certificate that
does not match counts as an answer here, from the server or any other sender.
"""

from heliograph.failure import Operation
from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.outcome import (
    EndpointOutcome,
    describe_outcome,
    find_outcome,
)
from heliograph_collector.judge.comparisons.table import (
    BLOCKED,
    REACHABLE,
    UNKNOWN,
    Comparison,
    ComparisonRule,
    Facts,
    prefix_facts,
)
from heliograph_collector.judge.failure_semantics import CERTIFICATE_FAILURES

GOAL = Operation.TLS_HANDSHAKE
FOREIGN_LABELS = ("target", "neutral", "none", "direct_neutral")  # whose certificate cannot match

RULES = (
    ComparisonRule(
        id="sni.server_rejects",
        state=UNKNOWN,
        says="The neutral server turns the name away at the control too.",
        needs="target_failed control_target_failed",
    ),
    ComparisonRule(
        id="sni.not_only_the_name",
        state=UNKNOWN,
        says="The neutral name fails at that address too: the address, or the server.",
        needs="target_failed neutral_failed",
    ),
    *(
        ComparisonRule(
            id=f"sni.{name}",
            state=BLOCKED,
            says=f"{says} at an address where a neutral name passes.",
            strength=strength,
            needs=f"target:{word} neutral_passed same_address control_target_passed",
            layer="tls",
            method=f"sni_{name}",
        )
        for name, word, says, strength in (
            ("reset", "reset_after_hello", "The name is answered by a reset", 0.9),
            ("eof", "eof_after_hello", "The name ends the connection", 0.8),
            ("timeout", "timeout_after_hello", "The name is met with silence", 0.85),
            ("alert", "alert", "The name is answered by an alert", 0.6),
        )
    ),
    ComparisonRule(
        id="sni.at_its_own_address",
        state=BLOCKED,
        says="A neutral name passes at the target's own address, and its own does not.",
        strength=0.8,
        needs="direct_cut direct_neutral_passed control_direct_passed",
        layer="tls",
        method="sni_at_address",
    ),
    ComparisonRule(
        id="sni.address",
        state=BLOCKED,
        says="The name passes at a neutral address, and the target's own connects nowhere.",
        strength=0.75,
        needs="target_passed direct_unconnected control_direct_passed same_direct",
        layer="tcp",
        method="address",
    ),
    ComparisonRule(
        id="sni.passes",
        state=REACHABLE,
        says="The name passes at a neutral server, and nothing else failed.",
        strength=0.8,
        needs="target_passed control_target_passed",
        lacks="direct_failed",
    ),
    ComparisonRule(
        id="sni.doubt",
        state=UNKNOWN,
        says="Neither the name alone nor the address alone explains what was seen.",
    ),
)


def extract_facts(measurement: Measurement, control: Measurement | None) -> Facts:
    facts = _collect_facts(measurement)
    target = _find_outcome(measurement, "target")
    neutral = _find_outcome(measurement, "neutral")
    if target and neutral and target.has_only_addresses_of(neutral):
        facts["same_address"] = neutral.evidence
    direct = _find_outcome(measurement, "direct")
    if direct and direct.operation is GOAL and direct.method.endswith("_after_hello"):
        facts["direct_cut"] = direct.evidence
    if control is None:
        return facts
    control_direct = _find_outcome(control, "direct")
    if (
        direct
        and control_direct
        and control_direct.is_success
        and direct.addresses & control_direct.addresses
    ):
        facts["same_direct"] = direct.evidence
    return facts | prefix_facts("control_", _collect_facts(control))


def _collect_facts(measurement: Measurement) -> Facts:
    facts: Facts = {}
    for label in ("target", "neutral", "none", "direct", "direct_neutral"):
        facts |= describe_outcome(label, _find_outcome(measurement, label), GOAL)
    return facts


def _find_outcome(measurement: Measurement, label: str) -> EndpointOutcome | None:
    return find_outcome(
        measurement, label, GOAL, CERTIFICATE_FAILURES if label in FOREIGN_LABELS else ()
    )


COMPARISON = Comparison("sni", extract_facts, RULES)
