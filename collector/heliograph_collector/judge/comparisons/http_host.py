"""Comparison of the target's name and a neutral name as cleartext HTTP Host.

Endpoints: `target` and `neutral`, both at one neutral server that does not serve the target.
"""

from heliograph.failure import Operation
from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.outcome import NameComparison, build_name_rules
from heliograph_collector.judge.comparisons.table import ComparisonRule, Facts
from heliograph_collector.judge.measurement_steps import build_view
from heliograph_collector.judge.page_comparison import Likeness, compare_pages
from heliograph_collector.judge.rules.rule import BLOCKED, REACHABLE, UNKNOWN

FACT_BY_LIKENESS = {
    Likeness.BLOCK: "block_page",
    Likeness.NOTICE: "block_page",  # a neutral server has no news
    Likeness.LEGAL: "legal_page",
    Likeness.REDIRECTED: "redirected",
    Likeness.DIFFERENT: "different",
    Likeness.SAME: "same",
}

RULES = (
    *build_name_rules(
        "http_host",
        "http",
        "host",
        (
            ("reset", "reset_after_request", "The name is answered by a reset", 0.9),
            ("eof", "eof_after_request", "The name ends the connection", 0.8),
            ("timeout", "timeout_after_request", "The name gets no answer", 0.8),
            ("not_http", "not_http", "The answer to the name is not HTTP", 0.6),
        ),
    ),
    *(
        ComparisonRule(
            f"http_host.{name}",
            BLOCKED,
            says,
            strength,
            needs=f"{fact} neutral_same control_target_passed",
            layer="http",
            method=f"host_{name}",
        )
        for name, fact, says, strength in (
            ("block_page", "target_block_page", "The name leads to a known block page.", 0.95),
            ("legal", "target_legal_page", "The name gets status 451.", 0.75),
            (
                "redirect",
                "target_redirected",
                "The name is redirected elsewhere than at the control.",
                0.75,
            ),
        )
    ),
    ComparisonRule(
        "http_host.other_page",
        UNKNOWN,
        "The name gets another page than at the control, as servers do by themselves.",
        needs="target_different",
    ),
    ComparisonRule(
        "http_host.passes",
        REACHABLE,
        "The name is answered by the neutral server as at the control.",
        0.75,
        needs="target_passed target_same",
    ),
    ComparisonRule("http_host.doubt", UNKNOWN, "The observations fit no single cause."),
)


class HttpHostComparison(NameComparison):
    def extract_facts(self, measurement: Measurement, control: Measurement | None) -> Facts:
        facts = NameComparison.extract_facts(self, measurement, control)
        if control is not None:
            for label in self.goals:
                facts |= _compare_endpoint_pages(measurement, control, label)
        return facts


def _compare_endpoint_pages(measurement: Measurement, control: Measurement, label: str) -> Facts:
    vantage_page, control_page = (
        build_view(m.observations, label).page for m in (measurement, control)
    )
    if vantage_page is None or control_page is None:
        return {}
    fact = FACT_BY_LIKENESS.get(compare_pages(vantage_page[1], control_page[1]))
    return {f"{label}_{fact}": (vantage_page[0].index,)} if fact else {}


COMPARISON = HttpHostComparison(
    "http_host", RULES, dict.fromkeys(("target", "neutral"), Operation.HTTP_ROUND_TRIP)
)
