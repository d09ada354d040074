"""The pages of incidents: plain words of the same data, no inline or foreign code."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from heliograph.units import DAY_US
from heliograph_collector.http.backend import Publisher
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.imported import (
    ImportedFilter,
    ImportedHistory,
    ImportedRow,
    ReportedOutage,
    StateCounts,
)
from heliograph_collector.store.clickhouse import StoreError
from support.incident_book import (
    ALMATY,
    DOUBT,
    GONE,
    KEY,
    MOBILE,
    TELEGRAM,
    ago,
    blocking,
    book,
    closed,
    evening_book,
    silence,
)
from support.kazakhstan_votes import evening
from support.read_page import Read
from support.site import Serve, open_page, raising


async def test_the_front_page_lists_what_is_open_and_what_ended(serve: Serve) -> None:
    page = await open_page(serve, "/")
    hrefs = [a.get("href") or "" for _, a in page.elements]
    links = [href for href in hrefs if href.startswith("/incidents/")]
    assert links == [f"/incidents/{i}" for i in (MOBILE, TELEGRAM, DOUBT, ALMATY, GONE)]
    told = page.text["incidents"]
    assert "Mobile networks in Kazakhstan went offline about 12:51 UTC" in told
    assert "confirmed · network silence · high confidence · 10\u201319 vantage points" in told
    assert "Not confirmed: most of the fixed lines in BE, Germany" in told
    assert "ALA, Kazakhstan" not in told
    over = page.text["ended"]
    assert over.startswith("Ended in the last seven days")
    assert "ALA, Kazakhstan" in over
    assert "Withdrawn: we reported that blocking of Signal" in over


async def test_a_country_s_page_lists_its_own(serve: Serve) -> None:
    page = await open_page(serve, "/?country=DE")
    assert "AS3320" in page.html
    assert "AS9198" not in page.html
    assert "Germany" in page.text["incidents"]
    assert "Kazakhstan" not in page.text["incidents"]
    hrefs = {a.get("href") for _, a in page.elements}
    assert "/feeds/incidents.atom?country=DE" in hrefs


async def test_none_means_none_only_where_a_detector_watches(serve: Serve) -> None:
    watched = await open_page(serve, "/", book=book())
    assert watched.text["incidents"] == (
        "No incident is open, and none ended in the last seven days."
    )
    blind = await open_page(serve, "/", book=book(), public_key=b"")
    assert "incidents" not in blind.text


async def test_a_detector_that_is_stuck_does_not_say_that_all_is_calm(serve: Serve) -> None:
    """A stuck detector is shown instead of calm, as soon as /readyz reports it."""
    world = evening()
    client = await serve(world.feed(book=book(), public_key=KEY.public, requests_a_minute=0))
    assert "No incident is open" in (await client.page()).text["below"]
    world.problems = ["The detectors have not looked for 200 s: they are stuck."]
    assert (await client.get("/readyz")).status == 503
    for path in ("/", "/countries/KZ"):
        stuck = await client.html(path)
        assert "No incident is open" not in stuck
        assert "none ended" not in stuck
    page = await open_page(serve, "/", problems=lambda: world.problems)
    assert "Mobile networks in Kazakhstan" in page.text["incidents"]
    ended = book(closed(silence(minutes=60), 50))
    over = await open_page(serve, "/", problems=lambda: world.problems, book=ended)
    assert "No incident is open" not in str(over.text)


async def test_old_incidents_leave_the_front_page(serve: Serve) -> None:
    old = closed(silence(minutes=14_000), 12_000)
    page = await open_page(serve, "/", book=book(old, silence("1" * 16, 5)))
    assert old.id not in str(page.elements)
    assert "1" * 16 in str(page.elements)


async def test_one_tells_how_it_went_and_how_sure_it_is(serve: Serve) -> None:
    page = await open_page(serve, f"/incidents/{ALMATY}")
    assert page.text["headline"].startswith("ALA, Kazakhstan except hosting networks went offline")
    for sentence in (
        "high confidence (0.9 of 1): 10\u201319 vantage points in 3 networks, at least 90% of them",
        "Fixed lines in ALA, Kazakhstan came back online between 09:40 and 09:45 UTC",
        "the network was cut, not the power Hints suggest a cause",
        *(
            "went offline",
            "revised: phases",
            "subscribers were notified",
            "detect",
        ),
        KEY.public.hex(),
    ):
        assert sentence in page.text["world"]
    hrefs = {a.get("href") for _, a in page.elements}
    assert f"/api/v1/incidents/{ALMATY}" in hrefs
    assert "/api/v1/log?after=6&limit=1" in hrefs
    assert courses(page) == [("course network_silence closed", page.text["headline"])]


def courses(page: Read) -> list[tuple[str, str]]:
    """Class and words of each picture of how it went."""
    found = [(a.get("class") or "", a.get("aria-label") or "") for _, a in page.elements]
    return [one for one in found if one[0].startswith("course ")]


async def test_hints_and_what_stands_against_it_are_told(serve: Serve) -> None:
    page = await open_page(serve, f"/incidents/{DOUBT}")
    assert [kind for kind, _ in courses(page)] == ["course network_silence suspected"]
    assert "nothing here is certain" in page.text["picture"]
    assert page.text["badges"].startswith("suspected, open")
    assert "Counter-evidence it looks like a power cut" in page.text["world"]
    assert "Confirmed not yet" in page.text["world"]
    began = (await open_page(serve, f"/incidents/{MOBILE}")).text["world"]
    assert "it began on the full hour" in began[began.index("Hints") :]
    gone = await open_page(serve, f"/incidents/{GONE}")
    assert "the service fails everywhere else too" in gone.text["world"]
    assert "End withdrawn" in gone.text["world"]


async def test_it_reads_while_the_store_is_away(serve: Serve) -> None:
    """The page works without the store, since incidents are in memory."""
    page = await open_page(serve, f"/incidents/{TELEGRAM}", votes=raising(StoreError("away")))
    assert "Telegram" in page.text["headline"]


async def test_no_such_incident_is_a_page_that_helps(serve: Serve) -> None:
    client = await serve(evening().feed(book=evening_book()))
    assert "/api/v1/incidents" in await client.html("/incidents/0123456789abcdef", status=404)


async def test_strange_courses_can_be_drawn(serve: Serve) -> None:
    """Ends before their beginning, moments without length, a beginning after now."""
    odd = [
        replace(silence("1" * 16, 5), ended=silence(minutes=50).started, closed_us=ago(49)),
        replace(silence("2" * 16, 5), state=IncidentState.CLOSED, closed_us=ago(4)),
        silence("3" * 16, -30, suspected_us=ago(1), confirmed_us=ago(1)),
        blocking("4" * 16, kind=silence().kind, service=""),
    ]
    for incident in odd:
        await open_page(serve, f"/incidents/{incident.id}", book=book(incident))


def outage(minutes: float, until: float | None = None, **changes: Any) -> ReportedOutage:
    made = ReportedOutage(
        source="ioda", signal="bgp", country="KZ", asn=0, since_us=ago(minutes),
        until_us=None if until is None else ago(until), read_us=ago(0),
        url="https://ioda.example/KZ", attribution="IODA, by Georgia Tech",
    )  # fmt: skip
    return replace(made, **changes)


def blocked_days(*days: int, reachable: Sequence[int] = ()) -> ImportedHistory:
    """Days from that of the evening: 0 is 5 January 2022, -1 the one before."""
    today_us = ago(0) // DAY_US * DAY_US
    counts = {today_us + n * DAY_US: StateCounts(blocked=9) for n in days}
    counts |= {today_us + n * DAY_US: StateCounts(reachable=9) for n in reachable}
    row = ImportedRow(
        country="KZ", source="ooni", test="telegram", target="", total=StateCounts(),
        days=counts, blocked_networks={}, agreeing_networks={}, partly_blocked={},
    )  # fmt: skip
    return ImportedHistory(rows=[row], newest_us=ago(60), imported_us=ago(0))


FIRST_SEEN = [
    (MOBILE, ImportedHistory(outages=[outage(64)]), ["IODA", "min earlier", "by Georgia Tech"]),
    (MOBILE, ImportedHistory(outages=[outage(1), outage(30)]), ["IODA", "22 min later"]),
    (MOBILE, ImportedHistory(outages=[outage(600)]), []),  # another event
    (MOBILE, ImportedHistory(outages=[outage(100, 90)]), []),  # over before
    (MOBILE, blocked_days(0), []),  # a block is no silence
    (MOBILE, ImportedHistory(), []),
    (TELEGRAM, blocked_days(-3, -1, 0, reachable=[-2]), ["OONI", "24 hr earlier", "CC-BY-NC-SA"]),
    (TELEGRAM, blocked_days(0, reachable=[-1]), ["OONI", "the same day", "60 min old"]),
    (TELEGRAM, blocked_days(2), ["OONI", "2 days later"]),
    (TELEGRAM, blocked_days(-2, reachable=[-1, 0]), []),  # over before
    (TELEGRAM, blocked_days(reachable=[0]), []),
    (TELEGRAM, ImportedHistory(outages=[outage(38)]), []),  # an outage is no block
]


@pytest.mark.parametrize(("id_", "imported", "told"), FIRST_SEEN)
async def test_the_first_source_is_named_only_where_one_has_the_start(
    serve: Serve, id_: str, imported: ImportedHistory, told: list[str]
) -> None:
    async def read_imported(filters: ImportedFilter, most: int) -> ImportedHistory:
        assert filters.country == "KZ"
        return imported

    page = await open_page(
        serve, f"/incidents/{id_}", book=evening_book(), read_imported=read_imported
    )
    _, _, rest = page.html.partition("Who saw it first")
    table = rest.partition("</section>")[0]
    assert bool(rest) == bool(told)
    assert [words for words in told if words not in table] == []
    assert not told or ("our first row" in table and "suspected within" in table)


async def test_the_page_has_a_contact_for_corrections_and_a_citation(serve: Serve) -> None:
    path = f"/incidents/{ALMATY}"
    publisher = Publisher(operator="The Sun", contact="mailto:desk@sun.example.org")
    page = await open_page(serve, path, publisher=publisher)
    assert "Tell the operator: desk@sun.example.org" in page.text["world"]
    assert f", with the number {ALMATY}." in page.text["world"]
    assert "mailto:desk@sun.example.org" in {a.get("href") for _, a in page.elements}
    (cited,) = re.findall(r"To cite: (.*?2022-01-05\. CC-BY-4\.0\.)", page.text["world"])
    assert cited.startswith("Heliograph (The Sun): ")
    assert re.search(rf"/incidents/{ALMATY}, log entry \d+, 2022-01-05", cited)
    page = await open_page(serve, path)
    assert "Tell the operator" not in page.html, "nobody gave an address"
    assert "To cite: Heliograph: " in page.text["world"]
