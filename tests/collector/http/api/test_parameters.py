"""Query strings are read strictly, and refused with the place and the cure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from heliograph.timestamps import format_time
from heliograph_collector.http.api import parameters
from heliograph_collector.http.api.parameter_types import read_time
from heliograph_collector.http.api.parameters import QueryValues
from heliograph_collector.http.api.timeline import MAX_ROWS, TIMELINE_PARAMETERS, parse_span
from heliograph_collector.http.problem import Problem


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("country", "KZ", "KZ"),
        ("country", "kz", "KZ"),
        ("country", "zz", "ZZ"),
        ("region", "kz-75", "KZ-75"),
        ("asn", "as9198", 9198),
        ("asn", "AS9198", 9198),
        ("asn", "0", 0),
        ("access", "mobile", "mobile"),
        ("service", "https://www.wikipedia.org/", "https://www.wikipedia.org/"),
        ("since", "2022-01-05T16:00:00+06:00", 1_641_376_800_000_000),
        ("since", "2022-01-05T10:00:00.25Z", 1_641_376_800_250_000),
        ("bin", "5m", 300),
        ("bin", "3600", 3600),
    ],
)
def test_good_values_are_read(name: str, text: str, expected: object) -> None:
    parameter = next(p for p in TIMELINE_PARAMETERS if p.name == name)
    values = parameters.parse(MultiDict({name: text}), TIMELINE_PARAMETERS)
    assert values.get(parameter) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("country", "kzz"),
        ("country", "Казахстан"),
        ("country", "KZ\n"),
        ("asn", "-1"),
        ("asn", "4294967296"),
        ("asn", "٣"),
        ("access", "wifi"),
        ("service", "tele\x00gram"),
        ("service", ""),
        ("since", "2022-01-05"),
        ("since", "2022-01-05T10:00:00"),
        ("since", "2022-13-05T10:00:00Z"),
        ("since", "1969-01-05T10:00:00Z"),
        ("since", "0001-01-01T00:00:00+23:59"),
        ("bin", "7m"),
    ],
)
def test_bad_values_are_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(Problem) as refused:
        parameters.parse(MultiDict({name: text}), TIMELINE_PARAMETERS)
    assert (refused.value.status, refused.value.document.parameter) == (400, name)
    assert refused.value.document.allowed


@pytest.mark.parametrize(
    ("query", "says"),
    [([("contry", "KZ")], "asn, bin, country"), ([("country", "KZ"), ("country", "IR")], "twice")],
)
def test_unknown_or_repeated_parameter_is_refused(query: list[tuple[str, str]], says: str) -> None:
    with pytest.raises(Problem, match=says) as refused:
        parameters.parse(MultiDict(query), TIMELINE_PARAMETERS)
    assert refused.value.document.parameter == query[0][0]


@given(st.sampled_from([p.name for p in TIMELINE_PARAMETERS]), st.text(max_size=40))
def test_whatever_is_given_is_read_or_refused(name: str, text: str) -> None:
    parameter = next(p for p in TIMELINE_PARAMETERS if p.name == name)
    try:
        is_read = parameter in parameters.parse(MultiDict({name: text}), TIMELINE_PARAMETERS)
    except Problem as problem:
        is_read = problem.document.parameter == name
    assert is_read


@given(st.integers(1_262_304_000_000_000, 4_102_444_800_000_000))
def test_times_are_written_as_they_are_read(us: int) -> None:
    assert read_time(format_time(us)) == us


def test_a_span_is_aligned_outward_and_a_day_long_by_itself() -> None:
    now = 1_641_390_200_000_000
    since, until, bin_s = parse_span(QueryValues({}), now)
    assert (until - since) // 300_000_000 == 289
    assert since % 300_000_000 == until % 300_000_000 == 0
    assert since < now - 86_400_000_000 < now < until
    assert bin_s == 300


def test_too_many_rows_are_refused_with_the_bins_that_would_do() -> None:
    asked = {"since": 1_640_995_200_000_000, "until": 1_643_673_600_000_000, "bin": 60}
    with pytest.raises(Problem) as refused:
        parse_span(QueryValues(asked), 0)
    assert refused.value.document.allowed == "1h, 1d"
    assert str(MAX_ROWS) in str(refused.value)


def test_a_span_that_runs_backwards_is_refused() -> None:
    with pytest.raises(Problem) as refused:
        parse_span(QueryValues(dict.fromkeys(("since", "until"), 1_641_390_200_000_000)), 0)
    assert refused.value.document.parameter == "since"
