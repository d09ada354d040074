"""What is played: who takes part, and what befalls each of them when. Pure.

Seconds are counted from the story's beginning, which is when everybody is connected.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

How = Literal["cut", "away"]


@dataclass(frozen=True, slots=True)
class Silence:
    """cut: the connection hangs, nobody says a word. away: with a goodbye."""

    since_s: float
    until_s: float
    how: How = "cut"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Meanwhile a test of `service` fails, in `share` of the tests."""

    since_s: float
    until_s: float
    service: str
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Actor:
    """One virtual agent. `number` gives it its key; those with one `network` share a /24."""

    number: int
    country: str
    region: str = ""
    asn: int = 0
    access: str = "unknown"
    network: str = ""
    known_days: float = 60.0  # how long it has been enrolled, where that can be arranged
    control: bool = False
    silences: Sequence[Silence] = ()  # in order, none within another
    troubles: Sequence[Trouble] = ()


@dataclass(frozen=True, slots=True)
class Restart:
    """The collector is killed, and started again."""

    at_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class Cut:
    """What a detector should find."""

    at_s: float
    country: str
    label: str


@dataclass(frozen=True, slots=True)
class Story:
    name: str
    seconds: float
    actors: Sequence[Actor] = field(repr=False)
    cuts: Sequence[Cut] = ()
    restarts: Sequence[Restart] = ()
    services: Sequence[str] = ()  # tested by everybody
    measure_every_s: float = 60.0  # all of them; 0 for no measurements


def faster(story: Story, speed: float) -> Story:
    """The same in less time: every moment divided by `speed`."""
    return replace(
        story,
        seconds=story.seconds / speed,
        measure_every_s=story.measure_every_s / speed,
        cuts=[replace(cut, at_s=cut.at_s / speed) for cut in story.cuts],
        restarts=[Restart(r.at_s / speed, r.until_s / speed) for r in story.restarts],
        actors=[
            replace(
                actor,
                silences=[
                    replace(s, since_s=s.since_s / speed, until_s=s.until_s / speed)
                    for s in actor.silences
                ],
                troubles=[
                    replace(t, since_s=t.since_s / speed, until_s=t.until_s / speed)
                    for t in actor.troubles
                ],
            )
            for actor in story.actors
        ],
    )


def shares(counts: Sequence[int], total: int) -> list[int]:
    """`counts` scaled so that they add up to `total`: largest remainders first."""
    whole = sum(counts)
    exact = [count * total / whole for count in counts]
    found = [int(x) for x in exact]
    by_rest = sorted(range(len(counts)), key=lambda i: exact[i] - found[i], reverse=True)
    for i in by_rest[: total - sum(found)]:
        found[i] += 1
    return found
