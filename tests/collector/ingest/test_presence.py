"""The presence of agents: online, away and lost; pure, by a given time."""

import asyncio
import random
from itertools import pairwise
from unittest.mock import Mock

import pytest

from heliograph.observation import Link
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet import EnrolledAgent
from heliograph_collector.ingest import presence as presence_module
from heliograph_collector.ingest.geo.lookup import UNKNOWN_LOCATION, PeerLocation
from heliograph_collector.ingest.presence import (
    AgentConnection,
    ConnectionTable,
    DisconnectReason,
    silence_limit_us,
)
from heliograph_collector.model.records import RowKind, Vantage
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.pseudonyms import Pseudonyms

BEAT_S = 15
GONE_US = silence_limit_us(BEAT_S)


def connection(
    name: bytes = b"a",
    heard_us: int = 0,
    place: PeerLocation = UNKNOWN_LOCATION,
    access: str = "mobile",
) -> AgentConnection:
    agent = EnrolledAgent(id=name * 16, public_key=b"", role="volunteer", version="", created_s=0)
    hello = pb.Hello(agent=name * 16, country="KZ", access=access)
    return AgentConnection(
        agent=agent, location=place, hello=hello, last_heard_us=heard_us, outbox=asyncio.Queue(4)
    )


def table(*connections: AgentConnection) -> ConnectionTable:
    """A table that these connections were added to, in order."""
    presence = ConnectionTable()
    for one in connections:
        presence.add(one)
    return presence


def lost(presence: ConnectionTable, now_us: int) -> list[RowKind]:
    gone = presence.find_lost(now_us, BEAT_S)
    presence.confirm_lost(gone)
    return [one.build_row(RowKind.LOST, 0).kind for one in gone]


@pytest.mark.parametrize(
    ("ending", "word", "losses"),
    [
        (DisconnectReason.CLOSED, "", [RowKind.LOST]),
        (DisconnectReason.GOODBYE, "network_change", [RowKind.LOST]),  # it promised to return
        (DisconnectReason.STOPPED, "", []),
        (DisconnectReason.REVOKED, "", []),
        *((DisconnectReason.GOODBYE, word, []) for word in ("shutdown", "sleep", "update", "")),
    ],
)
def test_end_of_a_session_decides_whether_its_agent_is_lost(
    ending: DisconnectReason, word: str, losses: list[RowKind]
) -> None:
    presence = table(one := connection(heard_us=1_000))
    row = presence.remove(one, ending, word, 2_000)
    if ending is DisconnectReason.GOODBYE and not losses:
        assert row is not None
        assert (row.kind, pb.Hello.FromString(row.body).access) == (RowKind.GOODBYE, "mobile")
    else:
        assert row is None
    assert lost(presence, 1_000 + GONE_US - 1) == []
    assert lost(presence, 1_000 + GONE_US) == losses
    assert lost(presence, 10 * GONE_US) == [], "reported once"


@pytest.mark.parametrize(
    ("ending", "after_s", "poll_s", "is_closed"),
    [
        (DisconnectReason.CLOSED, 4, 0, True),
        (DisconnectReason.CLOSED, 20, 0, False),  # our own kernel gave the dead line up
        (DisconnectReason.CLOSED, 4, 25, False),  # a session by polls has no connection
        (DisconnectReason.SILENT, 38, 0, False),
        (DisconnectReason.RENEWED, 4, 0, False),
    ],
)
def test_loss_says_when_its_connection_was_closed(
    ending: DisconnectReason, after_s: int, poll_s: int, is_closed: bool
) -> None:
    one = connection(heard_us=1_000)
    one.hello.poll_s = poll_s
    one.ended_us = 1_000 + after_s * 1_000_000
    table(one).remove(one, ending, "", 0)
    row = one.build_lost_row(90_000_000, 40_000_000)
    assert row.heard_us == 50_001_000
    assert row.closed_us == (50_001_000 + after_s * 1_000_000 if is_closed else 0)


def test_returning_agent_is_not_lost() -> None:
    presence = table(one := connection())
    presence.remove(one, DisconnectReason.RENEWED, "", 0)
    presence.add(connection(heard_us=GONE_US - 1))
    assert lost(presence, 5 * GONE_US) == []


def test_stalls_are_taken_off_a_silence_and_do_not_restart_it() -> None:
    """Stalls are subtracted from a silence and do not restart it.

    Someone who stalls the collector every minute cannot keep it from ever missing an agent.
    """
    missing = connection()
    presence = table(missing)
    presence.remove(missing, DisconnectReason.CLOSED, "", 0)
    stall_us, now_us = 20_000_000, 0
    while not lost(presence, now_us):
        presence.pause_silence(stall_us, now_us := now_us + stall_us)
        now_us += 5_000_000  # in which it listens
    listened_us = now_us // (stall_us + 5_000_000) * 5_000_000
    assert GONE_US <= listened_us < GONE_US + 5_000_000


def test_half_open_session_is_no_second_machine() -> None:
    """A half-open session is no second machine.

    It is silent after the new session began, except for what was on its way.
    """
    older, newer = connection(), connection(heard_us=1_000_000)
    presence = table(older, newer)
    older.last_heard_us = newer.arrived_us + 2 * BEAT_S * 1_000_000
    assert presence.find_cloned(BEAT_S) == []
    older.last_heard_us += 1
    assert presence.find_cloned(BEAT_S) == [older, newer]
    assert presence.find_cloned(BEAT_S) == [], "reported once"


def test_only_agents_with_several_sessions_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd of agents with one session each costs nothing, each second."""
    pairs = Mock(side_effect=pairwise)
    monkeypatch.setattr(presence_module, "pairwise", pairs)
    crowd = [connection(bytes([number])) for number in range(100)]
    presence = table(*crowd, second := connection(bytes([7]), heard_us=1_000_000))
    assert presence.find_cloned(BEAT_S) == []
    assert pairs.call_count == 1
    presence.remove(second, DisconnectReason.CLOSED, "", 10)
    presence.find_cloned(BEAT_S)
    presence.find_cloned(BEAT_S)
    assert pairs.call_count == 2, "once after one of the two has ended"
    third = connection(bytes([7]), heard_us=2_000_000)
    presence.add(third)
    crowd[7].last_heard_us = third.arrived_us + 2 * BEAT_S * 1_000_000 + 1
    assert presence.find_cloned(BEAT_S) == [crowd[7], third]


def test_half_open_session_of_returned_agent_is_no_loss() -> None:
    presence = table(old := connection(), connection(heard_us=9))
    presence.remove(old, DisconnectReason.SILENT, "", 10)
    assert lost(presence, 5 * GONE_US) == []
    assert len(presence) == 1


def test_how_the_last_session_ended_is_known_until_the_return() -> None:
    presence = table(old := connection(), new := connection(heard_us=9))
    presence.remove(old, DisconnectReason.SILENT, "", 10)
    assert presence.build_end(old, 10) is None  # it has another session
    presence.remove(new, DisconnectReason.GOODBYE, "pause", 11)
    end = presence.build_end(new, 11_000_000)
    assert end is not None
    assert (end.agent, end.at_s, end.reason, end.goodbye_reason) == (
        new.agent.id, 11, "goodbye", "pause",
    )  # fmt: skip
    presence.add(connection(heard_us=12))
    assert presence.build_end(new, 12) is None


def test_goodbye_ends_older_half_open_sessions() -> None:
    """A goodbye ends older half-open sessions.

    The phone left the Wi-Fi, came back by mobile and was switched off: no agent was lost.
    """
    wifi, mobile = (connection(place=PeerLocation("KZ", asn)) for asn in (1, 2))
    presence = table(wifi, mobile)
    row = presence.remove(mobile, DisconnectReason.GOODBYE, "shutdown", 5)
    assert row is not None
    assert (row.asn, wifi.end_reason, len(presence)) == (2, DisconnectReason.REPLACED, 0)
    assert presence.remove(wifi, DisconnectReason.SILENT, "", 9) is None
    assert lost(presence, 9 * GONE_US) == []


def test_goodbye_of_one_machine_does_not_end_the_other() -> None:
    """A copy of the key cannot take its owner off the air."""
    owner, copy = connection(), connection(heard_us=1_000_000)
    presence = table(owner, copy)
    owner.last_heard_us = copy.arrived_us + 2 * BEAT_S * 1_000_000 + 1
    assert presence.find_cloned(BEAT_S) == [owner, copy]
    assert presence.remove(copy, DisconnectReason.GOODBYE, "shutdown", 5) is None
    assert (owner.end_reason, len(presence)) == (None, 1)


def test_goodbye_of_replaced_session_ends_nothing() -> None:
    presence = table(old := connection(), new := connection())
    assert presence.remove(old, DisconnectReason.GOODBYE, "shutdown", 5) is None
    assert len(presence) == 1
    presence.remove(new, DisconnectReason.CLOSED, "", 6)
    assert lost(presence, 9 * GONE_US) == [RowKind.LOST]


def test_network_change_keeps_the_agent() -> None:
    wifi, mobile = (connection(place=PeerLocation("KZ", asn)) for asn in (1, 2))
    presence = table(wifi)
    assert presence.remove(wifi, DisconnectReason.GOODBYE, "network_change", 5) is None
    presence.add(mobile)
    assert lost(presence, 9 * GONE_US) == []
    rows = [one.build_row(RowKind.ARRIVAL, 0) for one in (wifi, mobile)]
    assert len({row.agent for row in rows}) == 1, "one voter to the detector"
    there = read_rows(rows, Pseudonyms(b"s" * 32)).presence
    assert len({one.pseudonym for one in there}) == 2, "and two names in what is kept for long"


def test_country_of_address_precedes_declared_one() -> None:
    assert connection().vantage.country == "KZ"
    assert connection(place=PeerLocation("UZ", 1)).vantage.country == "UZ"


def test_too_many_sessions_of_one_agent_end_the_oldest() -> None:
    connections = [connection(heard_us=n) for n in range(5)]
    table(*connections)
    assert [v.end_reason for v in connections] == [DisconnectReason.REPLACED, *[None] * 4]


def test_agent_is_never_lost_twice_or_while_connected() -> None:
    rng = random.Random(11)
    for _ in range(200):
        presence, here, now_us = ConnectionTable(), list[AgentConnection](), 0
        told = 0
        for _ in range(40):
            now_us += rng.randrange(GONE_US)
            if here and rng.getrandbits(1):
                at, ending = rng.randrange(len(here)), rng.choice(list(DisconnectReason))
                newest = at == len(here) - 1
                presence.remove(here.pop(at), ending, "", now_us)
                if newest and ending is DisconnectReason.GOODBYE:
                    here.clear()  # it spoke for them all
            else:
                here.append(connection(heard_us=now_us))
                presence.add(here[-1])
                told = 0
            told += len(lost(presence, now_us))
            assert told <= (0 if here else 1)


@pytest.mark.parametrize(
    ("said", "told"),
    [("KZ-75", "KZ-75"), ("kz-75", "KZ-75"), ("75", "KZ-75"), ("KZ-ALA", "KZ-75"), ("", ""),
     ("LIE", ""), ("KZ-LIE", ""), ("KZ-1", ""), ("RU-MOW", ""), ("MOW", ""), ("Tehran", ""),
     ("\x1b[2J", ""), ("=?a?q?=0ABcc:x?=", ""), ("<b>x</b>", ""), ("KZ-75\n", ""), ("KZ-", "")],
)  # fmt: skip
def test_region_is_one_of_the_country_or_empty(said: str, told: str) -> None:
    """A region is one of the country, or empty.

    Regions stand in feeds, letters and terminals, and an agent may send any text.
    """
    assert Vantage.from_peer("KZ", 1, pb.Hello(region=said)).region == told


def test_links_are_counted_by_place_and_access() -> None:
    odd = connection(b"b", place=PeerLocation("UA", 7, "p"), access="<b>anything</b>")
    presence = table(connection(b"a"), odd)
    assert dict(presence.count_links()) == {
        ("KZ", 0, "mobile", Link.UNKNOWN): 1,
        ("UA", 7, "unknown", Link.UNKNOWN): 1,
    }


def test_loss_stands_until_confirmed_or_agent_returns() -> None:
    presence = table(one := connection())
    presence.remove(one, DisconnectReason.CLOSED, "", 0)
    assert presence.find_lost(GONE_US, BEAT_S) == presence.find_lost(GONE_US, BEAT_S) == [one]
    again = connection(heard_us=GONE_US)
    presence.add(again)
    assert presence.find_lost(GONE_US, BEAT_S) == []
    presence.remove(again, DisconnectReason.CLOSED, "", GONE_US)
    presence.confirm_lost([one])
    assert presence.find_lost(2 * GONE_US, BEAT_S) == [again], "its second silence is another"


def test_length_counts_open_connections() -> None:
    presence, rng = ConnectionTable(), random.Random(5)
    here: list[AgentConnection] = []
    for _ in range(2_000):
        if here and rng.random() < 0.5:
            ending = rng.choice(list(DisconnectReason))
            presence.remove(here.pop(rng.randrange(len(here))), ending, "shutdown", 0)
        else:
            here.append(connection(rng.choice([b"a", b"b", b"c"])))
            presence.add(here[-1])
        assert len(presence) == len(list(presence))
