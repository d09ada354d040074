"""No subtraction of status, timeline, incidents and coverage reveals a small cell."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from heliograph.observation import Link
from heliograph_collector.aggregate import rollup
from heliograph_collector.aggregate.disclosure import BIN_S, Disclosure
from heliograph_collector.http import anonymity, snapshot
from heliograph_collector.http.api import status
from heliograph_collector.http.backend import AgentCounts, LinkCount
from heliograph_collector.http.incident_document import build_state
from heliograph_collector.incidents.published.incident import IncidentSummary
from heliograph_collector.model.records import BlindTime, VerdictState
from heliograph_collector.model.scope import AffectedCell
from support.examples import limit_examples
from support.fake_feed import BIN_US, NOW_US, TITLES, World, crowd
from support.incident_book import book, part, silence
from support.site import Serve

ALL = 10**6
Interval = tuple[int, int]


def read(band: str) -> Interval:
    """Return the interval of a number published as a band."""
    if band.endswith("+"):
        return int(band[:-1]), ALL
    low, _, high = band.partition("-")
    return int(low), int(high or low)


def read_floor(floor: int, k: int) -> Interval:
    top = anonymity.band_bounds(floor, k)[1]
    return floor, ALL if top is None else top


def rest(whole: Interval, named: list[Interval]) -> Interval:
    """Return the interval of a whole without its named parts."""
    return (
        max(0, whole[0] - sum(high for _, high in named)),
        whole[1] - sum(low for low, _ in named),
    )


def points_at_few(left: Interval, k: int) -> bool:
    """Return whether a reader can be sure of some people, fewer than k."""
    return left[0] >= 1 and left[1] < k


networks = st.dictionaries(st.integers(1, 6), st.integers(1, 60), min_size=1, max_size=5)


@settings(deadline=None, max_examples=limit_examples(120))
@given(networks, st.sampled_from((5, 10)), st.sets(st.integers(1, 6)))
def test_no_difference_points_at_few(people: dict[int, int], k: int, cut: set[int]) -> None:
    """No difference of incidents, status table and timeline points at few people."""
    votes = [
        vote
        for asn, count in people.items()
        for vote in crowd(count, VerdictState.REACHABLE, NOW_US, NOW_US + BIN_US, asn=asn)
    ]
    since_us, until_us = snapshot.history_window(NOW_US)
    measured = rollup.roll_up(votes, [], since_us, until_us, BIN_S)
    links = [
        LinkCount(country="KZ", asn=asn, access="fixed", link=Link.ONLINE, vantages=count)
        for asn, count in people.items()
    ]
    shown = Disclosure(k, TITLES, NOW_US + BIN_US).release(measured)
    world = snapshot.compose_snapshot(NOW_US, k, TITLES, shown, links, AgentCounts())
    table = {g.asn: read(g.vantages) for g in status.build_status(world).groups}
    total = sum(people.values())
    alone = [
        told
        for asn in sorted(cut & people.keys())
        if (told := _told(k, part(people[asn], "KZ", "", asn)))
    ]
    assert all(people[t.parts[0].asn] >= k for t in alone)
    known = [*table.items(), *((t.parts[0].asn, read(t.parts[0].votes)) for t in alone)]
    wholes = [read_floor(anonymity.band_floor(total, k), k)] if total >= k else []
    national = _told(k, part(total, "KZ"))
    wholes += [read(national.parts[0].votes)] if national else []
    named: dict[int, list[Interval]] = {}
    for asn, interval in known:
        named.setdefault(asn, []).append(interval)
    best = [(max(low for low, _ in i), min(high for _, high in i)) for i in named.values()]
    for whole in wholes:
        assert not points_at_few(rest(whole, best), k), (whole, best)


def _told(k: int, *parts: AffectedCell) -> IncidentSummary | None:
    return build_state(book(silence(parts=parts)).incidents()[0], TITLES, k)


def test_exact_numbers_would_point_at_them() -> None:
    """Exact numbers would point at few people, so the attack of this test works."""
    assert points_at_few(rest((23, 23), [(20, 20)]), 5)
    assert points_at_few(rest((9, 9), [(5, 5)]), 5)


@pytest.mark.parametrize(("few", "country"), [(1, "UZ"), (4, "UZ"), (4, "KZ")])
async def test_where_few_are_every_answer_is_as_if_nobody_were(
    serve: Serve, few: int, country: str
) -> None:
    """Byte for byte, alone in a country or beside twenty in another network of it."""

    async def answers(count: int) -> list[str]:
        world = World()
        world.votes += crowd(20, VerdictState.REACHABLE, NOW_US - 4 * BIN_US, NOW_US + BIN_US)
        window = (NOW_US - 4 * BIN_US, NOW_US + BIN_US)
        world.votes += crowd(count, VerdictState.BLOCKED, *window, country=country, asn=8193)
        world.votes += crowd(5, VerdictState.REACHABLE, *window, country="TJ", service="=cmd")
        blind = [BlindTime(since_us=NOW_US - 1, until_us=None, reason="carrier", country="UZ")]
        small = book(silence(parts=(part(float(count or 1), "UZ"),)))
        client = await serve(
            world.feed(book=small, list_gaps=lambda since_us, until_us: blind if count else [])
        )
        paths = [
            "/api/v1/incidents",
            "/api/v1/incidents?country=UZ",
            f"/api/v1/incidents/{silence().id}",
            "/api/v1/coverage",
            "/api/v1/coverage?country=UZ",
            "/feeds/incidents.json?country=UZ",
            "/api/v1/status",
            "/api/v1/timeline",
            *(f"/api/v1/timeline?country={country}{m}" for m in ("", "&asn=8193", "&bin=1h")),
            f"/api/v1/timeline?country={country}&bin=1m&since=2022-01-05T13:00:00Z",
            f"/api/v1/timeline?country={country}&asn=8193&access=fixed&service=telegram&bin=1m",
            "/api/v1/timeline?asn=8193",
            f"/countries/{country}",
        ]
        told = [await (await client.get(path)).text() for path in paths]
        assert "=cmd" not in "".join(told), "the plan does not list it"
        return told

    with_few, without = await answers(few), await answers(0)
    ports = [text.split("127.0.0.1:")[1].split("/")[0] for text in (with_few[5], without[5])]
    assert [t.replace(ports[0], ports[1]) for t in with_few] == without


async def test_the_page_tells_no_more_than_the_status(serve: Serve) -> None:
    """The page reveals no more than the status: one vantage of 25 changes no band."""

    async def answers(others: int) -> tuple[str, str, str]:
        world = World()
        first_us = NOW_US - 4 * BIN_US
        votes = crowd(25, VerdictState.REACHABLE, first_us, NOW_US + BIN_US)
        different = [
            structs.replace(v, reachable=0, blocked=1)
            for v in votes
            if v.pseudonym in _first(others)
        ]
        world.votes = [v for v in votes if v.pseudonym not in _first(others)] + different
        client = await serve(world.feed())
        paths = ("/api/v1/status", "/?country=KZ", "/countries/KZ")
        status, page, country = [await (await client.get(path)).text() for path in paths]
        return status, page, country

    for with_one, without in zip(await answers(1), await answers(0), strict=True):
        assert with_one.splitlines() == without.splitlines()


def _first(count: int) -> set[str]:
    return {f"9198-{n}" for n in range(count)}
