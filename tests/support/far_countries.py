"""Fleets shaped like real countries: operators, NATs, sleep, newcomers, editions.

Operators and their numbers are those of public registries. Shares of vantages, of sleepers and of
newcomers, and how often lines fail, are assumed and drawn from wide ranges.
"""

import math
from dataclasses import dataclass

from support.far_world import DAY, FIRST, HOUR, MINUTE, SECOND, Span, Vantage, World

WITNESSES = ("DE", "BR", "ID", "KE", "MX", "TR", "PH", "PL")


@dataclass(frozen=True)
class Operator:
    """An operator; `nat` prefixes are shared by all its vantages, 0: each has its own."""

    asn: int
    access: str
    weight: float
    nat: int = 0


@dataclass(frozen=True)
class Country:
    """A country's shape, `offset` hours ahead of UTC."""

    code: str
    offset: float
    operators: tuple[Operator, ...]
    regions: str
    sizes: tuple[int, int]

    def find_local(self, hour: float, day: int = 1) -> float:
        """Return when it is so many hours after midnight there."""
        return day * DAY + (hour - self.offset) * HOUR


def _line(asn: int, weight: float, nat: int = 0) -> Operator:
    return Operator(asn, "fixed", weight, nat)


def _phone(asn: int, weight: float, nat: int = 3) -> Operator:
    return Operator(asn, "mobile", weight, nat)


_IRAN: tuple[Operator, ...] = (
    _line(58224, 0.25),
    _phone(197207, 0.2, 4),
    _phone(44244, 0.2, 4),
    _line(31549, 0.1),
)
_IRAN += (_line(43754, 0.08), _line(16322, 0.06), _line(50810, 0.05, 1), _phone(57218, 0.06, 2))
_MYANMAR: tuple[Operator, ...] = (_phone(9988, 0.3), _phone(133385, 0.25), _phone(132167, 0.2, 2))
_MYANMAR += (_phone(136255, 0.15, 2), _line(58952, 0.1))
_KAZAKHSTAN = (_line(9198, 0.4), _phone(29355, 0.2), _phone(21299, 0.2), _phone(48503, 0.12))
_PAKISTAN = (_line(17557, 0.3), _phone(45669, 0.2, 4), _phone(59257, 0.15), _phone(24499, 0.12))
_INDIA = (_phone(55836, 0.4, 6), _phone(45609, 0.2, 5), _line(24560, 0.15), _line(9829, 0.15))
_RUSSIA = (_line(12389, 0.3), _phone(8359, 0.2, 5), _phone(31133, 0.15, 4), _line(9049, 0.15))
_UKRAINE = (_phone(15895, 0.2, 4), _phone(21497, 0.15), _line(6849, 0.2), _line(25229, 0.2))
COUNTRIES = {
    one.code: one
    for one in (
        Country("TM", 5, (_line(20661, 0.6, 1), _phone(20661, 0.4, 1)), "AAB", (6, 24)),
        Country("CU", -5, (_line(27725, 0.3), _phone(27725, 0.7)), "AABCD", (10, 60)),
        Country(
            "ET",
            3,
            (_phone(24757, 0.5), _line(24757, 0.3), _phone(328988, 0.2, 2)),
            "AAAB",
            (12, 60),
        ),
        Country("IR", 3.5, _IRAN, "AAABBCDE", (60, 400)),
        Country("MM", 6.5, _MYANMAR, "AABC", (20, 120)),
        Country("KZ", 5, (*_KAZAKHSTAN, _line(39824, 0.08)), "AABCD", (20, 150)),
        Country("PK", 5, (*_PAKISTAN, _line(23674, 0.13), _line(141421, 0.1)), "AABBCD", (60, 300)),
        Country(
            "SY",
            3,
            (_line(29256, 0.5, 4), _phone(29256, 0.25, 1), _phone(199293, 0.25, 1)),
            "AABC",
            (10, 40),
        ),
        Country("IN", 5.5, (*_INDIA, _phone(38266, 0.1)), "ABCDEF", (100, 400)),
        Country("RU", 3, (*_RUSSIA, _phone(3216, 0.12, 4)), "ABCDEF", (150, 400)),
        Country("UA", 2, (*_UKRAINE, _line(13188, 0.15)), "ABCDE", (100, 300)),
        Country(
            "TO",
            13,
            (_line(38201, 0.4), _phone(38201, 0.2, 1), _phone(45355, 0.4, 1)),
            "AAB",
            (8, 25),
        ),
        Country("MH", 12, (_line(24439, 0.6), _phone(24439, 0.4, 1)), "AAB", (6, 12)),
    )
}


def settle_countries(world: World, code: str, size: int = 0) -> None:
    """Add a country and five others, with the everyday failures of their vantages."""
    rng = world.rng
    country = COUNTRIES[code]
    world.home = code
    low, high = country.sizes
    size = size or round(math.exp(rng.uniform(math.log(low), math.log(high))))
    _add_country(world, country, size, rng.choice((0.0, 0.1, 0.25)))
    for _ in range(rng.randint(0, max(1, size // 25))):
        add_vantage(world, country, Operator(60_000 + rng.randint(0, 2), "hosting", 0))
    for other in rng.sample([one for one in WITNESSES if one != code], 5):
        operators = (_line(101, 0.5), _phone(102, 0.3), _line(103, 0.2))
        shape = Country(other, rng.choice((-5, -3, 1, 3, 7)), operators, "AB", (8, 40))
        _add_country(world, shape, rng.randint(8, 40), 0.05)


def _add_country(world: World, country: Country, size: int, newcomers: float) -> None:
    for operator in country.operators:
        for _ in range(max(1, round(size * operator.weight))):
            vantage = add_vantage(world, country, operator)
            if world.rng.random() < newcomers:
                vantage.enrolled = -world.rng.uniform(0.2, 13) * DAY


def add_vantage(world: World, country: Country, operator: Operator) -> Vantage:
    """Add a vantage with line failures, nights of sleep and a restart of its agent."""
    rng = world.rng
    number = len(world.vantages)
    index = rng.randrange(operator.nat) if operator.nat else number
    prefix = f"{country.code}.{operator.asn}.{operator.access}.{index}"
    region = rng.choice(country.regions)
    asn, access = operator.asn, operator.access
    vantage = Vantage(f"n{number}", country.code, region, asn, access, prefix)
    vantage.enrolled = -rng.uniform(20, 400) * DAY
    vantage.reports_gaps = rng.random() < 0.8
    vantage.late_share = rng.choice((0.0, 0.0, 0.02, 0.06))
    vantage.entrances = rng.choice(((FIRST, SECOND), (FIRST, SECOND), (FIRST,), (SECOND, FIRST)))
    vantage.has_battery = access == "mobile" or rng.random() < 0.3
    world.vantages.append(vantage)
    _add_own_gaps(world, vantage, country.offset)
    return vantage


def _add_own_gaps(world: World, vantage: Vantage, offset: float) -> None:
    rng = world.rng
    is_phone = vantage.access == "mobile"
    rate = rng.gammavariate(1.5, (4 if is_phone else 2) / 1.5) / DAY
    at = rng.expovariate(rate)
    while at < world.end:
        is_night = 1 <= (at / HOUR + offset) % 24 < 7
        if rng.random() < (0.4 if is_night else 1.0):
            vantage.flaps.append(Span(at, at + rng.lognormvariate(math.log(90), 1.5)))
        at += rng.expovariate(rate)
    if vantage.access != "hosting" and rng.random() < (0.25 if is_phone else 0.12):
        bedtime = rng.gauss(23.3, 0.9) - offset
        for day in range(-1, int(world.end // DAY) + 2):
            at = day * DAY + bedtime * HOUR + rng.gauss(0, 25 * MINUTE)
            vantage.idle.append(Span(at, at + rng.gauss(7.2, 0.6) * HOUR))
    at = rng.expovariate(0.08 / DAY)
    if at < world.end:
        vantage.gone.append(Span(at, at + rng.uniform(8, 90)))
