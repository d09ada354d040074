"""Votes of the evening of 5 January 2022 in Kazakhstan, for pages and feeds."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from msgspec import structs

from heliograph.observation import Link
from heliograph_collector.http.backend import AgentCounts, Feed, LinkCount
from heliograph_collector.model.published.annotation import (
    AnnotatedEntity,
    AnnotationDocument,
    ComparedWindow,
)
from heliograph_collector.model.records import SilenceCount, VerdictState, Vote
from support.fake_feed import BIN_US, World, crowd
from support.incident_book import KEY, MOBILE, ago, evening_book

_OK, _NO, _UNKNOWN = VerdictState.REACHABLE, VerdictState.BLOCKED, VerdictState.UNKNOWN
_WIKI = "https://www.wikipedia.org/"
_CHATS = ("telegram", "whatsapp", "signal")
_NETWORKS: dict[str, dict[str, Any]] = {
    "fixed": {"country": "KZ", "asn": 9198, "access": "fixed"},
    "mobile": {"country": "KZ", "asn": 29355, "access": "mobile"},
    "gone": {"country": "KZ", "asn": 206026, "access": "mobile"},
    "elsewhere": {"country": "DE", "asn": 3320, "access": "fixed"},
    "neighbor": {"country": "UZ", "asn": 8193, "access": "fixed"},
}
_LINKS = {
    "fixed": (Link.ONLINE, 28), "mobile": (Link.DOMESTIC_ONLY, 7), "gone": (Link.OFFLINE, 7),
    "elsewhere": (Link.ONLINE, 14),
}  # fmt: skip
_VOTES = (  # network, vantages, state, from and to so many minutes ago, services, layer and method
    ("fixed", 28, _OK, 400, 38, ("telegram",), ("", "")),
    ("fixed", 26, _NO, 38, -5, ("telegram",), ("tls", "reset_after_hello")),
    ("fixed", 28, _OK, 400, 125, ("whatsapp",), ("", "")),
    ("fixed", 28, _UNKNOWN, 125, 95, ("whatsapp",), ("", "")),
    ("fixed", 28, _OK, 95, -5, ("whatsapp",), ("", "")),
    ("fixed", 22, _OK, 400, 200, ("signal",), ("", "")),
    ("fixed", 22, _NO, 200, 140, ("signal",), ("tls", "timeout_after_hello")),
    ("fixed", 22, _OK, 140, -5, ("signal",), ("", "")),
    ("fixed", 24, _OK, 400, 300, (_WIKI,), ("", "")),
    ("fixed", 24, _OK, 240, -5, (_WIKI,), ("", "")),
    ("mobile", 14, _OK, 400, 70, _CHATS, ("", "")),
    ("mobile", 12, _UNKNOWN, 40, -5, _CHATS, ("", "")),
    ("mobile", 13, _NO, 70, 40, ("telegram",), ("tcp", "timeout")),
    ("mobile", 13, _NO, 40, -5, (_WIKI,), ("dns", "bogon")),
    ("gone", 7, _OK, 400, 52, (*_CHATS, _WIKI), ("", "")),
    ("gone", 7, _UNKNOWN, 52, -5, (*_CHATS, _WIKI), ("", "")),
    ("elsewhere", 14, _OK, 400, -5, ("telegram", "whatsapp", _WIKI), ("", "")),
    ("elsewhere", 14, _OK, 400, 15, ("signal",), ("", "")),
    ("elsewhere", 14, VerdictState.DOWN, 15, -5, ("signal",), ("http", "")),
    ("neighbor", 2, _OK, 60, -5, ("telegram",), ("", "")),
)
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


def evening() -> World:
    world = World(agents=AgentCounts(volunteers=61, controls=2, enrolled=74))
    for network, (link, vantages) in _LINKS.items():
        world.links.append(LinkCount(**_NETWORKS[network], link=link, vantages=vantages))
    for network, vantages, state, since, until, services, how in _VOTES:
        for service in services:
            where: dict[str, Any] = {**_NETWORKS[network], "service": service, "how": how}
            world.votes += crowd(vantages, state, ago(since), ago(until), **where)
    world.silences += [
        SilenceCount(
            **_NETWORKS["mobile"], region="", start_us=ago(m) // BIN_US * BIN_US, vantages=6
        )
        for m in (0, 5, 10)
    ]
    return world


def long_evening() -> World:
    """The evening with regions, more silences, and a network too small to be shown."""
    world = evening()
    for where, people, gone in _silences():
        world.silences += [SilenceCount(**where, start_us=at, vantages=people) for at in gone]
    world.votes = list(_long_votes())
    return world


@cache  # votes are never changed, and a thousand tests begin with these
def _long_votes() -> tuple[Vote, ...]:
    votes = evening().votes
    votes += crowd(3, VerdictState.REACHABLE, ago(400), ago(300), asn=21299, access="mobile")
    votes = [_placed(vote) for vote in votes]
    for where, _, gone in _silences():
        votes = [vote for vote in votes if not _silent(vote, where, gone)]
    return tuple(votes)


def _silences() -> Iterator[tuple[dict[str, Any], int, range]]:
    for region, asn, access, people, minutes in _GONE:
        gone = range(ago(minutes[0]) // BIN_US * BIN_US, ago(minutes[1]), BIN_US)
        yield {"country": "KZ", "region": region, "asn": asn, "access": access}, people, gone


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
    return (
        structs.replace(vote, region=region) if vote.country == "KZ" and vote.asn == 9198 else vote
    )
