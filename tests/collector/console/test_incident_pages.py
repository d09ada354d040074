"""The operator sees incidents and posts an update; the log keeps both."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from heliograph.durable_file import read_lines
from heliograph_collector.alerting.incident_alerts import collect_alerts
from heliograph_collector.alerting.outbox import Delivery
from heliograph_collector.config.receivers import Receiver, ReceiverKind
from heliograph_collector.console.alerts import AlertPages
from heliograph_collector.console.app import add_routes
from heliograph_collector.console.incident_views import count_open
from heliograph_collector.console.incidents import LIFETIME_US, IncidentPages
from heliograph_collector.http.app import build_app
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.published_incidents import IncidentEvents
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.incidents.log_file import (
    LOG_FILE_NAME,
    EntryBasis,
    verify_lines,
)
from heliograph_collector.incidents.log_writer import IncidentLogWriter
from heliograph_collector.incidents.operator_entries import OperatorEntry
from heliograph_collector.incidents.state import LogEntry, OperatorAct
from heliograph_collector.model.records import Vantage
from support import rows
from support.browser_reader import Open
from support.console_backend import PASSWORD, VIEWER, Caller, FakeBackend, open_console
from support.fake_feed import NOW_US, TITLES, World, published
from support.incident_book import (
    DOUBT,
    KEY,
    MINUTE,
    MOBILE,
    TELEGRAM,
    VERSIONS,
    ago,
    evening_book,
    part,
    silence,
)
from support.kazakhstan_votes import evening
from support.operator_journey import log_in, publish

pytestmark = pytest.mark.xdist_group("browser")

FIXED = Vantage(country="KZ", asn=9198, access="fixed")
RECEIVERS = (
    Receiver(name="newsroom", kind=ReceiverKind.WEBHOOK, url="https://desk.example.org/x"),
    Receiver(
        name="night", kind=ReceiverKind.EMAIL, to=("night@example.org",), countries=("KZ", "IR")
    ),
)


@dataclass
class Scene:
    """A collector that detects what a test wants, and its operator."""

    data: Path
    world: World = field(default_factory=evening)
    bus: EventBus = field(default_factory=lambda: EventBus("t"))
    caller: Caller = field(init=False)  # a plain client of it
    sent: list[str] = field(default_factory=list)  # messages that were sent again
    receivers = RECEIVERS
    change_count = 0  # of deliveries
    _now_us: int = NOW_US - MINUTE

    def __post_init__(self) -> None:
        self.backend = FakeBackend(self.data, clock=self.world.clock)
        file = self.data / LOG_FILE_NAME
        file.write_bytes(b"".join(entry.line + b"\n" for entry in evening_book().entries))
        self.world.judged += [
            (rows.taken(n, at_us=ago(n), vantage=FIXED), (rows.blocked(),)) for n in range(1, 4)
        ]
        self.ledger = IncidentLogWriter(file, KEY, 5)
        self.feed = self.world.feed(
            bus=self.bus, book=self.ledger.book, public_key=KEY.public, k_anonymity=5
        )

    def log_incidents(self, *incidents: Incident) -> None:
        """Log incidents beside all that are open."""
        self._now_us += 2 * MINUTE
        grounds = EntryBasis(1, 9, ago(60), self._now_us, VERSIONS)
        known = {one.id for one in incidents}
        kept = [one for id_, one in self.ledger.last_logged.items() if id_ not in known]
        for entry in self.ledger.write_changes([*kept, *incidents], grounds, self._now_us):
            self._publish(entry.incident)

    async def record_operator_entry(self, operator_entry: OperatorEntry) -> LogEntry:
        self._now_us += MINUTE
        entry = self.ledger.write_operator_entry(operator_entry, self._now_us)
        self._publish(entry.incident)
        return entry

    async def preview_operator_entry(self, operator_entry: OperatorEntry) -> LogEntry:
        return self.ledger.preview_operator_entry(operator_entry, self._now_us)

    def _publish(self, id_: str) -> None:
        self.backend.change_markers = {"log": self.ledger.book.head}
        IncidentEvents(self.bus, TITLES, 5).publish_incident(self.ledger.book, id_)

    async def resend(self, id_: str) -> bool:
        self.sent.append(id_)
        return id_ == "msg_" + "0" * 32

    async def list_deliveries(self, limit: int) -> list[Delivery]:
        told = collect_alerts(self.ledger.book, self.ledger.book.entries, published())
        called = [one for one in told if one["called"]]
        states = ("arrived", "waiting", "given_up")
        said = ("answered 200", "no whole answer in 20 s", "answered 410")
        return [
            Delivery(
                id=f"msg_{n:032x}",
                receiver=RECEIVERS[n % 2].name,
                alerts=called[n : n + 1 + 3 * (n == 2)],
                more=0,
                made_us=ago(5 + 9 * n),
                due_us=ago(-3) if n == 1 else None,
                tries=(1, 4, 1)[n],
                state=states[n],
                tried_us=ago(4 + 9 * n),
                reply=said[n],
            )
            for n in range(min(limit, 3))
        ]


@asynccontextmanager
async def opened(data: Path) -> AsyncIterator[Scene]:
    scene = Scene(data)
    app = build_app(scene.feed)
    gate = add_routes(app, scene.backend)
    add = gate.route_adder(app)
    IncidentPages(gate, scene.feed, scene).routes(add)
    AlertPages(gate, scene).routes(add)
    async with open_console(app, gate) as scene.caller:
        yield scene
    scene.backend.fleet.close()


CASES = "/console/incidents"


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened(tmp_path) as found:
        yield found


async def test_an_operator_confirms_what_appears_without_reload(
    scene: Scene, reader: Open, tmp_path: Path
) -> None:
    """An incident appears on an open page; its confirmation is logged and proved."""
    async with reader(scene.caller.origin) as seen:
        page = seen.page
        await log_in(seen, PASSWORD)
        await seen.goto(CASES)
        assert await page.locator(".case").count() == 3
        await seen.check()
        await seen.live()
        scene.log_incidents(silence("c0de" * 4, 3, parts=(part(12.0, "UZ"),)))
        await page.wait_for_selector(f'a[href="{CASES}/{"c0de" * 4}"]')

        await seen.goto(f"{CASES}/{DOUBT}")
        await seen.check()
        assert "power cut" in await seen.text("#case-known")
        await page.fill("#text", "Two providers in Berlin say so by telephone.")
        await publish(seen, "confirmed")
        assert (await seen.text("h1")).startswith(
            "Confirmed by the operator: most of the fixed lines"
        )
        assert "Two providers" in await seen.text("#case-said")
        assert await page.locator("button[value=confirmed]").count() == 0
        await seen.goto(f"/incidents/{DOUBT}")
        public = await seen.text("main")
        assert "Confirmed by the operator" in public
        assert "operator@" not in public
    proof = verify_lines(read_lines(tmp_path / LOG_FILE_NAME), KEY.public, scene.ledger.book.head)
    assert (proof.bad, proof.acts) == (None, 1)


async def test_what_somebody_is_typing_is_left_alone(scene: Scene, reader: Open) -> None:
    async with reader(scene.caller.origin) as seen:
        page = seen.page
        await log_in(seen, PASSWORD)
        await seen.goto(f"{CASES}/{MOBILE}")
        await seen.live()
        await page.fill("#text", "half a sen")
        await scene.record_operator_entry(
            OperatorEntry(incident=MOBILE, act=OperatorAct.ACKNOWLEDGED, seen_number=99)
        )
        await page.wait_for_selector("#case-said li.operator")
        assert await page.input_value("#text") == "half a sen"


async def test_what_it_rests_on_is_shown_and_filters_narrow(scene: Scene) -> None:
    browser = scene.caller
    await browser.log_in()
    _, page = await browser.get(f"{CASES}/{TELEGRAM}")
    assert "26 failing, 2 well" in page
    assert "0 failing, 0 well, 7 in doubt" in page
    assert "tls.reset" in page
    _, page = await browser.get(f"{CASES}/{MOBILE}")
    assert "AS29355 mobile" in page
    assert "6 silent at once, 7 here now" in page
    assert "0 silent at once, 28 here now" in page
    _, page = await browser.get(f"{CASES}?show=over&country=DE")
    assert page.count('class="case ') == 1
    assert "Withdrawn" in page
    assert (await browser.get(f"{CASES}/nothing"))[0] == 404


async def read_seen(browser: Caller, id_: str) -> str:
    """Return the newest entry of the incident, as its page gives it."""
    _, page = await browser.get(f"{CASES}/{id_}")
    return page.partition('name="seen" value="')[2].partition('"')[0]


async def review(browser: Caller, id_: str, act: str, text: str = "") -> tuple[str, str]:
    """Return the page that previews an act, and its token."""
    fields = {"act": act, "seen": await read_seen(browser, id_), "text": text, "named": "yes"}
    status, page = await browser.post(f"{CASES}/{id_}", fields)
    assert status == 200, page
    return page, page.partition('name="review" value="')[2].partition('"')[0]


@pytest.mark.parametrize("act", ["confirmed", "withdrawn", "annotated", "acknowledged"])
async def test_one_click_signs_nothing(scene: Scene, act: str) -> None:
    """The second page shows what readers will see, and publishes that, once."""
    browser, entries = scene.caller, scene.ledger.book.entries
    await browser.log_in()
    before = len(entries)
    page, token = await review(browser, DOUBT, act, "Two providers say so.")
    assert "Two providers say so." in page
    assert "the operator, operator" in page
    assert "Germany" in page
    assert "UTC on" in page
    assert len(entries) == before
    other = {"review": token, "act": "withdrawn", "text": "other words"}
    assert (await browser.post(f"{CASES}/{MOBILE}/publish", other))[0] == 409, "of another incident"
    assert (await browser.post(f"{CASES}/{DOUBT}/publish", other))[0] == 303
    assert [getattr(e.body, "text", "") for e in entries[before:]] == ["Two providers say so."]
    for used in (token, "", "x" * 43):
        status, page = await browser.post(f"{CASES}/{DOUBT}/publish", {"review": used})
        assert (status, "nothing was published now" in page) == (409, True)
    assert len(entries) == before + 1


async def test_headline_after_the_act_is_the_one_that_was_read(scene: Scene) -> None:
    browser = scene.caller
    await browser.log_in()
    page, token = await review(browser, DOUBT, "confirmed")
    assert "Confirmed by the operator: most of the fixed lines" in page
    assert "are notified" in page
    await browser.post(f"{CASES}/{DOUBT}/publish", {"review": token})
    _, public = await browser.get(f"/incidents/{DOUBT}")
    headline = page.partition('<strong dir="auto">')[2].partition("<")[0]
    assert headline in public


async def test_review_is_read_again_after_a_change_and_by_its_own_session(scene: Scene) -> None:
    browser, entries = scene.caller, scene.ledger.book.entries
    await browser.log_in()
    page, token = await review(browser, TELEGRAM, "withdrawn", "Our carrier failed.")
    first, *_ = (known := scene.ledger.last_logged[TELEGRAM]).parts
    scene.log_incidents(replace(known, parts=(replace(first, votes=first.votes + 90),), method=""))
    before = len(entries)
    status, page = await browser.post(f"{CASES}/{TELEGRAM}/publish", {"review": token})
    assert (status, "read again" in page, len(entries)) == (409, True, before)
    token = page.partition('name="review" value="')[2].partition('"')[0]
    await browser.log_in()  # another session
    await browser.get(f"{CASES}/{TELEGRAM}")
    stolen = await browser.post(f"{CASES}/{TELEGRAM}/publish", {"review": token})
    assert (stolen[0], len(entries)) == (409, before)
    _, token = await review(browser, TELEGRAM, "withdrawn", "Our carrier failed.")
    scene.world.clock.advance_us(LIFETIME_US + 1)
    late = await browser.post(f"{CASES}/{TELEGRAM}/publish", {"review": token})
    assert (late[0], len(entries)) == (409, before)


async def test_refusals_keep_what_was_typed(scene: Scene) -> None:
    browser = scene.caller
    await browser.log_in()
    seen = await read_seen(browser, TELEGRAM)
    here = f"{CASES}/{TELEGRAM}"
    status, page = await browser.post(here, {"act": "withdrawn", "seen": seen, "text": ""})
    assert (status, "reason is required" in page) == (409, True)
    scene.log_incidents(replace(scene.ledger.last_logged[TELEGRAM], confidence=0.7))
    withdrawn = {"act": "withdrawn", "seen": seen, "text": "<b>ours</b>"}
    status, page = await browser.post(here, withdrawn)
    assert status == 200, "particulars are no other state"
    token = page.partition('name="review" value="')[2].partition('"')[0]
    assert (await browser.post(f"{here}/publish", {"review": token}))[0] == 303
    _, page = await browser.get(here)
    assert "&lt;b&gt;ours&lt;/b&gt;" in page
    assert "Withdrawn by the operator" in page
    assert (await browser.post(here, {"act": "closed", "seen": seen}))[0] == 400
    status, page = await browser.post(here, {"act": "withdrawn", "seen": seen, "text": "again"})
    assert (status, "already" in page, ">again<" in page) == (409, True, True)


async def test_a_viewer_sees_and_says_nothing(scene: Scene) -> None:
    browser = scene.caller
    await browser.log_in(VIEWER)
    _, page = await browser.get(f"{CASES}/{TELEGRAM}")
    assert "Affected places and counts" in page
    assert "no gate speaks" not in page
    assert re.search(r"<time>2022-01-05 \d\d:\d\d:\d\d UTC</time>", page), "a time has its zone"
    assert "Post an update" not in page
    before = len(scene.ledger.book.entries)
    assert (await browser.post(f"{CASES}/{TELEGRAM}", {"act": "confirmed", "seen": "99"}))[0] == 403
    assert (await browser.post("/console/alerts", {"id": "msg_0"}))[0] == 403
    assert len(scene.ledger.book.entries) == before
    assert scene.sent == []


async def test_deliveries_are_shown_and_sent_again(scene: Scene) -> None:
    browser = scene.caller
    await browser.log_in()
    _, page = await browser.get("/console/alerts")
    assert "desk.example.org" in page
    assert "desk.example.org/x" not in page
    assert "4 tries, the last no whole answer in 20 s" in page
    assert (await browser.post("/console/alerts", {"id": "msg_" + "0" * 32}))[0] == 303
    assert (await browser.post("/console/alerts", {"id": "msg_1"}))[0] == 404
    assert scene.sent == ["msg_" + "0" * 32, "msg_1"]


async def test_what_is_open_is_counted_for_the_first_page(scene: Scene) -> None:
    incidents = IncidentCache(scene.feed)
    assert count_open(incidents.all_incidents()) == {"confirmed": 2, "suspected": 1}
    scene.log_incidents(silence("c0de" * 4, 3, parts=(part(12.0, "UZ"),)))
    assert count_open(incidents.all_incidents()) == {"confirmed": 3, "suspected": 1}
