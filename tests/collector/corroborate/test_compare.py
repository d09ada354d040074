"""An incident compared with series and claims: agreement, contradiction, or doubt."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from heliograph.timestamps import format_timestamp, parse_timestamp
from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.corroborate.annotation import (
    Agreement,
    AgreementReason,
    Annotation,
    from_record,
    to_record,
)
from heliograph_collector.corroborate.compare import RULES, compare_incident
from heliograph_collector.corroborate.incident import (
    Entity,
    FeedIncident,
    IncidentCell,
    read_incident,
)
from heliograph_collector.corroborate.series import (
    Claim,
    ClaimsEvidence,
    Point,
    SeriesEvidence,
    SourceEvidence,
)
from heliograph_collector.incidents.published.incident import IncidentSummary
from heliograph_collector.model.scope import Scope
from support import source_servers as o

KZ = Entity("KZ")
ADDRESS = {"url": "https://example.org", "attribution": "somebody"}
MINUTE_US = 60_000_000
ONSET_US = parse_timestamp("2022-01-05T10:30:00Z")
LATEST_US = parse_timestamp("2022-01-05T11:15:00Z")
STEPS = {"bgp": 5, "ping-slash24": 10, "merit-nt": 5, "netflows": 60, "visible_prefixes": 1}
SOURCES = {signal: source for source, signal in RULES}


def incident(*, exact: bool = True, ended_us: int | None = None) -> FeedIncident:
    parts = (IncidentCell(KZ, is_exact=exact),)
    return FeedIncident(
        id="kz", earliest_us=ONSET_US, latest_us=LATEST_US, ended_us=ended_us, cells=parts
    )


def series(
    signal: str, share: float, *, hours: float = 6, before: float = 1.0, days: int = 7
) -> SeriesEvidence:
    """Return a week at 1000, then `before` until the onset, then `share` of 1000."""
    step_us = STEPS[signal] * MINUTE_US
    read_us = LATEST_US + int(hours * HOUR_US)
    first_us = (ONSET_US - days * DAY_US) // step_us * step_us
    points = []
    for at in range(first_us, read_us - step_us + 1, step_us):
        late = before if at >= ONSET_US - 3 * HOUR_US else 1.0
        points.append(Point(at, 1_000 * (share if at + step_us > ONSET_US else late)))
    return SeriesEvidence(
        source=SOURCES[signal], signal=signal, entity=KZ, read_us=read_us, step_us=step_us,
        points=tuple(points), **ADDRESS,
    )  # fmt: skip


def claims(*spans: tuple[int, int | None]) -> ClaimsEvidence:
    return ClaimsEvidence(
        source="radar", signal="outages", entity=KZ, read_us=LATEST_US + HOUR_US,
        claims=tuple(Claim(*span) for span in spans), **ADDRESS,
    )  # fmt: skip


def said(annotation: Annotation) -> tuple[Agreement, AgreementReason]:
    return annotation.agreement, annotation.reason


@pytest.mark.parametrize("signal", STEPS)
def test_a_clear_drop_agrees(signal: str) -> None:
    found = compare_incident(incident(), series(signal, 0.1))
    assert said(found) == (Agreement.AGREES, AgreementReason.DROPPED)
    assert (found.figures["before"], found.figures["during"]) == (1.0, 0.1)
    assert (found.since_us, found.evaluated_us) == (ONSET_US, LATEST_US + 6 * HOUR_US)


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        # Kazakhstan's prefixes stayed visible while it was dark, and Iran's nearly all.
        ("bgp", (Agreement.NOTHING, AgreementReason.NO_SIGN)),
        ("visible_prefixes", (Agreement.NOTHING, AgreementReason.NO_SIGN)),
        ("merit-nt", (Agreement.NOTHING, AgreementReason.NO_SIGN)),
        ("ping-slash24", (Agreement.DISAGREES, AgreementReason.STAYED_UP)),
        ("netflows", (Agreement.DISAGREES, AgreementReason.STAYED_UP)),
    ],
)
def test_what_goes_on_disagrees_only_where_a_cut_must_show(
    signal: str, expected: tuple[Agreement, AgreementReason]
) -> None:
    assert said(compare_incident(incident(), series(signal, 1.0))) == expected


def since_late(evidence: SeriesEvidence) -> SeriesEvidence:
    """Return the evidence without the week before the onset."""
    late_us = ONSET_US + 30 * MINUTE_US
    return replace(evidence, points=tuple(p for p in evidence.points if p.at_us >= late_us))


def of_noughts(evidence: SeriesEvidence) -> SeriesEvidence:
    return replace(evidence, points=tuple(Point(p.at_us, 0.0) for p in evidence.points))


SHORT = incident(ended_us=LATEST_US + 10 * MINUTE_US)
DOUBTS = [
    *((incident(), since_late(series(name, 0.1)), "no_baseline") for name in STEPS),
    *((incident(), series(name, 0.1, hours=0.02), "lags") for name in STEPS),
    *((incident(), series(name, 0.1, before=0.1), "low_before") for name in STEPS),
    (incident(), of_noughts(series("bgp", 1.0)), "no_baseline"),
    (incident(), series("ping-slash24", 0.1, hours=0.5), "lags"),  # points may still grow
    (incident(), series("netflows", 0.7), "between"),
    (incident(), series("netflows", 1.0, hours=3.75), "between"),  # two points are too few
    (SHORT, series("netflows", 1.0), "too_short"),  # over within one step
    (incident(exact=False), series("netflows", 1.0), "wider"),
]


@pytest.mark.parametrize(("cut", "evidence", "reason"), DOUBTS)
def test_doubtful_series_says_nothing(
    cut: FeedIncident, evidence: SeriesEvidence, reason: str
) -> None:
    annotation = compare_incident(cut, evidence)
    assert said(annotation) == (Agreement.NOTHING, AgreementReason(reason))


def test_a_wider_cell_agrees() -> None:
    annotation = compare_incident(incident(exact=False), series("ping-slash24", 0.5))
    assert annotation.agreement is Agreement.AGREES


def test_after_the_end_it_is_not_held_against_us_that_all_is_well() -> None:
    over = incident(ended_us=LATEST_US + 2 * HOUR_US)
    told = series("ping-slash24", 0.1)
    points = tuple(p if p.at_us < over.until_us else Point(p.at_us, 1_000) for p in told.points)
    assert compare_incident(over, replace(told, points=points)).agreement is Agreement.AGREES


def test_the_night_is_no_drop_of_traffic() -> None:
    told = series("netflows", 1.0)
    points = tuple(  # every day, for eight hours from that of the onset, a tenth of the traffic
        Point(p.at_us, 100 if (p.at_us - ONSET_US) % DAY_US < 8 * HOUR_US else 1_000)
        for p in told.points
    )
    found = compare_incident(incident(), replace(told, points=points))
    assert said(found) == (Agreement.DISAGREES, AgreementReason.STAYED_UP)


@pytest.mark.parametrize(
    ("spans", "what"),
    [
        ([(ONSET_US - HOUR_US, None)], Agreement.AGREES),
        ([(LATEST_US, LATEST_US + HOUR_US)], Agreement.AGREES),
        ([], Agreement.NOTHING),
        ([(ONSET_US - 3 * DAY_US, None)], Agreement.NOTHING),
        ([(LATEST_US + DAY_US, None)], Agreement.NOTHING),
        ([(ONSET_US - 2 * HOUR_US, ONSET_US - HOUR_US)], Agreement.NOTHING),
    ],
)
def test_a_reported_outage_agrees_when_it_is_the_same(
    spans: Sequence[tuple[int, int | None]], what: Agreement
) -> None:
    assert compare_incident(incident(), claims(*spans)).agreement is what


def test_what_is_no_evidence_is_refused() -> None:
    bare = SourceEvidence(source="x", signal="x", entity=KZ, read_us=0, url="", attribution="")
    with pytest.raises(TypeError, match="no evidence"):
        compare_incident(incident(), bare)


def test_a_note_comes_back_from_its_record() -> None:
    found = compare_incident(incident(), series("bgp", 0.5))
    assert from_record("kz", to_record(found)) == found
    assert to_record(found)["window"]["since"] == "2022-01-05T10:30:00.000000Z"


def told(**changes: Any) -> IncidentSummary:
    return o.incident(format_timestamp(ONSET_US), format_timestamp(LATEST_US), "abc", **changes)


def test_an_incident_is_read_as_it_is_published() -> None:
    read = read_incident(told())
    assert read is not None
    assert (read.earliest_us, read.latest_us, read.ended_us) == (ONSET_US, LATEST_US, None)
    assert read.cells == (IncidentCell(KZ, is_exact=True),)


def test_a_region_is_asked_about_by_its_country_and_a_network_by_its_number() -> None:
    region = Scope("KZ", "ALA")
    network = Scope("KZ", asn=9198)
    read = read_incident(told(parts=[region, network, network]))
    assert read is not None
    assert read.cells == (
        IncidentCell(KZ, is_exact=False),
        IncidentCell(Entity("KZ", 9198), is_exact=True),
    )


@pytest.mark.parametrize("change", [{"kind": "service_blocking"}, {"state": "withdrawn"}])
def test_nobody_is_asked_about_what_nobody_outside_could_see(change: dict[str, str]) -> None:
    assert read_incident(told(**change)) is None


def test_only_the_incidents_of_the_last_day_are_asked_about() -> None:
    assert incident().is_due(LATEST_US)
    assert not incident().is_due(ONSET_US - 1), "a clock that ran back"
    assert not incident().is_due(ONSET_US + 28 * HOUR_US)
