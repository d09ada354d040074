"""One page in place of many sites may be a block page, or only look like one."""

# ruff: noqa: RUF001 -- other scripts are what is tested

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from heliograph.observation import Http
from heliograph_collector.control import vantage_profiles
from heliograph_collector.model.page_digest import digest_page
from heliograph_collector.model.records import ReceivedMeasurement, VerdictState
from heliograph_collector.model.seniority import Seniority
from support.control_records import Steps, build_control, overall
from support.vantage_streams import assess, measure

LISTED = ("north.example", "south.example", "east.example", "west.example")
FREE = ("red.example", "green.example", "blue.example", "white.example")
STRANGE = "Pagina nedostupna kupre volim toren garat site"  # no words of any list
CHINESE = "您访问的网站已被有关部门依法要求关闭请联系您的网络服务提供商了解详细信息"  # one word
DEBT = "Dear customer, recharge your balance to open this page"
ORDER = "This website has been blocked by order of the ministry of communications"
SIZE = 900


def address_of(name: str, *, near: bool = False) -> str:
    number = (*LISTED, *FREE).index(name) + 20
    return f"9.8.7.{number}" if near else f"9.{number}.7.7"


def page(name: str, title: str, text: str, size: int, *, near: bool = False) -> Steps:
    url = f"http://{name}/"
    answer = {"status": 200, "title": title, "text": text, "bytes": size}
    address = address_of(name, near=near)
    return [{f"system A {name}": address}, {f"connect {address} 80": "ok"}, {f"http {url}": answer}]


def own_page(name: str, **how: Any) -> Steps:
    title = name.partition(".")[0].capitalize() + " " + "".join(sorted(name.partition(".")[0] * 2))
    return page(name, title, f"{name} tells you all of {title} every day again", 30_000, **how)


def ask(name: str, steps: Steps, nym: str, minute: float = 1, **facts: Any) -> ReceivedMeasurement:
    how = {key: facts.pop(key) for key in ("seniority",) if key in facts}
    record = measure(name, steps, minute, nym, target=f"http://{name}/", **facts)
    return replace(record, **how)


def blocked_line(
    nym: str, text: str = ORDER, free: Iterable[str] = FREE, *, near: bool = False, **facts: Any
) -> list[Any]:
    """Return a line with one page at the listed sites, and the sites' own elsewhere."""
    return [
        *(ask(n, page(n, "Notice", f"{text} {n}", SIZE, near=near), nym, **facts) for n in LISTED),
        *(ask(n, own_page(n, near=near), nym, **facts) for n in free),
    ]


def sites(
    steps: Mapping[str, Steps] | None = None, *, near: bool = False, country: str = "DE"
) -> list[ReceivedMeasurement]:
    return [
        build_control(
            (steps or {}).get(n) or own_page(n, near=near),
            target=f"http://{n}/", country=country,
        )
        for n in (*LISTED, *FREE)
    ]  # fmt: skip


def list_blocked(*blocks: Sequence[ReceivedMeasurement]) -> set[str]:
    """Return the targets that are blocked at the last."""
    return {
        j[0].measurement.target.removeprefix("http://").rstrip("/")
        for j in assess(*blocks)
        if overall(j)[0] is VerdictState.BLOCKED and j[0].pseudonym in "abc"
    }


THREE = [*blocked_line("a"), *blocked_line("b"), *blocked_line("c")]
SPARED = [ask(n, own_page(n), nym) for nym in "defg" for n in LISTED]
PARKED = {
    n: page(n, "For sale", "this name is for sale by its owner ask for it", SIZE) for n in LISTED
}


@pytest.mark.parametrize(
    ("case", "blocks", "is_blocked"),
    [
        ("three lines get one page at four sites", [sites(), THREE], True),
        ("before the controls looked", [THREE, sites()], True),
        ("one line: an office's or a parent's filter", [sites(), blocked_line("a")], False),
        ("two lines", [sites(), blocked_line("a"), blocked_line("b")], True),
        ("three lines, in no words of a notice",
         [sites(), *(blocked_line(nym, STRANGE) for nym in "abc")], False),
        ("three agents on one line",
         [sites(), *(blocked_line(nym, prefix="one") for nym in "abc")], False),
        ("young agents",
         [sites(), *(blocked_line(nym, seniority=Seniority.YOUNG) for nym in "abc")], False),
        ("a portal at three lines: nothing else is answered",
         [sites(), *(blocked_line(nym, free=()) for nym in "abc")], False),
        ("a debt at three lines", [sites(), *(blocked_line(nym, DEBT) for nym in "abc")], False),
        ("most lines are spared", [sites(), SPARED, THREE], False),
        ("one hoster's or one CDN's sites",
         [sites(near=True), *(blocked_line(nym, near=True) for nym in "abc")], False),
        ("controls get one page at all of them as well: parked", [sites(PARKED), THREE], False),
        ("a control gets the very page at another site",
         [sites({"red.example": page("red.example", "Notice", ORDER, SIZE)}), THREE], False),
        ("two vantages abroad get it: a publisher's page for strangers",
         [sites(), blocked_line("x", country="FR"), blocked_line("y", country="IT"), THREE], False),
        ("one vantage abroad gets it, or says so",
         [sites(), blocked_line("x", country="FR"), THREE], True),
    ],
)  # fmt: skip
def test_page_in_place_of_unrelated_sites_is_the_networks(
    case: str, blocks: list[list[Any]], is_blocked: bool
) -> None:
    assert list_blocked(*blocks) == (set(LISTED) if is_blocked else set()), case


INNOCENT_PAGES = {
    "a publisher's page for one country": "Our site is not available in your region thank you",
    "a publisher under European law": "Our site is unavailable in most European countries today",
    "an owner under sanctions": "We cannot serve you due to economic sanctions of our state",
    "a used-up plan": "You have used up your data allowance for this month buy more",
    "a used-up plan in Russian": "Трафик по вашему тарифу исчерпан подключите ещё один",
    "a reminder": "Estimado cliente su servicio ha sido suspendido llame hoy mismo",
    "hotels of one chain": "Good day please accept the terms and enter your room number",
    "a CDN's page": "This is the default page of the edge please set up your name",
    "a registrar": "This domain has expired please renew it as soon as you can",
    "help with lost names": "We could not find that here are some suggestions for you",
    "a provider's outage": "We have technical difficulties and work on it now sorry",
    "a robot guard": "Checking that you are no robot this will take some seconds",
    "a national alert": "Emergency extreme weather stay inside and wait for news",
    "an interstitial": "Opening over a secure connection please wait or click here",
    "a virus scanner": "The shield stopped a threat so that nothing happens to you",
    "a VPN appliance": "Your session ended please start the program again now",
    "a private resolver": "Private resolver cannot be reached choose another in settings",
    "a subscriber's own filter": "This is rated unsuitable ask the account holder to change it",
    "a survey": "Help us to be better take part in a short survey today",
}


@pytest.mark.parametrize("text", INNOCENT_PAGES.values(), ids=INNOCENT_PAGES.keys())
def test_words_of_others_than_censors_accuse_nobody(text: str) -> None:
    """Pages with other words than a censor's are no block, at three lines' same sites."""
    assert list_blocked(sites(), *(blocked_line(nym, text) for nym in "abc")) == set()


NOTICES = {
    "Russian": "Доступ к ресурсу ограничен на основании решения уполномоченного органа",
    "Persian": "دسترسی به این تارنما امکان پذیر نمی باشد کارگروه تعیین مصادیق",
    "Turkish": "Bu internet sitesi hakkında koruma tedbiri uygulanmaktadır",
}
NAMELESS_NOTICES = (  # who bars is not said
    "Maaf situs ini mengandung konten negatif hubungi aduan konten",
    "The site you requested is not accessible on this network by regulations",
)


@pytest.mark.parametrize("text", NOTICES.values(), ids=NOTICES.keys())
def test_notices_that_name_who_bars_are_found(text: str) -> None:
    assert list_blocked(sites(), *(blocked_line(nym, text) for nym in "ab")) == set(LISTED)


@pytest.mark.parametrize("text", NAMELESS_NOTICES)
def test_notices_that_name_nobody_stay_in_doubt(text: str) -> None:
    assert list_blocked(sites(), *(blocked_line(nym, text) for nym in "abc")) == set()


def test_lines_that_meet_a_page_at_different_sites_have_no_list_in_common() -> None:
    """Lines that meet a page at different sites have no common block list.

    Each line meets it while its data plan is used up, at whatever site is tested then.
    """
    everything = (*LISTED, *FREE)
    halves = {"a": everything[:4], "b": everything[2:6], "c": everything[4:]}
    lines = [
        ask(n, page(n, "Notice", f"{ORDER} {n}", SIZE) if n in half else own_page(n), nym)
        for nym, half in halves.items()
        for n in everything
    ]
    assert list_blocked(sites(), lines) == set()


def test_one_line_of_five_that_asked_before_the_list_changes_nothing() -> None:
    late = [*(ask(n, own_page(n), "e") for n in LISTED[:1]), *blocked_line("e")[1:]]
    lines = [record for nym in "abcd" for record in blocked_line(nym)]
    assert list_blocked(sites(), lines, late) == set(LISTED)


def test_two_sites_are_too_few() -> None:
    few = [
        record
        for nym in "abc"
        for record in blocked_line(nym)
        if record.measurement.target not in ("http://east.example/", "http://west.example/")
    ]
    assert list_blocked(sites(), few) == set()


def test_what_is_known_comes_back_with_the_results_after_a_restart() -> None:
    """The profiles are restored from results after a restart.

    They depend on the newest results alone, which a restart reads again from the store.
    """
    before = vantage_profiles.VantageProfiles()
    after = vantage_profiles.VantageProfiles()
    for record in (*sites(), *THREE):
        before.update(record)
    for record in (*sites(), *THREE):
        after.update(record)
    profile = before.profile_of(THREE[0])
    assert profile.shared_pages == {"north.example": 3}
    assert after.profile_of(THREE[0]) == profile


def test_memory_is_bounded() -> None:
    profiles = vantage_profiles.VantageProfiles(observations=8)
    for number in range(200):
        profiles.update(ask("north.example", own_page("north.example"), f"v{number}"))
    assert profiles.count_vantages() < 40


@pytest.mark.parametrize(
    ("facts", "has_digest"),
    [
        ({}, True),
        ({"status": 403}, False),
        ({"url": "https://north.example/"}, False),
        ({"text": "403 Forbidden nginx"}, False),
        ({"body_bytes": 40_000}, False),
        ({"truncated": True}, False),
        (
            {"text": CHINESE},
            True,
        ),
    ],
)
def test_only_short_pages_in_clear_are_kept(facts: dict[str, Any], has_digest: bool) -> None:
    http = {
        "method": "GET",
        "url": "http://north.example/",
        "status": 200,
        "text": STRANGE,
        **facts,
    }
    assert bool(digest_page(Http(**http))) is has_digest


def test_name_number_and_time_make_no_other_page() -> None:
    first, second = (
        Http(method="GET", url=url, status=200, title="Notice", text=f"{STRANGE} {url} {rest}")
        for url, rest in (
            ("http://north.example/", "12:07:33 id-1234 north.example."),
            ("http://www.south.example/x", "13:00 id-99"),
        )
    )
    assert digest_page(first) == digest_page(second) != ""
