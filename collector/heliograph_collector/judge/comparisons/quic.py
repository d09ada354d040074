"""Comparison of QUIC to the target with TLS over TCP and a neutral QUIC server.

Endpoints: `target`, `tcp`, `neutral`; before `target`, at one of its addresses, `chrome` and
`firefox` (the Initials of a browser, up to the server's hello), and after a failure of these
`neutral_chrome`. Agents of before have the first three alone.

A UDP port 443 that is closed for every server is `unknown`:
an office firewall closes it as well as a national one, and one measurement cannot tell which.
"""

from heliograph.experiments.network import QUIC_BROWSERS
from heliograph.failure import Operation
from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.outcome import OutcomeComparison
from heliograph_collector.judge.comparisons.table import ComparisonRule, Facts
from heliograph_collector.judge.rules.rule import BLOCKED, REACHABLE, UNKNOWN

GOALS = {
    "target": Operation.QUIC_HANDSHAKE,
    "tcp": Operation.TLS_HANDSHAKE,
    "neutral": Operation.QUIC_HANDSHAKE,
    **dict.fromkeys((*QUIC_BROWSERS, "neutral_chrome"), Operation.QUIC_HANDSHAKE),
}
CUTS = ("timeout_after_initial", "closed_after_initial", "reset_after_initial")

RULES = (
    ComparisonRule(
        "quic.browsers_dropped",
        BLOCKED,
        "Every browser's first packets are dropped, and ours pass, which are as large; a browser's "
        "pass to a neutral server.",
        0.7,
        needs="browsers_cut target_passed neutral_chrome_passed",
        layer="quic",
        method="initial_fingerprint",
    ),
    ComparisonRule(
        "quic.browsers_doubt",
        UNKNOWN,
        "Browsers' first packets are not answered, and ours are: the filter, or the path.",
        needs="browsers_fail target_passed",
    ),
    ComparisonRule(
        "quic.own_filtered",
        UNKNOWN,
        "Our own first packet is filtered, and browsers' are answered: nobody who uses a browser "
        "is blocked by it.",
        needs="own_cut browsers_pass",
    ),
    ComparisonRule(
        "quic.reached",
        REACHABLE,
        "The expected certificate was shown and verified over QUIC.",
        0.95,
        needs="target_passed",
        lacks="browsers_fail",
        needs_no_control=True,
    ),
    ComparisonRule(
        "quic.down",
        UNKNOWN,
        "The target does not use QUIC with the control either.",
        needs="target_failed control_target_failed",
    ),
    ComparisonRule(
        "quic.udp_dropped",
        UNKNOWN,
        "No QUIC to any server: UDP port 443 is closed here, and it is unknown who closed it.",
        needs="target_failed neutral_failed",
        layer="quic",
        method="udp_443",
    ),
    ComparisonRule(
        "quic.tcp_too",
        UNKNOWN,
        "TLS over TCP fails too, so QUIC is not at fault.",
        needs="target_failed tcp_failed",
    ),
    *(
        ComparisonRule(
            f"quic.only_{name}",
            BLOCKED,
            f"{says}; TCP to the same target and QUIC to a neutral server work.",
            strength,
            needs=f"target:{method} tcp_passed neutral_passed control_target_passed same_target",
            layer="quic",
            method=method,
        )
        for name, method, says, strength in (
            ("timeout", "timeout_after_initial", "Silence after the name was sent", 0.8),
            ("closed", "closed_after_initial", "Closed after the name was sent", 0.75),
            ("reset", "reset_after_initial", "Ended after the name was sent", 0.75),
            ("refused", "refused", "Refused", 0.7),
            ("unreachable", "host_unreachable", "Routers report that there is no route", 0.7),
            ("alert", "alert", "An alert that the control does not get", 0.6),
            ("certificate", "certificate_substitution", "Another certificate", 0.7),
        )
    ),
    ComparisonRule(
        "quic.no_comparison",
        UNKNOWN,
        "QUIC fails, and what it should be compared with was not measured.",
        needs="target_failed",
    ),
)


class QuicComparison(OutcomeComparison):
    def extract_facts(self, measurement: Measurement, control: Measurement | None) -> Facts:
        facts = OutcomeComparison.extract_facts(self, measurement, control)
        return facts | _combine(facts)

    def extract_look_facts(self, measurement: Measurement, look: Measurement) -> Facts:
        facts = OutcomeComparison.extract_look_facts(self, measurement, look)
        own_facts = OutcomeComparison.extract_facts(self, measurement, None)
        return facts | _combine(own_facts | facts)


def _combine(facts: Facts) -> Facts:
    """Combine what single browsers' packets met into facts about all."""
    combined: Facts = {}
    passed = [facts[f"{name}_passed"] for name in QUIC_BROWSERS if f"{name}_passed" in facts]
    cut = [evidence for name in QUIC_BROWSERS if (evidence := _find_cut(name, facts))]
    if len(passed) == len(QUIC_BROWSERS):
        combined["browsers_pass"] = tuple(index for evidence in passed for index in evidence)
    has_failed_at_control = any(f"control_{name}_failed" in facts for name in QUIC_BROWSERS)
    if len(cut) == len(QUIC_BROWSERS) and not has_failed_at_control:
        combined["browsers_fail"] = tuple(index for evidence in cut for index in evidence)
        needed = {f"control_{name}_passed" for name in QUIC_BROWSERS}
        if facts.keys() >= needed | {f"same_{name}" for name in QUIC_BROWSERS}:
            combined["browsers_cut"] = combined["browsers_fail"]
    if own_cut := _find_cut("target", facts):
        combined["own_cut"] = own_cut
    return combined


def _find_cut(name: str, facts: Facts) -> tuple[int, ...]:
    cut_facts = [facts[f"{name}:{cut}"] for cut in CUTS if f"{name}:{cut}" in facts]
    return cut_facts[0] if cut_facts else ()


COMPARISON = QuicComparison("quic", RULES, GOALS)
