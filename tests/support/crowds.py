"""Crowds with equal verdicts, and questions to the aggregation about them."""

from dataclasses import replace
from zlib import crc32

from heliograph_collector.model.records import JudgedMeasurement, Vantage, Verdict, VerdictState
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.aggregation import AggregationQuery
from heliograph_collector.store.store import Store
from support.rows import DAY, KZ, T0, US, block, blocked, taken

MIDNIGHT = T0 // DAY * DAY
PAGE = blocked(method="block_page", confirmed=True)
DOWN = Verdict(state=VerdictState.DOWN, rule="x.down")
UNKNOWN = Verdict(state=VerdictState.UNKNOWN, rule="x.doubt")
SMALL = Vantage(country="KZ", asn=21_299, access="mobile")
RU = Vantage(country="RU", asn=12_389, access="mobile")


async def keep(store: Store, *judged: JudgedMeasurement, number: int = 1) -> None:
    """Insert these as block `number` of the journal."""
    await store.insert_block(block(number, number, *judged))


def asked(**changes: object) -> AggregationQuery:
    week = {"since_us": MIDNIGHT, "until_us": MIDNIGHT + 7 * DAY}
    fields = {"k": 1, **week, **changes}
    return AggregationQuery(**fields)  # type: ignore[arg-type] # each test says what it changes


def said(
    verdict: Verdict,
    people: int,
    each: int = 1,
    *,
    first: int = 0,
    at_us: int = T0,
    service: str = "telegram",
    vantage: Vantage = KZ,
) -> list[JudgedMeasurement]:
    """Return `each` rows of each of `people` vantages, all with the same verdict."""
    rows: list[JudgedMeasurement] = []
    for who in range(people):
        for turn in range(each):
            name = f"{vantage.country}{vantage.asn}-{first + who}"
            number = crc32(f"{name} {turn} {at_us} {service}".encode())
            one = taken(number, at_us=at_us + turn * US, who=name, service=service, vantage=vantage)
            rows.append((replace(one, seniority=Seniority.ESTABLISHED), (verdict,)))
    return rows
