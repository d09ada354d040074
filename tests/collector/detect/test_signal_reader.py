"""Rows become signals: arrivals, departures, faults of ours, offline reports."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from random import Random

import pytest

from heliograph.v1 import envelope_pb2
from heliograph.v1 import observation_pb2 as opb
from heliograph.v1.intake_pb2 import Hello
from heliograph.zstd_frame import compress_frame
from heliograph_collector.detect.engine import DetectorEngine
from heliograph_collector.detect.signal_reader import SignalReader
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.records import AgentRole, JournalRow, RowKind
from heliograph_collector.model.signals import (
    DetectorSignal,
    Fault,
    FaultReason,
    Goodbye,
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from support.journal_rows import SECRET, agent, arrival, fault, row_of, upload
from support.presence_model import OLD_US, at, country, live, world

ANNA = VantageRef("anna", "net", VantageLocation("KZ", "KZ-75", 9198, "mobile"), OLD_US)
KEY = SignalReader(SECRET).derive_pseudonym(agent("anna"))


def told(*rows: JournalRow) -> list[DetectorSignal]:
    inbox = SignalReader(SECRET)
    return [
        signal for row in rows for signal in inbox.read_row(row, inbox.derive_pseudonym(row.agent))
    ]


def here(second: float, boot: str = "b") -> JournalRow:
    return arrival(VantageArrival(at(second), ANNA), boot=boot)


def lost(second: float, heard: float, boot: str = "b") -> JournalRow:
    row = row_of(VantageLoss(at(second), "anna", at(heard)))
    return replace(row, body=Hello(boot=boot).SerializeToString())


def words(*rows: JournalRow) -> list[OfflineReport]:
    return [signal for signal in told(*rows) if isinstance(signal, OfflineReport)]


def later(second: float) -> JournalRow:
    """Return another agent's row, so that time passes."""
    return row_of(Goodbye(at(second), "somebody"))


def test_what_goes_into_quarantine_is_neither_present_nor_silent() -> None:
    """An agent in quarantine is neither present nor silent.

    It is on two machines: its arrivals and losses count no more, its last one included.
    """
    quarantined = replace(here(20), role=AgentRole.QUARANTINE)
    goodbye = Goodbye(at(20), KEY)
    assert told(here(10), quarantined)[1:] == [goodbye]
    gone = replace(lost(90, 30), role=AgentRole.QUARANTINE)
    assert told(here(10), quarantined, gone)[1:] == [goodbye, Goodbye(at(90), KEY)]
    assert told(replace(upload("anna", at(20), [at(20)]), role=AgentRole.QUARANTINE)) == []


def test_arrival_has_pseudonym_place_and_age() -> None:
    (signal,) = told(here(10))
    assert signal == VantageArrival(at(10), replace(ANNA, nym=KEY))
    assert SignalReader(b"t" * 32).derive_pseudonym(agent("anna")) != KEY
    assert len(KEY) == 16
    young = replace(ANNA, nym=KEY, first_us=at(10 - 86_400))  # it is unknown since when
    assert told(replace(here(10), since_s=0)) == [VantageArrival(at(10), young)]
    placed = replace(ANNA, nym=KEY, place=VantageLocation("KZ", "", 9198, ""))
    assert told(replace(here(10), body=b"\xff\xff")) == [VantageArrival(at(10), placed)]


def test_return_tells_the_edition_and_whether_its_machine_ran_on() -> None:
    def back(boot: str) -> JournalRow:
        hello = Hello(boot=boot, agent_version="0.9").SerializeToString()
        return replace(here(100), body=hello)

    for boot, ran_on in (("b", True), ("c", False), ("", False)):
        signal = told(here(10), lost(67.5, 30), back(boot))[-1]
        assert isinstance(signal, VantageArrival)
        assert (signal.edition, signal.same_boot) == ("0.9", ran_on)


def test_losses_goodbyes_and_faults_become_signals() -> None:
    assert told(lost(50, 12)) == [VantageLoss(at(50), KEY, at(12))]
    closed = VantageLoss(at(50), KEY, at(12), closed_us=at(20))
    assert told(replace(lost(50, 12), closed_us=at(20))) == [closed]
    assert told(replace(lost(50, 0), heard_us=0)) == [VantageLoss(at(50), KEY, at(12.5))]
    assert told(row_of(Goodbye(at(5), "anna"))) == [Goodbye(at(5), KEY)]
    for why in FaultReason:
        one = Fault(at(1), at(9), why)
        assert told(fault(one)) == [one]
    one = Fault(at(1), at(9), FaultReason.CARRIER, "KZ", "relay")
    body = b'{"why":"carrier","country":"KZ","carrier":"relay"}'
    assert told(replace(fault(one), body=body)) == [one]
    first = replace(fault(Fault(0, at(9), FaultReason.RESTART)), heard_us=0)
    assert told(first) == [Fault(at(9), at(9), FaultReason.RESTART)], "without a start before"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"why":"moon"}', b'{"why":1}', b"\xff"])
def test_unknown_fault_is_skipped(body: bytes) -> None:
    assert told(replace(fault(Fault(at(1), at(9), FaultReason.PROBE)), body=body)) == []


def test_unplaced_agents_are_no_vantages() -> None:
    (signal,) = told(replace(here(10), country="ZZ"))
    assert isinstance(signal, Goodbye)


def test_measurement_in_the_gap_is_an_offline_report() -> None:
    made = [at(50), at(700), at(2_000)]
    (word,) = words(here(0), lost(137, 100), here(1_900), upload("anna", at(1_930), made))
    assert word == OfflineReport(at(1_930), KEY, at(100), at(1_900), alive=True)


@pytest.mark.parametrize("made", [[50, 99, 1_950], [108], [1_892], []])
def test_measurement_outside_the_gap_proves_nothing(made: list[float]) -> None:
    batch = upload("anna", at(1_960), [at(second) for second in made])
    assert words(here(0), lost(137, 100), here(1_900), batch, later(9_000)) == []


@pytest.mark.parametrize(("poll_s", "words_count"), [(0, 1), (25, 0), (2**31, 0)])
def test_a_session_by_polls_may_have_been_there_for_a_poll(poll_s: int, words_count: int) -> None:
    """A session by polls may have been there for a poll.

    A result of 20 s after its last poll is no proof that it lived through the cut.
    """
    gone = replace(lost(163, 100), body=Hello(boot="b", poll_s=poll_s).SerializeToString())
    batch = upload("anna", at(1_960), [at(120)])
    assert len(words(here(0), gone, here(1_900), batch, later(9_000))) == words_count
    batch = upload("anna", at(1_960), [at(700)])
    assert len(words(here(0), gone, here(1_900), batch)) == 1, "in the middle it is, as of any"


def test_first_readable_upload_of_a_returned_agent_is_reported_once() -> None:
    first, second = (upload("anna", at(t), [at(700)]) for t in (1_930, 1_940))
    assert len(words(here(0), lost(137, 100), here(1_900), first, second)) == 1
    assert words(here(0), here(1_900), first) == []
    assert words(here(0), lost(137, 100), first) == []  # by another carrier, and not back yet
    bad = replace(first, body=b"nonsense")
    assert words(here(0), lost(137, 100), here(1_900), bad) == []


@pytest.mark.parametrize("carrier", ["code", "bundle"])
def test_relayed_upload_is_no_arrival(carrier: str) -> None:
    """A relayed upload is no arrival.

    It was made a moment ago, by an agent that is lost, which is not back by that.
    """
    gone = (here(0), replace(lost(137, 100), country="KZ"))
    fresh = upload("anna", at(700), [at(690)])
    relayed = told(*gone, replace(fresh, carrier=carrier))
    assert [type(s) for s in relayed] == [VantageArrival, VantageLoss]
    by_post = told(*gone, replace(fresh, carrier="post"))
    assert [type(s) for s in by_post] == [VantageArrival, VantageLoss, VantageArrival]


def test_reboot_without_measurement_in_the_gap_was_no_power() -> None:
    back = (here(0), lost(137, 100, "one"), here(1_900, "two"))
    assert words(*back, later(2_499)) == []
    (word,) = words(*back, later(2_500))
    assert (word.alive, word.at_us, word.since_us) == (False, at(2_500), at(100))
    (word,) = words(*back, upload("anna", at(2_000), [at(900)]), later(2_600))
    assert word.alive
    for before, after in (("one", "one"), ("", "two"), ("one", "")):  # no reboot: doubt
        assert words(here(0), lost(137, 100, before), here(1_900, after), later(9_000)) == []


def test_second_silence_opens_a_new_gap() -> None:
    rows = [here(0), lost(137, 100, "one"), here(1_900, "two"), lost(2_100, 2_060, "two")]
    assert words(*rows, later(2_600)) == []
    (word,) = words(*rows, here(3_000, "three"), later(3_700))
    assert word.since_us == at(2_060)


def by_post(second: float) -> JournalRow:
    row = upload("anna", at(second), [at(second - 5)])
    return replace(row, carrier="post")


def lost_at_home(second: float, heard: float) -> JournalRow:
    """Return a loss as intake writes it: with the place."""
    return replace(here(second), kind=RowKind.LOST, heard_us=at(heard))


def test_upload_by_post_after_a_loss_is_an_arrival_unless_it_is_old() -> None:
    signals = told(here(0), lost_at_home(50, 12), by_post(60), by_post(90))
    came = [(type(s), s.at_us) for s in signals if isinstance(s, VantageArrival | VantageLoss)]
    assert came == [(VantageArrival, at(0)), (VantageLoss, at(50)), (VantageArrival, at(60))]
    assert signals[2] == VantageArrival(at(60), replace(ANNA, nym=KEY, carrier="post"))
    old = replace(upload("anna", at(400), [at(20)]), carrier="post")
    signals = told(here(0), lost_at_home(50, 12), old)
    assert [type(s) for s in signals] == [VantageArrival, VantageLoss]


def measured(second: float, made: Sequence[tuple[float, opb.Measurement]]) -> JournalRow:
    """An upload of measurements, each with its time of the test."""
    batch = envelope_pb2.Batch()
    for made_s, measurement in made:
        measurement.started_us = at(made_s)
        batch.measurements.append(measurement)
    row = upload("anna", at(second), [])
    return replace(row, body=compress_frame(batch.SerializeToString()))


def anchors(*steps: tuple[str, str, str]) -> opb.Measurement:
    """Anchors with (endpoint, operation, failure) of each step."""
    observations = [opb.Observation(endpoint=e, operation=o, failure=f) for e, o, f in steps]
    return opb.Measurement(experiment="connectivity", observations=observations)


PROVED = anchors(("foreign-a", "connect", ""), ("foreign-a", "tls_handshake", ""))
DEAD = anchors(("foreign-a", "connect", "generic_timeout_error"), ("domestic-b", "connect", ""))
SPOKEN = opb.Measurement(
    experiment="code",
    observations=[
        opb.Observation(
            endpoint="foreign", operation="exchange", exchange=opb.ExchangeFacts(reply="answers")
        )
    ],
)
LINKS: dict[str, tuple[opb.Measurement, bool | None]] = {
    "a certificate": (PROVED, True),
    "no answer from abroad": (DEAD, False),
    "a connection, as captive portals accept": (anchors(("foreign-a", "connect", "")), None),
    "interrupted": (anchors(("foreign-a", "connect", "interrupted")), None),
    "a name in a cache": (anchors(("foreign-a", "resolve", "")), None),
    "a service in the country": (anchors(("site", "tls_handshake", "")), None),
    "the state by voice": (SPOKEN, True),
    "its link is offline": (opb.Measurement(experiment="web", link="offline"), False),
    "its link was online before": (opb.Measurement(experiment="web", link="online"), None),
    "a digest": (
        opb.Measurement(
            digest=opb.Digest(step_s=60, classes=["domestic", "foreign"], lives=bytes((1, 2)))
        ),
        False,
    ),
}


@pytest.mark.parametrize("name", LINKS)
def test_anchors_tell_whether_the_link_worked_in_the_gap(name: str) -> None:
    measurement, online = LINKS[name]
    row = measured(1_930, [(700, measurement)])
    (word,) = words(here(0), lost(137, 100), here(1_900), row)
    assert (word.alive, word.online) == (True, online)
    assert word.measured_us == (at(700) if online is not None else 0)


def test_first_reading_of_the_anchors_decides_in_whatever_order_they_come() -> None:
    late = measured(1_930, [(900, deepcopy(PROVED))])
    early = measured(1_940, [(200, deepcopy(DEAD)), (400, deepcopy(PROVED))])
    reports = words(here(0), lost(137, 100), here(1_900), late, early, late)
    assert [(r.online, r.measured_us) for r in reports] == [(True, at(900)), (False, at(200))]


@pytest.mark.parametrize(("carrier", "measured_s"), [("relay", 130), ("dns", 190), ("post", 130)])
def test_word_by_another_way_is_heard_before_the_return(carrier: str, measured_s: float) -> None:
    """A report by another way is read before the return.

    One by DNS names the minute in which it measured: at most a minute later.
    """
    word = replace(measured(200, [(130, deepcopy(PROVED))]), carrier=carrier)
    (report,) = words(here(0), lost_at_home(137, 100), word)
    assert (report.online, report.carrier, report.measured_us) == (True, carrier, at(measured_s))
    assert report.until_us <= at(200)


@pytest.mark.parametrize("carrier", ["relay", "dns", "post", "submit"])
def test_word_is_heard_that_comes_before_the_loss_is_noticed(carrier: str) -> None:
    word = replace(measured(125, [(112, deepcopy(PROVED))]), carrier=carrier)
    early = replace(measured(99, [(98, deepcopy(PROVED))]), carrier=carrier)
    (report,) = words(here(0), early, word, lost_at_home(137, 100))
    assert (report.at_us, report.online, report.carrier) == (at(137), True, carrier)
    signals = told(here(0), early, word, lost_at_home(137, 100))
    is_back = [s.witness.carrier for s in signals if isinstance(s, VantageArrival)] == [
        "session",
        carrier,
    ]
    assert is_back is (carrier in ("post", "submit")), "a relay and DNS prove no presence"
    for gone in (here(130), later(260), replace(word, carrier="session")):
        assert not words(here(0), replace(word, carrier="bundle"), gone, lost(300, 100))
    assert not words(here(0), early, lost(137, 100)), "its session still lived"


@pytest.mark.parametrize("carrier", ["dns", "post"])
def test_block_of_our_address_is_never_a_cut_where_words_come_before_losses(carrier: str) -> None:
    """A block of our address is never a cut where reports come before losses.

    Six in ten send one report, which comes before their loss is noticed, and no more.
    """
    rng = Random(1)
    signals = live(country(each=2) + world(), rng, 4, churn=1.0)
    rows = [row_of(s) for s in signals if isinstance(s, VantageArrival | Goodbye | VantageLoss)]
    for vantage in country(each=2):
        heard_s = 7_200.0 - rng.uniform(0, 15)
        row = arrival(VantageArrival(at(heard_s + 37.5), vantage))
        rows.append(replace(row, kind=RowKind.LOST, heard_us=at(heard_s)))
        if rng.random() < 0.6:
            word = measured(heard_s + 30, [(heard_s + 8, deepcopy(PROVED))])
            rows.append(replace(word, agent=row.agent, carrier=carrier))
    engine = DetectorEngine.create("j", SECRET, at(0))
    kinds = []
    for row in sorted(rows, key=lambda r: r.received_us):
        if row.received_us > at(7_000):
            break
        engine.read_rows([row])
    for second in range(7_000, 7_500, 5):
        due = [r for r in rows if at(second - 5) < r.received_us <= at(second)]
        engine.read_rows(sorted(due, key=lambda r: r.received_us))
        engine.advance_to(at(second))
        kinds += [i.kind for i in engine.incidents() if i.confirmed_us is not None]
    assert set(kinds) == {IncidentKind.COLLECTOR_BLOCKED}


def test_word_stays_heard_when_other_results_follow_it_by_post() -> None:
    """A batch is sealed every half minute, which is sooner than a loss is noticed."""
    word = replace(measured(112, [(108, deepcopy(PROVED))]), carrier="post")
    made = [(n, opb.Measurement()) for n in range(109, 129)]
    results = replace(measured(130, made), carrier="post")
    (report,) = words(here(0), word, results, lost_at_home(137, 100))
    assert (report.at_us, report.online, report.measured_us) == (at(137), True, at(108))


def test_agent_that_posts_again_is_back_again() -> None:
    rows = [here(0), lost_at_home(50, 12), by_post(60), later(390), by_post(800)]
    assert [type(s) for s in told(*rows) if getattr(s, "nym", KEY) == KEY] == [
        *(VantageArrival, VantageLoss) * 2,
        VantageArrival,
    ]


def test_agent_that_stops_posting_is_lost() -> None:
    rows = [here(0), lost_at_home(50, 12), by_post(60), by_post(90)]
    assert not [s for s in told(*rows, later(389)) if s == VantageLoss(at(389), KEY, at(90))]
    assert told(*rows, later(390))[-2] == VantageLoss(at(390), KEY, at(90))
    losses = [s for s in told(*rows, here(100), later(390)) if isinstance(s, VantageLoss)]
    assert losses == [VantageLoss(at(50), KEY, at(12))], "it has a session"


def test_rows_of_a_control_are_of_its_session_alone() -> None:
    def control(row: JournalRow) -> JournalRow:
        return replace(row, role=AgentRole.CONTROL)

    came, lost_row, left = (control(row) for row in (here(0), lost_at_home(137, 100), goodbye(150)))
    (arrived,) = told(came)
    assert isinstance(arrived, VantageArrival)
    assert arrived.is_control
    assert arrived.witness.carrier == "session"
    assert told(lost_row) == [VantageLoss(at(137), KEY, at(100))]
    assert told(left) == [Goodbye(at(150), KEY)]
    assert told(control(by_post(60))) == []
    body = Hello(country="DE").SerializeToString()
    beside_us = control(replace(here(0), country="ZZ", body=body))
    assert told(beside_us) == [Goodbye(at(0), KEY)], "it may be on the collector's machine"


def goodbye(second: float) -> JournalRow:
    return row_of(Goodbye(at(second), "anna"))
