"""Somebody on the way who changes requests, told by what reached our echo service.

A box that rewrites headers blocks nothing by that: what it does is a method of *reachable*. Where a
malformed line does not come back at all it is *unknown*: a box may cut it, so may a poor link.
Endpoints are told by what was spoken: `http_echo` for headers, `tcp_echo` for request lines.
"""

from heliograph.failure import Failure, Operation
from heliograph.observation import Measurement
from heliograph_collector.judge.comparisons.table import (
    REACHABLE,
    UNKNOWN,
    Reading,
    Row,
    Words,
    labelled,
    prefixed,
)
from heliograph_collector.judge.endpoint_view import Step

PARTS = {"http_echo": "headers", "tcp_echo": "lines"}
LOST = ("reset_after_message", "eof_after_message", "timeout_after_message")

ROWS = (
    Row(
        id="middlebox.at_the_service",
        state=UNKNOWN,
        says="The control's requests arrive changed too: it is done at the echo service.",
        needs="changed control_changed",
    ),
    Row(
        id="middlebox.headers",
        state=REACHABLE,
        says="Headers arrived other than they were sent; the control's came as sent.",
        strength=0.9,
        needs="headers_changed control_headers_same",
        layer="http",
        method="header_manipulation",
    ),
    Row(
        id="middlebox.lines",
        state=REACHABLE,
        says="Malformed request lines came back changed, or somebody else answered them.",
        strength=0.9,
        needs="lines_changed control_lines_same",
        layer="http",
        method="request_line_manipulation",
    ),
    Row(
        id="middlebox.lines_cut",
        state=UNKNOWN,
        says="Malformed request lines got no reply, a good request did.",
        needs="lines_lost headers_same control_lines_same",
        layer="http",
        method="request_line_cut",
    ),
    Row(
        id="middlebox.none",
        state=REACHABLE,
        says="All that was sent arrived as it was sent.",
        strength=0.8,
        needs="same",
        lacks="changed lost",
    ),
    Row(id="middlebox.no_echo", state=UNKNOWN, says="The echo service did not answer."),
)


def words(here: Measurement, there: Measurement | None) -> Words:
    return _told(here) | (prefixed("control_", _told(there)) if there else {})


def _told(measurement: Measurement) -> Words:
    found: Words = {}
    for index, seen in labelled(measurement):
        if seen.operation is not Operation.EXCHANGE or seen.exchange is None:
            continue
        part = PARTS.get(seen.exchange.protocol)
        state = _state(Step(index, seen))
        for word in (state, f"{part}_{state}") if part and state else ():
            found[word] = (*found.get(word, ()), index)
    return found


def _state(step: Step) -> str:
    said = step.seen.exchange
    if (said is not None and said.differences) or step.seen.failure is Failure.UNEXPECTED_REPLY:
        return "changed"
    if step.ok:
        return "same"
    return "lost" if step.method in LOST else ""


READING = Reading("middlebox", words, ROWS)
