"""The window of envelopes in flight."""

from heliograph_agent.uplink.send_window import MAX_HOLD_S, OVERDUE_US, SIZE, SendWindow


def test_full_window_opens_when_half_is_settled() -> None:
    window = SendWindow()
    assert window.free_slots() == SIZE
    for sequence in range(SIZE):
        window.record_sent(sequence, 0)
    assert window.free_slots() == 0
    for sequence in range(SIZE // 2):
        window.remove(sequence)
    assert window.free_slots() == SIZE // 2


def test_remove_ignores_unknown_sequence() -> None:
    window = SendWindow()
    window.record_sent(5, 0)
    assert 5 in window
    window.remove(5)
    window.remove(6)
    assert 5 not in window
    assert len(window) == 0


def test_pause_is_bounded_and_never_shortened() -> None:
    window = SendWindow()
    window.pause(1_000_000, 30)
    window.pause(1_000_000, 5)
    assert window.pause_left_s(1_000_000) == 30
    assert window.pause_left_s(31_000_000) == 0
    window.pause(0, 10**9)
    assert window.pause_left_s(0) == MAX_HOLD_S


def test_late_receipt_makes_window_overdue() -> None:
    window = SendWindow()
    assert not window.is_overdue(10**12)
    window.record_sent(1, 0)
    window.record_sent(2, OVERDUE_US)
    assert not window.is_overdue(OVERDUE_US)
    assert window.is_overdue(OVERDUE_US + 1)
    window.remove(1)
    assert not window.is_overdue(OVERDUE_US + 1)
