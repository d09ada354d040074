"""Distinguish blocking by TLS server name from blocking by address.

Endpoints `target`, `neutral` and `none` (no name) are at one neutral server. `direct` is the
target's own server, and `direct_neutral` the same server with a neutral name. A certificate that
does not match counts as an answer here, from the server or any other sender.
"""

from heliograph.failure import Operation
from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.outcome import NameComparison, build_name_rules
from heliograph_collector.judge.comparisons.table import ComparisonRule, Facts
from heliograph_collector.judge.rules.rule import BLOCKED, REACHABLE, UNKNOWN

LABELS = ("target", "neutral", "none", "direct", "direct_neutral")

RULES = (
    *build_name_rules(
        "sni",
        "tls",
        "sni",
        (
            ("reset", "reset_after_hello", "The name is answered by a reset", 0.9),
            ("eof", "eof_after_hello", "The name ends the connection", 0.8),
            ("timeout", "timeout_after_hello", "The name gets no answer", 0.85),
            ("alert", "alert", "The name is answered by an alert", 0.6),
        ),
    ),
    ComparisonRule(
        "sni.at_its_own_address",
        BLOCKED,
        "A neutral name passes at the target's own address, and its own does not.",
        0.8,
        needs="direct_cut direct_neutral_passed control_direct_passed same_direct",
        layer="tls",
        method="sni_at_address",
    ),
    ComparisonRule(
        "sni.address",
        BLOCKED,
        "The name passes at a neutral address, and the target's own connects nowhere.",
        0.75,
        needs="target_passed direct_unconnected control_direct_passed same_direct",
        layer="tcp",
        method="address",
    ),
    ComparisonRule(
        "sni.passes",
        REACHABLE,
        "The name passes at a neutral server, and nothing else failed.",
        0.8,
        needs="target_passed control_target_passed",
        lacks="direct_failed",
    ),
    ComparisonRule(
        "sni.doubt",
        UNKNOWN,
        "Neither the name alone nor the address alone explains the observations.",
    ),
)


class SniComparison(NameComparison):
    def extract_facts(self, measurement: Measurement, control: Measurement | None) -> Facts:
        facts = NameComparison.extract_facts(self, measurement, control)
        direct = self.find_outcome(measurement, "direct")
        if direct is None:
            return facts
        if direct.operation is self.goals["direct"] and direct.method.endswith("_after_hello"):
            facts["direct_cut"] = direct.evidence
        return facts


COMPARISON = SniComparison(
    "sni", RULES, dict.fromkeys(LABELS, Operation.TLS_HANDSHAKE), {*LABELS} - {"direct"}
)
