"""Who counts as here, gone and lost: pure, with the time given."""

import asyncio
import random

import pytest

from heliograph.observation import Link
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.fleet import Agent
from heliograph_collector.ingest.geo.lookup import NOWHERE, Place
from heliograph_collector.ingest.presence import Ending, Presence, Visit, silence_us
from heliograph_collector.model.records import Kind, Vantage
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.pseudonyms import Pseudonyms

BEAT_S = 15
GONE_US = silence_us(BEAT_S)


def visit(
    name: bytes = b"a", heard_us: int = 0, place: Place = NOWHERE, access: str = "mobile"
) -> Visit:
    agent = Agent(id=name * 16, public_key=b"", role="volunteer", version="", created_s=0)
    hello = pb.Hello(agent=name * 16, country="KZ", access=access)
    return Visit(agent=agent, place=place, hello=hello, heard_us=heard_us, outbox=asyncio.Queue(4))


def lost(presence: Presence, now_us: int) -> list[Kind]:
    gone = presence.lost(now_us, BEAT_S)
    presence.told(gone)
    return [one.row(Kind.LOST, 0).kind for one in gone]


def test_a_broken_session_is_a_loss_after_two_and_a_half_beats_and_not_before() -> None:
    presence, one = Presence(), visit(heard_us=1_000)
    presence.arrive(one)
    assert presence.leave(one, Ending.CLOSED, "", 2_000) is None
    assert lost(presence, 1_000 + GONE_US - 1) == []
    assert lost(presence, 1_000 + GONE_US) == [Kind.LOST]
    assert lost(presence, 10 * GONE_US) == [], "told once"


def test_who_comes_back_in_time_is_not_lost() -> None:
    presence, one, again = Presence(), visit(), visit(heard_us=GONE_US - 1)
    presence.arrive(one)
    presence.leave(one, Ending.RENEWED, "", 0)
    presence.arrive(again)
    assert lost(presence, 5 * GONE_US) == []


def test_a_half_open_session_that_dies_after_the_new_one_came_is_nothing() -> None:
    presence, old, new = Presence(), visit(), visit(heard_us=9)
    presence.arrive(old)
    presence.arrive(new)
    presence.leave(old, Ending.SILENT, "", 10)
    assert lost(presence, 5 * GONE_US) == []
    assert len(presence) == 1


@pytest.mark.parametrize("word", ["shutdown", "stop", "sleep", "update", "pause", "leave", ""])
def test_whatever_word_a_goodbye_has_it_is_one(word: str) -> None:
    presence, one = Presence(), visit()
    presence.arrive(one)
    row = presence.leave(one, Ending.GOODBYE, word, 5)
    assert row is not None
    assert row.kind is Kind.GOODBYE
    assert lost(presence, 9 * GONE_US) == []


def test_a_goodbye_speaks_for_the_half_open_sessions_of_before() -> None:
    """The phone left the Wi-Fi, came in over mobile, was switched off: nobody was lost."""
    presence, wifi, mobile = Presence(), visit(place=Place("KZ", 1)), visit(place=Place("KZ", 2))
    presence.arrive(wifi)
    presence.arrive(mobile)
    row = presence.leave(mobile, Ending.GOODBYE, "shutdown", 5)
    assert row is not None
    assert (row.asn, wifi.ending, len(presence)) == (2, Ending.REPLACED, 0)
    assert presence.leave(wifi, Ending.SILENT, "", 9) is None
    assert lost(presence, 9 * GONE_US) == []


def test_the_goodbye_of_a_session_that_was_replaced_ends_nothing() -> None:
    presence, old, new = Presence(), visit(), visit()
    presence.arrive(old)
    presence.arrive(new)
    assert presence.leave(old, Ending.GOODBYE, "shutdown", 5) is None
    assert len(presence) == 1
    presence.leave(new, Ending.CLOSED, "", 6)
    assert lost(presence, 9 * GONE_US) == [Kind.LOST]


def test_a_change_of_network_is_the_same_agent_elsewhere() -> None:
    presence, wifi, mobile = Presence(), visit(place=Place("KZ", 1)), visit(place=Place("KZ", 2))
    presence.arrive(wifi)
    assert presence.leave(wifi, Ending.GOODBYE, "network_change", 5) is None
    presence.arrive(mobile)
    assert lost(presence, 9 * GONE_US) == []
    rows = [one.row(Kind.ARRIVAL, 0) for one in (wifi, mobile)]
    assert len({row.agent for row in rows}) == 1, "one voter to the detector"
    there = read_rows(rows, Pseudonyms(b"s" * 32)).presence
    assert len({one.nym for one in there}) == 2, "and two names in what is kept for long"


def test_a_goodbye_is_a_row_and_a_change_of_network_is_not_one() -> None:
    presence, one = Presence(), visit()
    presence.arrive(one)
    row = presence.leave(one, Ending.GOODBYE, "shutdown", 5)
    assert row is not None
    assert (row.kind, pb.Hello.FromString(row.body).access) == (Kind.GOODBYE, "mobile")
    presence.arrive(one)
    assert presence.leave(one, Ending.GOODBYE, "network_change", 5) is None
    assert lost(presence, 5 * GONE_US) == [Kind.LOST], "it promised to be back and was not"


def test_our_own_stop_and_our_own_refusal_lose_nobody() -> None:
    presence = Presence()
    for name, ending in ((b"a", Ending.STOPPED), (b"b", Ending.REVOKED)):
        one = visit(name)
        presence.arrive(one)
        presence.leave(one, ending, "", 0)
    assert lost(presence, 5 * GONE_US) == []


def test_the_country_of_the_address_goes_before_the_declared_one() -> None:
    assert visit().vantage.country == "KZ"
    assert visit(place=Place("UZ", 1)).vantage.country == "UZ"


def test_too_many_sessions_of_one_agent_end_the_oldest() -> None:
    presence = Presence()
    visits = [visit(heard_us=n) for n in range(5)]
    for one in visits:
        presence.arrive(one)
    assert [v.ending for v in visits] == [Ending.REPLACED, None, None, None, None]


def test_whatever_the_order_nobody_is_lost_twice_or_while_here() -> None:
    rng = random.Random(11)
    for _ in range(200):
        presence, here, now_us = Presence(), list[Visit](), 0
        told = 0
        for _ in range(40):
            now_us += rng.randrange(GONE_US)
            if here and rng.getrandbits(1):
                at, ending = rng.randrange(len(here)), rng.choice(list(Ending))
                newest = at == len(here) - 1
                presence.leave(here.pop(at), ending, "", now_us)
                if newest and ending is Ending.GOODBYE:
                    here.clear()  # it spoke for them all
            else:
                here.append(visit(heard_us=now_us))
                presence.arrive(here[-1])
                told = 0
            told += len(lost(presence, now_us))
            assert told <= (0 if here else 1)


@pytest.mark.parametrize(
    ("said", "told"),
    [("KZ-75", "KZ-75"), ("NOR", "NOR"), ("", ""), ("Tehran", ""), ("\x1b[2J", ""),
     ("=?a?q?=0ABcc:x?=", ""), ("<b>x</b>", ""), ("kz-75", ""), ("KZ-75\n", "")],
)  # fmt: skip
def test_a_region_is_a_code_or_nothing(said: str, told: str) -> None:
    """It stands in feeds, letters and terminals, and any agent may say what it likes."""
    assert Vantage.of("KZ", 1, pb.Hello(region=said)).region == told


def test_links_are_told_by_place_and_a_made_up_access_is_none() -> None:
    presence, one = Presence(), visit(b"a")
    odd = visit(b"b", place=Place("UA", 7, "p"), access="<b>anything</b>")
    presence.arrive(one)
    presence.arrive(odd)
    assert dict(presence.links()) == {
        ("KZ", 0, "mobile", Link.UNKNOWN): 1,
        ("UA", 7, "unknown", Link.UNKNOWN): 1,
    }


def test_a_loss_stands_until_it_is_told_or_the_agent_is_back() -> None:
    presence, one = Presence(), visit()
    presence.arrive(one)
    presence.leave(one, Ending.CLOSED, "", 0)
    assert presence.lost(GONE_US, BEAT_S) == presence.lost(GONE_US, BEAT_S) == [one]
    again = visit(heard_us=GONE_US)
    presence.arrive(again)
    assert presence.lost(GONE_US, BEAT_S) == []
    presence.leave(again, Ending.CLOSED, "", GONE_US)
    presence.told([one])
    assert presence.lost(2 * GONE_US, BEAT_S) == [again], "its second silence is another"


def test_the_count_is_of_visits_whatever_became_of_them() -> None:
    presence, rng = Presence(), random.Random(5)
    here: list[Visit] = []
    for _ in range(2_000):
        if here and rng.random() < 0.5:
            ending = rng.choice([Ending.GOODBYE, Ending.CLOSED, Ending.SILENT, Ending.REVOKED])
            presence.leave(here.pop(rng.randrange(len(here))), ending, "shutdown", 0)
        else:
            here.append(visit(rng.choice([b"a", b"b", b"c"])))
            presence.arrive(here[-1])
        assert len(presence) == len(list(presence))
