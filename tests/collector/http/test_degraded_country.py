"""Readers see a country in which tests of most services often fail as degraded."""

from heliograph_collector.incidents.incident import MOST_SERVICES, IncidentKind, IncidentState
from support.fake_feed import World
from support.incident_book import blocking, book, part
from support.site import Serve


async def test_it_names_no_service_and_counts_the_tests_of_all(serve: Serve) -> None:
    degraded = blocking(
        kind=IncidentKind.PARTIAL, service=MOST_SERVICES, parts=(part(26.0, "KZ"),), layer="",
        method="", confidence=0.5, held=("all_services",), state=IncidentState.SUSPECTED,
        confirmed_us=None,
    )  # fmt: skip
    client = await serve(World().feed(book=book(degraded), k_anonymity=5))

    document = await client.json(f"/api/v1/incidents/{degraded.id}")
    assert document["sentence"].startswith(
        "Not confirmed: Many tests of most services began to fail in Kazakhstan "
    )
    page = await client.html(f"/incidents/{degraded.id}")
    assert "lines that are full look the same" in page
    assert "/services/most-services" not in page
    assert "service=most-services" not in page
    assert "/api/v1/timeline?country=KZ&amp;since=" in page
    for path in (f"/incidents/{degraded.id}", "/", "/countries/KZ"):
        page = await client.html(path)
        assert "partial blocking" not in page, "lines that are full look the same"
        assert "many tests fail" in page

    page = await client.html(f"/incidents/{degraded.id}?lang=ru")
    assert "большинство сервисов" in page
    assert "most services" not in page

    for path in ("/services/most-services", "/countries/KZ?service=most-services&since=2022-01-05"):
        page = await client.html(f"{path}{'&' if '?' in path else '?'}lang=ru")
        assert "большинство сервисов" in page, "its title is in the reader's language"
        assert "most services" not in page
