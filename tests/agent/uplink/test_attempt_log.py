"""What was tried becomes few measurements, and none of it is lost."""

from dataclasses import dataclass, field

from heliograph.failure import Failure, Operation
from heliograph.observation import Observation
from heliograph_agent.net.trace import Trace
from heliograph_agent.uplink.attempt_log import GATHER_US, MOST, Attempt, Attempts
from support.hand_clock import HandClock

WAY, OTHER = "stream://a.example:1", "post://a.example:2"
MINUTE_US = 60_000_000
REFUSED, RESET = Failure.CONNECTION_REFUSED, Failure.CONNECTION_RESET


@dataclass
class Diary:
    clock: HandClock = field(default_factory=HandClock)
    kept: list[Attempt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.attempts = Attempts(self.clock, self.keep)

    async def keep(self, attempt: Attempt) -> None:
        self.kept.append(attempt)

    async def note(self, *failures: Failure | None, target: str = WAY) -> None:
        """A try a minute later, of steps that ended so."""
        self.clock.advance_us(MINUTE_US)
        trace = Trace(self.clock)
        for index, failure in enumerate(failures):
            trace.add(
                Observation(
                    operation=Operation.CONNECT, started_us=0, duration_us=1, failure=failure,
                    parent=index - 1 if index else None,
                )
            )  # fmt: skip
        await self.attempts.note(target, trace)

    @property
    def told(self) -> list[tuple[str, int, bool]]:
        return [(a.target, len(a.observations), a.changed) for a in self.kept]


async def test_where_all_is_well_nothing_is_told() -> None:
    diary = Diary()
    for _ in range(3):
        await diary.note(None)
    await diary.attempts.flush()
    assert diary.told == []


async def test_a_failure_is_told_at_once_and_so_is_the_way_that_helps() -> None:
    diary = Diary()
    await diary.note(REFUSED)
    await diary.note(None, target=OTHER)
    await diary.note(None, target=OTHER)
    assert diary.told == [(WAY, 1, True), (OTHER, 1, True)]


async def test_the_same_again_is_gathered_and_every_try_is_in_it() -> None:
    diary = Diary()
    for _ in range(30):
        await diary.note(None, REFUSED)
    assert diary.told == [(WAY, 2, True)]
    await diary.note(RESET)
    assert diary.told == [(WAY, 2, True), (WAY, 58, False), (WAY, 1, True)]
    gathered = diary.kept[1].observations
    assert [x.started_us for x in gathered[::2]] == [n * MINUTE_US for n in range(29)]
    assert [x.parent for x in gathered[1::2]] == list(range(0, 58, 2))


async def test_it_is_told_every_hour_and_never_longer_than_fits() -> None:
    diary = Diary()
    for _ in range(200):
        await diary.note(None, REFUSED)
    spans = [a.observations[-1].started_us for a in diary.kept[1:]]
    assert max(spans) <= GATHER_US
    for _ in range(100):
        await diary.note(*[RESET] * 200)
    assert max(len(a.observations) for a in diary.kept) <= MOST


async def test_two_outcomes_in_turn_do_not_fill_the_spool() -> None:
    diary = Diary()
    for _ in range(60):
        await diary.note(RESET)
        await diary.note(None)
    assert sum(a.changed for a in diary.kept) <= 6
    await diary.attempts.flush()
    assert sum(len(a.observations) for a in diary.kept) == 120, "none is lost"


async def test_on_another_network_it_is_news_again() -> None:
    diary = Diary()
    await diary.note(REFUSED)
    diary.attempts.forget()
    await diary.note(REFUSED)
    assert diary.told == [(WAY, 1, True)] * 2


async def test_tries_side_by_side_are_gathered_whichever_ends_first() -> None:
    diary = Diary()
    await diary.note(REFUSED)
    early = Trace(diary.clock)
    await diary.note(REFUSED)
    early.add(
        Observation(operation=Operation.CONNECT, started_us=5, duration_us=1, failure=REFUSED)
    )
    await diary.attempts.note(WAY, early)
    await diary.attempts.flush()
    started = [x.started_us for x in diary.kept[-1].observations]
    assert started == [MINUTE_US, 5]
    assert diary.kept[-1].monotonic_us == early.began_us
