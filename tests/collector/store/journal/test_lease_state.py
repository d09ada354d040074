"""Decisions of a process about the lease; schedules are in tests/scenarios."""

import pytest

from heliograph_collector.store.journal.jetstream.lease_state import (
    HELD_S,
    RENEWED_S,
    TTL_S,
    HeldLease,
    Holder,
    LeaseKey,
    LeaseWatch,
)

ONE = Holder(b"one", b"run1", b"place1", b"host-1")
TWO = Holder(b"two", b"run2", b"place2", b"host-2")
COPY = Holder(b"one", b"run3", b"place3")  # of the first one's directory, on another machine
AGAIN = Holder(b"one", b"run4", b"place1")  # the first one's directory, after a crash
FORGOTTEN = LeaseKey(7, None)
FREE = LeaseKey(7, None, is_free=True)
S = 1_000_000


@pytest.mark.parametrize(
    ("key", "trusts", "waits_s"),
    [
        (FREE, False, 0),
        (FORGOTTEN, True, 0),
        (FORGOTTEN, False, TTL_S),
        (LeaseKey(7, AGAIN), False, 0),
        (LeaseKey(7, COPY), False, TTL_S),
        (LeaseKey(7, TWO), True, TTL_S),
        (LeaseKey(7, Holder(b"one", b"run0")), False, TTL_S),  # of an earlier version
    ],
)
def test_lease_is_taken_once_its_holder_has_stopped(
    key: LeaseKey, trusts: bool, waits_s: float
) -> None:
    watch = LeaseWatch(ONE, trusts_servers=trusts)
    looks_s = [n / 2 for n in range(30)]
    taken_s = [at for at in looks_s if watch.choose_revision(key, int(at * S)) is not None]
    assert taken_s[0] == waits_s


def test_each_renewal_restarts_the_wait() -> None:
    watch = LeaseWatch(ONE, trusts_servers=False)
    for second in range(100):
        assert watch.choose_revision(LeaseKey(second, TWO), second * S) is None
    for second in range(100, 109):
        assert watch.choose_revision(LeaseKey(99, None), second * S) is None, "forgotten too early"
    assert watch.choose_revision(LeaseKey(99, None), 109 * S) == 99


def test_holder_that_the_servers_did_not_answer_may_renew_first() -> None:
    """A holder that the servers did not answer may renew first.

    In that time no other process could renew; the holder lives, or it does not.
    """
    watch = LeaseWatch(ONE, trusts_servers=False)
    assert watch.choose_revision(LeaseKey(7, TWO), 0) is None
    renewed_s = 45 + int(RENEWED_S)  # they have a quorum again after 45 s
    for second in range(45, renewed_s):
        assert watch.choose_revision(LeaseKey(7, TWO), second * S) is None
    for second in range(renewed_s, renewed_s + int(TTL_S)):
        assert watch.choose_revision(LeaseKey(8, TWO), second * S) is None, "it lives"
    assert watch.choose_revision(LeaseKey(8, TWO), (renewed_s + int(TTL_S)) * S) == 8


def test_holder_that_does_not_renew_after_an_outage_is_followed() -> None:
    """A holder that does not renew after an outage is replaced.

    It is waited for once, however often the servers fail.
    """
    watch = LeaseWatch(ONE, trusts_servers=False)
    looks_s = [0, 45, 52, 60]
    taken_s = [at for at in looks_s if watch.choose_revision(LeaseKey(7, TWO), at * S) is not None]
    assert taken_s == [52, 60]


@pytest.mark.parametrize(
    ("key", "over"),
    [
        (LeaseKey(9, ONE), 9),  # an earlier try, whose answer was lost
        (FORGOTTEN, 7),
        (LeaseKey(8, None), None),  # somebody may have had it since
        (FREE, None),
        (LeaseKey(8, TWO), None),
        (LeaseKey(8, COPY), None),
    ],
)
def test_refused_renewal_is_repeated_or_the_lease_is_lost(key: LeaseKey, over: int | None) -> None:
    held = HeldLease(ONE, 7, 0)
    assert held.choose_revision(key) == over
    assert held.is_held(0) == (over is not None)


def test_holder_works_until_shortly_before_others_may_begin() -> None:
    held = HeldLease(ONE, 7, 5 * S)
    held.note_renewed(8, 10 * S)
    assert held.is_held(int((10 + HELD_S) * S))
    assert not held.is_held(int((10 + HELD_S) * S) + 1)
    assert (held.term, held.revision) == (7, 8)


def test_key_names_its_holder() -> None:
    assert Holder.parse(ONE.encode()) == ONE
    assert Holder.parse(b"one:run1") == Holder(b"one", b"run1"), "of an earlier version"
    assert Holder.parse(b"") == Holder(b"", b"")
