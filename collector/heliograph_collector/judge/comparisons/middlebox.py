"""Detection of middleboxes that change requests on the way to the echo service.

A middlebox that rewrites headers blocks nothing, so rewriting is a method of `reachable`. A
malformed request line that never comes back is `unknown`: a middlebox or a poor link may drop it.
The protocol names the part: `http_echo` tests headers, `tcp_echo` tests request lines.
"""

from heliograph.failure import Failure, Operation
from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.table import (
    Comparison,
    ComparisonRule,
    Facts,
    select_observations,
)
from heliograph_collector.judge.endpoint_view import ObservedStep
from heliograph_collector.judge.rules.rule import REACHABLE, UNKNOWN

PART_BY_PROTOCOL = {"http_echo": "headers", "tcp_echo": "lines"}
LOST_METHODS = ("reset_after_message", "eof_after_message", "timeout_after_message")

RULES = (
    ComparisonRule(
        "middlebox.at_the_service",
        UNKNOWN,
        "The control's requests arrive changed too: the echo service changes them.",
        needs="changed control_changed",
    ),
    ComparisonRule(
        "middlebox.headers",
        REACHABLE,
        "Headers arrived changed; the control's arrived as sent.",
        0.9,
        needs="headers_changed control_headers_same",
        layer="http",
        method="header_manipulation",
    ),
    ComparisonRule(
        "middlebox.lines",
        REACHABLE,
        "Malformed request lines came back changed, or another server answered them.",
        0.9,
        needs="lines_changed control_lines_same",
        layer="http",
        method="request_line_manipulation",
    ),
    ComparisonRule(
        "middlebox.lines_cut",
        UNKNOWN,
        "Malformed request lines got no reply, a good request did.",
        needs="lines_lost headers_same control_lines_same",
        layer="http",
        method="request_line_cut",
    ),
    ComparisonRule(
        "middlebox.none",
        REACHABLE,
        "Everything arrived as it was sent.",
        0.8,
        needs="same",
        lacks="changed lost",
    ),
    ComparisonRule("middlebox.no_echo", UNKNOWN, "The echo service did not answer."),
)


class MiddleboxComparison(Comparison):
    def collect_facts(self, measurement: Measurement) -> Facts:
        facts: Facts = {}
        for index, observation in select_observations(measurement):
            if observation.operation is not Operation.EXCHANGE or observation.exchange is None:
                continue
            part = PART_BY_PROTOCOL.get(observation.exchange.protocol)
            state = _classify_step(ObservedStep(index, observation))
            for fact in (state, f"{part}_{state}") if part and state else ():
                facts[fact] = (*facts.get(fact, ()), index)
        return facts


def _classify_step(step: ObservedStep) -> str:
    exchange = step.observation.exchange
    if (
        exchange is not None and exchange.differences
    ) or step.observation.failure is Failure.UNEXPECTED_REPLY:
        return "changed"
    if step.has_succeeded:
        return "same"
    return "lost" if step.method in LOST_METHODS else ""


COMPARISON = MiddleboxComparison("middlebox", RULES)
