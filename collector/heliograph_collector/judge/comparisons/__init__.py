"""Experiments that are judged by comparing their endpoints, by name.

verdict = COMPARISONS["sni"].decide(record, control)
print(verdict.rule)  # sni.reset
"""

from collections.abc import Sequence

from heliograph_collector.judge.comparisons import (
    dns_integrity,
    ech,
    hello,
    http_host,
    middlebox,
    path,
    quic,
    sni,
    throttling,
)
from heliograph_collector.judge.comparisons.services import (
    SERVICE_COMPARISON_RULES,
    SERVICE_COMPARISONS,
)
from heliograph_collector.judge.comparisons.table import Comparison, ComparisonRule

__all__ = [
    "COMPARISONS",
    "SERVICE_COMPARISONS",
    "SERVICE_COMPARISON_RULES",
    "Comparison",
    "ComparisonRule",
    "list_comparison_rules",
]

_ALL: tuple[Comparison, ...] = (
    sni.COMPARISON,
    http_host.COMPARISON,
    middlebox.COMPARISON,
    throttling.COMPARISON,
    path.COMPARISON,
    dns_integrity.COMPARISON,
    quic.COMPARISON,
    ech.COMPARISON,
    hello.COMPARISON,
)
COMPARISONS: dict[str, Comparison] = {comparison.experiment: comparison for comparison in _ALL}


def list_comparison_rules() -> dict[str, Sequence[ComparisonRule]]:
    """List the rules by experiment; "services" has those of all tests of services."""
    by_experiment = {name: comparison.rules for name, comparison in sorted(COMPARISONS.items())}
    return {**by_experiment, "services": SERVICE_COMPARISON_RULES}
