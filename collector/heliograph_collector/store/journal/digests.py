"""An agent's digest of a dark time, as what it tells: one report for each stretch that was alike.

So the course of a shutdown can be read, and filtered by time, while the results themselves are
still on their way. A report votes on nothing, and they are counted once, when they are here. Pure.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

from heliograph.failure import Operation
from heliograph.observation import Exchange, Link, Measurement, Observation

EXPERIMENT = "digest"
MOST = 512  # stretches of one digest; of more, hours are told in pairs, fours …
_WORDS = {1: "answers", 2: "fails", 3: "both"}


def stretches(told: Measurement) -> list[Measurement]:
    """`told` itself when there is nothing in it to unfold."""
    digest = told.digest
    if digest is None or told.experiment != EXPERIMENT:
        return [told]
    width, step_s = len(digest.classes), digest.step_s
    spans = [digest.lives[at : at + width] for at in range(0, len(digest.lives), width)]
    while len(list(groupby(spans))) > MOST:
        spans, step_s = list(_paired(spans)), 2 * step_s
    found, at = [], 0
    for lives, alike in groupby(spans):
        count = len(list(alike))
        found.append(_stretch(told, digest.classes, lives, at * step_s, count * step_s))
        at += count
    return found


def _stretch(
    told: Measurement, classes: tuple[str, ...], lives: bytes, after_s: int, length_s: int
) -> Measurement:
    said = {name: _WORDS[life] for name, life in zip(classes, lives, strict=True) if life}
    return replace(
        told,
        started_us=told.started_us + after_s * 1_000_000,
        monotonic_us=told.monotonic_us + after_s * 1_000_000,
        runtime_us=length_s * 1_000_000,
        link=_link(said),
        digest=None,
        observations=tuple(
            Observation(
                operation=Operation.EXCHANGE,
                started_us=0,
                duration_us=0,
                endpoint=name,
                exchange=Exchange(protocol=EXPERIMENT, reply=word),
            )
            for name, word in said.items()
        ),
    )


def _link(said: dict[str, str]) -> Link:
    """In doubt unknown."""
    foreign, domestic, names = (said.get(name, "") for name in ("foreign", "domestic", "dns"))
    if foreign == "answers":
        return Link.NO_RESOLVER if names == "fails" else Link.ONLINE
    if foreign == "fails" and domestic == "answers":
        return Link.DOMESTIC_ONLY
    dead = foreign == domestic == names == "fails"
    return Link.OFFLINE if dead else Link.UNKNOWN


def _paired(spans: list[bytes]) -> Iterator[bytes]:
    for index in range(0, len(spans), 2):
        pair = spans[index : index + 2]
        yield bytes(a | b for a, b in zip(pair[0], pair[-1], strict=True))
