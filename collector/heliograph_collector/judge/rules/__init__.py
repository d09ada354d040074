"""The rules as data, read from the top: the first whose conditions hold gives the verdict.

An id is permanent: it may be retired, never given another meaning. Any change of what a rule
decides raises RULES_VERSION. The README one folder up tells them; a test keeps both in step.
"""

from heliograph_collector.judge.features import Features
from heliograph_collector.judge.rules.dns import DNS, MISDIRECTION
from heliograph_collector.judge.rules.http import HTTP
from heliograph_collector.judge.rules.preconditions import PRECONDITIONS
from heliograph_collector.judge.rules.protocols import PROTOCOL, QUIC
from heliograph_collector.judge.rules.rule import UNKNOWN, Rule
from heliograph_collector.judge.rules.tcp import TCP
from heliograph_collector.judge.rules.tls import TLS

__all__ = ["RULES", "RULES_VERSION", "Rule", "decide"]

LAYERS: tuple[Rule, ...] = (*DNS, *TCP, *MISDIRECTION, *TLS, *QUIC, *PROTOCOL, *HTTP)
RULES_VERSION = 3
RULES: tuple[Rule, ...] = (
    *PRECONDITIONS,
    *LAYERS,
    Rule("none.doubt", UNKNOWN, "No rule knows this case."),
)


def decide(features: Features) -> Rule:
    """The first rule that holds; the last one always does."""
    return next(rule for rule in RULES if rule.matches(features))
