"""Journal rows become measurements; bad data of one agent stops no other."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from heliograph.codec import measurement_to_pb
from heliograph.v1 import intake_pb2
from heliograph.v1 import observation_pb2 as opb
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.pseudonyms import Pseudonyms
from support.rows import ANNA, DAY, NAMES, T0, US, envelope_row, measurement_pb
from support.unit_load import build_fleet, build_row, build_workload, list_batches


def test_country_of_peer_precedes_declared_one() -> None:
    nowhere_row = envelope_row(measurement_pb(epoch="other"), country="ZZ")
    rows = [envelope_row(measurement_pb()), envelope_row(measurement_pb(), country="ZZ")]
    known, unknown, nowhere = read_rows([*rows, nowhere_row], NAMES).records
    assert known.vantage.country == "KZ"
    assert (known.vantage.access, known.vantage.region) == ("mobile", "")
    assert known.edition == "0.9"
    assert (unknown.vantage.country, unknown.vantage.region) == ("RU", "RU-MOW")
    assert (nowhere.vantage.country, nowhere.vantage.access) == ("ZZ", "unknown")


def test_pseudonyms_are_stable_across_replays() -> None:
    row = envelope_row(measurement_pb(), measurement_pb())
    first, second = read_rows([row], NAMES).records
    again, _ = read_rows([replace(row, position=77)], NAMES).records
    (later,) = read_rows([envelope_row(measurement_pb(), sequence=2)], NAMES).records
    assert first.id == again.id
    assert len({first.id, second.id, later.id}) == 3
    assert first.pseudonym == second.pseudonym == later.pseudonym
    (other, _) = read_rows([row], Pseudonyms(b"t" * 32)).records
    assert other.pseudonym != first.pseudonym
    months = {NAMES.vantage(ANNA, "KZ", 9198, T0 + n * 28 * 86_400 * US) for n in range(3)}
    networks = {NAMES.vantage(ANNA, "KZ", asn, T0) for asn in (1, 2)}
    assert len(months) == 3
    assert len(networks) == 2


def test_bad_measurement_is_put_aside() -> None:
    bad = measurement_pb()
    bad.link = "a word nobody knows"
    mixed = envelope_row(measurement_pb(), bad, measurement_pb())
    read = read_rows([mixed, envelope_row(measurement_pb(), sequence=2)], NAMES)
    assert len(read.records) == 3
    (refused,) = read.failures
    assert (refused.index, refused.position) == (1, 1)
    assert refused.reason.startswith("link:")
    assert opb.Measurement.FromString(refused.body) == bad


def test_a_body_is_kept_as_its_record_would_be_encoded() -> None:
    measured = list_batches(build_workload(), build_fleet(9), T0 / US, 40)
    rows = [build_row(batch, actor) for actor, batch in measured]
    odd = measurement_pb()
    odd.certificates.append(b"of a table of its own")
    odd.observations.add(operation="resolve").dns.name = "x.test"
    unknown = opb.Measurement.FromString(odd.SerializeToString() + b"\xa2\x3f\x02hi")
    unknown.observations[0].MergeFromString(b"\xa2\x3f\x02hi")
    digest = measurement_pb()
    digest.experiment = "digest"
    digest.digest.MergeFrom(opb.Digest(step_s=60, classes=["foreign"], lives=b"\1\2"))
    rows.append(envelope_row(odd, digest, unknown, sequence=9_999))
    read = read_rows(rows, NAMES)
    assert len(read.records) > 2 * len(rows), "rounds have parts"
    encoded = {
        record.id: measurement_to_pb(replace(record.measurement, certificates=()))
        for record in read.records
        if record.measurement.experiment != "digest"
    }
    assert read.bodies == {name: body.SerializeToString() for name, body in encoded.items()}


def test_impossible_time_counts_from_arrival() -> None:
    day = 86_400 * US
    times = (T0 - 120 * day, T0 + day, T0 - 120 * day - 1, T0 + day + 1, 0)
    messages = [measurement_pb(at_us) for at_us in times]
    messages.append(measurement_pb(0, offset_us=T0 - 5))  # a clock that knows how wrong it is
    messages.append(measurement_pb(2**63 - 1, offset_us=2**63 - 1))
    read = read_rows([envelope_row(*messages)], NAMES)
    assert read.failures == []
    sane = [t.started_us for t in read.records if not t.is_time_bad]
    assert sane == [T0 - 120 * day, T0 + day, T0 - 5]
    bad = [t for t in read.records if t.is_time_bad]
    assert [t.started_us for t in bad] == [T0] * 4
    assert bad[2].measurement.started_us == 0  # what was said is kept


def test_presence_takes_its_place_from_the_hello() -> None:
    hello = intake_pb2.Hello(country="UA", region="KYV" * 9, access="fixed").SerializeToString()

    def presence(body: bytes, kind: RowKind = RowKind.LOST, country: str = "ZZ") -> JournalRow:
        return JournalRow(kind=kind, agent=ANNA, received_us=T0, country=country, body=body)

    odd = intake_pb2.Hello(country="u", access="x").SerializeToString()
    rows = [presence(hello), presence(hello, country="PL"), presence(b"\xff\xff"), presence(odd)]
    rows.append(presence(b"", RowKind.START))
    one, two, three, four, start = read_rows(rows, NAMES).presence
    assert (one.vantage.country, one.vantage.access, one.vantage.region) == ("UA", "fixed", "")
    assert two.vantage.country == "PL"
    assert (three.vantage.country, four.vantage.country) == ("ZZ", "ZZ")
    assert four.vantage.access == "unknown"
    assert one.pseudonym
    assert start.pseudonym == ""


def test_presence_keeps_time_of_hearing_and_fault_its_reason() -> None:
    def said(kind: RowKind, body: bytes = b"", agent: bytes = ANNA) -> JournalRow:
        return JournalRow(kind=kind, agent=agent, received_us=T0, heard_us=T0 - 9, body=body)

    rows = [
        said(RowKind.LOST),
        said(RowKind.FAULT, b'{"why":"probe","country":"","carrier":""}', bytes(16)),
        said(RowKind.FAULT, b"\x08\x01", bytes(16)),
        said(RowKind.FAULT, b'["probe"]', bytes(16)),
    ]
    lost, fault, *odd = read_rows(rows, NAMES).presence
    assert (lost.heard_us, bool(lost.pseudonym), lost.reason) == (T0 - 9, True, "")
    assert (fault.heard_us, fault.pseudonym, fault.reason) == (T0 - 9, "", "probe")
    assert [(one.pseudonym, one.reason, one.vantage.country) for one in odd] == [("", "", "ZZ")] * 2


def test_seniority_is_of_the_time_of_measuring() -> None:
    def seniority(since_us: int, at_us: int = T0) -> Seniority:
        row = replace(envelope_row(measurement_pb(at_us)), since_s=since_us // US)
        (one,) = read_rows([row], NAMES).records
        return one.seniority

    assert seniority(T0 - 14 * DAY) is Seniority.ESTABLISHED
    assert seniority(T0 - 14 * DAY + US) is Seniority.YOUNG
    assert seniority(T0 - 14 * DAY, at_us=T0 - DAY) is Seniority.YOUNG
    assert seniority(T0 - DAY) is Seniority.YOUNG
    assert seniority(T0 - DAY + US) is Seniority.NEW
    assert seniority(T0 - DAY // 2, at_us=T0 - 60 * DAY) is Seniority.NEW, "before it enrolled"
    assert seniority(T0 - US, at_us=T0 + DAY) is Seniority.NEW, "a clock ahead makes nobody older"
    assert seniority(0) is Seniority.YOUNG, "of a journal from before nobody knows"


@given(st.binary(max_size=200))
def test_any_bytes_are_put_aside(body: bytes) -> None:
    envelope = JournalRow(kind=RowKind.ENVELOPE, agent=ANNA, received_us=T0, body=body)
    read = read_rows([envelope, envelope_row(measurement_pb())], NAMES)
    assert len(read.records) == 1
    assert len(read.failures) <= 1
