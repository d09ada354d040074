"""Read the state of an agent's link at the times of its measurements."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from heliograph.envelope import EnvelopeError, decompress_batch
from heliograph.failure import Failure, Operation
from heliograph.observation import Link, Trigger
from heliograph.units import MINUTE_US, SECOND_US
from heliograph.v1.observation_pb2 import Digest, Measurement, Observation
from heliograph_collector.detect.silence.vantage_presence import MARGIN_US
from heliograph_collector.model.records import JournalRow, Verdict
from heliograph_collector.model.signals import OfflineReport, VantageRef, VoteValue

_MINUTE_CARRIERS = frozenset({"code", "dns"})  # their reports name the minute, rounded down
# From the loss of a session until its agent has another one: its report comes within 30 s (agent's
# `WORD_S`), and a loss that takes longer than 37.5 s is noticed.
_REPORT_US = 60 * SECOND_US
# These carriers prove nothing about the link of the agent that measured.
_RELAYED_CARRIERS = frozenset({"bundle", "code", "dns", "relay"})
FRESH_US = 120 * SECOND_US  # only a newer measurement shows that its agent is live; assumed
_FOREIGN = "foreign"  # the class of anchors abroad, and the start of their endpoints' names


class LinkReading(NamedTuple):
    """Start of a measurement, and whether foreign anchors answered; None if unknown."""

    at_us: int
    is_online: bool | None
    is_of_loss: bool = False  # made because a session broke
    anchors: int = 0  # anchors abroad that it tried


@dataclass(frozen=True, slots=True)
class EnvelopeReadings:
    """Readings of an agent's link in one envelope, perhaps of an unnoticed loss."""

    at_us: int
    carrier: str
    readings: list[LinkReading]


@dataclass(slots=True)
class Gap:
    """A silence of one vantage, until its offline report."""

    since_us: int  # last heard
    boot: str  # last boot id
    back_us: int = 0  # its return, 0 before
    rebooted: bool = False
    witness: VantageRef | None = None  # at the time of the loss
    margin_us: int = MARGIN_US  # how long it may have been there unheard: a heartbeat, or a poll
    is_told: bool = False  # that it was alive, after its return
    online: bool | None = None  # whether foreign anchors answered when it first tried them …
    measured_us: int = 0  # … at this time
    is_isolated: bool = False  # since its return no host abroad answers


def read_link_vote(verdict: Verdict) -> VoteValue:
    """Return a verdict on anchors as a vote on the link.

    The number of anchors that answer says nothing about the link.
    """
    is_isolated = verdict.method == VoteValue.ISOLATED
    return VoteValue.ISOLATED if is_isolated else VoteValue(verdict.state)


def read_links(row: JournalRow) -> Iterator[LinkReading]:
    """Yield the readings of the vantage's own link in an envelope's measurements."""
    try:
        batch = decompress_batch(row.body)
    except EnvelopeError:
        return
    for m in batch.measurements:
        at_us = m.started_us + m.clock_offset_us
        if row.carrier in _MINUTE_CARRIERS:
            at_us = min(at_us + MINUTE_US, row.received_us)
        if m.HasField("digest"):
            yield from _read_digest(m.digest, at_us)
        else:
            is_of_loss = m.trigger == Trigger.SESSION_LOST
            anchors = len({o.endpoint for o in m.observations if o.endpoint.startswith(_FOREIGN)})
            yield LinkReading(at_us, _read_link(m), is_of_loss, anchors)


def is_here(carrier: str, readings: Iterable[LinkReading], at_us: int) -> bool:
    """Return whether an agent without a session sent a fresh measurement itself."""
    is_posting = carrier not in _RELAYED_CARRIERS | {"session"}
    return is_posting and max((r.at_us for r in readings), default=0) >= at_us - FRESH_US


def report_lost_session(pseudonym: str, row: JournalRow, moved_us: int) -> Iterator[OfflineReport]:
    """Yield what an agent measured as its session broke, before it came another way.

    Its loss was not noticed, so that no row has it; but the measurement says why it was made.

    Args:
        moved_us: When it came by the other way.
    """
    if row.received_us - moved_us > _REPORT_US:
        return
    with suppress(EnvelopeError):
        for m in decompress_batch(row.body).measurements:
            at_us = m.started_us + m.clock_offset_us
            is_of_loss = m.trigger == Trigger.SESSION_LOST and moved_us - _REPORT_US <= at_us
            if is_of_loss and at_us <= moved_us:
                yield OfflineReport(
                    row.received_us,
                    pseudonym,
                    at_us,
                    moved_us,
                    alive=True,
                    online=_read_link(m),
                    measured_us=at_us,
                )
                return


def report_early_readings(
    pseudonym: str, envelope: EnvelopeReadings, moved_us: int
) -> Iterator[OfflineReport]:
    """Yield the report on a lost session that came before its agent's other session."""
    since_us = moved_us - _REPORT_US
    of_loss = [r for r in envelope.readings if r.is_of_loss and since_us <= r.at_us <= moved_us]
    if of_loss:
        first = min(of_loss, key=attrgetter("at_us"))
        yield OfflineReport(
            moved_us,
            pseudonym,
            first.at_us,
            moved_us,
            alive=True,
            online=first.is_online,
            carrier=envelope.carrier,
            measured_us=first.at_us,
        )


def report_gap(
    pseudonym: str, gap: Gap, envelope: EnvelopeReadings, *, margin_us: int | None = None
) -> Iterator[OfflineReport]:
    """Yield a vantage's measurements in its silence, if they are new.

    Before its return only anchors are news; later measurements never revise earlier ones.
    """
    until_us = gap.back_us - gap.margin_us if gap.back_us else envelope.at_us
    since_us = gap.since_us + (gap.margin_us if margin_us is None else margin_us)
    inside = [r for r in envelope.readings if since_us <= r.at_us <= until_us]
    first = min((r for r in inside if r.is_online is not None), default=None)
    is_earlier = first is not None and (gap.online is None or first.at_us < gap.measured_us)
    is_news = first is not None and is_earlier and first.is_online is not gap.online
    if first is not None and is_earlier:
        gap.online = first.is_online
        gap.measured_us = first.at_us
    if not inside or not (is_news or (gap.back_us and not gap.is_told)):
        return
    gap.is_told = gap.back_us > 0
    yield OfflineReport(
        envelope.at_us,
        pseudonym,
        gap.since_us,
        gap.back_us or max(r.at_us for r in inside),
        alive=True,
        online=gap.online,
        carrier="" if envelope.carrier == "session" else envelope.carrier,
        measured_us=gap.measured_us,
    )


def _read_digest(digest: Digest, at_us: int) -> Iterator[LinkReading]:
    width = len(digest.classes)
    index = next((i for i, name in enumerate(digest.classes) if name == _FOREIGN), width)
    for span, state in enumerate(digest.lives[index::width] if index < width else b""):
        step_us = span * digest.step_s * SECOND_US
        yield LinkReading(at_us + step_us, {1: True, 2: False}.get(state))


def _read_link(m: Measurement) -> bool | None:
    """Return whether foreign anchors answered; None if the measurement shows neither.

    Only a certificate proves an anchor: a captive portal accepts every connection. A vantage whose
    link is offline already does not try them again.
    """
    if m.link in (Link.OFFLINE, Link.DOMESTIC_ONLY):
        return False
    steps = [o for o in m.observations if o.endpoint.startswith(_FOREIGN)]
    if any(o.exchange.reply == "answers" or _is_handshake(o) for o in steps):
        return True
    tries = [o for o in steps if o.operation != Operation.RESOLVE or o.failure]
    is_failing = all(o.failure or o.exchange.reply == "fails" for o in tries)
    is_whole = all(o.failure != Failure.INTERRUPTED for o in tries)
    return False if tries and is_failing and is_whole else None


def _is_handshake(step: Observation) -> bool:
    is_proof = step.operation in (Operation.TLS_HANDSHAKE, Operation.QUIC_HANDSHAKE)
    return is_proof and not step.failure
