"""Rules and thresholds of the stages, as the methodology page shows them."""

from dataclasses import asdict

from heliograph.units import MINUTE_US
from heliograph_collector.aggregate import rollup
from heliograph_collector.detect import DETECT_VERSION, THRESHOLDS
from heliograph_collector.http.backend import Method, build_method_rules
from heliograph_collector.judge import RULES, RULES_VERSION
from heliograph_collector.judge.comparisons import COMPARISONS, SERVICE_COMPARISON_RULES
from heliograph_collector.judge.confidence import FULL_US, STALE_FACTOR, STALE_US


def describe_method() -> Method:
    rules_by_experiment = {
        name: build_method_rules(comparison.rules)
        for name, comparison in sorted(COMPARISONS.items())
    }
    return Method(
        rules_version=RULES_VERSION,
        detect_version=DETECT_VERSION,
        rules=build_method_rules(RULES),
        rules_by_experiment={
            **rules_by_experiment,
            "services": build_method_rules(SERVICE_COMPARISON_RULES),
        },
        control={
            "full_min": FULL_US // MINUTE_US,
            "stale_min": STALE_US // MINUTE_US,
            "at_stale": STALE_FACTOR,
        },
        cells=asdict(rollup.THRESHOLDS),
        detect=asdict(THRESHOLDS),
    )
