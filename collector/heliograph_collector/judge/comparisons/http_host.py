"""The target's name as Host, in clear, to a server that has nothing to do with it.

Endpoints: `target` and `neutral` at one neutral server.
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
from heliograph_collector.judge.endpoint_view import sight
from heliograph_collector.judge.page_comparison import Likeness, likeness

GOAL = Operation.HTTP_ROUND_TRIP
PAGES = {
    Likeness.BLOCK: "block_page",
    Likeness.LEGAL: "legal_page",
    Likeness.REDIRECTED: "redirected",
    Likeness.DIFFERENT: "different",
    Likeness.SAME: "same",
}

ROWS = (
    Row(
        id="http_host.server_rejects",
        state=UNKNOWN,
        says="The neutral server turns the name away at the control too.",
        needs="target_failed control_target_failed",
    ),
    Row(
        id="http_host.not_only_the_name",
        state=UNKNOWN,
        says="The neutral name fails at that address too: the address, or the server.",
        needs="target_failed neutral_failed",
    ),
    *(
        Row(
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
        Row(
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
    Row(
        id="http_host.other_page",
        state=UNKNOWN,
        says="The name brings another page than at the control, which servers do by themselves.",
        needs="target_different",
    ),
    Row(
        id="http_host.passes",
        state=REACHABLE,
        says="The name is answered by the neutral server as at the control.",
        strength=0.75,
        needs="target_passed target_same",
    ),
    Row(id="http_host.doubt", state=UNKNOWN, says="What was seen fits no single cause."),
)


def words(here: Measurement, there: Measurement | None) -> Words:
    found = _told(here)
    target, neutral = _outcome(here, "target"), _outcome(here, "neutral")
    if target and neutral and target.at_one_of(neutral):
        found["same_address"] = neutral.evidence
    if there is None:
        return found
    for label in ("target", "neutral"):
        found |= _page(here, there, label)
    return found | prefixed("control_", _told(there))


def _page(here: Measurement, there: Measurement, label: str) -> Words:
    ours, theirs = (sight(m.observations, label).page for m in (here, there))
    if ours is None or theirs is None:
        return {}
    word = PAGES.get(likeness(ours[1], theirs[1]))
    return {f"{label}_{word}": (ours[0].index,)} if word else {}


def _told(measurement: Measurement) -> Words:
    return told("target", _outcome(measurement, "target"), GOAL) | told(
        "neutral", _outcome(measurement, "neutral"), GOAL
    )


def _outcome(measurement: Measurement, label: str) -> Outcome | None:
    return outcome(measurement, label, GOAL)


READING = Reading("http_host", words, ROWS)
