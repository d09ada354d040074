"""Rows tell whether hosts abroad answer an agent that is back from a silence."""

from dataclasses import replace

import pytest

from heliograph.v1 import envelope_pb2
from heliograph.v1 import observation_pb2 as opb
from heliograph.zstd_frame import compress_frame
from heliograph_collector.detect.signal_reader import SignalReader
from heliograph_collector.model.records import AgentRole, JournalRow
from heliograph_collector.model.signals import (
    LinkTest,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from support.journal_rows import SECRET, agent, arrival, row_of, upload
from support.presence_model import OLD_US, at

ANNA = VantageRef("anna", "net", VantageLocation("KZ", "KZ-75", 9198, "mobile"), OLD_US)
TIMEOUT = "generic_timeout_error"


def anchors(hosts: str, operation: str, failure: str = "") -> opb.Measurement:
    """Return a test of anchors abroad, one for each letter."""
    observations = [
        opb.Observation(endpoint=f"foreign-{host}", operation=operation, failure=failure)
        for host in hosts
    ]
    return opb.Measurement(experiment="connectivity", observations=observations)


PROVED = anchors("a", "tls_handshake")
NONE = anchors("abc", "connect", TIMEOUT)


def measured(second: float, made: float, measurement: opb.Measurement) -> JournalRow:
    measurement.started_us = at(made)
    batch = envelope_pb2.Batch(measurements=[measurement])
    body = compress_frame(batch.SerializeToString())
    return replace(upload("anna", at(second), []), body=body)


def control_measured(second: float, measurement: opb.Measurement) -> JournalRow:
    row = measured(second, second - 5, measurement)
    return replace(row, role=AgentRole.CONTROL, agent=agent("control"))


def link_tests(*rows: JournalRow) -> list[tuple[float, bool]]:
    """Read rows of anna after a silence from 100 s until 190 s; return tests of hosts abroad."""
    inbox = SignalReader(SECRET)
    lost = row_of(VantageLoss(at(137), "anna", at(100)))
    before = [arrival(VantageArrival(at(0), ANNA)), lost, arrival(VantageArrival(at(190), ANNA))]
    signals = [
        signal
        for row in (*before, *rows)
        for signal in inbox.read_row(row, inbox.derive_pseudonym(row.agent))
    ]
    return [((s.at_us - at(0)) / 1e6, s.online) for s in signals if isinstance(s, LinkTest)]


def test_returned_agent_that_reaches_no_host_abroad_is_isolated_until_one_answers() -> None:
    first = [measured(230, 220, NONE), measured(530, 520, NONE)]
    later = [control_measured(900, PROVED), measured(1_130, 1_120, NONE)]
    last = [control_measured(1_500, PROVED), measured(1_730, 1_720, PROVED)]
    after = measured(1_800, 1_790, NONE)

    found = link_tests(control_measured(195, PROVED), *first, *later, *last, after)

    assert found == [(230, False), (530, False), (1_130, False), (1_730, True)]


def test_hosts_that_answer_no_control_isolate_nobody() -> None:
    rows = [measured(230, 220, NONE), measured(530, 520, NONE)]

    assert link_tests(*rows) == []
    assert link_tests(control_measured(195, NONE), *rows) == []


@pytest.mark.parametrize(
    ("measurement", "made", "received"),
    [
        pytest.param(anchors("a", "connect", TIMEOUT), 220, 230, id="one of them"),
        pytest.param(NONE, 195, 230, id="as it came back"),
        pytest.param(NONE, 220, 400, id="late"),
        pytest.param(opb.Measurement(experiment="web", link="offline"), 220, 230, id="not tried"),
    ],
)
def test_other_tests_isolate_no_returned_agent(
    measurement: opb.Measurement, made: float, received: float
) -> None:
    works = control_measured(195, PROVED)

    assert link_tests(works, measured(received, made, measurement)) == []
