"""Encrypted ClientHello: whether what hides the name is what gets cut.

Endpoints at one server: `none` (no extension), `grease` (one that means nothing), `real`. Each is
one ClientHello and its answer; an alert may be a censor's as well as the server's.
"""

from heliograph.failure import Operation
from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.outcome import outcome, told
from heliograph_collector.judge.comparisons.table import (
    BLOCKED,
    REACHABLE,
    UNKNOWN,
    Reading,
    Row,
    Words,
    labelled,
    prefixed,
)

GOAL = Operation.TLS_HANDSHAKE
WAYS = (
    ("reset", "reset_after_hello", "Reset", 0.85),
    ("eof", "eof_after_hello", "Closed", 0.75),
    ("timeout", "timeout_after_hello", "Silence", 0.8),
    ("alert", "alert", "An alert", 0.6),
)

ROWS = (
    Row(
        id="ech.server",
        state=UNKNOWN,
        says="The hidden name fails at the control too: the server, or its keys.",
        needs="real_failed control_real_failed",
    ),
    Row(
        id="ech.server_grease",
        state=UNKNOWN,
        says="Even the empty extension fails at the control.",
        needs="grease_failed control_grease_failed",
    ),
    Row(
        id="ech.not_only_ech",
        state=UNKNOWN,
        says="The plain handshake fails too.",
        needs="none_failed",
    ),
    *(
        Row(
            id=f"ech.any_{name}",
            state=BLOCKED,
            says=f"{says} for the extension as such, even one that means nothing.",
            strength=strength,
            needs=f"grease:{word} none_passed control_grease_passed",
            lacks="real_passed",
            layer="tls",
            method=f"ech_{name}",
        )
        for name, word, says, strength in WAYS
    ),
    *(
        Row(
            id=f"ech.hidden_{name}",
            state=BLOCKED,
            says=f"{says} for a hidden name: its outer name, or the server's use of it.",
            strength=round(strength - 0.1, 2),
            needs=f"real:{word} none_passed control_real_passed",
            layer="tls",
            method=f"ech_{name}",
        )
        for name, word, says, strength in WAYS
    ),
    Row(
        id="ech.unopened",
        state=UNKNOWN,
        says="The hidden name was not opened: an old key, or somebody who answers in its place.",
        needs="real_unopened",
    ),
    Row(
        id="ech.reached",
        state=REACHABLE,
        says="A hidden name gets through.",
        strength=0.9,
        needs="real_passed",
    ),
    Row(
        id="ech.grease_reached",
        state=REACHABLE,
        says="The empty extension gets through; a hidden name was not tried to an end.",
        strength=0.7,
        needs="grease_passed",
        lacks="real_failed",
    ),
    Row(id="ech.doubt", state=UNKNOWN, says="Nothing here tells the extension from the server."),
)


def words(here: Measurement, there: Measurement | None) -> Words:
    return _told(here) | (prefixed("control_", _told(there)) if there else {})


def _told(measurement: Measurement) -> Words:
    found: Words = {}
    for label in ("none", "grease", "real"):
        found |= told(label, outcome(measurement, label, GOAL), GOAL)
    unopened = tuple(
        index
        for index, seen in labelled(measurement, "real")
        if seen.exchange is not None and seen.exchange.reply == "server_hello"
    )
    if unopened:
        found["real_unopened"] = unopened
    return found


READING = Reading("ech", words, ROWS)
