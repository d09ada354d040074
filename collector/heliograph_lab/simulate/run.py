"""The play: a collector, processes of agents, the story's clock, and the account at the end."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from heliograph import keys
from heliograph.clock import Clock, SystemClock
from heliograph_collector.ingest.rate_limits import room_for
from heliograph_lab.simulate import report as accounts
from heliograph_lab.simulate.addresses import addresses
from heliograph_lab.simulate.agent import key_of
from heliograph_lab.simulate.channel import Door, DoorError, open_door, read_invite
from heliograph_lab.simulate.collector_process import OwnCollector, OwnCollectorError, own_collector
from heliograph_lab.simulate.costs import Cost, cost
from heliograph_lab.simulate.counters import Tally
from heliograph_lab.simulate.report import Account, Comeback, Marks
from heliograph_lab.simulate.script import Restart, Story, faster
from heliograph_lab.simulate.subscriber import Watch
from heliograph_lab.simulate.worker import Part, Word
from heliograph_lab.simulate.worker_pool import PartError, Troupe, troupe

BEAT_S = 15
PER_PROCESS = 5_000  # agents, unless it is said how many processes
_MOST = 0.99
_ENROL_S, _CONNECT_S, _BACK_S, _END_S = 600.0, 600.0, 180.0, 60.0
_NOTICE_S = 2.5  # until the collector has seen that everybody is old
_LEAD_S = 1.0
_LOOK_S = 0.5
_SIGHT_S, _ASK_EVERY_S = 300.0, 3.0
_SETTLE_S = 5.0  # what a start leaves to do is not the agents' cost
_SPARE_FILES = 200


class SimulationError(Exception):
    """The play cannot go on; the text is a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """`invite` empty: a collector of our own."""

    story: Story
    speed: float = 1.0
    processes: int = 0  # 0: one for every 5,000 agents
    shared: bool = False
    invite: str = ""
    to: str = ""  # where the invite's collector is dialled, if elsewhere than it says
    http: str = ""  # and where it publishes
    log: Path | None = None  # of our own collector
    seed: int = 0
    until_confirmed: bool = False  # end as soon as each cut is, and restarts are over


@dataclass(frozen=True, slots=True)
class Progress:
    doing: str
    tally: Tally
    agents: int
    second: float = 0.0  # of the story
    seconds: float = 0.0
    incidents: int = 0


Tell = Callable[[Progress], None]


async def play(wish: Wish, tell: Tell = lambda _: None) -> Account:
    """Raises SimulationError."""
    run = _Run(wish, tell, SystemClock())
    try:
        return await run.play()
    except BaseExceptionGroup as several:
        error = _first(several)
        if not isinstance(error, PartError | OwnCollectorError | DoorError):
            raise
        raise SimulationError(str(error)) from several
    except (OwnCollectorError, DoorError) as error:
        raise SimulationError(str(error)) from error


class _Run:
    def __init__(self, wish: Wish, tell: Tell, clock: Clock) -> None:
        self._wish, self._tell, self._clock = wish, tell, clock
        self._story = faster(wish.story, wish.speed)
        self._agents = len(self._story.actors)
        self._marks = Marks()
        self._own: OwnCollector | None = None
        self._doing = "starting"
        self._zero_s: float | None = None
        self._comebacks: list[Comeback] = []

    def _now_s(self) -> float:
        return self._clock.monotonic_us() / 1e6

    def _cost(self) -> Cost | None:
        return None if self._own is None else cost(self._own.pid, self._now_s)

    async def play(self) -> Account:
        if not room_for(_SPARE_FILES):
            raise SimulationError("This process may open too few files: raise `ulimit -n`.")
        async with AsyncExitStack() as stack:
            door, control_token = await self._door(stack)
            watch = Watch(self._own.http if self._own else self._wish.http, self._now_s)
            crew = await stack.enter_async_context(troupe(self._parts(door, control_token)))
            async with asyncio.TaskGroup() as group:
                listening = [group.create_task(crew.listen(i)) for i in range(len(crew.processes))]
                others = [group.create_task(self._report(crew, watch))]
                if watch.http:
                    others.append(group.create_task(watch.run()))
                connected = await self._gather(crew)
                await self._perform(crew, watch)
                if self._now_s() >= self._at_s(self._story.seconds):
                    await asyncio.wait(listening, timeout=_END_S)
                for task in (*others, *listening):
                    task.cancel()
            return self._account(crew, watch, connected)

    async def _door(self, stack: AsyncExitStack) -> tuple[Door, bytes]:
        wish = self._wish
        if wish.invite:
            invite = read_invite(wish.invite)
            return await asyncio.to_thread(open_door, invite, wish.to), b""
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="heliograph-simulate-")))
        beat_s = max(1, round(BEAT_S / wish.speed))
        own, invites = await stack.enter_async_context(
            own_collector(folder, self._story.actors, beat_s, self._clock, wish.log)
        )
        await own.ready()
        self._own = own
        await asyncio.sleep(_SETTLE_S)
        idle = self._cost()
        await asyncio.sleep(_SETTLE_S)
        self._marks.idle, self._marks.empty = idle, self._cost()
        door = await asyncio.to_thread(open_door, read_invite(invites.volunteers))
        return door, read_invite(invites.controls).token

    def _parts(self, door: Door, control_token: bytes) -> list[Part]:
        """Agents are dealt out in turn, so that each process has some of every country."""
        story, wish = self._story, self._wish
        processes = wish.processes or -(-self._agents // PER_PROCESS)
        places = addresses(story.actors)
        return [
            Part(
                door=door,
                control_token=control_token,
                actors=list(story.actors[i::processes]),
                addresses={a.number: places[a.number] for a in story.actors[i::processes]},
                services=list(story.services),
                seconds=story.seconds,
                measure_every_s=story.measure_every_s,
                shared=wish.shared,
                seed=wish.seed,
            )
            for i in range(processes)
        ]

    async def _gather(self, crew: Troupe) -> int:
        """Enrol everybody, then connect everybody; how many are."""
        self._doing = "enrolling"
        try:
            await crew.until(lambda t: t.enrolled == self._agents, _ENROL_S)
        except TimeoutError:
            raise SimulationError(
                f"Only {crew.tally.enrolled} of {self._agents} agents were let in: {_why(crew)}."
            ) from None
        if self._own is not None:
            days = {_id(self._wish.seed, a.number): a.known_days for a in self._story.actors}
            await asyncio.to_thread(self._own.age, days, self._clock)
            await asyncio.sleep(_NOTICE_S)
        self._marks.enrolled = self._cost()
        self._doing = "connecting"
        await crew.say(Word("connect"))
        try:
            done = await crew.until(self._all_there, _CONNECT_S)
        except TimeoutError:
            raise SimulationError(
                f"Only {crew.tally.sessions} of {self._agents} agents are connected: {_why(crew)}."
            ) from None
        return done.arrived

    def _all_there(self, tally: Tally) -> bool:
        """Of thousands some are always on their way back in."""
        there = tally.sessions >= _MOST * (self._agents - tally.hushed)
        return tally.arrived == self._agents and there

    async def _perform(self, crew: Troupe, watch: Watch) -> None:
        self._marks.connected, beats = self._cost(), crew.tally.answers
        cpu_s, at_s = self._crew_cpu_s(crew), self._now_s()
        if self._story.cuts and watch.http:
            self._doing = "waiting until the collector can tell a silence"
            await self._until_it_sees(watch)
        self._doing = "playing"
        self._zero_s = self._now_s() + _LEAD_S
        await crew.say(Word("begin", _LEAD_S))
        await self._reach(self._calm_until_s())
        self._marks.calm, self._marks.beats = self._cost(), crew.tally.answers - beats
        self._marks.agents_cpu = (self._crew_cpu_s(crew) - cpu_s) / (self._now_s() - at_s)
        for restart in self._story.restarts:
            await self._restart(restart, crew)
        for _ in range(int((self._at_s(self._story.seconds) - self._now_s()) / _LOOK_S)):
            if self._all_confirmed(watch):
                return
            await asyncio.sleep(_LOOK_S)
        await self._reach(self._story.seconds)

    async def _until_it_sees(self, watch: Watch) -> None:
        """For minutes after its start a collector calls nobody silent: some may still come in."""
        for _ in range(int(_SIGHT_S / _ASK_EVERY_S)):
            if not await watch.blind():
                return
            await asyncio.sleep(_ASK_EVERY_S)

    def _all_confirmed(self, watch: Watch) -> bool:
        told = accounts.delays(
            self._story.cuts, list(watch.incidents.values()), self._zero_s or 0.0
        )
        done = bool(told) and all(d.confirmed_s is not None for d in told)
        return self._wish.until_confirmed and done

    def _calm_until_s(self) -> float:
        """Just before the first thing that befalls many."""
        moments = [cut.at_s for cut in self._story.cuts]
        moments += [restart.at_s for restart in self._story.restarts]
        return max(0.0, min([*moments, self._story.seconds]) - 0.5)

    async def _restart(self, restart: Restart, crew: Troupe) -> None:
        if self._own is None:
            return
        await self._reach(restart.at_s)
        self._doing = "restarting"
        await self._own.kill()
        await self._reach(restart.until_s)
        began_s = self._now_s()
        await self._own.start()
        up_s = self._now_s() - began_s
        self._doing = "playing"
        try:
            await crew.until(self._all_there, _BACK_S)
            back_s: float | None = self._now_s() - began_s
        except TimeoutError:
            back_s = None
        self._comebacks.append(Comeback(restart.at_s, up_s, back_s))

    def _at_s(self, second: float) -> float:
        return (self._zero_s or self._now_s()) + second

    async def _reach(self, second: float) -> None:
        await asyncio.sleep(self._at_s(second) - self._now_s())

    def _crew_cpu_s(self, crew: Troupe) -> float:
        found = [cost(process.pid, self._now_s) for process in crew.processes]
        return sum(one.cpu_s for one in found if one is not None)

    async def _report(self, crew: Troupe, watch: Watch) -> None:
        while True:
            second = 0.0 if self._zero_s is None else self._now_s() - self._zero_s
            self._tell(
                Progress(
                    self._doing,
                    crew.tally,
                    self._agents,
                    second,
                    self._story.seconds,
                    len(watch.incidents),
                )
            )
            await asyncio.sleep(_LOOK_S)

    def _account(self, crew: Troupe, watch: Watch, connected: int) -> Account:
        seen = list(watch.incidents.values())
        return Account(
            name=self._story.name,
            agents=self._agents,
            connected=connected,
            processes=len(crew.processes),
            shared=self._wish.shared,
            tally=crew.tally,
            published=watch.published,
            delays=accounts.delays(self._story.cuts, seen, self._zero_s or 0.0),
            false=accounts.false_alarms(self._story.cuts, seen),
            incidents=seen,
            restarts=self._comebacks,
            costs=accounts.costs(self._marks, self._agents),
        )


def _id(seed: int, number: int) -> bytes:
    return keys.agent_id(key_of(seed, number)[0].public)


def _why(crew: Troupe) -> str:
    worst = Counter(crew.tally.troubles).most_common(3)
    return ", ".join(f"{word} {count} times" for word, count in worst) or "nobody said why"


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
