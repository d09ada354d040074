"""The last hours of one cell as a small picture: shape tells the state as well as colour does."""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from heliograph_collector.publish import words
from heliograph_collector.publish.query import write_time
from heliograph_collector.store.rows import State

STEP = 3  # units of width per bin
HEIGHT = 20
_TOP = {State.REACHABLE: 9, State.UNKNOWN: 5, State.BLOCKED: 0, State.DOWN: 0}

Run = tuple[int, int, State | None]  # first bin, bin after the last, state


def runs(strip: Sequence[State | None]) -> Iterator[Run]:
    first = 0
    for index in range(1, len(strip) + 1):
        if index == len(strip) or strip[index] is not strip[first]:
            yield first, index, strip[first]
            first = index


def draw(strip: Sequence[State | None], starts: range) -> Markup:
    """Inline SVG. The hatching is defined once on the page, under the id `hatch`."""
    label = told(strip, starts)
    width = len(strip) * STEP
    shapes = Markup("").join(_bar(run) for run in runs(strip) if run[2] is not None)
    return Markup(
        '<svg class="strip" role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}">'
        "{}{}{}</svg>"
    ).format(label, width, HEIGHT + 3, width, HEIGHT + 3, _ground(width), shapes, _ticks(starts))


def _ground(width: int) -> Markup:
    return Markup('<path class="ground" d="M0 {0}.5H{1}"/>').format(HEIGHT - 1, width)


def _bar(run: Run) -> Markup:
    first, after, state = run
    assert state is not None  # noqa: S101 -- the caller drew only bins that somebody measured
    top = _TOP[state]
    fill = Markup(' fill="url(#hatch)"') if state is State.UNKNOWN else ""
    return Markup('<rect class="bar {}"{} x="{}" y="{}" width="{}" height="{}"/>').format(
        state.value, fill, first * STEP, top, (after - first) * STEP, HEIGHT - top
    )


def _ticks(starts: range) -> Markup:
    """Where an hour begins."""
    hour = 3_600_000_000
    at = [index * STEP for index, start in enumerate(starts) if start % hour == 0]
    return Markup('<path class="tick" d="{}"/>').format("".join(f"M{x}.5 {HEIGHT}v3" for x in at))


def axis(starts: range) -> Markup:
    """Hours under a column's head, to read the strips by."""
    hour, width = 3_600_000_000, len(starts) * STEP
    labels = Markup("").join(
        Markup('<text x="{}" y="10">{}</text>').format(index * STEP, clock(start)[:2])
        for index, start in enumerate(starts)
        if start % hour == 0 and index * STEP < width - 8
    )
    return Markup(
        '<svg class="axis" aria-hidden="true" viewBox="0 0 {0} 12" width="{0}" height="12">'
        "{1}</svg>"
    ).format(width, labels)


def clock(us: int) -> str:
    """13:05"""
    return write_time(us)[11:16]


def told(strip: Sequence[State | None], starts: range) -> str:
    """The picture in words, for those who hear it."""
    if not strip:
        return "no history"
    end = starts[-1] + starts.step
    parts = [
        f"{words.STATES[state] if state else 'no data'} {clock(starts[first])} to "
        f"{clock(starts[after] if after < len(strip) else end)}"
        for first, after, state in runs(strip)
    ]
    return "Last hours, UTC: " + "; ".join(parts[-8:])
