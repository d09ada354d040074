"""What rows say: who came, who went and how, what failed of ours, and what the dark has to tell."""

from dataclasses import replace

import pytest

from heliograph.v1.intake_pb2 import Hello
from heliograph_collector.detect.signal_reader import Inbox, Signal
from heliograph_collector.model.records import JournalRow, Kind, Role
from heliograph_collector.model.signals import (
    Arrival,
    Fault,
    Goodbye,
    Lost,
    Place,
    Replay,
    Why,
    Witness,
)
from support.dark_rows import SECRET, agent, arrival, fault, row_of, upload
from support.dark_world import OLD_US, at

ANNA = Witness("anna", "net", Place("KZ", "ALA", 9198, "mobile"), OLD_US)
KEY = Inbox(SECRET).key(agent("anna"))


def told(*rows: JournalRow) -> list[Signal]:
    inbox = Inbox(SECRET)
    return [signal for row in rows for signal in inbox.take(row)]


def here(second: float, boot: str = "b") -> JournalRow:
    return arrival(Arrival(at(second), ANNA), boot=boot)


def lost(second: float, heard: float, boot: str = "b") -> JournalRow:
    row = row_of(Lost(at(second), "anna", at(heard)))
    return replace(row, body=Hello(boot=boot).SerializeToString())


def words(*rows: JournalRow) -> list[Replay]:
    return [signal for signal in told(*rows) if isinstance(signal, Replay)]


def later(second: float) -> JournalRow:
    """Somebody else's row: time goes on."""
    return row_of(Goodbye(at(second), "somebody"))


def test_who_comes_has_a_name_of_ours_a_place_and_an_age() -> None:
    (signal,) = told(here(10))
    assert signal == Arrival(at(10), replace(ANNA, nym=KEY))
    assert Inbox(b"t" * 32).key(agent("anna")) != KEY
    assert len(KEY) == 16


def test_of_whom_we_do_not_know_since_when_is_young() -> None:
    (signal,) = told(replace(here(10), since_s=0))
    assert isinstance(signal, Arrival)
    assert signal.witness.first_us == at(10)


def test_losses_goodbyes_and_faults() -> None:
    assert told(lost(50, 12)) == [Lost(at(50), KEY, at(12))]
    assert told(replace(lost(50, 0), heard_us=0)) == [Lost(at(50), KEY, at(12.5))]
    assert told(row_of(Goodbye(at(5), "anna"))) == [Goodbye(at(5), KEY)]
    for why in Why:
        one = Fault(at(1), at(9), why)
        assert told(fault(one)) == [one]
    one = Fault(at(1), at(9), Why.CARRIER, "KZ", "relay")
    body = b'{"why":"carrier","country":"KZ","carrier":"relay"}'
    assert told(replace(fault(one), body=body)) == [one]


def test_a_start_of_which_nobody_knows_the_one_before_is_a_moment() -> None:
    row = replace(fault(Fault(0, at(9), Why.RESTART)), heard_us=0)
    assert told(row) == [Fault(at(9), at(9), Why.RESTART)]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"why":"moon"}', b'{"why":1}', b"\xff"])
def test_a_fault_that_we_do_not_understand_is_none(body: bytes) -> None:
    assert told(replace(fault(Fault(at(1), at(9), Why.PROBE)), body=body)) == []


def test_controls_and_who_is_nowhere_are_no_vantages() -> None:
    for row in (here(10), lost(50, 12), row_of(Goodbye(at(5), "anna"))):
        assert told(replace(row, role=Role.CONTROL)) == []
    (signal,) = told(replace(here(10), country="ZZ"))
    assert isinstance(signal, Goodbye)


def test_a_hello_that_is_none_leaves_a_vantage_of_its_country() -> None:
    (signal,) = told(replace(here(10), body=b"\xff\xff"))
    assert isinstance(signal, Arrival)
    assert signal.witness.place == Place("KZ", "", 9198, "")


def test_who_measured_in_the_dark_was_alive() -> None:
    made = [at(50), at(700), at(2_000)]
    (word,) = words(here(0), lost(137, 100), here(1_900), upload("anna", at(1_930), made))
    assert word == Replay(at(1_930), KEY, at(100), at(1_900), alive=True)


@pytest.mark.parametrize("made", [[50, 99, 1_950], [108], [1_892], []])
def test_what_was_made_before_after_or_at_the_edge_proves_nothing(made: list[float]) -> None:
    batch = upload("anna", at(1_960), [at(second) for second in made])
    assert words(here(0), lost(137, 100), here(1_900), batch, later(9_000)) == []


def test_one_word_is_enough_and_only_who_was_lost_is_asked() -> None:
    first, second = (upload("anna", at(t), [at(700)]) for t in (1_930, 1_940))
    assert len(words(here(0), lost(137, 100), here(1_900), first, second)) == 1
    assert words(here(0), here(1_900), first) == []
    assert words(here(0), lost(137, 100), first) == []  # by another carrier, and not back yet


@pytest.mark.parametrize("carrier", ["code", "bundle"])
def test_what_came_by_hand_is_no_sign_of_a_link(carrier: str) -> None:
    """It was made a moment ago, by one that is lost: nobody is back for that."""
    gone = (here(0), replace(lost(137, 100), country="KZ"))
    fresh = upload("anna", at(700), [at(690)])
    assert [type(s) for s in told(*gone, replace(fresh, carrier=carrier))] == [Arrival, Lost]
    by_post = told(*gone, replace(fresh, carrier="post"))
    assert [type(s) for s in by_post] == [Arrival, Lost, Arrival]


def test_who_rebooted_and_has_nothing_to_tell_had_no_power() -> None:
    back = (here(0), lost(137, 100, "one"), here(1_900, "two"))
    assert words(*back, later(2_499)) == []
    (word,) = words(*back, later(2_500))
    assert (word.alive, word.at_us, word.since_us) == (False, at(2_500), at(100))


def test_a_reboot_with_word_from_before_it_was_alive_all_the_same() -> None:
    back = (here(0), lost(137, 100, "one"), here(1_900, "two"))
    (word,) = words(*back, upload("anna", at(2_000), [at(900)]), later(2_600))
    assert word.alive


@pytest.mark.parametrize("boots", [("one", "one"), ("", "two"), ("one", "")])
def test_silence_without_a_reboot_is_doubt(boots: tuple[str, str]) -> None:
    assert words(here(0), lost(137, 100, boots[0]), here(1_900, boots[1]), later(9_000)) == []


def test_a_second_silence_begins_anew() -> None:
    rows = [here(0), lost(137, 100, "one"), here(1_900, "two"), lost(2_100, 2_060, "two")]
    assert words(*rows, later(2_600)) == []
    (word,) = words(*rows, here(3_000, "three"), later(3_700))
    assert word.since_us == at(2_060)


def test_an_envelope_that_cannot_be_read_says_nothing() -> None:
    bad = replace(upload("anna", at(1_930), []), body=b"nonsense")
    assert words(here(0), lost(137, 100), here(1_900), bad) == []
    assert bad.kind is Kind.ENVELOPE


def by_post(second: float) -> JournalRow:
    row = upload("anna", at(second), [at(second - 5)])
    return replace(row, carrier="post")


def lost_at_home(second: float, heard: float) -> JournalRow:
    """As intake writes it: with the place."""
    return replace(here(second), kind=Kind.LOST, heard_us=at(heard))


def test_whose_session_is_blocked_and_who_goes_on_by_post_is_here() -> None:
    signals = told(here(0), lost_at_home(50, 12), by_post(60), by_post(90))
    came = [(type(s), s.at_us) for s in signals if isinstance(s, Arrival | Lost)]
    assert came == [(Arrival, at(0)), (Lost, at(50)), (Arrival, at(60))]
    assert signals[2] == Arrival(at(60), replace(ANNA, nym=KEY))


def test_who_sends_no_more_by_post_is_gone() -> None:
    rows = [here(0), lost_at_home(50, 12), by_post(60), by_post(90)]
    assert not [s for s in told(*rows, later(389)) if s == Lost(at(389), KEY, at(90))]
    assert told(*rows, later(390))[-2] == Lost(at(390), KEY, at(90))
    with_session = told(*rows, here(100), later(390))
    assert [s for s in with_session if isinstance(s, Lost)] == [Lost(at(50), KEY, at(12))]


def test_old_measurements_brought_by_post_are_no_sign_of_life() -> None:
    old = replace(upload("anna", at(400), [at(20)]), carrier="post")
    signals = told(here(0), lost_at_home(50, 12), old)
    assert [type(s) for s in signals] == [Arrival, Lost]
