"""Observations as a tree: under each endpoint its steps, each under the step it stands on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from heliograph.failure import Failure, Operation
from heliograph.observation import Observation
from heliograph_agent.cli.labels import OWN, STEPS, asked_of, outcome_of, printable, took

_TOOK = 8
_FRAME = 2 + 1 + 2 + 1 + _TOOK  # columns of a line that are neither what was asked nor its outcome
_LEAST = 20
_NARROW = 60  # below, an outcome gets a line of its own
_SILENCE = (Failure.GENERIC_TIMEOUT_ERROR,)
_DEPTH = {operation: depth for depth, operation in enumerate(Operation)}


class Answer(StrEnum):
    """What one endpoint was seen to do. No verdict: that takes a control."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Mark(StrEnum):
    """It worked, it did not, there was nothing to be had or no way to ask."""

    GOOD = "✓"
    BAD = "✗"
    NONE = "-"


@dataclass(frozen=True, slots=True)
class Colours:
    """How a mark and what is beside the point are painted; by default they are not."""

    good: str = ""
    bad: str = ""
    faint: str = ""
    bold: str = ""
    end: str = ""

    def paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{self.end}" if colour and text else text

    def of(self, mark: Mark) -> str:
        return {Mark.GOOD: self.good, Mark.BAD: self.bad, Mark.NONE: self.faint}[mark]


PLAIN = Colours()
ANSI = Colours(good="\033[32m", bad="\033[31m", faint="\033[2m", bold="\033[1m", end="\033[0m")


@dataclass(frozen=True, slots=True)
class Row:
    """One step, and the twigs that lead to it from the one that it stands on."""

    twig: str
    step: Observation

    @property
    def asked(self) -> str:
        return f"{self.twig}{STEPS[self.step.operation]:<7} {asked_of(self.step)}".rstrip()

    @property
    def mark(self) -> Mark:
        return mark_of(self.step)


def tree(
    observations: Sequence[Observation], columns: int = 120, colours: Colours = PLAIN
) -> list[str]:
    """Lines of at most `columns`; endpoints and steps in the order in which they began."""
    labels = sorted(by_endpoint(observations), key=bool)  # what has no label has no heading
    grown = {label: list(_grown(label, observations)) for label in labels}
    widths = _widths(list(grown.values()), columns)
    lines: list[str] = []
    for (label, rows), (asked, outcome) in zip(grown.items(), widths, strict=True):
        lines += [colours.paint(printable(label, columns), colours.bold)] if label else []
        for row in rows:
            lines += _lines(row, asked, outcome, columns, colours)
    return lines


def answer_of(steps: Sequence[Observation]) -> Answer:
    """By the deepest step that was tried: it worked once, or failed for a reason of the network."""
    deepest = deepest_of(steps)
    if any(mark_of(step) is Mark.GOOD for step in deepest):
        return Answer.YES
    return Answer.UNKNOWN if all(step.failure in OWN for step in deepest) else Answer.NO


def deepest_of(steps: Sequence[Observation]) -> list[Observation]:
    """Those of the last operation that was come to."""
    depth = max((_DEPTH[step.operation] for step in steps), default=0)
    return [step for step in steps if _DEPTH[step.operation] == depth]


def by_endpoint(observations: Iterable[Observation]) -> dict[str, list[Observation]]:
    """In the order in which their visits began: steps are written down as they end."""
    groups: dict[str, list[Observation]] = {}
    for observation in sorted(observations, key=lambda step: step.started_us):
        groups.setdefault(observation.endpoint, []).append(observation)
    return groups


def mark_of(step: Observation) -> Mark:
    """An alert or a stranger's answer is a reply and no success; a silent router is no failure."""
    if step.failure is None:
        return Mark.BAD if _turned_away(step) else Mark.GOOD
    silent_router = step.operation is Operation.HOP and step.failure in _SILENCE
    none = step.failure in OWN or step.failure is Failure.DNS_NO_ANSWER or silent_router
    return Mark.NONE if none else Mark.BAD


def _turned_away(step: Observation) -> bool:
    exchange = step.exchange
    if step.hop is not None:
        return step.hop.reply in ("rst", "fin", "unreachable")
    if exchange is None:
        return False
    return exchange.reply.startswith("alert_") or bool(exchange.differences)


def _grown(label: str, observations: Sequence[Observation]) -> Iterator[Row]:
    """The endpoint's steps, each behind its parent."""
    own = {index for index, step in enumerate(observations) if step.endpoint == label}
    children: dict[int | None, list[int]] = {}
    for index in sorted(own, key=lambda at: observations[at].started_us):
        parent = observations[index].parent
        # Steps of one hand name each other; a parent elsewhere, or behind, is as good as none.
        under = parent if parent is not None and parent < index and parent in own else None
        children.setdefault(under, []).append(index)
    yield from _below(None, "", observations, children)


def _below(
    parent: int | None,
    stem: str,
    observations: Sequence[Observation],
    children: Mapping[int | None, Sequence[int]],
) -> Iterator[Row]:
    siblings = children.get(parent, ())
    for index in siblings:
        last = index == siblings[-1]
        twig, further = ("└ ", "  ") if last else ("├ ", "│ ")
        root = parent is None
        yield Row("" if root else stem + twig, observations[index])
        yield from _below(index, "" if root else stem + further, observations, children)


def _widths(groups: Sequence[Sequence[Row]], columns: int) -> list[tuple[int, int]]:
    """Of each group, for what was asked and what came of it: all alike where there is room, each
    its own where there is not, and durations in one column always."""
    room = max(columns - _FRAME - 1, 2 * _LEAST)
    needed = [
        (max(len(row.asked) for row in rows), max(len(outcome_of(row.step)) for row in rows))
        for rows in groups
    ]
    asked, outcome = (max((each[at] for each in needed), default=0) for at in (0, 1))
    if asked + outcome <= room:
        return [(asked, outcome)] * len(groups)
    total = min(room, max(sum(each) for each in needed))
    return [_shared(asked, outcome, total) for asked, outcome in needed]


def _shared(asked: int, outcome: int, total: int) -> tuple[int, int]:
    """What was asked gives way first to what came of it, down to three fifths."""
    width = min(asked, max(total - outcome, total * 3 // 5))
    return width, total - width


def _lines(row: Row, asked: int, outcome: int, columns: int, colours: Colours) -> list[str]:
    mark = colours.paint(row.mark, colours.of(row.mark))
    came, lasted = outcome_of(row.step), took(row.step.duration_us)
    if columns < _NARROW:
        first = f"{mark} {printable(row.asked, columns - 2)}"
        return [first, f"    {printable(f'{came}, {lasted}', columns - 4)}"]
    told = printable(came, outcome).ljust(outcome)
    if row.mark is Mark.BAD:
        told = colours.paint(told, colours.bad)
    end = colours.paint(f"{lasted:>{_TOOK}}", colours.faint)
    return [f"  {mark} {printable(row.asked, asked):<{asked}}  {told} {end}"]
