"""Summarize by the hour which kinds of service answered an offline agent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from heliograph.clock import Clock
from heliograph.codec.measurement import MAX_SPANS
from heliograph.observation import Digest, Epoch, Link, Measurement
from heliograph.units import HOUR_S
from heliograph.voice_code import CLASSES, ServiceState
from heliograph_agent.runtime.service_status import ServiceStates

EXPERIMENT = "digest"
VERSION = 1
MAX_DOUBLINGS = 6  # doublings of the span to fit a small envelope
OfflineDigests = tuple[Sequence[Measurement], Epoch]  # the finest first
_STATE_CODE = {ServiceState.ANSWERS: 1, ServiceState.FAILS: 2, ServiceState.UNKNOWN: 0}


@dataclass(slots=True)
class OfflineDigest:
    """Record hourly which kinds of service answered since the last delivery. Pure.

    The digest is sent first when a transport opens, in one small envelope, long before the results
    themselves are delivered. It is kept in memory alone, and on the disk only sealed.
    """

    clock: Clock
    boot: str
    _began_us: int | None = None  # monotonic
    _step_s: int = HOUR_S
    _spans: list[bytearray] = field(default_factory=list)

    def add_states(self, service_states: ServiceStates) -> None:
        """Add the states of some classes from a new measurement."""
        now_us = self.clock.monotonic_us()
        if self._began_us is None:
            self._began_us = now_us
        while (now_us - self._began_us) // (self._step_s * 1_000_000) >= MAX_SPANS:
            self._spans = _merge_pairs(self._spans)
            self._step_s = self._step_s * 2
        index = max(0, now_us - self._began_us) // (self._step_s * 1_000_000)
        while len(self._spans) <= index:
            self._spans.append(bytearray(len(CLASSES)))
        for name, (state, _) in service_states.items():
            self._spans[index][CLASSES.index(name)] |= _STATE_CODE[ServiceState(state)]

    def reset(self) -> None:
        """Start a new offline period, because everything was delivered."""
        self._began_us = None
        self._step_s = HOUR_S
        self._spans = []

    @property
    def is_worth_sending(self) -> bool:
        """Return whether the digest covers more than the present hour."""
        return len(self._spans) > 1

    def build_digests(self, epoch: Epoch, link: Link) -> Iterator[Measurement]:
        """Yield digests of the whole time, each with spans twice as long as the last."""
        step_s = self._step_s
        spans = self._spans
        for _ in range(MAX_DOUBLINGS if spans else 0):
            yield self._build_digest(step_s, spans, epoch, link)
            step_s = step_s * 2
            spans = _merge_pairs(spans)

    def _build_digest(
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


def _merge_pairs(spans: list[bytearray]) -> list[bytearray]:
    pairs = (spans[index : index + 2] for index in range(0, len(spans), 2))
    return [bytearray(a | b for a, b in zip(pair[0], pair[-1], strict=True)) for pair in pairs]
