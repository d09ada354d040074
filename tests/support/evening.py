"""The evening of 5 January 2022 in Kazakhstan as votes: what the page is looked at with."""

from typing import Any

from heliograph.observation import Link
from heliograph_collector.http.backend import AgentCounts, LinkCount
from heliograph_collector.model.records import SilenceCount, VerdictState
from support.fake_feed import BIN_US, NOW_US, World, crowd

_MINUTE = 60_000_000
_LATE = NOW_US + BIN_US
_WIKI = "https://www.wikipedia.org/"
_RESET = ("tls", "reset_after_hello")
_SILENT = ("tls", "timeout_after_hello")


def evening() -> World:
    world = World(agents=AgentCounts(volunteers=61, controls=2, enrolled=74))
    _fixed(world, {"country": "KZ", "asn": 9198, "access": "fixed"})
    _mobile(world, {"country": "KZ", "asn": 29355, "access": "mobile"})
    _gone(world, {"country": "KZ", "asn": 206026, "access": "mobile"})
    _elsewhere(world, {"country": "DE", "asn": 3320, "access": "fixed"})
    world.votes += crowd(2, VerdictState.REACHABLE, _ago(60), _LATE, country="UZ", asn=8193)
    return world


def _ago(minutes: int) -> int:
    return NOW_US - minutes * _MINUTE


def _fixed(world: World, where: dict[str, Any]) -> None:
    ok, no = VerdictState.REACHABLE, VerdictState.BLOCKED
    world.links.append(LinkCount(**where, link=Link.ONLINE, vantages=28))
    world.votes += crowd(28, ok, _ago(400), _ago(38), **where)
    world.votes += crowd(26, no, _ago(38), _LATE, how=_RESET, **where)
    world.votes += crowd(28, ok, _ago(400), _ago(125), service="whatsapp", **where)
    world.votes += crowd(28, VerdictState.UNKNOWN, _ago(125), _ago(95), service="whatsapp", **where)
    world.votes += crowd(28, ok, _ago(95), _LATE, service="whatsapp", **where)
    world.votes += crowd(22, ok, _ago(400), _ago(200), service="signal", **where)
    world.votes += crowd(22, no, _ago(200), _ago(140), service="signal", how=_SILENT, **where)
    world.votes += crowd(22, ok, _ago(140), _LATE, service="signal", **where)
    world.votes += crowd(24, ok, _ago(400), _ago(300), service=_WIKI, **where)
    world.votes += crowd(24, ok, _ago(240), _LATE, service=_WIKI, **where)


def _mobile(world: World, where: dict[str, Any]) -> None:
    no = VerdictState.BLOCKED
    world.links.append(LinkCount(**where, link=Link.DOMESTIC_ONLY, vantages=12))
    for service in ("telegram", "whatsapp", "signal"):
        world.votes += crowd(
            14, VerdictState.REACHABLE, _ago(400), _ago(70), service=service, **where
        )
        world.votes += crowd(12, VerdictState.UNKNOWN, _ago(40), _LATE, service=service, **where)
    world.votes += crowd(13, no, _ago(70), _ago(40), how=("tcp", "timeout"), **where)
    world.votes += crowd(13, no, _ago(40), _LATE, service=_WIKI, how=("dns", "bogon"), **where)
    world.silences += [
        SilenceCount(**where, region="", start_us=_ago(m) // BIN_US * BIN_US, vantages=6)
        for m in (0, 5, 10)
    ]


def _gone(world: World, where: dict[str, Any]) -> None:
    world.links.append(LinkCount(**where, link=Link.OFFLINE, vantages=7))
    for service in ("telegram", "whatsapp", "signal", _WIKI):
        world.votes += crowd(
            7, VerdictState.REACHABLE, _ago(400), _ago(52), service=service, **where
        )
        world.votes += crowd(7, VerdictState.UNKNOWN, _ago(52), _LATE, service=service, **where)


def _elsewhere(world: World, where: dict[str, Any]) -> None:
    ok, down = VerdictState.REACHABLE, VerdictState.DOWN
    world.links.append(LinkCount(**where, link=Link.ONLINE, vantages=14))
    for service in ("telegram", "whatsapp", _WIKI):
        world.votes += crowd(14, ok, _ago(400), _LATE, service=service, **where)
    world.votes += crowd(14, ok, _ago(400), _ago(15), service="signal", **where)
    world.votes += crowd(14, down, _ago(15), _LATE, service="signal", how=("http", ""), **where)
