"""Crowds that all say the same, and what is asked of the aggregation about them."""

from zlib import crc32

from heliograph_collector.model.records import JudgedMeasurement, Vantage, Verdict
from heliograph_collector.store.aggregation import AggregationQuery
from support.rows import DAY, KZ, T0, US, taken

MIDNIGHT = T0 // DAY * DAY


def asked(**changes: object) -> AggregationQuery:
    week = {
        "since_us": MIDNIGHT,
        "until_us": MIDNIGHT + 7 * DAY,
        "k": 1,
        "known_methods": ["block_page"],
    }
    return AggregationQuery(**(week | changes))  # type: ignore[arg-type] # each test says what it changes


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
    """`people` vantages, each of which measured `each` times, and all say the same."""
    rows: list[JudgedMeasurement] = []
    for who in range(people):
        for turn in range(each):
            name = f"{vantage.country}{vantage.asn}-{first + who}"
            number = crc32(f"{name} {turn} {at_us} {service}".encode())
            one = taken(number, at_us=at_us + turn * US, who=name, service=service, vantage=vantage)
            rows.append((one, (verdict,)))
    return rows
