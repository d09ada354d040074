"""`/api/v1/status`: the world now, within what may be shown."""

from typing import Any

from heliograph.services import load_shipped_services
from heliograph_collector.http.live_feed import list_public_services
from heliograph_collector.model.records import VerdictState
from heliograph_collector.store.clickhouse import StoreError
from support.fake_feed import BIN_US, NOW_US, World, crowd
from support.kazakhstan_votes import evening
from support.site import Serve, raising


async def test_it_says_what_is_cut_where_how_and_since_when(serve: Serve) -> None:
    client = await serve(evening().feed())
    body = await client.json("/api/v1/status?country=KZ")
    assert body["at"] == "2022-01-05T13:43:20Z"
    groups = {(g["asn"], g["access"]): g for g in body["groups"]}
    assert groups.keys() == {(9198, "fixed"), (29355, "mobile"), (206026, "mobile")}
    fixed = groups[9198, "fixed"]
    assert (fixed["country"], fixed["link"], fixed["vantages"]) == ("KZ", "online", "20-49")
    telegram = fixed["services"][0]
    assert telegram == {
        "service": "telegram",
        "title": "Telegram",
        "state": "blocked",
        "confidence": 0.9,
        "counts": dict.fromkeys(("reachable", "down", "unknown"), "0-4")
        | dict.fromkeys(("vantages", "blocked"), "20-49"),
        "layer": "tls",
        "method": "reset_after_hello",
        "start": "2022-01-05T13:35:00Z",
        "since": {"earliest": "2022-01-05T13:05:00Z", "latest": "2022-01-05T13:15:00Z"},
    }
    assert groups[206026, "mobile"]["link"] == "offline"
    assert {s["state"] for s in groups[206026, "mobile"]["services"]} == {"unknown"}


async def test_partial_state_names_the_blocked_functions(serve: Serve) -> None:
    world = World()
    world.votes += crowd(9, VerdictState.REACHABLE, NOW_US - 9 * BIN_US, NOW_US, asn=9198,
                         functions="calls,web")  # fmt: skip
    client = await serve(world.feed())
    body = await client.json("/api/v1/status?country=KZ")
    telegram = body["groups"][0]["services"][0]
    assert (telegram["state"], telegram["functions"]) == ("partial", ["calls", "web"])
    assert (telegram["method"], telegram["layer"]) == ("", "")
    assert telegram["counts"]["reachable"] == telegram["counts"]["vantages"] == "5-9"
    timeline = await client.json("/api/v1/timeline?country=KZ&service=telegram")
    cells = [cell for cell in timeline["cells"] if cell["vantages"]]
    assert {(c["state"], *c["functions"]) for c in cells} == {("partial", "calls", "web")}
    assert {"functions"} & {*timeline["cells"][0]} == set(), "a bin without data names none"


async def test_few_vantages_are_nowhere(serve: Serve) -> None:
    client = await serve(evening().feed())
    text = await (await client.get("/api/v1/status")).text()
    assert "8193" not in text
    shown = await serve(evening().feed(k_anonymity=1))
    body = await (await shown.get("/api/v1/status?country=UZ")).json()
    assert body["groups"][0]["vantages"] == "1-4"


async def test_nobody_measures_and_it_says_so(serve: Serve) -> None:
    client = await serve(World().feed())
    body = await client.json("/api/v1/status")
    assert (body["groups"], body["coverage"]["vantages"]) == ([], "0")


async def test_it_may_be_kept_and_asked_for_again(serve: Serve) -> None:
    world = evening()
    client = await serve(world.feed())
    first = await client.get("/api/v1/status")
    assert first.headers["Cache-Control"] == "public, max-age=5"
    assert first.headers["Access-Control-Allow-Origin"] == "*"
    world.clock.advance_us(2_000_000)
    again = await client.get("/api/v1/status", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status == 304
    world.votes += crowd(40, VerdictState.BLOCKED, NOW_US, NOW_US + BIN_US, service="signal")
    world.clock.advance_us(BIN_US // 2)
    news = await client.get("/api/v1/status", headers={"If-None-Match": first.headers["ETag"]})
    assert news.status == 200


async def test_many_readers_cost_one_question(serve: Serve) -> None:
    world = evening()
    asked: list[int] = []

    async def votes(since_us: int, until_us: int, bin_s: int, **scope: Any) -> Any:
        asked.append(since_us)
        return await world.feed().votes(since_us, until_us, bin_s, **scope)

    client = await serve(world.feed(votes=votes))
    for _ in range(5):
        assert (await client.get("/api/v1/status")).status == 200
    assert len(asked) == 7  # the history hour by hour, and the last minutes
    world.clock.advance_us(2_000_000)
    await client.get("/api/v1/status")
    assert len(asked) == 7, "nothing is public before the next instant"
    world.clock.advance_us(BIN_US // 2)
    await client.get("/api/v1/status")
    assert len(asked) > 7


async def test_late_data_reaches_the_page_at_the_next_instant(serve: Serve) -> None:
    world = evening()
    client = await serve(world.feed())

    assert "Belarus, AS6697" not in await client.html("/?country=BY")
    late = NOW_US - 100 * 60_000_000
    world.votes += crowd(6, VerdictState.BLOCKED, late, late + BIN_US, country="BY", asn=6697)
    world.clock.advance_us(BIN_US // 2)
    assert "Belarus, AS6697" in await client.html("/?country=BY")


async def test_bins_that_end_are_kept_as_the_hours_go_by(serve: Serve) -> None:
    """Bins that end are kept as hours pass, and read from the store only once."""
    world = evening()
    client = await serve(world.feed())
    await client.get("/api/v1/status")
    world.clock.wall += 2 * BIN_US
    world.clock.monotonic += 2_000_000
    body = await client.json("/api/v1/status?country=DE")
    assert body["groups"][0]["services"][0]["state"] == "reachable"
    assert body["coverage"]["blind"] == []


async def test_store_that_is_away_is_a_503_with_the_cure(serve: Serve) -> None:
    client = await serve(World().feed(votes=raising(StoreError("no answer within 20 s"))))
    for path in ("/api/v1/status", "/api/v1/timeline"):
        await client.problem(path, 503)
        assert (await client.get(path)).headers["Retry-After"] == "10"


def test_what_tells_only_of_the_own_network_is_no_service_for_readers() -> None:
    names = {service.name for service in list_public_services(load_shipped_services())}
    assert names >= {"telegram", "whatsapp", "signal", "tor"}
    assert not [name for name in names if name in ("anchors", "stun") or "outside" in name]


async def test_the_own_network_has_no_row_and_answers_where_it_is_named(serve: Serve) -> None:
    world = World()
    for name in ("anchors", "telegram"):
        world.votes += crowd(9, VerdictState.REACHABLE, NOW_US - 9 * BIN_US, NOW_US, service=name)
    titles = {"telegram": "Telegram", "signal": "Signal", "youtube": "YouTube"}
    feed = world.feed(services=titles, unlisted={"anchors"}, untested={"telegram", "youtube"})
    client = await serve(feed)
    body = await client.json("/api/v1/status?country=KZ")
    named = {service["service"] for group in body["groups"] for service in group["services"]}
    assert named == {"telegram", "signal"}, "what is left out of the plan has a row by its results"
    timeline = await client.json("/api/v1/timeline?country=KZ&service=anchors")
    assert any(cell["vantages"] for cell in timeline["cells"])
    assert (await client.get("/api/v1/timeline?service=stun")).status == 404
