"""The rules as data, read from the top: the first whose conditions hold gives the verdict.

An id is permanent: it may be retired, never given another meaning. Any change of what a rule
decides raises RULES_VERSION. The README one folder up tells them; a test keeps both in step.
"""

from heliograph_collector.judge.features import Case
from heliograph_collector.judge.rules.layers import LAYERS
from heliograph_collector.judge.rules.preconditions import GATES
from heliograph_collector.judge.rules.rule import UNKNOWN, Rule

__all__ = ["RULES", "RULES_VERSION", "Rule", "decide"]

RULES_VERSION = 3

RULES: tuple[Rule, ...] = (
    *GATES,
    *LAYERS,
    Rule("none.doubt", UNKNOWN, "No rule knows this case."),
)


def decide(case: Case) -> Rule:
    """The first rule that holds; the last one always does."""
    return next(rule for rule in RULES if rule.holds(case))
