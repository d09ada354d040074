"""Blocks of services and other failures, of kinds that the other worlds lack.

Written apart from the detectors, from reports (the year is named) and from physics. Each vantage
tests each service once in eight minutes, and looks a second time after a first failure.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b

from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, HOUR, Down, Land, Person, clock
from support.reported_events import MINUTE, people_of
from support.strange_truths import COUNTRY, MOBILE, StrangeScene, Truth, may

FOREIGN = ("telegram", "whatsapp", "signal", "facebook", "youtube")
DOMESTIC = ("bank", "newspaper")
NOISE = 0.02  # of the tests fail on a calm day
EVERY = 480.0

Said = Mapping[str, object]
GOOD: Said = {"value": "reachable"}
UNKNOWN: Said = {"value": "unknown"}
DOWN: Said = {"value": "down"}
TLS: Said = {"value": "blocked", "layer": "tls", "method": "timeout"}
TCP: Said = {"value": "blocked", "layer": "tcp", "method": "timeout"}
DNS: Said = {"value": "blocked", "layer": "dns", "method": "nxdomain"}
NO_ANSWER: Said = {"value": "blocked", "layer": "dns", "method": "timeout"}
SLOW: Said = {"value": "throttled", "layer": "goodput", "method": "slow"}
PARTIAL: Said = {"value": "partial", "layer": "tcp", "method": "timeout"}
CERTIFICATE: Said = {"value": "blocked", "layer": "tls", "method": "certificate"}


def measure(
    land: Land,
    judge: Callable[[Person, str, float], Said],
    receive: Callable[[Person, float], float] = lambda _person, at: at + 17,
) -> None:
    """Let all test all services while their line works; `judge` gives each result."""
    for person in land.people:
        for service in FOREIGN + DOMESTIC:
            at = land.start + 60 + land.rng.uniform(0, EVERY)
            is_second = False
            while at < land.end:
                said = judge(person, service, at)
                if said["value"] == "reachable" and land.rng.random() < NOISE:
                    said = {**said, **TCP}
                if not any(down.since - 10 <= at < down.until + 12 for down in person.downs):
                    line = {"kind": "vote", "at": clock(at), "vantage": person.name}
                    line |= {"service": service, "received": clock(receive(person, at))}
                    land.faults.append({**line, **said})
                is_second = said["value"] not in ("reachable", "unknown") and not is_second
                at += land.rng.uniform(10, 40) if is_second else EVERY * land.rng.uniform(0.9, 1.1)


def draw(*key: object) -> float:
    """Draw from 0 to 1, the same for the same key."""
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=8).digest()) / 2**64


def is_local(person: Person) -> bool:
    return person.country == "KZ" and person.access != "hosting"


def is_during(at: float, hours: float, since: float = AT) -> bool:
    return since <= at < since + hours * HOUR


def is_blocked(person: Person, service: str, at: float) -> bool:
    """Return whether the block of most scenes holds: of one messenger, for four hours."""
    return service == "telegram" and is_local(person) and is_during(at, 4)


def block_then_cut(land: Land) -> None:
    """A messenger is blocked; 40 min later phones are cut; lines get it back first.

    As in Kazakhstan in January 2022, where messengers were blocked first and phones cut then.
    """
    land.settle(phones=(10, 9))
    phones = land.select(access="mobile")
    land.cut(phones, AT + 40 * MINUTE, AT + 160 * MINUTE, 20)
    names = {p.name for p in phones}

    def judge(person: Person, service: str, at: float) -> Said:
        lasts = 5 if person.name in names else 100 / 60
        is_bad = service == "telegram" and is_local(person) and is_during(at, lasts)
        return TLS if is_bad else GOOD

    measure(land, judge)


def throttle_all(land: Land) -> None:
    """A nation is held at 64 kbit/s: handshakes pass, pages and videos do not finish.

    Sessions and heartbeats last; queues of seconds end some handshakes (Iran's phones, 2019).
    """
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        if not (is_local(person) and is_during(at, 4)):
            return GOOD
        luck = draw(person.name, service, at)
        is_heavy = service in ("facebook", "youtube", "newspaper", "bank")
        if luck < 0.15:
            return TLS
        return SLOW if luck < (0.9 if is_heavy else 0.3) else GOOD

    measure(land, judge)


def fail_worldwide_beside(land: Land) -> None:
    """A messenger is blocked in the minute in which another fails worldwide for 1 h.

    Controls report it down some minutes after the first tests fail.
    """
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        if service == "whatsapp" and is_during(at, 1):
            return TCP if at < AT + 180 else DOWN
        is_bad = is_blocked(person, service, at)
        return TLS if is_bad else GOOD

    measure(land, judge)


def fail_worldwide_first(land: Land) -> None:
    """A messenger fails worldwide for 40 min, and is blocked here from the start."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        if service != "telegram":
            return GOOD
        if is_during(at, 40 / 60):
            return TCP if at < AT + 180 else DOWN
        return TLS if is_local(person) and is_during(at, 4) else GOOD

    measure(land, judge)


def lose_half_of_controls(land: Land) -> None:
    """Half of our controls fail for three hours; five minutes later a block begins."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        if is_during(at, 3, AT - 300) and draw(person.name, service, at) < 0.5:
            return UNKNOWN
        is_bad = is_blocked(person, service, at)
        return TLS if is_bad else GOOD

    measure(land, judge)


def mislead_half_of_controls(land: Land) -> None:
    """Half of our controls are where the messenger is blocked, and report it down."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = is_blocked(person, service, at)
        return (DOWN if draw(person.name, at) < 0.5 else TLS) if is_bad else GOOD

    measure(land, judge)


def deny_by_newcomers(land: Land) -> None:
    """A messenger is blocked; eighty keys of the same day report that it works."""
    land.settle()
    for asn, access in ((10, "fixed"), (11, "fixed"), (20, "mobile"), (21, "mobile")):
        for person in land.add("KZ", 20, asn, access):
            person.enrolled = AT - land.rng.uniform(2, 9) * HOUR
            person.downs.append(Down(land.start + 90, max(land.start + 200, person.enrolled)))

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = is_blocked(person, service, at)
        return TLS if is_bad and person.enrolled < 0 else GOOD

    measure(land, judge)


def block_by_ipv6(land: Land) -> None:
    """Only a messenger's IPv6 addresses are blocked; half have IPv6, all have IPv4."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        has_both = draw("ipv6", person.name) < 0.5
        is_bad = is_blocked(person, service, at)
        return PARTIAL if is_bad and has_both else GOOD

    measure(land, judge)


def fence_bank(land: Land) -> None:
    """A bank under attack refuses all foreign addresses (Ukraine, 2022)."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = service == "bank" and person.country != "KZ" and is_during(at, 5)
        return TCP if is_bad else GOOD

    measure(land, judge)


def block_few(land: Land) -> None:
    """Five vantages in the country, and a block."""
    land.settle(lines=(2, 1), phones=(1, 1))
    land.people = [p for p in land.people if not (p.country == "KZ" and p.access == "hosting")]

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = is_blocked(person, service, at)
        return TLS if is_bad else GOOD

    measure(land, judge)


def upgrade_in_block(land: Land) -> None:
    """Our collector is upgraded 5 min into a block, and judges nothing for ten."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = is_blocked(person, service, at)
        return TLS if is_bad else GOOD

    ready = AT + 15 * MINUTE
    begin = AT + 5 * MINUTE

    def receive(_person: Person, at: float) -> float:
        return ready + 20 * draw(at) if begin - 17 < at < ready else at + 17

    measure(land, judge, receive)
    for person in land.people:
        person.downs.append(Down(begin, ready + land.rng.expovariate(1 / 20)))
    fault = {"kind": "fault", "at": clock(begin), "until": clock(ready), "reason": "restart"}
    land.faults.append(fault)


def cut_then_block(land: Land) -> None:
    """All is cut for three hours; after that messengers are blocked (Uganda, 2026)."""
    land.settle()
    land.cut(people_of(land), AT, AT + 3 * HOUR, 20)

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = service in ("telegram", "whatsapp", "signal") and is_local(person)
        return TLS if is_bad and is_during(at, 8) else GOOD

    measure(land, judge)


def block_in_two_countries(land: Land) -> None:
    """Two of five countries block a messenger in the same minute (assumed)."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = service == "telegram" and person.country in ("KZ", "TR") and is_during(at, 4)
        return TLS if is_bad and person.access != "hosting" else GOOD

    measure(land, judge)


def raise_share(land: Land) -> None:
    """The broken share of a messenger's connections rises from none to all in 6 h."""
    land.settle()

    def judge(person: Person, service: str, at: float) -> Said:
        share = min(1.0, (at - AT) / (6 * HOUR)) if is_during(at, 8) else 0.0
        is_bad = service == "telegram" and is_local(person)
        return TLS if is_bad and draw(person.name, at) < share else GOOD

    measure(land, judge)


def intercept_capital(land: Land) -> None:
    """Four services show a state's certificate in the capital (Kazakhstan, 2020)."""
    land.settle(lines=(18, 15), phones=(10, 9))

    def judge(person: Person, service: str, at: float) -> Said:
        is_bad = service in ("telegram", "facebook", "youtube", "whatsapp") and is_during(at, 5)
        return CERTIFICATE if is_bad and is_local(person) and person.region == "A" else GOOD

    measure(land, judge)


TELEGRAM = Truth(until=AT + 4 * HOUR, service="telegram", within_s=420)


SCENES = {
    "block, cut, other ends": StrangeScene(
        block_then_cut,
        (
            Truth(COUNTRY, AT, AT + 100 * MINUTE, "telegram", 420, 1e9),
            may(MOBILE, "telegram", AT, AT + 5 * HOUR),
            Truth(MOBILE, AT + 160 * MINUTE, AT + 5 * HOUR, "telegram", 1_200),
            Truth(MOBILE, AT + 40 * MINUTE, AT + 160 * MINUTE, "", 300),
        ),
        8,
    ),
    "64 kbit/s": StrangeScene(
        throttle_all,
        (
            *(
                Truth(
                    COUNTRY,
                    AT,
                    AT + 4 * HOUR,
                    service,
                    is_owed=False,
                    kinds=(IncidentKind.THROTTLING, IncidentKind.PARTIAL),
                )
                for service in FOREIGN + DOMESTIC
            ),
            Truth(COUNTRY, AT, AT + 4 * HOUR, "youtube", 1_800, is_suspicion_enough=True),
        ),
        7,
    ),
    "another fails worldwide": StrangeScene(fail_worldwide_beside, (TELEGRAM,), 7),
    "it fails worldwide first": StrangeScene(
        fail_worldwide_first,
        (
            may(COUNTRY, "telegram", AT, AT + 4 * HOUR),
            Truth(COUNTRY, AT + 40 * MINUTE, AT + 4 * HOUR, "telegram", 900),
        ),
        7,
    ),
    "half of the controls": StrangeScene(
        lose_half_of_controls,
        (Truth(until=AT + 4 * HOUR, service="telegram", within_s=900),),
        7,
    ),
    "half of the controls mislead": StrangeScene(
        mislead_half_of_controls,
        (Truth(until=AT + 4 * HOUR, service="telegram", within_s=1_200),),
        7,
    ),
    "newcomers deny": StrangeScene(deny_by_newcomers, (TELEGRAM,), 7),
    "IPv6 alone": StrangeScene(
        block_by_ipv6,
        (
            Truth(
                COUNTRY, AT, AT + 4 * HOUR, "telegram", is_owed=False, kinds=(IncidentKind.PARTIAL,)
            ),
        ),
        7,
    ),
    "a fenced bank": StrangeScene(fence_bank, (), 8),
    "a block of five": StrangeScene(
        block_few,
        (Truth(until=AT + 4 * HOUR, service="telegram", within_s=900, is_suspicion_enough=True),),
        7,
    ),
    "our upgrade in a block": StrangeScene(
        upgrade_in_block,
        (Truth(until=AT + 4 * HOUR, service="telegram", within_s=1_200),),
        7,
    ),
    "cut, then blocks": StrangeScene(
        cut_then_block,
        (
            Truth(),
            *(
                Truth(COUNTRY, AT + 3 * HOUR, AT + 8 * HOUR, service, 900)
                for service in ("telegram", "whatsapp", "signal")
            ),
        ),
        10,
    ),
    "blocks in two countries": StrangeScene(
        block_in_two_countries,
        tuple(
            Truth(Scope(country), AT, AT + 4 * HOUR, "telegram", 900) for country in ("KZ", "TR")
        ),
        7,
    ),
    "a share that rises": StrangeScene(
        raise_share,
        (
            may(COUNTRY, "telegram", AT, AT + 8 * HOUR),
            Truth(COUNTRY, AT + 4 * HOUR, AT + 8 * HOUR, "telegram", 1_800),
        ),
        10,
    ),
    "intercepted in the capital": StrangeScene(
        intercept_capital,
        tuple(
            Truth(
                Scope("KZ", "A"),
                AT,
                AT + 5 * HOUR,
                service,
                1_800,
                is_owed=service == "telegram",
                is_suspicion_enough=True,
            )
            for service in ("telegram", "facebook", "youtube", "whatsapp")
        ),
        8,
    ),
}
