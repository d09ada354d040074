"""A foreign world: vantages and their silences as the lines of a replay file.

Written from the manual of the format alone, with another model than the lab's: sessions end at a
moment, are noticed 37.5 s after the last heartbeat, and agents may return another way.
"""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from heliograph.units import SECOND_US
from heliograph_collector.detect.replay import replay_signals
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.sources.signal_file import read_signals

MIDNIGHT = 1_762_992_000  # 13 November 2025
HOUR, DAY = 3_600.0, 86_400.0
WITNESSES = ("TR", "BR", "ID", "PL")
SEEDS = int(os.environ.get("HELIOGRAPH_FOREIGN_SEEDS", "1"))
AT = 9.5 * HOUR  # 14:30 in Kazakhstan; scenes begin at 8:00 UTC


@dataclass
class Down:
    """One silence; `told` is whether foreign anchors answered in it, None for unknown."""

    since: float
    until: float
    rebooted: bool = False
    told: bool | None = None
    entrance: str = ""  # by which it returns
    ran_on: bool = False  # its machine is known to have run meanwhile
    goodbye: bool = False  # its agent restarted
    closed: bool = False  # its agent ended, or a box on its way reset the connection
    country: str = ""  # to which it has moved by then …
    asn: int = 0  # … or another network …
    prefix: str = ""  # … or another prefix …
    access: str = ""  # … or another kind of line
    posted: float = 0.0  # when it tells by post that anchors answer, while it lasts; 0 for never


@dataclass
class Person:
    """One vantage, and the times at which it is down."""

    name: str
    country: str
    region: str
    asn: int
    access: str
    prefix: str
    enrolled: float
    entrance: str = "main"
    edition: str = ""  # of its agent
    downs: list[Down] = field(default_factory=list)


class Land:
    """Countries with vantages, from `start` on, in seconds since midnight."""

    def __init__(self, rng: Random, start: float, hours: float) -> None:
        self.rng, self.start, self.end = rng, start, start + hours * HOUR
        self.people: list[Person] = []
        self.faults: list[dict[str, object]] = []

    def add(
        self, country: str, count: int, asn: int, access: str, *, nat: int = 0, regions: str = "ABC"
    ) -> list[Person]:
        """Add vantages, whose prefix is their own or one of `nat` of a carrier."""
        added = []
        for index in range(count):
            number = len(self.people)
            prefix = f"{country}-{asn}-{index % nat}" if nat else f"{country}-{number}"
            region = regions[index % len(regions)]
            person = Person(f"v{number}", country, region, asn, access, prefix, -60 * DAY)
            self.people.append(person)
            added.append(person)
        return added

    def settle(self, lines: Sequence[int] = (14, 10), phones: Sequence[int] = (8, 6)) -> None:
        """Add Kazakhstan, two data centers, the witnesses, and silences by themselves."""
        for number, count in enumerate(lines):
            self.add("KZ", count, 10 + number, "fixed")
        for number, count in enumerate(phones):
            self.add("KZ", count, 20 + number, "mobile", nat=3)
        self.add("KZ", 2, 30, "hosting")
        for country in WITNESSES:
            self.add(country, 8, 101, "fixed")
            self.add(country, 4, 102, "mobile", nat=2)
        for person in self.people:
            second = self.start + self.rng.expovariate(3 / DAY)
            while second < self.end:
                lasts = self.rng.lognormvariate(math.log(150), 1.4)
                person.downs.append(Down(second, second + lasts))
                second += lasts + self.rng.expovariate(3 / DAY)

    def select(self, country: str = "KZ", **where: object) -> list[Person]:
        return [
            p
            for p in self.people
            if p.country == country and all(getattr(p, key) == at for key, at in where.items())
        ]

    def cut(self, people: Sequence[Person], at: float, until: float, spread: float = 10.0) -> None:
        """Cut people off; they return within a minute and report that no anchor answered."""
        for person in people:
            since = at + self.rng.uniform(0, spread)
            person.downs.append(Down(since, until + self.rng.uniform(0, 60), told=False))

    def write(self, path: Path) -> Path:
        lines = [line for person in self.people for line in self._list_lines(person)]
        lines = sorted([*lines, *self.faults], key=lambda line: float(str(line["at"])))
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    def _list_lines(self, person: Person) -> list[dict[str, object]]:
        live_since = self.start + self.rng.uniform(0, 60)
        lines = [_arrive(person, live_since)]
        for down in sorted(person.downs, key=lambda down: down.since):
            if not live_since < down.since < self.end:
                continue
            heard = max(live_since, down.since - self.rng.uniform(0, 15))
            back = down.until + self.rng.uniform(0, 10)
            if down.goodbye:
                bye = {"kind": "goodbye", "vantage": person.name, "at": clock(down.since)}
                lines.append(bye)
            elif heard + 37.5 < back:
                lost = {"kind": "loss", "vantage": person.name, "last_heard": clock(heard)}
                end = {"closed": clock(down.since)} if down.closed else {}
                lines.append({**lost, **end, "at": clock(heard + 37.5)})
            if down.posted:
                word = {"kind": "report", "vantage": person.name, "alive": True, "online": True}
                span = {"since": clock(down.since + 15), "until": clock(down.posted)}
                lines.append({**word, **span, "transport": "post", "at": clock(down.posted)})
            if back >= self.end:
                break
            person.entrance = down.entrance or person.entrance
            person.country = down.country or person.country
            person.asn = down.asn or person.asn
            person.prefix = down.prefix or person.prefix
            person.access = down.access or person.access
            uptime: dict[str, object] = {"uptime_s": 60 if down.rebooted else 5 * int(DAY)}
            is_known = down.rebooted or down.ran_on
            lines.append(_arrive(person, back, uptime if is_known else {}))
            if down.told is not None:
                said = {"kind": "report", "vantage": person.name, "alive": True}
                span = {"since": clock(down.since + 15), "until": clock(back)}
                lines.append({**said, **span, "online": down.told, "at": clock(back + 10)})
            live_since = back
        return lines


def create_land(seed: int, hours: float = 4) -> Land:
    return Land(Random(seed), 8 * HOUR, hours)


def stop_again_and_again(land: Land, *, closed: bool = False) -> None:
    """Stop and start programs for forty minutes; `closed` ends their connections."""
    land.settle()
    for person in land.select():
        second = AT + land.rng.uniform(0, 60)
        while second < AT + 2_400:
            lasts = land.rng.uniform(60, 300)
            person.downs.append(Down(second, second + lasts, closed=closed))
            second += lasts + land.rng.uniform(20, 90)


def play(land: Land, tmp_path: Path) -> list[Incident]:
    """Play a land through the detectors; return every incident ever confirmed."""
    content = read_signals(land.write(tmp_path / "signals.jsonl"))
    incidents = replay_signals(content.signals, content.votes, content.levels).incidents
    return [incident for incident in incidents if incident.confirmed_us is not None]


def seconds_after(at: float, at_us: int | None) -> float:
    assert at_us is not None
    return at_us / SECOND_US - clock(at)


def clock(second: float) -> float:
    return round(MIDNIGHT + second, 3)


def _arrive(person: Person, at: float, more: dict[str, object] | None = None) -> dict[str, object]:
    where = {"country": person.country, "region": person.region, "asn": person.asn}
    line = {"access": person.access, "prefix": person.prefix, "enrolled": clock(person.enrolled)}
    way = {"transport": "session", "entrance": person.entrance, "edition": person.edition}
    return (
        {"kind": "arrival", "at": clock(at), "vantage": person.name}
        | where
        | line
        | way
        | (more or {})
    )
