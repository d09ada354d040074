"""Compare hellos to tell blocking by fingerprint from blocking by name.

Endpoints, all at one address: `own` (our library's handshake), `firefox`, `chrome` and
`chrome_late` (a browser's hello, with the name in its first segment or in its second), and after a
failure `neutral` (Chrome's hello with a name that nobody blocks) and `again` (ours once more).

A hello is *cut* when it is met by silence, a reset or an end, and the control's hello of the same
kind passed at the same address. Alerts and certificates come from servers too, and count neither as
a cut nor as a pass.
"""

from heliograph.experiments.web import BROWSER_HELLOS, ONE_SEGMENT
from heliograph.failure import CERTIFICATE_FAILURES, Failure, Operation
from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.outcome import (
    EndpointOutcome,
    OutcomeComparison,
    find_outcome,
)
from heliograph_collector.judge.comparisons.table import ComparisonRule, Facts
from heliograph_collector.judge.rules.rule import BLOCKED, REACHABLE, UNKNOWN

LABELS = ("own", *BROWSER_HELLOS, "again", "neutral")
CONTROL_LABEL = {"again": "own"}  # a control whose hellos pass sends ours only once
ANSWERS_TO_NEUTRAL = {*CERTIFICATE_FAILURES, Failure.SSL_FAILED_HANDSHAKE}
CUTS = ("reset_after_hello", "eof_after_hello", "timeout_after_hello")

RULES = (
    ComparisonRule(
        "hello.server",
        UNKNOWN,
        "A hello that fails here fails at the control too: the server.",
        needs="server_fails",
    ),
    ComparisonRule(
        "hello.own_filtered",
        UNKNOWN,
        "Our own hello is filtered, and browsers' hellos pass: nobody who uses a browser is "
        "blocked by it.",
        needs="own_cut browsers_pass",
    ),
    ComparisonRule(
        "hello.browsers_dropped",
        BLOCKED,
        "Every browser's hello is dropped, and ours, which is as large, passes before and after.",
        0.75,
        needs="browsers_cut own_passed again_passed own_is_large",
        layer="tls",
        method="hello_fingerprint",
    ),
    ComparisonRule(
        "hello.size_or_fingerprint",
        UNKNOWN,
        "Every browser's hello is dropped, and ours passes, which is smaller on this machine: "
        "the fingerprint decides, or the size.",
        needs="browsers_cut own_passed again_passed",
    ),
    ComparisonRule(
        "hello.first_segment",
        BLOCKED,
        "Hellos with the name in their first segment are dropped; one with the name in its second "
        "passes, and so does a neutral name.",
        0.7,
        needs="own_cut early_cut chrome_late_passed neutral_passed",
        layer="tls",
        method="sni_first_segment",
    ),
    ComparisonRule(
        "hello.name",
        BLOCKED,
        "Every hello with the name is dropped, and a neutral name passes at the same address.",
        0.85,
        needs="own_cut browsers_cut neutral_passed",
        layer="tls",
        method="sni_at_address",
    ),
    ComparisonRule(
        "hello.passes",
        REACHABLE,
        "Our hello and browsers' hellos pass.",
        0.9,
        needs="own_passed browsers_pass",
        needs_no_control=True,
    ),
    ComparisonRule("hello.doubt", UNKNOWN, "The hellos differ in a way that has no one cause."),
)


class HelloComparison(OutcomeComparison):
    def find_outcome(self, measurement: Measurement, label: str) -> EndpointOutcome | None:
        """Find an outcome; a server that refuses the neutral name was reached by it."""
        answers = ANSWERS_TO_NEUTRAL if label == "neutral" else ()
        return find_outcome(measurement, label, self.goals[label], answers)

    def extract_facts(self, measurement: Measurement, control: Measurement | None) -> Facts:
        facts = OutcomeComparison.extract_facts(self, measurement, control)
        return facts | self._combine(measurement, facts)

    def extract_look_facts(self, measurement: Measurement, look: Measurement) -> Facts:
        facts = OutcomeComparison.extract_look_facts(self, measurement, look)
        own_facts = OutcomeComparison.extract_facts(self, measurement, None)
        return facts | self._combine(measurement, own_facts | facts)

    def _combine(self, measurement: Measurement, facts: Facts) -> Facts:
        """Combine the facts of single hellos into those of all."""
        combined: Facts = {}
        cut = {label: self._list_cut(label, facts) for label in LABELS}
        if cut["own"] and cut["again"]:
            combined["own_cut"] = (*cut["own"], *cut["again"])
        if all(cut[label] for label in BROWSER_HELLOS):
            combined["browsers_cut"] = tuple(i for label in BROWSER_HELLOS for i in cut[label])
        if cut["firefox"] and cut["chrome"]:
            combined["early_cut"] = (*cut["firefox"], *cut["chrome"])
        if all(f"{label}_passed" in facts for label in BROWSER_HELLOS):
            combined["browsers_pass"] = tuple(
                i for label in BROWSER_HELLOS for i in facts[f"{label}_passed"]
            )
        if any(
            f"{label}_failed" in facts and f"control_{label}_failed" in facts for label in LABELS
        ):
            combined["server_fails"] = ()
        if is_own_large(measurement):
            combined["own_is_large"] = ()
        return combined

    def _list_cut(self, label: str, facts: Facts) -> tuple[int, ...]:
        """List the steps in which a hello was cut, if the control's hello passed."""
        control_label = CONTROL_LABEL.get(label, label)
        is_same = f"same_{control_label}" in facts and f"control_{control_label}_passed" in facts
        evidence = [facts[f"{label}:{cut}"] for cut in CUTS if f"{label}:{cut}" in facts]
        return evidence[0] if is_same and evidence else ()


def is_own_large(measurement: Measurement) -> bool:
    """Return whether our hello took more than one segment, as browsers' hellos do."""
    return any(
        x.endpoint == "own" and x.tls is not None and x.tls.hello_bytes > ONE_SEGMENT
        for x in measurement.observations
    )


COMPARISON = HelloComparison("hello", RULES, dict.fromkeys(LABELS, Operation.TLS_HANDSHAKE))
