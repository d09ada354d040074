"""A private address in place of a site may be the provider's, or a home router's."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from heliograph_collector.model.records import JudgedMeasurement, VerdictState
from heliograph_collector.model.seniority import Seniority
from support.control_records import Steps
from support.vantage_streams import NAMES, assess, controls, measure, page

BOX = "192.168.200.3"
NAME = NAMES[0]


def led_to(address: str, name: str = NAME, *, contradicted: bool = True) -> Steps:
    known = f"9.8.7.{NAMES.index(name)}"
    others: Steps = [{f"{engine} A {name}": known} for engine in ("udp", "doh")]
    return [
        {f"system A {name}": address},
        *(others if contradicted else ()),
        {f"connect {address}": "connection_refused"},
    ]


def lookups(nyms: Sequence[str], steps: Steps, name: str = NAME, **how: Any) -> list[Any]:
    return [replace(measure(name, steps, 1, nym), **how) for nym in nyms]


def states(judged: Sequence[JudgedMeasurement], name: str = NAME) -> dict[str, VerdictState]:
    """Return the last state of each vantage."""
    return {
        record.pseudonym: verdicts[-1].state
        for record, verdicts in judged
        if record.measurement.target.find(name) >= 0 and record.pseudonym in "abcdefgh"
    }


HONEST = page(NAME, "9.8.7.0")


@pytest.mark.parametrize(
    ("case", "stream", "is_blocked"),
    [
        ("three vantages of the network", lookups("abc", led_to(BOX)), True),
        ("at another private address", lookups("abc", led_to("127.0.0.1")), True),
        ("at one in 10/8 that homes have", lookups("abc", led_to("10.0.0.2")), True),
        ("one house with such an address", lookups("a", led_to("10.0.0.2")), False),
        ("one house of Docker's range", lookups("a", led_to("172.17.0.2")), False),
        ("one house", lookups("a", led_to(BOX)), False),
        ("two houses", lookups("ab", led_to(BOX)), False),
        ("one office", lookups("a", led_to("10.44.3.7")), False),
        ("two agents in one office", lookups("ab", led_to("10.44.3.7"), prefix="one"), False),
        ("two lines that no office shares", lookups("ab", led_to("10.44.3.7")), True),
        ("two lines in 172.16/12", lookups("ab", led_to("172.20.3.7")), True),
        ("two lines with Docker's", lookups("ab", led_to("172.17.0.2")), False),
        ("two of many lines", [
            *lookups("defgh", HONEST), *lookups("ab", led_to("10.44.3.7"))], False),
        ("three agents in one house", lookups("abc", led_to(BOX), prefix="one"), False),
        ("young agents", lookups("abc", led_to(BOX), seniority=Seniority.YOUNG), False),
        ("each house its own box", [
            record for n, nym in enumerate("abc")
            for record in lookups(nym, led_to(f"192.168.1.{n}"))
        ], False),
        ("few houses of many", [
            *lookups("defgh", HONEST), *lookups("abc", led_to(BOX))], False),
        ("most of the network", [*lookups("de", HONEST), *lookups("abc", led_to(BOX))], True),
        ("one box, and other names in each house", [
            *lookups("a", led_to(BOX)), *lookups("b", led_to(BOX, NAMES[1]), NAMES[1]),
            *lookups("c", led_to(BOX, NAMES[2]), NAMES[2])], False),
        ("no other lookup says otherwise", lookups("abc", led_to(BOX, contradicted=False)),
         False),
        ("the answer of advert blockers", lookups("abc", led_to("0.0.0.0")), False),
    ],
)  # fmt: skip
def test_private_answer_is_the_networks_where_most_of_it_gets_the_same(
    case: str, stream: list[Any], is_blocked: bool
) -> None:
    found = states(assess(controls(0), *([record] for record in stream)))
    blocked = {nym for nym, state in found.items() if state is VerdictState.BLOCKED}
    accused = {nym for nym in found if nym in "abc"}
    assert blocked == (accused if is_blocked else set()), (case, found)
