"""An incident that grew from a city to the country is dated place by place."""

from aiohttp.test_utils import TestServer

from heliograph_collector.http.app import build_app
from heliograph_collector.http.dark_places import DarkPlaces
from heliograph_collector.http.incident_document import build_state, parse_us
from heliograph_collector.http.incident_times import NOT_BACK_US, find_cut, find_latest_cut
from heliograph_collector.incidents.incident import PhaseDirection
from heliograph_collector.model.scope import Scope
from support.dark_country import country_before_the_cut
from support.incident_book import book, opening, part, silence
from support.site import Site

_ALMATY, _ASTANA = (part(24.0, "KZ", region) for region in ("KZ-75", "KZ-71"))
_GROWN = silence(
    turns=(
        opening(30, _ALMATY, way=PhaseDirection.CUT),
        opening(20, _ASTANA, way=PhaseDirection.CUT),
    )
)


def test_no_place_is_silent_before_its_own_cut() -> None:
    """No place is silent before its own cut.

    Astana measured for ten minutes more, and its bars were silent since Almaty's cut.
    """
    incident = build_state(book(_GROWN).incidents()[0], {}, 5)
    assert incident is not None
    later_us = parse_us(incident.turns[1].when.latest)
    assert later_us > parse_us(incident.started.latest) + 500_000_000
    places = DarkPlaces([incident])
    starts = {
        Scope("KZ", "KZ-75"): parse_us(incident.started.latest),
        Scope("KZ", "KZ-75", 9198): parse_us(incident.started.latest),
        Scope("KZ", "KZ-71"): later_us,
        Scope("KZ", "KZ-71", 9198, "fixed"): later_us,
        Scope("KZ", "", 9198, "fixed"): later_us,  # until then it measured in Astana
        Scope("KZ"): later_us,
    }
    for place, start_us in starts.items():
        assert places.list_silent_spans(place) == [(start_us, NOT_BACK_US)], place
        assert find_latest_cut(incident, place) == start_us, place
    assert find_cut(incident, Scope("KZ", "KZ-71")) == incident.turns[1].when
    assert find_cut(incident, Scope("KZ")).earliest == incident.started.earliest


async def test_the_start_below_a_headline_is_that_of_all_its_places() -> None:
    feed = country_before_the_cut().feed(k_anonymity=5, book=book(_GROWN))
    async with Site(TestServer(build_app(feed), host="127.0.0.1")) as client:
        pages = [await client.html(path) for path in ("/", "/countries/KZ")]
        incident = (await client.json("/api/v1/incidents"))["incidents"][0]
    for page in pages:
        start = page.split('id="since"')[1].split("</time>")[0]
        assert "between 13:12 and 13:24 UTC" in start
        assert incident["turns"][1]["when"]["latest"] in start
