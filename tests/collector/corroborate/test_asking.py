"""IODA and Radar in their true formats over real HTTP: queries and answers."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from heliograph_collector.config.outgoing_http import open_source_session
from heliograph_collector.corroborate import (
    Entity,
    IodaConfig,
    RadarConfig,
    SourceError,
)
from heliograph_collector.corroborate.fetch import parse_retry_after_s
from heliograph_collector.corroborate.ioda import Ioda
from heliograph_collector.corroborate.ioda import parse_series as ioda_series
from heliograph_collector.corroborate.radar import Radar
from heliograph_collector.corroborate.radar import parse_series as radar_series
from heliograph_collector.corroborate.series import (
    Claim,
    ClaimsEvidence,
    Point,
    SeriesEvidence,
    SourceEvidence,
)
from heliograph_collector.corroborate.source import (
    MAX_DELAY_S,
    RequestPacer,
    compute_backoff_s,
)
from support import source_servers as o
from support.hand_clock import HandClock

KZ, TELECOM = Entity("KZ"), Entity("KZ", 9198)
SINCE_S = 1_641_340_800  # 2022-01-05 00:00
SINCE_US, UNTIL_US = SINCE_S * 1_000_000, (SINCE_S + 43_200) * 1_000_000


def ioda_answers(values: Sequence[float | None], code: str = "KZ") -> dict[str, Any]:
    place = f"country/{code}" if code.isalpha() else f"asn/{code}"
    path = f"/v2/signals/raw/{place}"
    steps = {"bgp": 300, "ping-slash24": 600, "merit-nt": 300}
    return {
        "/v2/outages/events": o.ioda("outages.events", [o.event(place, SINCE_S, 600)]),
        **{
            f"{path}?{name}": o.ioda("signals", [[o.signal(code, name, SINCE_S, step, values)]])
            for name, step in steps.items()
        },
    }


def radar_answers(values: Sequence[float]) -> dict[str, Any]:
    base = "/client/v4/radar"
    return {
        f"{base}/netflows/timeseries": o.flows(SINCE_S, values),
        f"{base}/traffic_anomalies": o.anomalies((SINCE_S, None)),
        f"{base}/annotations/outages": o.outages((SINCE_S, SINCE_S + 60), (SINCE_S, None)),
    }


async def ask(
    outside: o.Outside, entity: Entity, pauses: o.Pauses, name: str
) -> list[SourceEvidence]:
    async with outside.serve(), open_source_session() as session:
        means = pauses.context(session)
        if name == "ioda":
            source: Ioda | Radar = Ioda(IodaConfig(url=f"{outside.url}/v2"), means)
        else:
            config = RadarConfig(url=f"{outside.url}/client/v4", token=o.TOKEN)
            source = Radar(config, means)
        return list(await source.ask(entity, SINCE_US, UNTIL_US))


async def test_ioda_is_asked_for_each_signal_and_its_events() -> None:
    outside = o.Outside(ioda_answers([10_000, None, 5_000.5]))
    pauses = o.Pauses()
    bgp, ping, telescope, events = await ask(outside, KZ, pauses, "ioda")
    assert isinstance(bgp, SeriesEvidence)
    assert bgp.points == (Point(SINCE_US, 10_000), Point(SINCE_US + 600_000_000, 5_000.5))
    assert (bgp.signal, bgp.step_us) == ("bgp", 300_000_000)
    assert bgp.url == "https://ioda.inetintel.cc.gatech.edu/country/KZ"
    assert [ping.signal, telescope.signal] == ["ping-slash24", "merit-nt"]
    assert isinstance(events, ClaimsEvidence)
    assert events.claims == (Claim(SINCE_US, SINCE_US + 600_000_000),)
    first, last = outside.asked[0], outside.asked[-1]
    window = {"from": str(SINCE_S), "until": str(SINCE_S + 43_200)}
    assert dict(first.query) == window | {"datasource": "bgp"}
    assert (last.query["entityType"], last.query["entityCode"]) == ("country", "KZ")
    assert "Authorization" not in first.headers


async def test_ioda_knows_networks_by_their_number_and_is_asked_slowly() -> None:
    outside, pauses = o.Outside(ioda_answers([1.0], "9198")), o.Pauses()
    found = await ask(outside, TELECOM, pauses, "ioda")
    assert outside.asked[0].path == "/v2/signals/raw/asn/9198"
    assert found[0].url.endswith("/asn/9198")
    assert pauses.taken == [10.0, 10.0, 10.0]


async def test_radar_is_asked_with_the_token_for_traffic_anomalies_and_outages() -> None:
    outside = o.Outside(radar_answers([1.0, 0.25]))
    traffic, anomalies, outages = await ask(outside, KZ, o.Pauses(), "radar")
    assert isinstance(traffic, SeriesEvidence)
    assert traffic.points == (Point(SINCE_US, 1.0), Point(SINCE_US + 3_600_000_000, 0.25))
    assert traffic.attribution == "Cloudflare Radar, CC BY-NC 4.0."
    assert isinstance(anomalies, ClaimsEvidence)
    assert anomalies.claims == (Claim(SINCE_US, None),)
    assert isinstance(outages, ClaimsEvidence)
    assert outages.claims == (Claim(SINCE_US, SINCE_US + 60_000_000), Claim(SINCE_US, None))
    window = {"dateStart": "2022-01-05T00:00:00Z", "dateEnd": "2022-01-05T12:00:00Z"}
    form = {"location": "KZ", "format": "JSON", "aggInterval": "1h"}
    assert dict(outside.asked[0].query) == form | window


async def test_radar_knows_networks_by_their_number() -> None:
    outside = o.Outside(radar_answers([1.0]))
    found = await ask(outside, TELECOM, o.Pauses(), "radar")
    assert outside.asked[0].query["asn"] == "9198"
    assert found[0].url == "https://radar.cloudflare.com/traffic/as9198"


def encoded(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode()


def test_series_of_another_place_or_of_nothing_is_no_evidence() -> None:
    body = encoded(o.ioda("signals", [[o.signal("UZ", "bgp", SINCE_S, 300, [1.0])]]))
    assert ioda_series(body, KZ, UNTIL_US) == []
    assert ioda_series(encoded(o.ioda("signals", [[]])), KZ, UNTIL_US) == []


def bgp_signals(begin_s: int, step_s: int = 300, count: int = 1) -> bytes:
    values = [1.0] * count
    return encoded(o.ioda("signals", [[o.signal("KZ", "bgp", begin_s, step_s, values)]]))


def bgp_value(value: bytes) -> bytes:
    return (
        b'{"data": [[{"entityCode":"KZ","datasource":"bgp","from":1,"step":1,"values":[%s]}]]}'
        % value
    )


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html>", b"null", b"[1]", b'{"data": {"a": 1}}', b"[" * 100_000, b"\xff\xfe"),
        b'{"data": [[' + b'{"values": ' + b"[" * 50_000,
        encoded(o.ioda("signals", None, "invalid datasource")),
        *(bgp_signals(-1), bgp_signals(10**30), bgp_signals(SINCE_S, 0)),
        *(bgp_signals(SINCE_S, 1, 20_001), bgp_value(b"1e999"), bgp_value(b"NaN")),
    ],
    ids=range(15),
)
def test_wrong_json_is_one_kind_of_failure(body: bytes) -> None:
    with pytest.raises(SourceError):
        ioda_series(body, KZ, UNTIL_US)


@pytest.mark.parametrize(
    "answer",
    [
        {"success": False, "errors": [{"message": "Bad request"}], "result": {}},
        o.flows(SINCE_S, [1.0]) | {"success": False},
        o.flows(SINCE_S, [1.0], "PERCENTAGE_CHANGE"),
        o.flows(SINCE_S, [float("nan")]),
        o.flows(SINCE_S, [float("inf")]),
    ],
    ids=range(5),
)
def test_what_radar_cannot_have_meant_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(SourceError):
        radar_series(encoded(answer), KZ, UNTIL_US)


def test_a_time_that_is_none_is_refused() -> None:
    answer = o.flows(SINCE_S, [1.0])
    answer["result"]["serie_0"]["timestamps"] = ["soon"]
    with pytest.raises(SourceError, match="time that is none"):
        radar_series(encoded(answer), KZ, UNTIL_US)


def test_after_failures_it_waits_longer_and_as_long_as_it_was_told() -> None:
    rng = Random(3)
    waits = [compute_backoff_s(n, None, rng) for n in (1, 2, 3, 4, 50)]
    assert 7.5 <= waits[0] <= 15
    assert waits == sorted(waits)
    assert waits[-1] <= MAX_DELAY_S
    assert compute_backoff_s(1, 600.0, rng) == 600.0
    assert compute_backoff_s(1, 1e9, rng) == MAX_DELAY_S, "nobody sends us away for ever"
    assert compute_backoff_s(9, 0.0, rng) > 1_000, "nor calls us back at once"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("Wed, 05 Jan 2022 11:02:00 GMT", 120.0),
        ("Wed, 05 Jan 2022 10:00:00 GMT", 0.0),
        ("", None),
        ("-5", None),
        ("9" * 400, 999_999_999.0),
        ("tomorrow", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert parse_retry_after_s(text, HandClock().wall_us()) == seconds


async def test_a_pace_keeps_its_gap_and_no_more() -> None:
    pauses = o.Pauses()
    async with open_source_session() as session:
        pacer = RequestPacer(5.0, pauses.context(session))
        for elapsed_us in (0, 2_000_000, 9_000_000):
            pauses.clock.advance_us(elapsed_us)
            await pacer.wait_turn()
    assert pauses.taken == [3.0]
