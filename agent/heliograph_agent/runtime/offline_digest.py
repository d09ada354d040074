"""Which kinds of service lived, hour by hour, since somebody last took our results. Pure.

It is told first when a way opens, in one small envelope, long before the results themselves are
through. Kept in memory alone, and on the disk only sealed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from heliograph.clock import Clock
from heliograph.observation import Digest, Epoch, Link, Measurement
from heliograph.voice_code import CLASSES, Life
from heliograph_agent.runtime.service_status import Lives

EXPERIMENT, VERSION = "digest", 1
HOUR_S = 3_600
MOST_SPANS = 4_096
COARSER = 6  # times that spans may be doubled to fit a small envelope
_SAID = {Life.ANSWERS: 1, Life.FAILS: 2, Life.UNKNOWN: 0}


@dataclass(slots=True)
class Darkness:
    clock: Clock
    boot: str
    _began_us: int | None = None  # monotonic
    _step_s: int = HOUR_S
    _spans: list[bytearray] = field(default_factory=list)

    def saw(self, lives: Lives) -> None:
        """What a measurement said of some classes, now."""
        now_us = self.clock.monotonic_us()
        if self._began_us is None:
            self._began_us = now_us
        while (now_us - self._began_us) // (self._step_s * 1_000_000) >= MOST_SPANS:
            self._step_s, self._spans = self._step_s * 2, _paired(self._spans)
        index = max(0, now_us - self._began_us) // (self._step_s * 1_000_000)
        while len(self._spans) <= index:
            self._spans.append(bytearray(len(CLASSES)))
        for name, (life, _) in lives.items():
            self._spans[index][CLASSES.index(name)] |= _SAID[Life(life)]

    def over(self) -> None:
        """All was taken: what follows is another time."""
        self._began_us, self._step_s, self._spans = None, HOUR_S, []

    @property
    def worth_telling(self) -> bool:
        """Whether there is more than the present hour to tell of."""
        return len(self._spans) > 1

    def tellings(self, epoch: Epoch, link: Link) -> Iterator[Measurement]:
        """The whole time, by the hour, and then by ever longer spans. Empty before there is one."""
        step_s, spans = self._step_s, self._spans
        for _ in range(COARSER if spans else 0):
            yield self._telling(step_s, spans, epoch, link)
            step_s, spans = step_s * 2, _paired(spans)

    def _telling(
        self, step_s: int, spans: list[bytearray], epoch: Epoch, link: Link
    ) -> Measurement:
        now_us = self.clock.monotonic_us()
        began_us = now_us if self._began_us is None else self._began_us
        return Measurement(
            experiment=EXPERIMENT,
            experiment_version=VERSION,
            target="",
            started_us=self.clock.wall_us() - (now_us - began_us),  # as the clock is set now
            monotonic_us=began_us,
            boot=self.boot,
            runtime_us=now_us - began_us,
            epoch=epoch.id,
            link=link,
            digest=Digest(step_s=step_s, classes=CLASSES, lives=b"".join(spans)),
        )


def _paired(spans: list[bytearray]) -> list[bytearray]:
    """Each two as one."""
    joined = []
    for index in range(0, len(spans), 2):
        pair = spans[index : index + 2]
        joined.append(bytearray(a | b for a, b in zip(pair[0], pair[-1], strict=True)))
    return joined
