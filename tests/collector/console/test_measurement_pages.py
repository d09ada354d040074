"""The operator browses measurements, and reads one beside its control by steps."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from heliograph.failure import Failure, Operation
from heliograph.observation import Dns, DnsAnswer, Http, Observation, Tcp, Tls
from heliograph_collector.console.app import add_routes
from heliograph_collector.console.measurements import MeasurementPages
from heliograph_collector.http.app import build_app
from heliograph_collector.http.measurement_view import PAGE_SIZE
from heliograph_collector.model.records import AgentRole, Vantage
from support.console_backend import VIEWER, Caller, FakeBackend, open_console
from support.fake_feed import NOW_US, World
from support.incident_book import MINUTE
from support.rows import blocked, reachable, taken

ABROAD = Vantage(country="", asn=64500, access="hosting")


def build_steps(answer: str, failure: Failure | None, title: str = "") -> tuple[Observation, ...]:
    dns = Dns(
        engine="system", resolver="", name="web.example", query_type="A",
        answers=(DnsAnswer(type="A", data=answer),),
    )  # fmt: skip
    return (
        Observation(operation=Operation.RESOLVE, started_us=0, duration_us=12_000, dns=dns),
        Observation(
            operation=Operation.CONNECT, started_us=1, duration_us=30_000, endpoint="dc1",
            tcp=Tcp(address=answer, port=443),
        ),
        Observation(
            operation=Operation.TLS_HANDSHAKE, started_us=2, duration_us=45_000, endpoint="dc1",
            tls=Tls(server_name="web.example"), failure=failure,
        ),
        Observation(
            operation=Operation.HTTP_ROUND_TRIP, started_us=3, duration_us=9_000,
            http=Http(method="GET", url="https://web.example/", status=200, title=title),
        ),
    )  # fmt: skip


def build_world() -> World:
    steps = build_steps("192.0.2.7", Failure.CONNECTION_RESET, "<script>alert(1)</script>")
    well = build_steps("192.0.2.7", None)
    elsewhere = build_steps("198.51.100.9", None)
    volunteer = taken(1, at_us=NOW_US - 10 * MINUTE, steps=steps)
    near = taken(2, at_us=NOW_US - 9 * MINUTE, steps=well, role=AgentRole.CONTROL, vantage=ABROAD)
    far = taken(3, at_us=NOW_US - 50 * MINUTE, steps=elsewhere, role=AgentRole.CONTROL)
    return World(
        judged=[
            (near, (reachable(),)), (volunteer, (blocked(), blocked("dc1"))), (far, (reachable(),)),
        ]
    )  # fmt: skip


@asynccontextmanager
async def opened(data: Path, world: World) -> AsyncIterator[Caller]:
    feed = world.feed()
    app = build_app(feed)
    access_control = add_routes(app, FakeBackend(data, clock=world.clock))
    MeasurementPages(access_control, feed).routes(access_control.route_adder(app))
    async with open_console(app, access_control) as caller:
        yield caller


async def test_one_is_shown_beside_the_nearest_control(tmp_path: Path) -> None:
    world = build_world()
    id_ = world.judged[1][0].id
    async with opened(tmp_path, world) as caller:
        await caller.log_in(VIEWER)
        status, text = await caller.get(f"/console/measurements/{id_}")
    assert status == 200
    handshake = text.partition('id="step-3"')[2].partition("</tr>")[0]
    assert "connection reset, 45 ms" in handshake
    assert "<span>passed, 45 ms</span>" in handshake
    assert "192.0.2.7" in text
    assert "198.51.100.9" not in text
    assert '<a href="#step-3">3</a>' in text  # what the verdict rests on
    assert "tls.reset" in text
    assert "90%" in text
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text


async def test_where_the_control_was_led_elsewhere_its_own_place_is_named(tmp_path: Path) -> None:
    world = build_world()
    del world.judged[0]
    async with opened(tmp_path, world) as caller:
        await caller.log_in(VIEWER)
        _, text = await caller.get(f"/console/measurements/{world.judged[0][0].id}")
    lookup = text.partition('id="step-1"')[2].partition("</tr>")[0]
    assert "<span>passed, 12 ms: 198.51.100.9</span>" in lookup  # the control got another answer
    connect = text.partition('id="step-2"')[2].partition("</tr>")[0]
    assert "<span>198.51.100.9, port 443: passed, 30 ms</span>" in connect


async def test_without_a_control_the_page_says_so(tmp_path: Path) -> None:
    world = build_world()
    world.judged = world.judged[1:2]
    async with opened(tmp_path, world) as caller:
        await caller.log_in(VIEWER)
        status, text = await caller.get(f"/console/measurements/{world.judged[0][0].id}")
    assert status == 200
    assert "No control measured this target within an hour of it." in text


async def test_list_leads_to_each_and_asks_for_what_the_form_says(tmp_path: Path) -> None:
    world = build_world()
    async with opened(tmp_path, world) as caller:
        await caller.log_in(VIEWER)
        _, text = await caller.get("/console/measurements")
        assert all(f'href="/console/measurements/{r.id}"' in text for r, _ in world.judged)
        query = "?country=kz&asn=AS9198&service=telegram&state=blocked&experiment=&since="
        query += "2022-01-05T10:00&until="
        status, _ = await caller.get(f"/console/measurements{query}")
    assert status == 200
    asked = world.asked[-1]
    assert (asked.country, asked.asn, asked.service, asked.state) == (
        "KZ", 9198, "telegram", "blocked",
    )  # fmt: skip
    assert asked.since_us == 1_641_376_800_000_000
    assert (asked.until_us, asked.experiment) == (None, "")


async def test_wrong_field_is_named_and_what_was_typed_stays(tmp_path: Path) -> None:
    async with opened(tmp_path, build_world()) as caller:
        await caller.log_in(VIEWER)
        status, text = await caller.get("/console/measurements?country=KZ&since=yesterday")
        assert status == 400
        assert "The parameter since cannot be &#39;yesterday&#39;; use an RFC 3339 time" in text
        assert 'value="yesterday"' in text
        assert 'value="KZ"' in text
        status, text = await caller.get("/console/measurements?cursor=%21%21")
        assert status == 400


async def test_older_ones_are_a_page_further(tmp_path: Path) -> None:
    world = build_world()
    world.judged = [
        (taken(n, at_us=NOW_US - n * MINUTE), (reachable(),)) for n in range(PAGE_SIZE + 1)
    ]
    async with opened(tmp_path, world) as caller:
        await caller.log_in(VIEWER)
        _, text = await caller.get("/console/measurements?country=KZ")
        _, found, rest = text.partition('<a href="?')
        assert found
        query = rest.partition('"')[0].replace("&amp;", "&")
        assert query.startswith("country=KZ&cursor=")
        _, older = await caller.get(f"/console/measurements?{query}")
    assert world.judged[-1][0].id in older
    assert world.judged[0][0].id not in older


async def test_strangers_see_none_and_what_is_unknown_is_404(tmp_path: Path) -> None:
    world = build_world()
    async with opened(tmp_path, world) as caller:
        status, _ = await caller.get(f"/console/measurements/{world.judged[0][0].id}")
        assert status == 303
        await caller.log_in(VIEWER)
        for id_ in ("0" * 32, "nonsense"):
            status, _ = await caller.get(f"/console/measurements/{id_}")
            assert status == 404
