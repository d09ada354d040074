"""An agent reports a session that broke, by another way, before that is noticed."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from heliograph.v1 import envelope_pb2
from heliograph.v1 import observation_pb2 as opb
from heliograph.zstd_frame import compress_frame
from heliograph_collector.detect.engine import DetectorEngine
from heliograph_collector.detect.link_readings import report_lost_session
from heliograph_collector.detect.signal_reader import SignalReader
from heliograph_collector.model.records import JournalRow
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageRef,
)
from support.journal_rows import SECRET, agent, arrival, upload
from support.presence_model import OLD_US, at

ANNA = VantageRef("anna", "net", VantageLocation("KZ", "KZ-75", 9198, "mobile"), OLD_US)
KEY = SignalReader(SECRET).derive_pseudonym(agent("anna"))


def come(second: float, carrier: str) -> JournalRow:
    return replace(arrival(VantageArrival(at(second), ANNA)), carrier=carrier)


def say(second: float, made: Sequence[opb.Measurement], carrier: str = "session") -> JournalRow:
    batch = envelope_pb2.Batch(measurements=made)
    body = compress_frame(batch.SerializeToString())
    return replace(upload("anna", at(second), []), body=body, carrier=carrier)


def lost_session(second: float, trigger: str = "session_lost") -> opb.Measurement:
    """A foreign anchor answered."""
    steps = [
        opb.Observation(endpoint="foreign-a", operation=operation)
        for operation in ("connect", "tls_handshake")
    ]
    return opb.Measurement(
        experiment="connectivity", observations=steps, started_us=at(second), trigger=trigger
    )


def is_rerouted(*rows: JournalRow) -> bool:
    """Return whether the detectors count it as lost, and back by another carrier."""
    engine = DetectorEngine.create("j", SECRET, at(0))
    engine.read_rows(rows)
    vantage = engine.silence.find_vantage(KEY)
    assert vantage is not None
    return vantage.is_rerouted


@pytest.mark.parametrize(
    ("uploaded", "made", "is_told"),
    [
        (112, [lost_session(95)], True),
        (112, [lost_session(20), lost_session(95)], True),
        (112, [lost_session(95, "")], False),  # measured in its turn: it lost nothing
        (112, [lost_session(20)], False),  # of an earlier loss
        (112, [lost_session(105)], False),  # of the session that it has now
        (190, [lost_session(95)], False),  # too late to be of this one alone
    ],
)
def test_agent_tells_of_the_session_that_it_lost_before_it_came_another_way(
    uploaded: float, made: list[opb.Measurement], is_told: bool
) -> None:
    """It moved at 100, and no row has its loss."""
    row = say(uploaded, made)
    report = OfflineReport(
        at(uploaded), KEY, at(95), at(100), alive=True, online=True, measured_us=at(95)
    )
    assert list(report_lost_session(KEY, row, at(100))) == [report] * is_told
    assert list(report_lost_session(KEY, replace(row, body=b"nonsense"), at(100))) == []


@pytest.mark.parametrize("carrier", ["session/b", "session/a", "session"])
def test_engine_reads_that_word_only_of_who_moved(carrier: str) -> None:
    uploaded = say(102, [lost_session(95)])
    rows = come(10, "session/a"), come(100, carrier), uploaded
    assert is_rerouted(*rows) == (carrier == "session/b")


@pytest.mark.parametrize("carrier", ["session/b", "session/a", "session"])
def test_word_by_post_counts_that_comes_before_its_agent_comes_another_way(carrier: str) -> None:
    rows = come(10, "session/a"), say(97, [lost_session(95)], "post"), come(100, carrier)
    assert is_rerouted(*rows) == (carrier == "session/b")


@pytest.mark.parametrize("word", [lost_session(95, ""), lost_session(30)])
def test_other_words_by_post_tell_of_no_loss(word: opb.Measurement) -> None:
    """Other reports by post show no loss.

    One was measured in its turn, and one is of an earlier loss.
    """
    rows = come(10, "session/a"), say(97, [word], "post"), come(100, "session/b")
    assert not is_rerouted(*rows)
