"""Comparison of the target's name and a neutral name as cleartext HTTP Host.

Endpoints: `target` and `neutral`, both at one neutral server that does not serve the target.
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
from heliograph_collector.judge.endpoint_view import build_view
from heliograph_collector.judge.page_comparison import Likeness, compare_pages

GOAL = Operation.HTTP_ROUND_TRIP
FACT_BY_LIKENESS = {
    Likeness.BLOCK: "block_page",
    Likeness.LEGAL: "legal_page",
    Likeness.REDIRECTED: "redirected",
    Likeness.DIFFERENT: "different",
    Likeness.SAME: "same",
}

RULES = (
    ComparisonRule(
        id="http_host.server_rejects",
        state=UNKNOWN,
        says="The neutral server turns the name away at the control too.",
        needs="target_failed control_target_failed",
    ),
    ComparisonRule(
        id="http_host.not_only_the_name",
        state=UNKNOWN,
        says="The neutral name fails at that address too: the address, or the server.",
        needs="target_failed neutral_failed",
    ),
    *(
        ComparisonRule(
            id=f"http_host.{name}",
            state=BLOCKED,
            says=f"{says}, and a neutral name at the same address is answered.",
            strength=strength,
            needs=f"target:{word} neutral_passed same_address control_target_passed",
            layer="http",
            method=f"host_{name}",
        )
        for name, word, says, strength in (
            ("reset", "reset_after_request", "The name is answered by a reset", 0.9),
            ("eof", "eof_after_request", "The name ends the connection", 0.8),
            ("timeout", "timeout_after_request", "The name is met with silence", 0.8),
            ("not_http", "not_http", "The name is answered by no HTTP", 0.6),
        )
    ),
    *(
        ComparisonRule(
            id=f"http_host.{name}",
            state=BLOCKED,
            says=says,
            strength=strength,
            needs=f"{word} neutral_same control_target_passed",
            layer="http",
            method=f"host_{name}",
        )
        for name, word, says, strength in (
            ("block_page", "target_block_page", "The name brings a known page of blocking.", 0.95),
            ("legal", "target_legal_page", "The name brings status 451.", 0.75),
            ("redirect", "target_redirected", "The name leads where the control's does not.", 0.75),
        )
    ),
    ComparisonRule(
        id="http_host.other_page",
        state=UNKNOWN,
        says="The name brings another page than at the control, which servers do by themselves.",
        needs="target_different",
    ),
    ComparisonRule(
        id="http_host.passes",
        state=REACHABLE,
        says="The name is answered by the neutral server as at the control.",
        strength=0.75,
        needs="target_passed target_same",
    ),
    ComparisonRule(id="http_host.doubt", state=UNKNOWN, says="What was seen fits no single cause."),
)


def extract_facts(measurement: Measurement, control: Measurement | None) -> Facts:
    facts = _collect_facts(measurement)
    target = _find_outcome(measurement, "target")
    neutral = _find_outcome(measurement, "neutral")
    if target and neutral and target.has_only_addresses_of(neutral):
        facts["same_address"] = neutral.evidence
    if control is None:
        return facts
    for label in ("target", "neutral"):
        facts |= _collect_page_facts(measurement, control, label)
    return facts | prefix_facts("control_", _collect_facts(control))


def _collect_page_facts(measurement: Measurement, control: Measurement, label: str) -> Facts:
    vantage_page, control_page = (
        build_view(m.observations, label).page for m in (measurement, control)
    )
    if vantage_page is None or control_page is None:
        return {}
    fact = FACT_BY_LIKENESS.get(compare_pages(vantage_page[1], control_page[1]))
    return {f"{label}_{fact}": (vantage_page[0].index,)} if fact else {}


def _collect_facts(measurement: Measurement) -> Facts:
    return describe_outcome(
        "target", _find_outcome(measurement, "target"), GOAL
    ) | describe_outcome("neutral", _find_outcome(measurement, "neutral"), GOAL)


def _find_outcome(measurement: Measurement, label: str) -> EndpointOutcome | None:
    return find_outcome(measurement, label, GOAL)


COMPARISON = Comparison("http_host", extract_facts, RULES)
