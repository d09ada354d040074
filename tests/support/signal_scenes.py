"""Scenes in the lines of a signal file, written from its manual alone.

The physics: an agent sends a heartbeat every 15 s, and its loss is noticed 37.5 s after the last
one. A line that is cut sends nothing; an agent whose link works tries again within 60 s, or finds
another entrance after 5 s to 4 min, and reports whether anchors abroad answered meanwhile.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

Line = dict[str, object]
Absence = tuple[float, float, Line]  # from, until, and what its lines say beside

START = 1_788_220_800.0  # 1 September 2026, 00:00 UTC
ONSET = START + 6.5 * 3_600  # 11:30 in Kazakhstan
_HEARTBEAT_S = 15.0
_NOTICE_S = 37.5
_OTHERS = {"DE": 8, "BR": 8, "KE": 8, "ID": 6}  # six test too seldom for minutes


@dataclass(slots=True)
class Person:
    """One vantage and its absences."""

    name: str
    country: str
    region: str
    asn: int
    access: str
    prefix: str
    absences: list[Absence]

    @property
    def location(self) -> Line:
        return {"country": self.country, "region": self.region, "asn": self.asn} | {
            "access": self.access,
            "prefix": self.prefix,
        }


@dataclass(frozen=True, slots=True)
class Truth:
    """The expected incident of a scene: its kind, its label, and the latest delay."""

    kind: str
    label: str
    within_s: float


class World:
    """A country of many vantages and four others, with a chance absence of each."""

    def __init__(self, seed: str, size: int) -> None:
        self.rng = Random(seed)
        self.people = self._settle("KZ", size, 10)
        for index, (country, count) in enumerate(_OTHERS.items()):
            self.people += self._settle(country, count, 20 + index)
        self.lines: list[Line] = []

    def of(self, country: str, access: str = "") -> list[Person]:
        return [p for p in self.people if p.country == country and access in ("", p.access)]

    def leave(self, person: Person, after_s: float, until_s: float, **beside: object) -> None:
        """Let a person's session fail, in seconds after the onset."""
        person.absences.append((ONSET + after_s, ONSET + until_s, beside))

    def write(self) -> list[Line]:
        presence = (line for person in self.people for line in self._write_person(person))
        return sorted([*presence, *self.lines], key=_at)

    def _settle(self, country: str, size: int, network: int) -> list[Person]:
        return [
            Person(
                f"{country}{index}",
                country,
                f"{country}-{index % 3}",
                network * 100 + index % 2 * 10 + index % 3,
                "mobile" if index % 2 else "fixed",
                f"{country}{index}",
                [self._draw_chance()],
            )
            for index in range(size)
        ]

    def _draw_chance(self) -> Absence:
        since = START + self.rng.uniform(600, 6 * 3_600)
        return since, since + self.rng.uniform(60, 600), {"online": True}

    def _write_person(self, person: Person) -> Iterator[Line]:
        here: Line = {"kind": "arrival", "vantage": person.name, **person.location}
        here["entrance"] = "a"
        begun = START + self.rng.random() * _HEARTBEAT_S
        yield here | {"at": begun}
        for since, until, beside in sorted(person.absences, key=lambda absence: absence[0]):
            heard = since - (since - begun) % _HEARTBEAT_S
            if until > heard + _NOTICE_S:
                lost: Line = {"kind": "loss", "vantage": person.name, "last_heard": heard}
                yield lost | {"at": heard + _NOTICE_S}
            here |= {key: beside[key] for key in ("entrance", "asn", "country") if key in beside}
            begun = until + ("entrance" not in beside) * self.rng.uniform(1, 60)
            yield here | {"at": begun}
            if begun > since + 45 and "online" in beside:
                yield _report(person.name, since, begun, online=bool(beside["online"]))


def _report(name: str, since: float, until: float, *, online: bool) -> Line:
    return {"kind": "report", "at": until + 3, "vantage": name, "since": since + 20} | {
        "until": until,
        "alive": True,
        "online": online,
    }


def _at(line: Line) -> float:
    at = line["at"]
    assert isinstance(at, float | int)
    return at


def _cut(world: World, people: list[Person], hours: float, spread_s: float = 10) -> None:
    for person in people:
        since = world.rng.random() * spread_s
        world.leave(person, since, hours * 3_600, online=False)


def cut_country(world: World) -> Truth:
    """Shut a national gateway within ten seconds."""
    _cut(world, world.of("KZ"), 1.5)
    return Truth("network_silence", "national", 120)


def cut_phones(world: World) -> Truth:
    """Cut the phones of all operators, each behind one NAT."""
    for phone in world.of("KZ", "mobile"):
        phone.prefix = f"nat{phone.asn}"
    _cut(world, world.of("KZ", "mobile"), 2)
    return Truth("network_silence", "mobile-only", 300)


def break_cable(world: World) -> Truth:
    """Break the cable of three of five countries for six hours."""
    for country in ("KZ", "DE", "BR"):
        _cut(world, world.of(country), 6, 4)
    return Truth("network_silence", "national", 660)


def cut_in_restart(world: World) -> Truth:
    """Cut the country while the collector restarts, which ends all sessions."""
    fault = {"kind": "fault", "at": ONSET, "until": ONSET + 60, "reason": "restart"}
    world.lines.append(fault)
    for person in world.people:
        back_s = 7_200 if person.country == "KZ" else 60
        world.leave(person, 0.1, back_s, online=person.country != "KZ")
    return Truth("network_silence", "national", 660)


def block_address(world: World) -> Truth:
    """Block our address; people come by another entrance, and their anchors answered."""
    for person in world.of("KZ"):
        since = world.rng.random() * 20
        back = since + world.rng.choice((world.rng.uniform(5, 60), world.rng.uniform(30, 240)))
        world.leave(person, since, back, online=True, entrance="b")
    return Truth("collector_blocked", "national", 300)


def block_address_of_one_country(world: World) -> Truth:
    """Block an address that this country alone uses; a control keeps using it."""
    _leave_one_country(world)
    _watch(world, 0, "a")
    return block_address(world)


def lose_address_of_one_country(world: World) -> None:
    """Let that address fail: the control comes back by another entrance first.

    It is back before its loss is noticed.
    """
    _leave_one_country(world)
    _watch(world, 0, "a")
    _watch(world, 6.5 * 3_600 + 9, "b")
    block_address(world)


def lose_address_without_control(world: World) -> None:
    """Block the only entrance of a country without a control that could use it."""
    _leave_one_country(world)
    block_address(world)


def _leave_one_country(world: World) -> None:
    world.people = world.of("KZ")


def _watch(world: World, after_s: float, entrance: str) -> None:
    """Let a control begin a session."""
    control = {"vantage": "control", "country": "DE", "role": "control", "entrance": entrance}
    world.lines.append({"kind": "arrival", "at": START + after_s, **control})


def block_only_address(world: World) -> Truth:
    """Block the only address; agents report it on return, so it is relabeled then."""
    for person in world.of("KZ"):
        world.leave(person, world.rng.random() * 20, 5_400, online=True)
    return Truth("collector_blocked", "national", 5_400 + 600)


def block_address_of_testers(world: World) -> Truth:
    """Block the only address; agents report nothing of it, but their tests in it answered."""
    for person in world.of("KZ"):
        since, back_s = world.rng.random() * 20, 5_400
        world.leave(person, since, back_s)
        first, every = since + 60 + world.rng.random() * 480, 480
        test: Line = {"kind": "vote", "vantage": person.name, "service": "telegram"}
        test |= {"value": "reachable", "received": ONSET + back_s + world.rng.uniform(60, 90)}
        world.lines += [
            test | {"at": ONSET + after} for after in (first + index * every for index in range(10))
        ]
    return Truth("collector_blocked", "national", 5_400 + 600)


def break_transit(world: World) -> None:
    """Lose our own transit to three of five countries for 2 to 3 minutes, undeclared."""
    back_s = world.rng.uniform(120, 180)
    for country in ("KZ", "DE", "BR"):
        for person in world.of(country):
            world.leave(person, world.rng.random() * 3, back_s, online=True)


def break_entrance(world: World) -> None:
    """Lose an entrance for all the world; people find the other one."""
    for person in world.people:
        back_s = 3 + world.rng.uniform(5, 240)
        world.leave(person, world.rng.random() * 3, back_s, online=True, entrance="b")


def renumber(world: World) -> None:
    """Move an operator's people to another AS within 20 minutes: a merger."""
    for person in world.of("KZ", "mobile"):
        since = world.rng.random() * 1_200
        world.leave(person, since, since + world.rng.uniform(30, 120), online=True, asn=6_543)


def turn_vpn_on(world: World) -> None:
    """Let two thirds reach us from another country within fifteen minutes."""
    for person in world.rng.sample(world.of("KZ"), 2 * len(world.of("KZ")) // 3):
        since = world.rng.random() * 900
        back_s = since + world.rng.uniform(3, 20)
        world.leave(person, since, back_s, online=True, asn=24_940, country="DE")


def _test_messenger(world: World, value: Callable[[Person, float], str]) -> None:
    """Test the messenger every 480 s at each person, an hour before and after."""
    for person in world.people:
        at = ONSET - 3_600 + world.rng.random() * 480
        while at < ONSET + 3_600:
            vote: Line = {"kind": "vote", "vantage": person.name, "service": "telegram", "at": at}
            world.lines.append(vote | {"value": value(person, at), "layer": "tls"})
            at += world.rng.uniform(465, 495)


def block_messenger(world: World) -> Truth:
    _test_messenger(
        world, lambda p, at: "blocked" if p.country == "KZ" and at > ONSET else "reachable"
    )
    return Truth("service_blocking", "national", 480)


def block_messenger_of_voters(world: World) -> Truth:
    """Block it where there are votes alone, which name no network."""
    truth = block_messenger(world)
    for line in world.lines:
        line["country"] = str(line["vantage"])[:2]
    world.people.clear()
    return truth


def break_messenger(world: World) -> None:
    """Let the messenger fail worldwide, without a control that reports it down."""
    _test_messenger(world, lambda _, at: "blocked" if at > ONSET else "reachable")


SCENES: tuple[Callable[[World], Truth | None], ...] = (
    cut_country,
    cut_phones,
    break_cable,
    cut_in_restart,
    block_address,
    block_address_of_one_country,
    lose_address_of_one_country,
    lose_address_without_control,
    block_only_address,
    block_address_of_testers,
    break_transit,
    break_entrance,
    renumber,
    turn_vpn_on,
    block_messenger,
    block_messenger_of_voters,
    break_messenger,
)
