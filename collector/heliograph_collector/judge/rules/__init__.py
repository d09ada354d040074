"""Decision table of rules: the first rule whose conditions hold gives the verdict.

An id is permanent: it may be retired, but never gets another meaning. Any change of a decision
raises RULES_VERSION. The README in `judge/` lists the rules, and a test keeps both equal. The
strengths are assumed.

Example:
    features = extract_features(pair_steps(record, control).pair_page())
    rule = decide(features)
    print(rule.id, rule.state, rule.select_strength(features))
"""

from functools import lru_cache

from heliograph.failure import Failure, Operation
from heliograph_collector.judge.deciding_failure import DecidingFailure
from heliograph_collector.judge.feature_names import Feature
from heliograph_collector.judge.features import Features
from heliograph_collector.judge.rules.dns import DNS, MISDIRECTION
from heliograph_collector.judge.rules.http import HTTP
from heliograph_collector.judge.rules.preconditions import FAILS_EVERYWHERE, PRECONDITIONS
from heliograph_collector.judge.rules.protocols import PROTOCOL, QUIC
from heliograph_collector.judge.rules.rule import UNKNOWN, Rule, doubt_rule
from heliograph_collector.judge.rules.tcp import TCP
from heliograph_collector.judge.rules.tls import TLS

__all__ = ["RULES", "RULES_VERSION", "Rule", "decide"]

CACHE_SIZE = 4096  # endpoints of a service mostly have the same features; assumed
LAYERS: tuple[Rule, ...] = (*DNS, *TCP, *TLS, *QUIC, *PROTOCOL, *HTTP)
RULES_VERSION = 27
RULES: tuple[Rule, ...] = (
    *PRECONDITIONS,
    *MISDIRECTION,
    *FAILS_EVERYWHERE,
    Rule(
        "name.works",
        UNKNOWN,
        "The address that the system gave fails, and another address of the name showed the right "
        "certificate here: not the name is blocked, at most this address.",
        needs={Feature.FAILED, Feature.NAME_WORKS, Feature.CONTROL_PASSED},
    ),
    *LAYERS,
    doubt_rule(
        "control.elsewhere",
        "No control looked at this address; the name works for it at another one.",
        Feature.FAILED,
        lacks={Feature.CONTROL_PASSED},
    ),
    Rule("none.doubt", UNKNOWN, "No rule knows this case."),
)


def decide(features: Features) -> Rule:
    """Return the first rule that holds; the last rule always holds."""
    failure = features.deciding_failure
    return _find_rule(features.present, failure and failure.operation, failure and failure.failure)


@lru_cache(CACHE_SIZE)
def _find_rule(
    present: frozenset[Feature], operation: Operation | None, failure: Failure | None
) -> Rule:
    """Find the rule for these features and this failed step.

    Rules read nothing else.
    """
    deciding_failure = DecidingFailure(operation, failure, ()) if operation and failure else None
    features = Features(present, deciding_failure)
    return next(rule for rule in RULES if rule.matches(features))
