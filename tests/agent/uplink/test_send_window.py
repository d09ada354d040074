"""What may go now, and what is waited for."""

from heliograph_agent.uplink.send_window import MAX_HOLD_S, OVERDUE_US, SIZE, Window


def test_it_fills_and_opens_again_when_half_is_settled() -> None:
    window = Window()
    assert window.room() == SIZE
    for sequence in range(SIZE):
        window.sent(sequence, 0)
    assert window.room() == 0
    for sequence in range(SIZE // 2):
        window.settle(sequence)
    assert window.room() == SIZE // 2


def test_a_receipt_counts_once_and_only_for_what_was_sent() -> None:
    window = Window()
    window.sent(5, 0)
    assert 5 in window
    window.settle(5)
    window.settle(6)
    assert 5 not in window
    assert len(window) == 0


def test_the_collector_can_ask_for_quiet_and_never_for_ever() -> None:
    window = Window()
    window.hold(1_000_000, 30)
    window.hold(1_000_000, 5)
    assert window.held_s(1_000_000) == 30
    assert window.held_s(31_000_000) == 0
    window.hold(0, 10**9)
    assert window.held_s(0) == MAX_HOLD_S


def test_a_receipt_that_does_not_come_is_noticed() -> None:
    window = Window()
    assert not window.overdue(10**12)
    window.sent(1, 0)
    window.sent(2, OVERDUE_US)
    assert not window.overdue(OVERDUE_US)
    assert window.overdue(OVERDUE_US + 1)
    window.settle(1)
    assert not window.overdue(OVERDUE_US + 1)
