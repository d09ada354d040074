"""Pages of past days: which services were blocked when, where, and by whose data."""

import csv
import io
import re
from contextlib import closing
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.http.day_range import MAX_DAYS
from heliograph_collector.http.i18n import LANGS
from heliograph_collector.model.history import CellHistory
from heliograph_collector.model.imported import ImportedResult
from heliograph_collector.model.records import VerdictState
from heliograph_collector.store.clickhouse import StoreError, TooMuchError
from heliograph_collector.store.imported_results import ImportedResults
from support.fake_feed import World
from support.kazakhstan_votes import evening
from support.past_days import JAN_1, feed_with_past, list_results, past, read_past
from support.site import Serve, Site, open_page

DAYS = "since=2022-01-01&until=2022-01-05"
KZ = f"/countries/KZ?{DAYS}"
ROW = re.compile(r'<tr role="row">(.*?)</tr>', re.DOTALL)
TAGS = re.compile(r"<[^>]+>")


@pytest.fixture
async def site(serve: Serve, tmp_path: Path) -> Site:
    return await serve(feed_with_past(tmp_path))


async def read_rows(site: Site, path: str, *, others: bool = False) -> list[str]:
    """The text of each row of our table, or of that of others."""
    ours, _, theirs = (await site.html(path)).partition('id="others-title"')
    html = theirs if others else ours
    return [" ".join(TAGS.sub(" ", row).split()) for row in ROW.findall(html)]


async def serve_imported(serve: Serve, folder: Path, results: list[ImportedResult]) -> Site:
    with closing(ImportedResults(folder / "imported.db")) as imported:
        imported.add(results, JAN_1 + 9 * DAY_US, 1)
    return await serve(evening().feed(**read_past(folder)))


def find_row(rows: list[str], start: str) -> str:
    (row,) = [row for row in rows if row.startswith(start)]
    return row


async def test_a_country_names_what_was_blocked_when_and_how(site: Site) -> None:
    html = await site.html(KZ)
    assert "at least one network: Telegram, Signal and" in html
    answer = TAGS.sub("", html.partition('<ul class="answers">')[2].partition("</ul>")[0])
    assert "Telegram: on 2 of 4 days with data · 3 Jan 00:00 to 5 Jan 00:00 · TLS" in answer
    assert "AS9198" in answer, "by whom is in the first screen"
    assert "WhatsApp" not in answer
    rows = await read_rows(site, KZ)
    telegram = find_row(rows, "Telegram")
    assert "on 2 of 4 days with data · 3 Jan 00:00 to 5 Jan 00:00 · TLS: reset" in telegram
    assert "AS9198" in telegram
    assert "AS29355" not in telegram
    assert "4 days with data" in find_row(rows, "WhatsApp")
    assert "silent" in find_row(rows, "AS206026 mobile")
    assert 'href="/countries/KZ?since=2022-01-01&amp;until=2022-01-05&amp;service=telegram"' in html
    assert '<link rel="canonical" href="/countries/KZ?since=2022-01-01&amp;until=2022-01-05">' in (
        html
    )


async def test_a_service_leads_to_the_operators_that_blocked_it(site: Site) -> None:
    rows = await read_rows(site, f"{KZ}&service=telegram")
    assert "blocked" in find_row(rows, "AS9198 fixed")
    assert "reachable" in find_row(rows, "AS29355 mobile")
    country = find_row(await read_rows(site, f"/services/telegram?{DAYS}"), "Kazakhstan")
    assert "AS9198" in country, "whoever asks where finds by whom"
    assert "AS29355" not in country


SUBJECTS = ("/services/telegram", "/countries/KZ", "/countries/KZ/KZ-75", "/networks/AS9198")


@pytest.mark.parametrize(
    ("path", "lang"),
    [
        *((path, "en") for path in SUBJECTS),
        *((SUBJECTS[1], lang) for lang in LANGS if lang != "en"),
    ],
)
async def test_without_present_data_a_page_leads_to_the_last_past_ones(
    serve: Serve, tmp_path: Path, path: str, lang: str
) -> None:
    """Without present data a page links to the last past days at its top."""
    site = await serve(World().feed(**past(tmp_path)))
    above, _, _ = (await site.html(f"{path}?lang={lang}")).partition('id="below"')
    (href,) = re.findall(r'href="([^"]*until=2022-01-04[^"]*)"', above)
    if lang == "en":
        assert "Last data: 4 January 2022. Show the 30 days until then" in above
    assert 'class="bar ' in await site.html(unescape(href)), "there are bars"


async def test_a_page_with_present_data_does_not_send_its_reader_away(site: Site) -> None:
    for path in ("/services/telegram", "/countries/KZ", "/networks/AS9198"):
        assert "Last data" not in await site.html(path)


@pytest.mark.parametrize(
    ("path", "row", "told"),
    [
        (f"/services/telegram?{DAYS}", "Kazakhstan", "on 2 of 4 days"),
        (f"/networks/as9198?{DAYS}", "Telegram", "on 2 of 4 days"),
        (f"/countries/KZ/75?{DAYS}", "Signal", "on 1 of 4 days"),
        (f"/networks/AS29355?{DAYS}", "news.example", "on 1 of 1 days"),
    ],
)
async def test_each_subject_has_its_days(site: Site, path: str, row: str, told: str) -> None:
    rows = await read_rows(site, path)
    assert any(text.startswith(row) and told in text for text in rows), rows


async def test_what_others_measured_has_their_name_and_license_and_is_apart(
    site: Site, serve: Serve, tmp_path: Path
) -> None:
    html = await site.html(KZ)
    ours, others = html.split('id="others-title"')
    assert "OONI" not in ours
    told = "Telegram, Signal and news.example. Other projects found blocked: www.facebook.com."
    assert told in unescape(ours), "our own data lead, and nothing is told twice"
    assert 'href="https://creativecommons.org/licenses/by-nc-sa/4.0/"' in others
    assert "newest measurement: 5 January 2022" in others
    row = find_row(await read_rows(site, KZ, others=True), "www.facebook.com")
    assert "on 3 of 5 days with data · 3 Jan to 5 Jan · blocked in 18 of 45 measurements" in row
    assert "AS9198 and AS29355" in row
    assert "48503" not in row
    region = await site.html(f"/countries/KZ/KZ-75?{DAYS}")
    assert "OONI" not in region, "their data name no region"

    async def nothing(filters: object) -> CellHistory:
        return CellHistory()

    (tmp_path / "other").mkdir()
    bare = await serve(feed_with_past(tmp_path / "other", read_history=nothing))
    html = await bare.html(KZ)
    lede = html.partition('id="others-title"')[0]
    assert "No data of ours from these days. Other projects found blocked: " in lede
    assert "www.facebook.com" in lede
    document = await bare.json(f"/api/v1/history?country=KZ&{DAYS}")
    assert document["rows"] == [], "theirs are in no file of ours"


async def test_what_one_network_blocks_is_no_green_row(serve: Serve, tmp_path: Path) -> None:
    """A block by one network is no green row, in imported data of four networks."""
    blocked = {(9198, "telegram", n) for n in (1, 2)} | {(29355, "signal", 1)}
    results = [
        replace(
            list_results()[0], key=f"{asn} {test} {day} {n}", asn=asn, test=test,
            started_us=JAN_1 + day * DAY_US + n * HOUR_US,
            state=VerdictState.BLOCKED if (asn, test, day) in blocked else VerdictState.REACHABLE,
        )
        for asn in (9198, 29355, 48503, 21299)
        for test in ("telegram", "signal")
        for day in range(4)
        for n in range(2)
    ]  # fmt: skip
    others = await serve_imported(serve, tmp_path, results)
    telegram = find_row(await read_rows(others, KZ, others=True), "Telegram")
    assert "blocked on 2 of 4 days with data · 2 Jan to 3 Jan" in telegram
    assert "blocked in 4 of 32 measurements · AS9198" in telegram
    signal = find_row(await read_rows(others, KZ, others=True), "Signal")
    assert "reachable blocked in 2 of 32" in signal, "two may be one poor line"
    lede = (await others.html(KZ)).partition('id="others-title"')[0]
    assert "Other projects found blocked: Telegram." in lede
    assert "OONI · on 2 of 4 days with data" in lede


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("since=2022-01-05&until=2022-01-01", "until"),
        ("since=yesterday", "since"),
        ("since=2022-02-30", "since"),
        ("since=2012-01-01&until=2022-01-05", "since"),
        ("since=2022-01-01&window=week", "since"),
        ("since=2022-01-01&bin=1m", "since"),
    ],
)
async def test_a_bad_range_is_refused_with_the_parameter(
    site: Site, query: str, parameter: str
) -> None:
    problem = await site.problem(f"/countries/KZ?{query}")
    assert problem["parameter"] == parameter
    problem = await site.problem(f"/api/v1/history?country=KZ&{query}")
    assert problem["parameter"] in (parameter, "window", "bin")


@pytest.mark.parametrize("asn", [206026, 48503])  # of our history; of the import alone
async def test_a_network_that_only_the_archive_knows_has_its_pages(
    serve: Serve, tmp_path: Path, asn: int
) -> None:
    world = evening()
    world.votes = []
    site = await serve(world.feed(**past(tmp_path)))
    html = await site.html(f"/networks/AS{asn}?{DAYS}")
    assert "telegram" in html
    await site.html(f"/networks/AS{asn}")  # to which the page of its days leads
    await site.json(f"/api/v1/history?asn={asn}&{DAYS}")
    await site.json(f"/api/v1/timeline?asn={asn}")
    for path in ("/networks/AS77", "/networks/AS77?since=2022-01-01"):
        await site.problem(path, 404)
    for path in ("/api/v1/timeline", "/api/v1/history", "/charts/history.svg"):
        await site.problem(f"{path}?asn=77", 404)


async def test_days_without_our_data_do_not_speak_of_now(site: Site) -> None:
    html = await site.html("/countries/KZ?since=2021-12-01&until=2021-12-02")
    assert '<p class="none">No data of ours from these days.' in html
    assert "No data now" not in html


async def test_open_ends_and_long_ranges(site: Site) -> None:
    html = await site.html(f"/incidents?country=kz&{DAYS}")
    assert 'href="/countries/KZ?since=2022-01-01&amp;until=2022-01-05"' in html
    html = await site.html("/countries/KZ?since=&until=")
    assert "7 December 2021 \N{EN DASH} 5 January 2022" in html, "30 days up to today"
    assert "1 January 2022 \N{EN DASH} 5 January 2022" in await site.html(
        "/countries/KZ?since=2022-01-01"
    )
    document = await site.json("/api/v1/history?country=KZ&since=2021-01-01&until=2022-01-05")
    assert document["bin_s"] == 86_400
    assert MAX_DAYS > 365
    await site.problem("/api/v1/history?since=2022-01-01")
    await site.problem(f"{KZ}&service=nothing", 404)
    await site.problem(f"/api/v1/history?service=nothing&{DAYS}", 404)
    named = await read_rows(site, f"{KZ}&service=https://news.example/")
    assert "blocked" in find_row(named, "AS29355"), "a site that the plan does not list any more"
    for path in ("/api/v1/history", "/charts/history.svg"):
        for query, parameter, status in (
            ("asn=77", "network", 404),
            ("country=DE&region=KZ-75", "region", 400),
            ("region=KZ-75&asn=9198", "asn", 400),
        ):
            problem = await site.problem(f"{path}?{query}&{DAYS}", status)
            assert problem["parameter"] == parameter
            assert problem["allowed"]


@pytest.mark.parametrize("lang", LANGS)
async def test_all_languages_have_the_form_and_the_page(site: Site, lang: str) -> None:
    html = await site.html(f"{KZ}&lang={lang}")
    assert f'<input type="hidden" name="lang" value="{lang}">' in html
    assert 'value="2022-01-01"' in html
    assert f"lang={lang}" in await site.html(f"/charts/history?country=KZ&{DAYS}&lang={lang}")
    for path in ("/countries/KZ", "/services/telegram"):
        async with site.get(f"{path}?lang={lang}") as answer:
            text = await answer.text()
            assert text.index('type="date"') < text.index("<table"), "above what is long"
            assert "form-action 'self'" in answer.headers["Content-Security-Policy"]


async def test_a_chart_is_a_table_and_a_picture(site: Site) -> None:
    async with site.get(f"/api/v1/history?country=KZ&{DAYS}&format=csv") as answer:
        assert answer.content_type == "text/csv"
        rows = list(csv.DictReader(io.StringIO(await answer.text())))
    blocked = [(r["since"], r["until"]) for r in rows if r["service"] == "telegram"
               and r["state"] == "blocked"]  # fmt: skip
    assert blocked == [
        ("2022-01-03T00:00:00Z", "2022-01-04T13:00:00Z"),
        ("2022-01-04T13:00:00Z", "2022-01-05T00:00:00Z"),
    ], "one of three networks, then one of two that measure"
    svg = f"/charts/history.svg?country=KZ&{DAYS}&lang=ru"
    async with site.get(svg) as answer:
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        drawn = await answer.text()
    assert "Казахстан" in drawn
    assert "UTC" in drawn, "it is printed without its page"
    assert f'href="/charts/history.svg?country=KZ&amp;{DAYS}"'.replace("&until", "&amp;until") in (
        await site.html(KZ)
    )
    async with site.get(f"/charts/history.png?country=KZ&{DAYS}") as answer:
        assert (await answer.read()).startswith(b"\x89PNG")
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    async with site.get(f"/charts/history?country=KZ&{DAYS}") as answer:
        assert "frame-ancestors *" in answer.headers["Content-Security-Policy"]


async def test_what_others_measured_is_a_table_and_a_picture_under_their_license(
    serve: Serve, tmp_path: Path
) -> None:
    """Imported results are a table and a picture under their license.

    Where we measured nothing, the picture for print is theirs and not an empty one.
    """

    async def nothing(filters: object) -> CellHistory:
        return CellHistory()

    site = await serve(feed_with_past(tmp_path, read_history=nothing))
    html = await site.html(KZ)
    assert "/charts/history.png" not in html
    paths = [a["href"] or "" for tag, a in (await site.page(KZ)).elements if tag == "a"]
    svg, png, frame = (
        next(path for path in paths if path.startswith(start))
        for start in ("/charts/imported.svg", "/charts/imported.png", "/charts/imported?")
    )
    async with site.get(svg) as answer:
        drawn = await answer.text()
    assert "Other projects found blocked: " in drawn
    assert "AS9198 and AS29355" in TAGS.sub(" ", drawn).replace("  ", " ")
    assert "OONI, CC-BY-NC-SA-4.0 · judged by Heliograph" in drawn
    assert "CC-BY-4.0" not in drawn, "what it shows is not ours to license"
    async with site.get(png) as answer:
        assert (await answer.read()).startswith(b"\x89PNG")
    assert "/charts/imported.svg?" in await site.html(frame)
    assert any(path.startswith("/api/v1/imported") and "csv" in path for path in paths)


async def test_a_network_that_blocked_for_some_hours_of_a_blocked_day_is_named(
    serve: Serve, tmp_path: Path
) -> None:
    blocked = {29355: range(8), 9198: range(5), 48503: range(2)}  # of eight measurements
    results = [
        replace(
            list_results()[0], key=f"{asn} {n}", asn=asn, test="telegram",
            started_us=JAN_1 + n * HOUR_US,
            state=VerdictState.BLOCKED if n in hours else VerdictState.REACHABLE,
        )
        for asn, hours in blocked.items()
        for n in range(8)
    ]  # fmt: skip
    others = await serve_imported(serve, tmp_path, results)
    row = find_row(await read_rows(others, KZ, others=True), "Telegram")
    assert row.endswith("in 15 of 24 measurements · AS29355 · some measurements in AS9198"), row


async def test_the_last_month_of_a_country_leads_to_its_picture(site: Site) -> None:
    page = await site.page("/countries/KZ?window=month")
    paths = [a.get("href") or "" for tag, a in page.elements if tag == "a"]
    (picture,) = [path for path in paths if path.startswith("/charts/history.png")]
    assert "since=2021-12-07&until=2022-01-05" in picture
    async with site.get(picture) as answer:
        assert (await answer.read()).startswith(b"\x89PNG")
    table = next(p for p in paths if p.startswith("/api/v1/history") and "csv" in p)
    async with site.get(table) as answer:
        assert "telegram" in await answer.text()


@pytest.mark.parametrize("path", ["/services/telegram", "/countries/KZ"])
async def test_a_page_leads_to_its_last_week(site: Site, path: str) -> None:
    page = await site.page(path)
    week, month = (
        a["href"] or "" for tag, a in page.elements if tag == "a" and "since=" in (a["href"] or "")
    )
    assert "since=2021-12-30&until=2022-01-05" in week
    assert "since=2021-12-07&until=2022-01-05" in month
    assert "on 2 of 4 days" in await site.html(week)


async def test_a_country_without_past_days_shows_its_week_from_the_store(serve: Serve) -> None:
    page = await open_page(serve, "/countries/KZ")
    assert "/countries/KZ?window=week" in [a.get("href") for tag, a in page.elements if tag == "a"]


async def test_a_history_that_cannot_be_read_says_so(serve: Serve, tmp_path: Path) -> None:
    async def away(filters: object) -> CellHistory:
        raise StoreError("away")

    async def too_much(filters: object) -> CellHistory:
        raise TooMuchError("rows")

    (tmp_path / "two").mkdir()
    site = await serve(feed_with_past(tmp_path, read_history=away))
    async with site.get(KZ) as answer:
        assert answer.status == 503
    site = await serve(feed_with_past(tmp_path / "two", read_history=too_much))
    assert "too many measurements to draw" in await site.html(KZ)
    async with site.get(f"/charts/imported.svg?country=KZ&{DAYS}") as answer:
        assert answer.status == 200, "what others measured is drawn without ours"


async def test_too_many_rows_are_refused_and_no_empty_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph_collector.store.history.MAX_ROWS", 1)
    for path in ("/api/v1/history", "/charts/history.svg"):
        async with site.get(f"{path}?country=KZ&{DAYS}") as answer:
            assert answer.status >= 400
