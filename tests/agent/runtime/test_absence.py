"""The time and reason of an agent's absence, and what became of its results."""

import pytest

from heliograph_agent.cli.absence import REASONS, describe_absence
from heliograph_agent.runtime.absence import LONG_US, AbsenceReason, AbsenceRecorder, StatusSample

MINUTE_US = 60_000_000
START_US = 1_641_420_000_000_000  # 2022-01-05 22:00 UTC


class Run:
    """A run that writes its status each minute."""

    def __init__(self, recorder: AbsenceRecorder | None = None) -> None:
        self.recorder = recorder or AbsenceRecorder()
        self.now_us = START_US
        self.set_us = 0  # by which the wall clock was set

    def write(
        self, minutes: int = 1, *, link: str = "online", connected: bool = False, waiting: int = 0,
        dropped: int = 0, paused: bool = False, success_us: int = 0, step: int = 1,
    ) -> None:  # fmt: skip
        for _ in range(minutes // step):
            self.now_us += step * MINUTE_US
            boot_us = self.now_us - START_US - self.set_us
            sample = StatusSample(
                self.now_us, link, waiting, dropped, success_us, connected, paused, boot_us
            )
            self.recorder.take_sample(sample)

    def set_clock(self, by_us: int) -> None:
        self.now_us += by_us
        self.set_us += by_us

    @property
    def notice(self) -> str:
        return describe_absence({"absence": self.recorder.last})


@pytest.fixture
def run() -> Run:
    run = Run()
    run.write(connected=True)
    return run


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("offline", "this machine had no network"),
        ("captive", "this machine had no network"),
        ("domestic_only", "only hosts in this country answered"),
        ("no_resolver", "names could not be looked up"),
        ("online", "other hosts answered and the collector did not"),
        ("unknown", "the reason is not known"),
        ("of a later version", "the reason is not known"),
    ],
)
def test_reason_is_what_held_for_longest(run: Run, link: str, reason: str) -> None:
    run.write(10, link="offline")
    run.write(50, link=link, waiting=40)
    assert run.notice.startswith(
        f"No contact with the collector since 2022-01-05 22:01 UTC: {reason}"
    )
    assert run.notice.endswith("40 results are stored and will be sent; none is lost.")
    run.write(connected=True, waiting=3)
    assert "from 2022-01-05 22:01 UTC to 2022-01-05 23:02 UTC" in run.notice
    assert run.notice.endswith("40 results were stored meanwhile; none was lost.")


def test_short_absence_is_no_notice(run: Run) -> None:
    run.write(LONG_US // MINUTE_US - 2)
    run.write(connected=True)
    assert run.notice == ""


def test_an_agent_that_sends_one_batch_at_a_time_is_not_absent(run: Run) -> None:
    for _ in range(6):
        run.write(20, success_us=run.now_us)
    assert run.notice == ""


def test_machine_that_slept_measured_nothing(run: Run) -> None:
    run.write(600, step=600, connected=True)
    assert "this machine slept or stood still. Nothing was measured meanwhile." in run.notice


def test_pause_is_the_volunteers_own(run: Run) -> None:
    run.write(60, paused=True)
    assert "the agent was paused" in run.notice


def test_loss_is_never_called_none(run: Run) -> None:
    run.write(60, waiting=40, dropped=2)
    assert "none" not in run.notice
    assert "Some results found no room" in run.notice


def test_an_earlier_loss_is_not_of_this_absence(run: Run) -> None:
    run.write(connected=True, dropped=2)
    run.write(60, waiting=40, dropped=2)
    assert "none is lost" in run.notice


def test_restart_goes_on_where_the_run_before_ended() -> None:
    before_us = START_US - 120 * MINUTE_US
    run = Run(AbsenceRecorder(before_us, before_us))
    run.write(connected=True)
    assert "the agent did not run, or this machine was off" in run.notice
    first = Run()
    first.write(60)
    assert first.notice == "", "an agent that never had an answer is not absent"


def test_every_reason_has_its_words() -> None:
    assert REASONS.keys() == set(AbsenceReason)


@pytest.mark.parametrize("days", [10, -10])
def test_a_clock_that_is_set_in_a_session_is_no_absence(run: Run, days: int) -> None:
    run.set_clock(days * 1_440 * MINUTE_US)
    run.write(connected=True)
    assert run.notice == ""
    run.set_clock(-days * 1_440 * MINUTE_US)
    run.write(3, connected=True)
    assert run.notice == ""
    run.write(40, link="offline")
    assert "this machine had no network" in run.notice, "what is one is told all the same"


def test_a_machine_that_slept_was_absent_although_its_session_seems_unbroken(run: Run) -> None:
    run.write(600, connected=True, step=600)
    assert "this machine slept" in run.notice
