"""Votes of services blocked by public report, and of failures that are no blocks.

Written from the reports and from the manual of the format, apart from the detectors. Each vantage
tests each service once in eight minutes, and a second time after a first failure.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, DAY, HOUR, Land, Person, clock, seconds_after
from support.reported_events import COUNTRY, MOBILE, people_of

SERVICES = ("telegram", "whatsapp", "signal", "facebook")
EVERY = 480.0
NOISE = 0.02  # of the tests fail without a block


@dataclass(frozen=True)
class Block:
    """A block of one service in one cell, to be confirmed within so many seconds."""

    service: str
    scope: Scope = COUNTRY
    at: float = AT
    lasts: float = 3 * HOUR
    within_s: float = 420.0
    value: str = "blocked"
    layer: str = "tls"
    method: str = "timeout"


@dataclass(frozen=True)
class BlockScene:
    """The blocks and other failures of a scene; `right` lists further correct cells."""

    blocks: tuple[Block, ...] = ()
    disturb: Callable[[Land], None] = lambda land: None
    hours: float = 6.0
    right: tuple[Scope, ...] = ()
    fails: Callable[[Person, str, float], str] = field(default=lambda person, service, at: "")
    lines: tuple[int, ...] = (14, 10)
    phones: tuple[int, ...] = (8, 6)


def build_votes(scene: BlockScene, land: Land) -> None:
    """Let people live, and test the services."""
    land.settle(scene.lines, scene.phones)
    scene.disturb(land)
    for person in land.people:
        for service in SERVICES:
            _test(scene, land, person, service)


def _test(scene: BlockScene, land: Land, person: Person, service: str) -> None:
    at = land.start + 60 + land.rng.uniform(0, EVERY)
    is_second = False
    while at < land.end:
        said = _judge(scene, land, person, service, at)
        if not any(down.since <= at < down.until for down in person.downs):
            line = {"kind": "vote", "at": clock(at), "vantage": person.name, "service": service}
            land.faults.append(line | said)
        is_second = said["value"] != "reachable" and not is_second
        at += land.rng.uniform(10, 40) if is_second else EVERY * land.rng.uniform(0.9, 1.1)


def _judge(
    scene: BlockScene, land: Land, person: Person, service: str, at: float
) -> dict[str, object]:
    for block in scene.blocks:
        is_inside = _holds(block.scope, person) and block.at <= at < block.at + block.lasts
        if service == block.service and is_inside and person.access != "hosting":
            return {"value": block.value, "layer": block.layer, "method": block.method}
    value = scene.fails(person, service, at)
    if value:
        return {"value": value, "layer": "tcp", "method": "timeout"}
    if land.rng.random() < NOISE:
        return {"value": "blocked", "layer": "tcp", "method": "timeout"}
    return {"value": "reachable"}


def _holds(scope: Scope, person: Person) -> bool:
    wanted = (scope.country, scope.region, scope.asn, scope.access)
    own = (person.country, person.region, person.asn, person.access)
    return all(not a or a == b for a, b in zip(wanted, own, strict=True))


def add_liars(land: Land) -> None:
    """Add forty keys, enrolled two hours ago, that report everything as blocked."""
    for person in land.add("KZ", 40, 77, "fixed"):
        person.enrolled = AT - 2 * HOUR


def add_school(land: Land) -> None:
    """Eight vantages of one school, which filters messengers."""
    land.add("KZ", 8, 50, "fixed", nat=1, regions="A")


def _fail_everywhere(person: Person, service: str, at: float) -> str:
    return "blocked" if service == "facebook" and AT <= at < AT + 6 * HOUR else ""


def _fail_at_three(person: Person, service: str, at: float) -> str:
    is_near = person.country in ("KZ", "TR", "PL")
    return "blocked" if service == "whatsapp" and is_near and AT <= at < AT + 2_400 else ""


def _lie(person: Person, service: str, at: float) -> str:
    return "blocked" if person.asn == 77 else ""


def _filter(person: Person, service: str, at: float) -> str:
    return "blocked" if person.asn == 50 else ""


def _choose_filter(person: Person, service: str, at: float) -> str:
    is_family = person.country == "KZ" and int(person.name[1:]) % 5 == 0
    return "blocked" if is_family and service == "telegram" else ""


def _draw(name: str, service: str, at: float) -> int:
    """Draw a percentage, the same for the same test."""
    return crc32(f"{name} {service} {at:.0f}".encode()) % 100


def _congest(person: Person, service: str, at: float) -> str:
    """Fail 15 % of an operator's tests for hours."""
    is_busy = person.asn == 10 and at >= AT
    return "blocked" if is_busy and _draw(person.name, service, at) < 15 else ""


def _down_abroad(person: Person, service: str, at: float) -> str:
    """Fail a service for all, as controls see too."""
    return "down" if service == "signal" and AT <= at < AT + HOUR else ""


def _fail_two_in_five(person: Person, service: str, at: float) -> str:
    is_bad = _draw(person.name, service, at) < 40
    return "blocked" if service == "telegram" and person.country == "KZ" and is_bad else ""


def nightly(service: str, nights: int) -> tuple[Block, ...]:
    return tuple(
        Block(service, at=day * DAY + 15 * HOUR, lasts=4 * HOUR, within_s=600)
        for day in range(nights)
    )


SCENES = {
    "one messenger (Iran, 2018)": BlockScene((Block("telegram"),)),
    "three at once (Iran, 2022)": BlockScene(
        tuple(Block(service) for service in ("telegram", "whatsapp", "signal"))
    ),
    "one operator (Russia, 2018)": BlockScene(
        (Block("telegram", Scope("KZ", asn=10), within_s=600),)
    ),
    "phones (Pakistan, 2024)": BlockScene((Block("whatsapp", MOBILE, within_s=600),)),
    "operators by turns (Russia, 2022)": BlockScene(
        tuple(
            Block("facebook", Scope("KZ", asn=asn), AT + n * 2_400, 8 * HOUR, 900)
            for n, asn in enumerate((10, 20, 11, 21))
        ),
        hours=8,
        right=(COUNTRY, MOBILE, Scope("KZ", access="fixed")),
    ),
    "throttled (Turkey, 2016)": BlockScene(
        (Block("facebook", value="throttled", layer="goodput", method="slow"),)
    ),
    "by name (Brazil, 2024)": BlockScene((Block("signal", layer="dns", method="nxdomain"),)),
    "evenings of a week (assumed)": BlockScene(nightly("whatsapp", 6), hours=140),
    "a fleet of six": BlockScene((Block("telegram", within_s=900),), lines=(3, 1), phones=(2,)),
    "gone everywhere (October 2021)": BlockScene(fails=_fail_everywhere, hours=9),
    "a site of it, three countries": BlockScene(fails=_fail_at_three),
    "down for all": BlockScene(fails=_down_abroad),
    "liars": BlockScene(disturb=add_liars, fails=_lie),
    "a school": BlockScene(disturb=add_school, fails=_filter, right=(Scope("KZ", asn=50),)),
    "resolvers that filter": BlockScene(fails=_choose_filter),
    "a congested operator": BlockScene(fails=_congest),
    "two tests in five": BlockScene(fails=_fail_two_in_five, right=(COUNTRY,), hours=8),
}


def find_block_faults(
    land: Land, incidents: Sequence[Incident], scene: BlockScene
) -> Iterator[str]:
    """Yield a sentence for each fault of the confirmed incidents of services."""
    told = [i for i in incidents if i.confirmed_us is not None and i.service]
    for incident in told:
        if not _is_right(incident, scene):
            cells = [part.scope for part in incident.parts]
            yield f"wrong: {incident.service} in {cells}, {incident.state}"
    for block in scene.blocks:
        delays = list(_list_delays(land, told, block))
        if not delays:
            yield f"missed {block.service} in {block.scope}"
        elif min(delays) > block.within_s:
            yield f"{block.service} in {block.scope} told after {min(delays):.0f} s"


def _is_right(incident: Incident, scene: BlockScene) -> bool:
    second = seconds_after(0, incident.confirmed_us)
    cells = [part.scope for part in incident.parts]
    current = [
        block.scope
        for block in scene.blocks
        if block.service == incident.service and 0 <= second - block.at <= block.lasts + 120
    ]
    is_block = any(all(cell.is_within(scope) for cell in cells) for scope in current)
    return is_block or all(any(c.is_within(r) for r in (*current, *scene.right)) for c in cells)


def _list_delays(land: Land, told: Sequence[Incident], block: Block) -> Iterator[float]:
    """Yield each delay until a confirmed incident that now names half of the cell."""
    people = [p for p in people_of(land) if _holds(block.scope, p)]
    for incident in told:
        named = [p for p in people if any(_holds(c.scope, p) for c in incident.parts)]
        delay = seconds_after(block.at, incident.confirmed_us)
        is_same = incident.service == block.service and delay <= block.lasts
        if (
            is_same
            and incident.state is not IncidentState.WITHDRAWN
            and 2 * len(named) >= len(people)
        ):
            yield max(0.0, delay)
