"""The evening of casebook.py with regions, the day before it, and what others say beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from msgspec import structs

from heliograph_collector.http.backend import Feed
from heliograph_collector.incidents.published.annotation import (
    AnnotatedEntity,
    AnnotationDocument,
    ComparedWindow,
)
from heliograph_collector.model.records import SilenceCount, VerdictState, Vote
from support.casebook import KEY, MOBILE, ago, evening_book
from support.evening import evening
from support.fake_feed import BIN_US, World, crowd

_REGIONS = ((12, "KZ-75"), (22, "KZ-71"), (25, "KZ-35"))  # up to which vantage
_GONE = (  # where, how many, from and to so many minutes ago
    ("KZ-75", 9198, "fixed", 11, (300, 130)),
    ("", 29355, "mobile", 13, (52, -5)),
    ("", 206026, "mobile", 7, (52, -5)),
)
IODA = AnnotationDocument(
    source="ioda",
    signal="bgp",
    entity=AnnotatedEntity(country="KZ", asn=0),
    said="2022-01-05T13:20:00Z",
    window=ComparedWindow(since="2022-01-05T12:50:00Z", until="2022-01-05T13:20:00Z"),
    what="disagrees",
    why="stayed_up",
    figures={"before": 1.0, "during": 0.99, "least": 0.98, "points": 6},
    url="https://ioda.inetintel.cc.gatech.edu/country/KZ",
    attribution="IODA, Georgia Institute of Technology",
)
_RADAR = structs.replace(
    IODA,
    source="radar",
    signal="netflows",
    what="agrees",
    why="dropped",
    figures={"before": 0.97, "during": 0.21},
    url="https://radar.cloudflare.com/kz",
    attribution="Cloudflare Radar, CC BY-NC 4.0",
)


def long_evening(*, hours: int = 0) -> World:
    """With so many hours of quiet before it."""
    world = evening()
    before = ago(400) - hours * 60 * 60_000_000
    for service in ("telegram", "whatsapp", "signal") if hours else ():
        for asn, access, people in ((9198, "fixed", 26), (29355, "mobile", 14)):
            place: dict[str, Any] = {"asn": asn, "access": access, "service": service}
            world.votes += crowd(people, VerdictState.REACHABLE, before, ago(400), **place)
    world.votes += crowd(3, VerdictState.REACHABLE, ago(400), ago(300), asn=21299, access="mobile")
    world.votes = [_placed(vote) for vote in world.votes]
    for region, asn, access, people, minutes in _GONE:
        gone = range(ago(minutes[0]) // BIN_US * BIN_US, ago(minutes[1]), BIN_US)
        where: dict[str, Any] = {"country": "KZ", "region": region, "asn": asn, "access": access}
        world.votes = [v for v in world.votes if not _silent(v, where, gone)]
        world.silences += [SilenceCount(**where, start_us=at, vantages=people) for at in gone]
    return world


def _silent(vote: Vote, where: Mapping[str, Any], gone: range) -> bool:
    return vote.start_us in gone and all(getattr(vote, n) == v for n, v in where.items())


def feed(world: World, **changes: Any) -> Feed:
    notes = {MOBILE: [IODA, _RADAR]}

    def said(incident: str) -> Sequence[Any]:
        return notes.get(incident, ())

    known = {"book": evening_book("KZ-75"), "public_key": KEY.public, "annotations": said} | changes
    return world.feed(**known)


def _placed(vote: Vote) -> Vote:
    number = int(vote.pseudonym.rpartition("-")[2])
    region = next((code for below, code in _REGIONS if number < below), "")
    return replace(vote, region=region) if vote.country == "KZ" and vote.asn == 9198 else vote
