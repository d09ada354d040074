"""A far world: the physical state of each vantage, and the sessions of its agents.

Written from the manual of signal files and from the design of the agents, apart from the detectors.
A scene writes what is physically so (a line reaches nothing abroad, a machine has no power, it
sleeps, an entrance of ours is out of reach). When sessions end, by which entrance and how soon
agents return, what they report of the gap, and when results arrive, all follow from that.
"""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

BASE = 1_768_003_200  # 10 January 2026, 00:00 UTC
MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
BEAT_S = 15.0
NOTICED_S = 37.5  # after the last heartbeat a session counts as lost
OUTLIVED_S = 20.0  # a connection outlives a shorter gap by retransmissions; assumed
FIRST, SECOND = "first", "second"  # our entrances
GOOD: Mapping[str, str] = {"value": "reachable"}
_CHANCE: Mapping[str, str] = {"value": "blocked", "layer": "tcp", "method": "timeout"}

Line = dict[str, object]


class Span(NamedTuple):
    """A time from `since` until `until`, in seconds."""

    since: float
    until: float


@dataclass(eq=False)
class Vantage:
    """One vantage, and its physical state at each time."""

    name: str
    country: str
    region: str
    asn: int
    access: str
    prefix: str
    enrolled: float = -90 * DAY
    reports_gaps: bool = True  # what its edition measured without a session
    late_share: float = 0.0  # of its results that arrive minutes late
    entrances: tuple[str, ...] = (FIRST,)  # that it may use, in order
    has_battery: bool = False
    dark: list[Span] = field(default_factory=list)  # nothing abroad answers
    off: list[Span] = field(default_factory=list)  # without power
    idle: list[Span] = field(default_factory=list)  # asleep
    gone: list[Span] = field(default_factory=list)  # its agent says goodbye
    flaps: list[Span] = field(default_factory=list)  # its line fails by itself
    barred: dict[str, list[Span]] = field(default_factory=dict)  # an entrance; "": each

    def list_bars(self, entrance: str) -> list[Span]:
        """Return when it can have no session by an entrance."""
        spans = join([*self.dark, *self.off, *self.idle, *self.flaps])
        spans += self.barred.get(entrance, []) + self.barred.get("", [])
        lasting = [span for span in join(spans) if span.until - span.since >= OUTLIVED_S]
        return join([*lasting, *self.gone])

    def list_still(self) -> list[Span]:
        """Return when its agent does not run."""
        return join([*self.off, *self.idle, *self.gone])


class Block(NamedTuple):
    """The results of a service in a span, for vantages to which `outcome` gives one."""

    service: str
    span: Span
    outcome: Callable[[Vantage, float], Mapping[str, str] | None]


class World:
    """Vantages of some countries from 0 until `end`, in seconds."""

    def __init__(self, seed: int, hours: float) -> None:
        self.rng, self.end = Random(seed), hours * HOUR
        self.home = ""
        self.vantages: list[Vantage] = []
        self.blocks: list[Block] = []
        self.faults: list[Line] = []
        self.plan: dict[str, float] = {}  # services, and how often each is tested
        self.tested = Span(0, 0)

    def select(self, country: str = "", /, **where: object) -> list[Vantage]:
        return [
            vantage
            for vantage in self.vantages
            if vantage.country == (country or self.home)
            and all(getattr(vantage, key) == value for key, value in where.items())
        ]

    def select_people(self, country: str = "", /, **where: object) -> list[Vantage]:
        return [one for one in self.select(country, **where) if one.access != "hosting"]

    def write(self, path: Path) -> Path:
        lines = list(self.faults)
        for vantage in self.vantages:
            agent = _Agent(self, vantage)
            lines += [*agent.run(), *self._run_tests(vantage, agent.sessions)]
        lines.sort(key=lambda line: float(str(line["at"])))
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    def _run_tests(self, vantage: Vantage, sessions: list[Span]) -> Iterator[Line]:
        """Yield a vantage's votes: it tests while its line works, in a session or not."""
        blind = join([*vantage.dark, *vantage.flaps, *vantage.list_still()])
        for service, every in self.plan.items():
            at = self.tested.since + self.rng.uniform(0, every)
            is_second = False
            while at < min(self.tested.until, self.end):
                outcome = self._judge(vantage, service, at)
                arrives = self._find_arrival(vantage, sessions, at)
                if not covers(blind, at) and not covers(blind, at + 8) and arrives < self.end:
                    line = {"kind": "vote", "vantage": vantage.name, "service": service}
                    times = {"at": stamp(at), "received": stamp(arrives)}
                    yield {**line, **times, **outcome}
                is_second = outcome is not GOOD and not is_second
                at += (
                    self.rng.uniform(10, 40) if is_second else every * self.rng.uniform(0.85, 1.15)
                )

    def _judge(self, vantage: Vantage, service: str, at: float) -> Mapping[str, str]:
        for block in self.blocks:
            if block.service == service and block.span.since <= at < block.span.until:
                outcome = block.outcome(vantage, at)
                if outcome is not None:
                    return outcome
        return _CHANCE if self.rng.random() < 0.03 else GOOD

    def _find_arrival(self, vantage: Vantage, sessions: list[Span], at: float) -> float:
        """Return when a result arrives: with the next batch, or once a session is back."""
        index = bisect_right(sessions, (at, self.end)) - 1
        if index >= 0 and at < sessions[index].until - 5:
            sent = at + self.rng.uniform(2, 32)
        elif index + 1 < len(sessions):
            sent = sessions[index + 1].since + self.rng.uniform(2, 20)
        else:
            return self.end
        is_late = self.rng.random() < vantage.late_share
        return sent + (self.rng.expovariate(1 / 420) if is_late else 0)


class _Agent:
    """The agent of one vantage, which holds a session where it can."""

    def __init__(self, world: World, vantage: Vantage) -> None:
        self.rng, self.end, self.vantage = world.rng, world.end, vantage
        self.bars = {one: vantage.list_bars(one) for one in vantage.entrances}
        self.still = vantage.list_still()
        self.sessions: list[Span] = []

    def run(self) -> Iterator[Line]:
        at, entrance = self._find_way(self.rng.uniform(1, 60))
        while at < self.end:
            yield self._build_arrival(at, entrance)
            bars = (bar.since for bar in self.bars[entrance] if bar.since >= at)
            ends = min(bars, default=self.end)
            main = self.vantage.entrances[0]
            home = at + self.rng.uniform(0.5, 1.5) * HOUR  # when it tries its first way again
            if entrance != main and home < ends and not covers(self.bars[main], home):
                self.sessions.append(Span(at, home))
                at, entrance = home + 0.5, main
                continue
            self.sessions.append(Span(at, min(ends, self.end)))
            heard = max(at, ends - self.rng.uniform(0, BEAT_S))
            at, entrance = self._find_way(ends + self.rng.uniform(8, 32))
            if ends < self.end:
                yield from self._list_gap(ends, heard, at)

    def _list_gap(self, ends: float, heard: float, back: float) -> Iterator[Line]:
        name = self.vantage.name
        if covers(self.vantage.gone, ends):
            yield {"kind": "goodbye", "vantage": name, "at": stamp(ends)}
            return
        if heard + NOTICED_S < min(back, self.end):
            heard_at = {"last_heard": stamp(heard), "at": stamp(heard + NOTICED_S)}
            yield {"kind": "loss", "vantage": name, **heard_at}
        if back < self.end and self.vantage.reports_gaps:
            yield from self._report(ends, back)

    def _find_way(self, at: float) -> tuple[float, str]:
        """Return when an agent that seeks from `at` on has a session, and its entrance."""
        while at < self.end:
            still = next((span for span in self.still if span.since <= at < span.until), None)
            if still:
                is_boot = covers(self.vantage.off, at)
                at = still.until + (self.rng.uniform(40, 150) if is_boot else 10)
                continue
            for entrance in self.vantage.entrances:
                if not covers(self.bars[entrance], at):
                    return at + self.rng.uniform(0.5, 3), entrance
                at += self.rng.uniform(3, 9)
            at = max(at, min(map(self._find_open, self.bars.values(), [at] * len(self.bars))))
            at += self.rng.uniform(1, 45)  # agents wait longer and longer, a minute at most
        return self.end, FIRST

    def _find_open(self, bars: list[Span], at: float) -> float:
        return next((bar.until for bar in bars if bar.since <= at < bar.until), at)

    def _build_arrival(self, at: float, entrance: str) -> Line:
        vantage = self.vantage
        boots = [span.until for span in join(vantage.off) if span.until <= at]
        line: Line = {"kind": "arrival", "at": stamp(at), "vantage": vantage.name}
        line |= {"country": vantage.country, "region": vantage.region, "asn": vantage.asn}
        line |= {"access": vantage.access, "prefix": vantage.prefix, "entrance": entrance}
        line |= {"enrolled": stamp(vantage.enrolled)}
        if vantage.reports_gaps:
            uptime = int(at - boots[-1] if boots else at + 5 * DAY)
            line |= {"boot": f"b{len(boots)}", "uptime_s": uptime}
        return line

    def _report(self, since: float, back: float) -> Iterator[Line]:
        """Report a gap in which the machine ran: restarted or not, what it reached."""
        vantage = self.vantage
        ran = back - since - measure_overlap([*vantage.off, *vantage.idle], since, back)
        if ran < 25:
            return
        is_alive = measure_overlap(vantage.off, since, back) == 0
        share = measure_overlap([*vantage.dark, *vantage.flaps], since, back) / ran
        is_online = True if share < 0.2 else False if share > 0.7 else None
        line: Line = {"kind": "report", "vantage": vantage.name, "alive": is_alive}
        line |= {"since": stamp(since + 15), "until": stamp(back), "at": stamp(back + 5)}
        if is_online is not None and (is_alive or ran > (back - since) / 2):
            line["online"] = is_online
        yield line


def join(spans: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.since <= joined[-1].until + 1:
            joined[-1] = Span(joined[-1].since, max(joined[-1].until, span.until))
        else:
            joined.append(span)
    return joined


def covers(spans: Iterable[Span], at: float) -> bool:
    return any(span.since <= at < span.until for span in spans)


def measure_overlap(spans: Iterable[Span], since: float, until: float) -> float:
    own = join(spans)
    return sum(max(0.0, min(one.until, until) - max(one.since, since)) for one in own)


def stamp(at: float) -> float:
    return round(BASE + at, 3)
