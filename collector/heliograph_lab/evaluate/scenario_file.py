"""Scenarios as YAML files, which README.md describes key by key."""

import math
from pathlib import Path

from heliograph_collector.incidents.scope import Scope
from heliograph_collector.model.signals import DAY_US, SECOND_US, Place, Witness
from heliograph_lab.evaluate.document import ScenarioError, Section, read
from heliograph_lab.evaluate.population import Service, people
from heliograph_lab.evaluate.scenario import HINDERS, WORDS, Cell, Event, Scenario, world

SHIPPED = Path(__file__).parent / "scenarios"
CHURN = 4.0  # silences a vantage-day
ACCESS = ("mobile", "fixed", "hosting")
_EVERYWHERE = ("restart", "probe", "clock_jump", "messenger_down", "carrier", "update")


def shipped() -> list[Path]:
    """The scenarios that come with the program."""
    return sorted(SHIPPED.glob("*.yml"))


def load(path: Path) -> Scenario:
    """Raises ScenarioError, which names file, line, key and cure, or OSError."""
    top = read(path)
    since_us, until_us = top.moment("since"), top.moment("until")
    if until_us <= since_us:
        raise top.wrong("until", "until must lie after since: give a later time")
    codes, churn, vantages = _countries(top.section("countries"), since_us)
    others, theirs = _world(top, since_us)
    scenario = Scenario(
        name=top.text("name", path.stem),
        since_us=since_us,
        lasts_s=(until_us - since_us) / SECOND_US,
        vantages=(*vantages, *others),
        churn={**{w.place.country: theirs for w in others}, **churn},
        services=_services(top, since_us, until_us),
        events=tuple(_event(row, codes, since_us) for row in top.sections("events")),
    )
    top.text("note", "")
    top.done()
    _check(top, scenario)
    return scenario


def _check(top: Section, scenario: Scenario) -> None:
    tested = {service.name for service in scenario.services}
    for event in scenario.events:
        if event.service and event.service not in tested:
            raise top.wrong(
                "events",
                f"event {event.id or event.do} names the service {event.service!r}, "
                "which nobody tests: add it to services",
            )


def _countries(
    section: Section, since_us: int
) -> tuple[tuple[str, ...], dict[str, float], list[Witness]]:
    churn: dict[str, float] = {}
    found: list[Witness] = []
    for code in section.keys:
        country = section.section(code)
        churn[code] = country.number("churn", CHURN, 0, 1_000)
        for number, row in enumerate(country.sections("vantages")):
            found += _vantages(row, code, number, since_us)
        country.done()
    if not found:
        raise section.wrong(
            "countries", "no country has vantages: give at least one its `vantages`"
        )
    return section.keys, churn, found


def _vantages(row: Section, code: str, number: int, since_us: int) -> list[Witness]:
    place = Place(
        code, row.text("region", ""), row.whole("asn", 0), row.one_of("access", ACCESS, "")
    )
    first_us = since_us - round(row.number("days", 60.0) * DAY_US)
    count = row.whole("count", None, 1, 100_000)
    carrier, prefix = row.text("carrier", "session"), row.text("prefix", "")
    row.done()
    named = people(place, count, first_us, carrier=carrier, prefix=prefix)
    return [
        Witness(f"{number}:{w.nym}", prefix or f"{number}:{w.prefix}", place, first_us, carrier)
        for w in named
    ]


def _world(top: Section, since_us: int) -> tuple[tuple[Witness, ...], float]:
    if "world" not in top:
        return world(since_us), CHURN
    section = top.section("world")
    countries, each = section.whole("countries", 4, 0, 26), section.whole("each", 12, 1, 10_000)
    churn = section.number("churn", CHURN, 0, 1_000)
    section.done()
    return world(since_us, countries, each), churn


def _services(top: Section, since_us: int, until_us: int) -> tuple[Service, ...]:
    if "services" not in top:
        return ()
    section, found = top.section("services"), []
    for name in section.keys:
        row = section.section(name)
        found.append(
            Service(
                name,
                row.length("every", 60.0),
                row.number("noise", 0.03, 0, 1),
                (row.moment("since", since_us) - since_us) / SECOND_US,
                (row.moment("until", until_us) - since_us) / SECOND_US,
            )
        )
        row.done()
    return tuple(found)


def _event(row: Section, codes: tuple[str, ...], since_us: int) -> Event:
    do = row.one_of("do", WORDS)
    low, high = ((us - since_us) / SECOND_US for us in row.bracket("at"))
    if low < 0:
        raise row.wrong("at", "at lies before the scenario's since: give a later time")
    event = Event(
        do=do,
        when=(low, high),
        who=_who(row, do, codes),
        id=row.text("id", ""),
        lasts_s=row.length("for", math.inf),
        jitter_s=row.length("jitter", 0.0),
        service=row.text("service", "" if do not in HINDERS else None),
        layer=row.text("layer", ""),
        method=row.text("method", ""),
        share=row.number("share", 1.0, 0, 1),
        declared=row.flag("declared", True),
        scoreable=row.flag("scoreable", True),
        scope=_scope(row.section("scope"), codes) if "scope" in row else None,
        label=row.text("label", ""),
    )
    row.text("note", "")
    row.done()
    return event


def _who(row: Section, do: str, codes: tuple[str, ...]) -> tuple[Cell, ...]:
    if "who" not in row:
        only = "" if do in _EVERYWHERE else _only(row, codes)
        list(row.sections("who"))
        return (Cell(only),)
    return tuple(_cell(cell, do, codes) for cell in row.sections("who"))


def _cell(section: Section, do: str, codes: tuple[str, ...]) -> Cell:
    needed = "" if "country" in section or do in _EVERYWHERE else _only(section, codes)
    cell = Cell(
        section.text("country", needed),
        section.text("region", ""),
        section.whole("asn", 0),
        section.one_of("access", ACCESS, ""),
        section.text("carrier", ""),
        section.text("prefix", ""),
        section.text("except", ""),
        section.number("share", 1.0, 0, 1),
    )
    section.done()
    return cell


def _scope(section: Section, codes: tuple[str, ...]) -> Scope:
    needed = "" if "country" in section else _only(section, codes)
    scope = Scope(
        section.text("country", needed),
        section.text("region", ""),
        section.whole("asn", 0),
        section.one_of("access", ACCESS, ""),
    )
    section.done()
    return scope


def _only(section: Section, codes: tuple[str, ...]) -> str:
    if len(codes) != 1:
        raise section.wrong("who", f"country is needed, one of {', '.join(codes)}: name it")
    return codes[0]


__all__ = ["SHIPPED", "ScenarioError", "load", "shipped"]
