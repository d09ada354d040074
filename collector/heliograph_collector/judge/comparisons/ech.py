"""Comparison that shows whether Encrypted ClientHello itself is blocked.

Endpoints at one server: `none` (no extension), `grease` (a meaningless extension), `real`. Each
is one ClientHello and its answer. An alert may come from a censor or from the server.
"""

from heliograph.failure import Operation
from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.outcome import OutcomeComparison
from heliograph_collector.judge.comparisons.table import ComparisonRule, Facts, select_observations
from heliograph_collector.judge.rules.rule import BLOCKED, REACHABLE, UNKNOWN

FAILURE_KINDS = (
    ("reset", "reset_after_hello", "Reset", 0.85),
    ("eof", "eof_after_hello", "Closed", 0.75),
    ("timeout", "timeout_after_hello", "Silence", 0.8),
    ("alert", "alert", "An alert", 0.6),
)

RULES = (
    ComparisonRule(
        "ech.server",
        UNKNOWN,
        "The hidden name fails at the control too: the server, or its keys.",
        needs="real_failed control_real_failed",
    ),
    ComparisonRule(
        "ech.server_grease",
        UNKNOWN,
        "Even the empty extension fails at the control.",
        needs="grease_failed control_grease_failed",
    ),
    ComparisonRule(
        "ech.not_only_ech", UNKNOWN, "The plain handshake fails too.", needs="none_failed"
    ),
    *(
        ComparisonRule(
            f"ech.any_{name}",
            BLOCKED,
            f"{says} for the extension as such, even one that means nothing.",
            strength,
            needs=f"grease:{method} none_passed control_grease_passed same_grease",
            lacks="real_passed",
            layer="tls",
            method=f"ech_{name}",
        )
        for name, method, says, strength in FAILURE_KINDS
    ),
    *(
        ComparisonRule(
            f"ech.hidden_{name}",
            BLOCKED,
            f"{says} for a hidden name: its outer name, or the server's use of it.",
            round(strength - 0.1, 2),
            needs=f"real:{method} none_passed control_real_passed same_real",
            layer="tls",
            method=f"ech_{name}",
        )
        for name, method, says, strength in FAILURE_KINDS
    ),
    ComparisonRule(
        "ech.unopened",
        UNKNOWN,
        "The hidden name was not decrypted: an old key, or another server answered.",
        needs="real_unopened",
    ),
    ComparisonRule(
        "ech.reached", REACHABLE, "A hidden name gets through.", 0.9, needs="real_passed"
    ),
    ComparisonRule(
        "ech.grease_reached",
        REACHABLE,
        "The empty extension gets through; a hidden name was not tried to its end.",
        0.7,
        needs="grease_passed",
        lacks="real_failed",
    ),
    ComparisonRule("ech.doubt", UNKNOWN, "Nothing here separates the extension from the server."),
)


class EchComparison(OutcomeComparison):
    def collect_facts(self, measurement: Measurement) -> Facts:
        unopened = tuple(
            index
            for index, observation in select_observations(measurement, "real")
            if observation.exchange is not None and observation.exchange.reply == "server_hello"
        )
        facts = OutcomeComparison.collect_facts(self, measurement)
        return facts | {"real_unopened": unopened} if unopened else facts


COMPARISON = EchComparison(
    "ech", RULES, dict.fromkeys(("none", "grease", "real"), Operation.TLS_HANDSHAKE)
)
