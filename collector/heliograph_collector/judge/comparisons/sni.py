"""Is it the name or the address: the target's name shown to a server that never heard of it.

Endpoints: `target`, `neutral` and `none` (no name at all) at one neutral server; `direct` the
target's own server, and `direct_neutral` that one with a neutral name. A certificate that does not
fit is an answer here: it is the server's, or at least somebody's who answers.
"""

from heliograph.failure import Operation
from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.outcome import Outcome, outcome, told
from heliograph_collector.judge.comparisons.table import (
    BLOCKED,
    REACHABLE,
    UNKNOWN,
    Reading,
    Row,
    Words,
    prefixed,
)
from heliograph_collector.judge.failure_semantics import CERTIFICATE

GOAL = Operation.TLS_HANDSHAKE
STRANGERS = ("target", "neutral", "none", "direct_neutral")  # whose certificate cannot fit

ROWS = (
    Row(
        id="sni.server_rejects",
        state=UNKNOWN,
        says="The neutral server turns the name away at the control too.",
        needs="target_failed control_target_failed",
    ),
    Row(
        id="sni.not_only_the_name",
        state=UNKNOWN,
        says="The neutral name fails at that address too: the address, or the server.",
        needs="target_failed neutral_failed",
    ),
    *(
        Row(
            id=f"sni.{name}",
            state=BLOCKED,
            says=f"{says} at an address where a neutral name passes.",
            strength=strength,
            needs=f"target:{word} neutral_passed same_address control_target_passed",
            layer="tls",
            method=f"sni_{name}",
        )
        for name, word, says, strength in (
            ("reset", "reset_after_hello", "The name is answered by a reset", 0.9),
            ("eof", "eof_after_hello", "The name ends the connection", 0.8),
            ("timeout", "timeout_after_hello", "The name is met with silence", 0.85),
            ("alert", "alert", "The name is answered by an alert", 0.6),
        )
    ),
    Row(
        id="sni.at_its_own_address",
        state=BLOCKED,
        says="A neutral name passes at the target's own address, and its own does not.",
        strength=0.8,
        needs="direct_cut direct_neutral_passed control_direct_passed",
        layer="tls",
        method="sni_at_address",
    ),
    Row(
        id="sni.address",
        state=BLOCKED,
        says="The name passes at a neutral address, and the target's own connects nowhere.",
        strength=0.75,
        needs="target_passed direct_unconnected control_direct_passed same_direct",
        layer="tcp",
        method="address",
    ),
    Row(
        id="sni.passes",
        state=REACHABLE,
        says="The name passes at a neutral server, and nothing else failed.",
        strength=0.8,
        needs="target_passed control_target_passed",
        lacks="direct_failed",
    ),
    Row(
        id="sni.doubt",
        state=UNKNOWN,
        says="Neither the name alone nor the address alone explains what was seen.",
    ),
)


def words(here: Measurement, there: Measurement | None) -> Words:
    found = _told(here)
    target, neutral = _outcome(here, "target"), _outcome(here, "neutral")
    if target and neutral and target.at_one_of(neutral):
        found["same_address"] = neutral.evidence
    direct = _outcome(here, "direct")
    if direct and direct.operation is GOAL and direct.method.endswith("_after_hello"):
        found["direct_cut"] = direct.evidence
    if there is None:
        return found
    own = _outcome(there, "direct")
    if direct and own and own.passed and direct.addresses & own.addresses:
        found["same_direct"] = direct.evidence
    return found | prefixed("control_", _told(there))


def _told(measurement: Measurement) -> Words:
    found: Words = {}
    for label in ("target", "neutral", "none", "direct", "direct_neutral"):
        found |= told(label, _outcome(measurement, label), GOAL)
    return found


def _outcome(measurement: Measurement, label: str) -> Outcome | None:
    return outcome(measurement, label, GOAL, CERTIFICATE if label in STRANGERS else ())


READING = Reading("sni", words, ROWS)
