"""Outside sources are shown beside an incident in the API, and not in its proof."""

from msgspec import to_builtins

from support.fake_feed import World
from support.incident_book import book, silence
from support.kazakhstan_votes import IODA
from support.site import Serve


async def test_a_note_stands_beside_its_incident_and_not_in_the_log(serve: Serve) -> None:
    said = {silence().id: [IODA]}
    log = book(silence())
    client = await serve(World().feed(book=log, annotations=lambda id_: said.get(id_, [])))
    one = await client.json(f"/api/v1/incidents/{silence().id}")
    many = await client.json("/api/v1/incidents")
    assert one["corroboration"] == many["incidents"][0]["corroboration"]
    assert one["corroboration"] == [to_builtins(IODA)]
    said.clear()
    assert (await client.json("/api/v1/incidents"))["incidents"] == [one | {"corroboration": []}], (
        "no note is kept with the incident"
    )
    assert "corroboration" not in await (await client.get("/api/v1/log")).text()
