"""An incident held against series and claims: agrees, disagrees, and every doubt says nothing."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from heliograph_collector.corroborate.annotation import Annotation, What, Why, read_record, record
from heliograph_collector.corroborate.compare import RULES, hold_against
from heliograph_collector.corroborate.incident import (
    DAY_US,
    HOUR_US,
    Entity,
    Incident,
    Part,
    micros,
    moment,
    open_incidents,
    read_incident,
)
from heliograph_collector.corroborate.series import Claim, Claims, Evidence, Point, Series

KZ = Entity("KZ")
MINUTE_US = 60_000_000
ONSET_US = micros("2022-01-05T10:30:00Z")
LATEST_US = micros("2022-01-05T11:15:00Z")
STEPS = {"bgp": 5, "ping-slash24": 10, "merit-nt": 5, "netflows": 60, "visible_prefixes": 1}
SOURCES = {signal: source for source, signal in RULES}


def incident(*, exact: bool = True, ended_us: int | None = None) -> Incident:
    parts = (Part(KZ, exact=exact),)
    return Incident(
        id="kz", earliest_us=ONSET_US, latest_us=LATEST_US, ended_us=ended_us, parts=parts
    )


def series(
    signal: str, share: float, *, hours: float = 6, before: float = 1.0, days: int = 7
) -> Series:
    """A week at 1000, the last hours before the onset at `before`, and `share` of it after."""
    step_us = STEPS[signal] * MINUTE_US
    read_us = LATEST_US + int(hours * HOUR_US)
    first_us = (ONSET_US - days * DAY_US) // step_us * step_us
    points = []
    for at in range(first_us, read_us - step_us + 1, step_us):
        late = before if at >= ONSET_US - 3 * HOUR_US else 1.0
        points.append(Point(at, 1_000 * (share if at + step_us > ONSET_US else late)))
    return Series(
        source=SOURCES[signal],
        signal=signal,
        entity=KZ,
        read_us=read_us,
        url="https://example.org/KZ",
        attribution="somebody",
        step_us=step_us,
        points=tuple(points),
    )


def claims(*spans: tuple[int, int | None]) -> Claims:
    return Claims(
        source="radar",
        signal="outages",
        entity=KZ,
        read_us=LATEST_US + HOUR_US,
        url="https://example.org",
        attribution="somebody",
        claims=tuple(Claim(*span) for span in spans),
    )


def said(annotation: Annotation) -> tuple[What, Why]:
    return annotation.what, annotation.why


@pytest.mark.parametrize("signal", STEPS)
def test_a_clear_drop_agrees(signal: str) -> None:
    found = hold_against(incident(), series(signal, 0.1))
    assert said(found) == (What.AGREES, Why.DROPPED)
    assert (found.figures["before"], found.figures["during"]) == (1.0, 0.1)
    assert (found.since_us, found.said_us) == (ONSET_US, LATEST_US + 6 * HOUR_US)


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        # Kazakhstan's prefixes stayed visible while it was dark, and Iran's nearly all.
        ("bgp", (What.NOTHING, Why.NO_SIGN)),
        ("visible_prefixes", (What.NOTHING, Why.NO_SIGN)),
        ("merit-nt", (What.NOTHING, Why.NO_SIGN)),
        ("ping-slash24", (What.DISAGREES, Why.STAYED_UP)),
        ("netflows", (What.DISAGREES, Why.STAYED_UP)),
    ],
)
def test_what_goes_on_disagrees_only_where_a_cut_must_show(
    signal: str, expected: tuple[What, Why]
) -> None:
    assert said(hold_against(incident(), series(signal, 1.0))) == expected


@pytest.mark.parametrize("signal", STEPS)
def test_without_a_past_nothing_is_said(signal: str) -> None:
    long_ago = ONSET_US + 30 * MINUTE_US
    told = series(signal, 0.1)
    bare = replace(told, points=tuple(p for p in told.points if p.at_us >= long_ago))
    assert said(hold_against(incident(), bare)) == (What.NOTHING, Why.NO_BASELINE)


@pytest.mark.parametrize("signal", STEPS)
def test_a_series_that_lags_says_nothing_yet(signal: str) -> None:
    told = series(signal, 0.1, hours=0.02)
    assert said(hold_against(incident(), told)) == (What.NOTHING, Why.LAGS)


@pytest.mark.parametrize("signal", STEPS)
def test_what_was_down_before_says_nothing_of_this_onset(signal: str) -> None:
    told = series(signal, 0.1, before=0.1)
    assert said(hold_against(incident(), told)) == (What.NOTHING, Why.LOW_BEFORE)


def test_half_a_drop_is_in_between() -> None:
    told = series("netflows", 0.7)
    assert said(hold_against(incident(), told)) == (What.NOTHING, Why.BETWEEN)


def test_an_incident_over_within_a_step_is_too_short_for_it() -> None:
    short = incident(ended_us=LATEST_US + 10 * MINUTE_US)
    assert said(hold_against(short, series("netflows", 1.0))) == (What.NOTHING, Why.TOO_SHORT)


def test_a_wider_cell_agrees_and_never_disagrees() -> None:
    mobile = incident(exact=False)
    assert hold_against(mobile, series("ping-slash24", 0.5)).what is What.AGREES
    assert said(hold_against(mobile, series("netflows", 1.0))) == (What.NOTHING, Why.WIDER)


def test_after_the_end_it_is_not_held_against_us_that_all_is_well() -> None:
    over = incident(ended_us=LATEST_US + 2 * HOUR_US)
    told = series("ping-slash24", 0.1)
    points = tuple(p if p.at_us < over.until_us else Point(p.at_us, 1_000) for p in told.points)
    assert hold_against(over, replace(told, points=points)).what is What.AGREES


def test_the_night_is_no_drop_of_traffic() -> None:
    told = series("netflows", 1.0)
    points = tuple(  # every day, for eight hours from that of the onset, a tenth of the traffic
        Point(p.at_us, 100 if (p.at_us - ONSET_US) % DAY_US < 8 * HOUR_US else 1_000)
        for p in told.points
    )
    found = hold_against(incident(), replace(told, points=points))
    assert said(found) == (What.DISAGREES, Why.STAYED_UP)


def test_points_that_may_still_grow_are_not_counted() -> None:
    told = series("ping-slash24", 0.1, hours=0.5)
    assert said(hold_against(incident(), told)) == (What.NOTHING, Why.LAGS)


def test_two_points_are_too_few_to_contradict_us() -> None:
    told = series("netflows", 1.0, hours=3.75)
    assert said(hold_against(incident(), told)) == (What.NOTHING, Why.BETWEEN)


def test_a_series_of_noughts_says_nothing() -> None:
    told = series("bgp", 1.0)
    nought = replace(told, points=tuple(Point(p.at_us, 0.0) for p in told.points))
    assert said(hold_against(incident(), nought)) == (What.NOTHING, Why.NO_BASELINE)


@pytest.mark.parametrize(
    ("spans", "what"),
    [
        ([(ONSET_US - HOUR_US, None)], What.AGREES),
        ([(LATEST_US, LATEST_US + HOUR_US)], What.AGREES),
        ([], What.NOTHING),
        ([(ONSET_US - 3 * DAY_US, None)], What.NOTHING),
        ([(LATEST_US + DAY_US, None)], What.NOTHING),
        ([(ONSET_US - 2 * HOUR_US, ONSET_US - HOUR_US)], What.NOTHING),
    ],
)
def test_a_reported_outage_agrees_when_it_is_the_same(
    spans: Sequence[tuple[int, int | None]], what: What
) -> None:
    assert hold_against(incident(), claims(*spans)).what is what


def test_what_is_no_evidence_is_refused() -> None:
    bare = Evidence(source="x", signal="x", entity=KZ, read_us=0, url="", attribution="")
    with pytest.raises(TypeError, match="no evidence"):
        hold_against(incident(), bare)


def test_a_note_comes_back_from_its_record() -> None:
    found = hold_against(incident(), series("bgp", 0.5))
    assert read_record("kz", record(found)) == found
    assert record(found)["window"]["since"] == "2022-01-05T10:30:00.000000Z"


def told(**changes: Any) -> dict[str, Any]:
    scope = {"country": "KZ", "region": "", "asn": 0, "access": ""}
    return {
        "id": "abc",
        "kind": "network_silence",
        "state": "confirmed",
        "scope": scope | {"service": ""},
        "parts": [scope],
        "started": {"earliest": moment(ONSET_US), "latest": moment(LATEST_US)},
        "ended": None,
    } | changes


def test_an_incident_is_read_from_its_json() -> None:
    read = read_incident(told())
    assert read is not None
    assert (read.earliest_us, read.latest_us, read.ended_us) == (ONSET_US, LATEST_US, None)
    assert read.parts == (Part(KZ, exact=True),)


def test_a_region_is_asked_about_by_its_country_and_a_network_by_its_number() -> None:
    region = {"country": "KZ", "region": "ALA", "asn": 0, "access": ""}
    network = {"country": "KZ", "region": "", "asn": 9198, "access": ""}
    read = read_incident(told(parts=[region, network, network]))
    assert read is not None
    assert read.parts == (Part(KZ, exact=False), Part(Entity("KZ", 9198), exact=True))


@pytest.mark.parametrize("change", [{"kind": "service_blocking"}, {"state": "withdrawn"}])
def test_nobody_is_asked_about_what_nobody_outside_could_see(change: dict[str, str]) -> None:
    assert read_incident(told(**change)) is None


def test_only_the_incidents_of_the_last_day_are_asked_about() -> None:
    every = [told()]
    assert len(open_incidents(every, LATEST_US)) == 1
    assert not open_incidents(every, ONSET_US - 1), "a clock that ran back"
    assert not open_incidents(every, ONSET_US + 28 * HOUR_US)
