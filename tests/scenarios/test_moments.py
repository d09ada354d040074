"""Moments in which two things happen at once: no output contradicts another."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from msgspec import structs

from heliograph.observation import Link
from heliograph_collector.http.app import build_app
from heliograph_collector.http.backend import LinkCount
from heliograph_collector.incidents.incident import ONE_WAY, IncidentKind, IncidentState
from heliograph_collector.incidents.incident import PhaseDirection as Way
from heliograph_collector.incidents.state import IncidentBook
from heliograph_collector.model.records import SilenceCount
from heliograph_collector.model.records import VerdictState as State
from heliograph_collector.model.scope import AffectedCell
from heliograph_lab.evaluate.scenario_file import load_scenario
from heliograph_lab.simulate.from_scenario import build_script
from support.examples import keep_part
from support.fake_feed import BIN_US, NOW_US, World, crowd
from support.incident_book import KEY, MINUTE, ago, blocking, book, closed, opening, part, silence
from support.site import Site
from support.worst_day.contradictions import find_different_tellings, find_disagreements
from support.worst_day.reader import ScriptClock, WorstDayReader
from support.worst_day.truth import Truth

OLD_US = ago(180)
Times = Sequence[tuple[int, int, State]]
Told = Callable[[int, str, str, str], Times]  # network, access, region and service → what was found
Network = tuple[int, str]
KAZAKH: Mapping[Network, Mapping[str, int]] = {  # vantages by region
    (9198, "fixed"): {"KZ-75": 30},
    (206026, "fixed"): {"KZ-71": 22},
    (29355, "mobile"): {"KZ-75": 12, "KZ-71": 18},
}
SMALL: Mapping[Network, Mapping[str, int]] = {
    (7, "fixed"): {"KZ-75": 3},
    (8, "fixed"): {"KZ-75": 3},
}
GERMAN: Mapping[Network, Mapping[str, int]] = {(3320, "fixed"): {"DE-BE": 25}}
SCRIPT = f"""
name: Three networks, and one elsewhere
since: 2026-01-01T00:00:00Z
until: 2026-01-01T00:20:00Z
countries:
  KZ:
    churn: 0
    vantages: {
    [
        {"region": region, "asn": asn, "access": access, "count": count}
        for (asn, access), regions in KAZAKH.items()
        for region, count in regions.items()
    ]
}
world: {{countries: 0}}
services: {{telegram: {{every: 120s, noise: 0}}}}
events: []
"""


def works(asn: int, access: str, region: str, service: str) -> Times:
    return [(OLD_US, NOW_US, State.REACHABLE)]


def add(
    world: World, networks: Mapping[Network, Mapping[str, int]], told: Told, country: str = "KZ"
) -> None:
    for (asn, access), regions in networks.items():
        for region, count in regions.items():
            for service in ("telegram", "whatsapp"):
                for since_us, until_us, state in told(asn, access, region, service):
                    votes = crowd(
                        count, state, since_us, until_us, asn=asn, access=access, service=service,
                        country=country,
                    )  # fmt: skip
                    world.votes += [
                        structs.replace(v, region=region, pseudonym=f"{region}{v.pseudonym}",
                                prefix=f"{region}{v.prefix}")
                        for v in votes
                    ]  # fmt: skip
        here = (r for r in regions if told(asn, access, r, "whatsapp")[-1][1] == NOW_US)
        connected = sum(regions[region] for region in here)
        if connected:  # else none is counted
            world.links.append(
                LinkCount(
                    country=country, asn=asn, access=access, link=Link.ONLINE, vantages=connected
                )
            )


def phones_return_while_a_city_goes(world: World) -> IncidentBook:
    def told(asn: int, access: str, region: str, service: str) -> Times:
        if access == "mobile":
            back = [(ago(4), NOW_US, State.REACHABLE)] if region != "KZ-71" else []
            return [(OLD_US, ago(30), State.REACHABLE), *back]
        until_us = ago(3) if region == "KZ-71" else NOW_US
        return [(OLD_US, until_us, State.REACHABLE)]

    add(world, KAZAKH, told)
    phones, city = part(30.0, "KZ", "", 0, "mobile"), part(40.0, "KZ", "KZ-71")
    turns = (opening(4, phones), opening(3, city, way=Way.CUT))
    return book(silence(parts=(phones,), turns=turns))


def our_address_is_blocked_during_a_block(world: World) -> IncidentBook:
    def told(asn: int, access: str, region: str, service: str) -> Times:
        state = State.BLOCKED if service == "telegram" else State.REACHABLE
        return [(OLD_US, ago(40), State.REACHABLE), (ago(40), NOW_US, state)]

    add(world, KAZAKH, told)
    ours = silence("c0b1" * 4, 10, kind=IncidentKind.COLLECTOR_BLOCKED, hints=(ONE_WAY,))
    return book(blocking(parts=(part(80.0, "KZ"),)), ours)


def service_fails_everywhere_during_its_block(world: World) -> IncidentBook:
    def told(asn: int, access: str, region: str, service: str) -> Times:
        if service != "telegram":
            return works(asn, access, region, service)
        before = State.REACHABLE if region == "DE-BE" else State.BLOCKED
        return [
            (OLD_US, ago(60), State.REACHABLE),
            (ago(60), ago(12), before),
            (ago(12), NOW_US, State.DOWN),
        ]

    add(world, KAZAKH, told)
    add(world, GERMAN, told, "DE")
    return book(blocking(minutes=58, parts=(part(80.0, "KZ"),)))


def merged_networks_fall_silent(world: World) -> IncidentBook:
    def told(asn: int, access: str, region: str, service: str) -> Times:
        return [(OLD_US, ago(6) if access == "fixed" else NOW_US, State.REACHABLE)]

    add(world, {**KAZAKH, **SMALL}, told)
    world.links = [link for link in world.links if (link.asn, link.access) not in SMALL]
    world.silences += [
        SilenceCount(country="KZ", region="KZ-75", asn=asn, access="fixed", start_us=at_us,
                     vantages=3)
        for asn, _ in SMALL
        for at_us in range(ago(6) // BIN_US * BIN_US, NOW_US, BIN_US)
    ]  # fmt: skip
    return book(silence(minutes=6, parts=(part(58.0, "KZ", "", 0, "fixed"),)))


def headline_is_withdrawn(world: World) -> IncidentBook:
    add(world, KAZAKH, works)
    gone = closed(silence(minutes=10), 5)
    withdrawn_us = ago(2)
    return book(replace(gone, state=IncidentState.WITHDRAWN, closed_us=withdrawn_us))


def block_ends_on_phones_alone(world: World) -> IncidentBook:
    def told(asn: int, access: str, region: str, service: str) -> Times:
        if service != "telegram":
            return works(asn, access, region, service)
        now = State.REACHABLE if access == "mobile" else State.BLOCKED
        return [(OLD_US, ago(60), State.REACHABLE), (ago(60), ago(8), State.BLOCKED),
                (ago(8), NOW_US, now)]  # fmt: skip

    add(world, KAZAKH, told)
    phones = part(30.0, "KZ", "", 0, "mobile")
    return book(blocking(minutes=58, parts=(part(80.0, "KZ"),), turns=(opening(7, phones),)))


def phones_go_dark_after_their_block(world: World) -> IncidentBook:
    def told(asn: int, access: str, region: str, service: str) -> Times:
        if access == "fixed":
            return works(asn, access, region, service)
        return [(OLD_US, ago(48), State.REACHABLE), (ago(48), ago(9), State.BLOCKED)]

    add(world, KAZAKH, told)
    phones = part(30.0, "KZ", "", 0, "mobile")
    blocks = [
        blocking(id_ * 4, minutes, service=service, parts=(phones,))
        for id_, minutes, service in (("b10c", 46, "telegram"), ("b10d", 40, "whatsapp"))
    ]
    return book(*blocks, silence(minutes=9, parts=(phones,)))


def a_cut_is_suspected_during_a_block(world: World) -> IncidentBook:
    def told(asn: int, access: str, region: str, service: str) -> Times:
        state = State.BLOCKED if service == "telegram" else State.REACHABLE
        return [(OLD_US, ago(40), State.REACHABLE), (ago(40), ago(9), state)]

    add(world, KAZAKH, told)
    cut = silence(minutes=9, state=IncidentState.SUSPECTED, confirmed_us=None, confidence=0.5)
    return book(blocking(parts=(part(80.0, "KZ"),)), cut)


def nothing_is_heard_during_a_block(world: World) -> IncidentBook:
    """Return a book with a loss by one entrance during a block, not called offline."""
    return _suspect_during_a_block(world, part(48.0, "KZ"))


def phones_are_not_heard_during_a_block(world: World) -> IncidentBook:
    return _suspect_during_a_block(world, part(18.0, "KZ", "", 0, "mobile"))


def _suspect_during_a_block(world: World, silent: AffectedCell) -> IncidentBook:
    def told(asn: int, access: str, region: str, service: str) -> Times:
        state = State.BLOCKED if service == "telegram" else State.REACHABLE
        is_silent = silent.scope.access in ("", access)
        return [
            (OLD_US, ago(40), State.REACHABLE),
            (ago(40), ago(9) if is_silent else NOW_US, state),
        ]

    add(world, KAZAKH, told)
    cut = silence(
        minutes=1, state=IncidentState.SUSPECTED, confirmed_us=None, confidence=0.5,
        parts=(silent,), hints=(ONE_WAY,),
    )  # fmt: skip
    return book(blocking(parts=(part(80.0, "KZ"),)), cut)


def fixed_lines_return_where_a_region_has_none(world: World) -> IncidentBook:
    def told(asn: int, access: str, region: str, service: str) -> Times:
        back = [(ago(4), NOW_US, State.REACHABLE)] if access == "fixed" else []
        return [(OLD_US, ago(9), State.REACHABLE), *back]

    add(world, {(9198, "fixed"): {"KZ-75": 30}, (29355, "mobile"): {"KZ-71": 18}}, told)
    lines = part(30.0, "KZ", "", 0, "fixed")
    return book(silence(minutes=9, parts=(part(48.0, "KZ"),), turns=(opening(4, lines),)))


def fixed_lines_return_after_a_national_cut(world: World) -> IncidentBook:
    def told(asn: int, access: str, region: str, service: str) -> Times:
        back = [(ago(4), NOW_US, State.REACHABLE)] if access == "fixed" else []
        return [(OLD_US, ago(9), State.REACHABLE), *back]

    add(world, KAZAKH, told)
    lines = part(52.0, "KZ", "", 0, "fixed")
    return book(silence(minutes=9, parts=(part(82.0, "KZ"),), turns=(opening(4, lines),)))


HEADLINE, BELOW = "headline", "below"
Words = Sequence[tuple[str, str, str]]  # path, element, what it must say ("!": must not say)
MOMENTS: Sequence[tuple[Callable[[World], IncidentBook], Words]] = (
    (
        phones_return_while_a_city_goes,
        [
            ("/countries/KZ", HEADLINE, "came back online"),
            ("/countries/KZ", HEADLINE, "Astana went offline"),
            ("/countries/KZ/KZ-71", HEADLINE, "Astana went offline"),
            ("/networks/AS206026", HEADLINE, "Astana went offline"),
            ("/networks/AS29355", HEADLINE, "!went offline"),
            ("/countries/KZ", "region-KZ-71-now", "silent"),
        ],
    ),
    (
        our_address_is_blocked_during_a_block,
        [
            ("/countries/KZ", HEADLINE, "Blocking of Telegram began in Kazakhstan"),
            ("/countries/KZ", BELOW, "Reporting from Kazakhstan to this site was disturbed"),
            ("/countries/KZ", "service-telegram-now", "blocked in 3 of 3 networks"),
            ("/countries/KZ", "region-KZ-75-now", "blocked in 2 of 2 networks"),
        ],
    ),
    (
        service_fails_everywhere_during_its_block,
        [
            ("/countries/KZ", HEADLINE, "Blocking of Telegram"),
            ("/countries/KZ", BELOW, "Telegram is down for everybody"),
            ("/", BELOW, "Telegram is down for everybody"),
            ("/countries/DE", HEADLINE, "Telegram down for everybody"),
            ("/countries/KZ/KZ-75", BELOW, "Telegram is down for everybody"),
        ],
    ),
    (
        merged_networks_fall_silent,
        [
            ("/countries/KZ", HEADLINE, "Fixed lines in Kazakhstan went offline"),
            ("/networks/AS9198", HEADLINE, "Fixed lines in Kazakhstan went offline"),
            ("/countries/KZ/KZ-75", HEADLINE, "Fixed lines in Kazakhstan went offline"),
            ("/networks/AS29355", HEADLINE, "!went offline"),
        ],
    ),
    (
        headline_is_withdrawn,
        [
            *((path, HEADLINE, "!offline") for path in ("/", "/countries/KZ", "/networks/AS9198")),
            *((path, BELOW, "!offline") for path in ("/", "/countries/KZ")),
            ("/countries/KZ", "service-telegram-now", "reachable"),
            ("/", HEADLINE, "no incident is open"),
        ],
    ),
    (
        phones_go_dark_after_their_block,
        [
            ("/countries/KZ", HEADLINE, "Mobile networks in Kazakhstan went offline"),
            ("/countries/KZ", BELOW, "Telegram and WhatsApp are blocked on mobile networks"),
            (
                "/countries/KZ",
                "service-telegram-now",
                "blocked in part of the country; 1 of 3 networks fell silent",
            ),
            ("/countries/KZ", "service-whatsapp-now", "partly blocked"),
            ("/", "land-KZ", "◌ 1 of 3 networks fell silent"),
        ],
    ),
    (
        fixed_lines_return_where_a_region_has_none,
        [
            ("/countries/KZ", "region-KZ-71-now", "!reachable"),
            ("/countries/KZ", "region-KZ-75-now", "!∅"),
            ("/", "land-KZ", "◌ 1 of 2 networks fell silent"),
        ],
    ),
    (
        fixed_lines_return_after_a_national_cut,
        [
            ("/countries/KZ", HEADLINE, "partly back. Fixed lines came back online"),
            ("/countries/KZ", "service-telegram-now", "1 of 3 networks fell silent"),
            ("/countries/KZ", "service-telegram-now", "!∅"),
            ("/countries/KZ", "region-KZ-75-now", "!∅"),
            ("/", "land-KZ", "◌ 1 of 3 networks fell silent"),
        ],
    ),
    (
        a_cut_is_suspected_during_a_block,
        [
            *(
                word
                for path in ("/", "/countries/KZ", "/networks/AS9198", "/countries/KZ/KZ-75")
                for word in (
                    (path, HEADLINE, "Not confirmed: Kazakhstan may be offline"),
                    (path, BELOW, "Blocking of Telegram began in Kazakhstan"),
                )
            ),
        ],
    ),
    (
        nothing_is_heard_during_a_block,
        [
            ("/countries/KZ", HEADLINE, "Not confirmed: reports from Kazakhstan stopped"),
            ("/?country=KZ", HEADLINE, "Not confirmed: reports from Kazakhstan stopped"),
            ("/countries/KZ", BELOW, "Blocking of Telegram began in Kazakhstan"),
            ("/services/telegram", HEADLINE, "Blocking of Telegram began in Kazakhstan about"),
            ("/services/telegram", BELOW, "data to say. Not confirmed: reports from Kazakhstan"),
            ("/services/whatsapp", HEADLINE, "WhatsApp: "),
            ("/services/whatsapp", BELOW, "reports from Kazakhstan stopped about"),
        ],
    ),
    (
        phones_are_not_heard_during_a_block,
        [
            ("/networks/AS29355", HEADLINE, "Not confirmed: reports from mobile networks"),
            ("/networks/AS29355", BELOW, "Blocking of Telegram began in Kazakhstan"),
            ("/networks/AS9198", HEADLINE, "Blocking of Telegram began in Kazakhstan"),
            ("/countries/KZ", HEADLINE, "Blocking of Telegram began in Kazakhstan"),
        ],
    ),
    (
        block_ends_on_phones_alone,
        [
            ("/countries/KZ", "service-telegram-now", "blocked in 2 of 3 networks"),
            ("/networks/AS9198", HEADLINE, "Blocking of Telegram"),
            ("/networks/AS29355", HEADLINE, "!Blocking of Telegram"),
        ],
    ),
)
# Beside the public feed's anonymity, of every third moment a collector that counts everybody.
PLAYED = [(*moment, 5) for moment in MOMENTS] + [(*each, 1) for each in keep_part(MOMENTS, 3)]


@pytest.mark.long
@pytest.mark.parametrize(("play", "words", "k"), PLAYED)
async def test_every_output_of_a_moment_agrees(
    tmp_path: Path, play: Callable[[World], IncidentBook], words: Words, k: int
) -> None:
    file = tmp_path / "script.yml"
    file.write_text(SCRIPT)
    truth = Truth(build_script(load_scenario(file), seed=1))
    world = World()
    told = play(world)
    if k > 1:  # what is public then is older by five minutes
        world.clock.advance_us(6 * MINUTE)
        world.votes += [
            structs.replace(vote, start_us=vote.start_us + BIN_US)
            for vote in world.votes
            if vote.start_us // BIN_US == NOW_US // BIN_US
        ]
    feed = world.feed(k_anonymity=k, book=told, public_key=KEY.public)
    async with Site(TestServer(build_app(feed), host="127.0.0.1")) as site:
        reader = WorstDayReader(f"{site.host}:{site.port}", truth, ScriptClock(1.0))
        async with aiohttp.ClientSession(str(site.make_url(""))) as session:
            reader.stream.start_from(await site.json("/api/v1/status"))
            statements = await reader.read_all(session)
        pages = {path: (await site.page(path)).text for path, _, _ in words}
    pairs = [*find_disagreements(statements, 1.0), *find_different_tellings(statements, 1.0)]
    assert [str(pair) for pair in pairs] == []
    for path, element, said in words:
        text = pages[path].get(element, "")
        assert (said.removeprefix("!") in text) is not said.startswith("!"), (path, element, text)
