"""Browsers' ClientHellos correct a vantage's other verdicts, in the real assessor."""

from dataclasses import replace

import pytest

from heliograph_collector.control.vantage_profiles import VantageProfiles
from heliograph_collector.model.records import AgentRole, ReceivedMeasurement, VerdictState
from support.control_records import overall
from support.vantage_streams import NAMES, assess, controls, measure, page, states_of


def say_hellos(
    name: str, minute: float, own: str, browsers: str, address: str = "9.8.7.0"
) -> ReceivedMeasurement:
    """Return results of `hello` for a name: of our ClientHello, and of browsers'."""
    ends = {"own": own, **dict.fromkeys(("firefox", "chrome", "chrome_late"), browsers)}
    is_whole = own.startswith("ok") and browsers == "ok"
    ends |= {} if is_whole else {"neutral": "ok", "again": own}
    steps = {
        label: [{f"connect {address}": "ok"}, {f"tls {name}": end}] for label, end in ends.items()
    }
    return measure(name, steps, minute, experiment="hello", target=f"{name}:443")


def of_control(record: ReceivedMeasurement) -> ReceivedMeasurement:
    return replace(record, role=AgentRole.CONTROL, pseudonym="control")


RESET = "connection_reset"
LARGE = "ok large"
NEWS, CHAT = NAMES[:2]


@pytest.mark.parametrize(
    ("hellos", "expected"),
    [
        ([], VerdictState.BLOCKED),
        ([say_hellos(NEWS, 1, RESET, "ok")], VerdictState.UNKNOWN),
        # after the page, which is judged again:
        ([say_hellos(NEWS, 9, RESET, "ok")], VerdictState.UNKNOWN),
        ([say_hellos(NEWS, 1, RESET, RESET)], VerdictState.BLOCKED),
        ([say_hellos(NEWS, 1, "ok", "ok")], VerdictState.BLOCKED),
        ([say_hellos(NEWS, 1, RESET, "ok"), say_hellos(NEWS, 2, RESET, RESET)],
         VerdictState.BLOCKED),
        ([say_hellos(NEWS, -361, RESET, "ok")], VerdictState.BLOCKED),
        # at another name: of one it says nothing of all, of two it does
        ([say_hellos(CHAT, 1, RESET, "ok")], VerdictState.BLOCKED),
        ([say_hellos(CHAT, 1, RESET, "ok"), say_hellos("wiki.example", 1, RESET, "ok")],
         VerdictState.UNKNOWN),
        ([say_hellos(CHAT, 1, RESET, "ok"), say_hellos("wiki.example", 1, "ok", "ok")],
         VerdictState.BLOCKED),
    ],
)  # fmt: skip
def test_a_filter_of_our_own_hello_blocks_nobody(
    hellos: list[ReceivedMeasurement], expected: VerdictState
) -> None:
    """A filter of our own ClientHello blocks no page, where browsers pass."""
    pages = [measure(NEWS, page(NEWS, "9.8.7.0", RESET), 5)]
    stream = sorted([*hellos, *pages], key=lambda record: record.started_us)
    assert states_of(assess(controls(4), stream), NEWS) == {expected}


def test_page_that_only_our_own_hello_gets_is_blocked_or_in_doubt() -> None:
    dropped = say_hellos(NEWS, 1, LARGE, RESET)
    answered = of_control(say_hellos(NEWS, 2, LARGE, "ok"))
    cases = {
        "nobody said hello": ([], "reached.https"),
        "a control's pass at that address": ([dropped, answered], "tls.browsers_dropped"),
        "no control said any": ([dropped], "tls.browsers_in_doubt"),
        "a control's pass at another address": (
            [dropped, of_control(say_hellos(NEWS, 2, LARGE, "ok", "9.8.7.5"))],
            "tls.browsers_in_doubt",
        ),
        "the server trips over browsers": (
            [dropped, answered, of_control(say_hellos(NEWS, 3, LARGE, RESET))],
            "tls.browsers_in_doubt",
        ),
        "they pass again": (
            [dropped, answered, say_hellos(NEWS, 4, LARGE, "ok")],
            "reached.https",
        ),
        "ours is smaller": (
            [say_hellos(NEWS, 1, "ok", RESET), answered],
            "tls.browsers_in_doubt",
        ),
        "46 min ago": (
            [say_hellos(NEWS, -41, LARGE, RESET), answered],
            "tls.browsers_in_doubt",
        ),
        "7 h ago": ([say_hellos(NEWS, -420, LARGE, RESET), answered], "reached.https"),
        "at another name": (
            [say_hellos(CHAT, 1, LARGE, RESET), of_control(say_hellos(CHAT, 2, LARGE, "ok"))],
            "reached.https",
        ),
    }
    rules = {}
    for case, (hellos, _) in cases.items():
        judged = assess(controls(4), [*hellos, measure(NEWS, page(NEWS, "9.8.7.0"), 5)])
        (rules[case],) = (
            overall(j)[1] for j in judged if j[0].measurement.target == f"https://{NEWS}/"
        )
    assert rules == {case: rule for case, (_, rule) in cases.items()}


def test_hellos_that_pass_have_nothing_judged_again() -> None:
    """Hellos that pass cause no new judgment of other results.

    Every vantage tests hellos every two hours, and each would renew all its doubtful verdicts.
    """
    profiles = VantageProfiles()
    ends = ((0, "ok"), (120, "ok"), (240, RESET), (360, "ok"), (480, "ok"))
    changes = [bool(profiles.update(say_hellos(NEWS, minute, own, "ok"))) for minute, own in ends]
    assert changes == [False, False, True, True, False]
    steps = {"again": [{"connect 9.8.7.0": "ok"}, {f"tls {NEWS}": RESET}]}  # without our own
    odd = measure(NEWS, steps, 500, experiment="hello", target=f"{NEWS}:443")
    assert not profiles.update(odd)
