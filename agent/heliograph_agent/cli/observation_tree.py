"""Format observations as a tree of endpoints and their steps."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter

from heliograph.failure import Failure, Operation
from heliograph.observation import Observation
from heliograph.translation import end_word
from heliograph.translation import translate as _
from heliograph_agent.cli.labels import (
    LOCAL_FAILURES,
    STEPS,
    describe_outcome,
    describe_request,
    format_duration,
    make_printable,
)

_DURATION_WIDTH = 8
_FRAME = 2 + 1 + 2 + 1 + _DURATION_WIDTH  # columns without request and outcome
_MIN_WIDTH = 20
_NARROW = 60  # below this width an outcome has a separate line
_DEPTH = {operation: depth for depth, operation in enumerate(Operation)}


class EndpointAnswer(StrEnum):
    """Name the answer of one endpoint; it is no verdict, which needs a control."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class StepMark(StrEnum):
    """Mark a step: success, failure, or no result and no way to ask."""

    GOOD = "✓"
    BAD = "✗"
    NONE = "-"


@dataclass(frozen=True, slots=True)
class Colors:
    """Hold the codes that color marks and secondary text; empty by default."""

    good: str = ""
    bad: str = ""
    faint: str = ""
    bold: str = ""
    end: str = ""

    def paint(self, value: str, color: str) -> str:
        return f"{color}{value}{self.end}" if color and value else value

    def color_of(self, mark: StepMark) -> str:
        return {StepMark.GOOD: self.good, StepMark.BAD: self.bad, StepMark.NONE: self.faint}[mark]


ANSI = Colors(good="\033[32m", bad="\033[31m", faint="\033[2m", bold="\033[1m", end="\033[0m")


@dataclass(frozen=True, slots=True)
class StepRow:
    """Hold one step, and the branch characters from its parent to it."""

    branch: str
    step: Observation

    @property
    def request(self) -> str:
        width = max(len(_(step)) for step in STEPS.values())
        description = describe_request(self.step)
        return f"{self.branch}{_(STEPS[self.step.operation]):<{width}} {description}".rstrip()

    @property
    def mark(self) -> StepMark:
        return classify_step(self.step)


def format_tree(
    observations: Sequence[Observation], columns: int = 120, colors: Colors | None = None
) -> list[str]:
    """Format lines of at most `columns`; endpoints and steps in order of their start.

    The lines run from left to right in each language, as addresses and branches do.
    """
    colors = colors or Colors()
    labels = sorted(group_by_endpoint(observations), key=bool)  # no label, no heading
    rows_by_label = {label: list(_tree_rows(label, observations)) for label in labels}
    widths = _column_widths(list(rows_by_label.values()), columns)
    lines: list[str] = []
    for (label, rows), (request_width, outcome_width) in zip(
        rows_by_label.items(), widths, strict=True
    ):
        lines += [colors.paint(make_printable(label, columns), colors.bold)] if label else []
        for row in rows:
            lines += _format_row(row, request_width, outcome_width, columns, colors)
    return lines


def classify_answer(steps: Sequence[Observation]) -> EndpointAnswer:
    """Classify an endpoint by its deepest steps.

    YES when one of them succeeded, UNKNOWN when all failed for reasons of this machine, else NO.
    """
    deepest = deepest_steps(steps)
    if any(classify_step(step) is StepMark.GOOD for step in deepest):
        return EndpointAnswer.YES
    is_local = all(step.failure in LOCAL_FAILURES for step in deepest)
    return EndpointAnswer.UNKNOWN if is_local else EndpointAnswer.NO


def deepest_steps(steps: Sequence[Observation]) -> list[Observation]:
    """Return the steps of the last operation that was reached."""
    depth = max((_DEPTH[step.operation] for step in steps), default=0)
    return [step for step in steps if _DEPTH[step.operation] == depth]


def group_by_endpoint(observations: Iterable[Observation]) -> dict[str, list[Observation]]:
    """Group steps by endpoint in order of start; they are recorded in order of end."""
    groups: dict[str, list[Observation]] = {}
    for observation in sorted(observations, key=attrgetter("started_us")):
        groups.setdefault(observation.endpoint, []).append(observation)
    return groups


def classify_step(step: Observation) -> StepMark:
    """Mark a step: an alert or a changed echo is BAD, a silent router is NONE."""
    if step.failure is None:
        return StepMark.BAD if _is_refused(step) else StepMark.GOOD
    neutral = {*LOCAL_FAILURES, Failure.DNS_NO_ANSWER}
    if step.operation is Operation.HOP:
        neutral.add(Failure.GENERIC_TIMEOUT_ERROR)
    return StepMark.NONE if step.failure in neutral else StepMark.BAD


def _is_refused(step: Observation) -> bool:
    if step.hop is not None:
        return step.hop.reply in ("rst", "fin", "unreachable")
    exchange = step.exchange
    return exchange is not None and (
        exchange.reply.startswith("alert_") or bool(exchange.differences)
    )


def _tree_rows(label: str, observations: Sequence[Observation]) -> Iterator[StepRow]:
    starts = {i: step.started_us for i, step in enumerate(observations) if step.endpoint == label}
    children: dict[int | None, list[int]] = {}
    for index in sorted(starts, key=starts.__getitem__):
        parent = observations[index].parent
        # A parent must be an earlier step of the same endpoint; any other counts as none.
        is_valid = parent is not None and parent < index and parent in starts
        children.setdefault(parent if is_valid else None, []).append(index)
    yield from _subtree_rows(None, "", observations, children)


def _subtree_rows(
    parent: int | None,
    indent: str,
    observations: Sequence[Observation],
    children: Mapping[int | None, Sequence[int]],
) -> Iterator[StepRow]:
    siblings = children.get(parent, ())
    for index in siblings:
        is_last = index == siblings[-1]
        branch, continuation = ("└ ", "  ") if is_last else ("├ ", "│ ")
        is_root = parent is None
        yield StepRow("" if is_root else indent + branch, observations[index])
        yield from _subtree_rows(
            index, "" if is_root else indent + continuation, observations, children
        )


def _column_widths(groups: Sequence[Sequence[StepRow]], columns: int) -> list[tuple[int, int]]:
    """Compute for each group the widths of request and outcome.

    All groups have the same widths where the columns suffice, else each its own. Durations are
    always in one column.
    """
    available = max(columns - _FRAME - 1, 2 * _MIN_WIDTH)
    needed = [
        (
            max(len(row.request) for row in rows),
            max(len(describe_outcome(row.step)) for row in rows),
        )
        for rows in groups
    ]
    request_width = max((width for width, _ in needed), default=0)
    outcome_width = max((width for _, width in needed), default=0)
    if request_width + outcome_width <= available:
        return [(request_width, outcome_width)] * len(groups)
    total = min(available, max(map(sum, needed)))
    # The request shrinks first, down to three fifths, then the outcome.
    request_widths = [
        min(request, max(total - outcome, total * 3 // 5)) for request, outcome in needed
    ]
    return [(width, total - width) for width in request_widths]


def _format_row(
    row: StepRow, request_width: int, outcome_width: int, columns: int, colors: Colors
) -> list[str]:
    mark = end_word() + colors.paint(row.mark, colors.color_of(row.mark))
    outcome_text = describe_outcome(row.step)
    duration = format_duration(row.step.duration_us)
    if columns < _NARROW:
        first = f"{mark} {make_printable(row.request, columns - 2)}"
        second = make_printable(f"{outcome_text}, {duration}", columns - 4)
        return [first, f"{end_word()}    {second}"]
    outcome_cell = make_printable(outcome_text, outcome_width).ljust(outcome_width) + end_word()
    if row.mark is StepMark.BAD:
        outcome_cell = colors.paint(outcome_cell, colors.bad)
    duration_cell = colors.paint(f"{duration:>{_DURATION_WIDTH}}", colors.faint)
    request_cell = f"{make_printable(row.request, request_width):<{request_width}}{end_word()}"
    step_name = _(STEPS[row.step.operation])
    request_cell = request_cell.replace(step_name, step_name + end_word(), 1)
    return [f"  {mark} {request_cell}  {outcome_cell} {duration_cell}"]
