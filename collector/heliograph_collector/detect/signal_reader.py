"""Signal reader: journal rows as signals, verdicts as votes, both in order. Pure.

The pseudonym of a vantage in presence signals stays the same for months. It is stored only in
memory and in the checkpoints of the data directory.
"""

import hashlib
import hmac
import json
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

from google.protobuf.message import DecodeError

from heliograph.plan import ANCHORS
from heliograph.units import SECOND_US
from heliograph.v1.intake_pb2 import Hello
from heliograph_collector.detect.link_readings import (
    FRESH_US,
    EnvelopeReadings,
    Gap,
    LinkReading,
    is_here,
    read_link_vote,
    read_links,
    report_gap,
)
from heliograph_collector.detect.returned_links import find_answer_us, read_link_tests
from heliograph_collector.detect.silence.vantage_presence import MARGIN_US, UPLOAD_WAIT_US
from heliograph_collector.model.line_names import read_day
from heliograph_collector.model.records import (
    LIGHT_CHECK,
    UNPLACED,
    AgentRole,
    JournalRow,
    JudgedMeasurement,
    ReceivedMeasurement,
    RowKind,
    StoredVote,
    Vantage,
    Verdict,
    VerdictState,
)
from heliograph_collector.model.seniority import latest_enrollment_us
from heliograph_collector.model.signals import (
    LIGHT_SOURCE,
    DetectorSignal,
    Fault,
    FaultReason,
    Goodbye,
    OfflineReport,
    ServiceVote,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
    VoteValue,
    derive_vote_value,
)

SLOW_METHODS = ("throttled", "frozen")  # methods that let a few bytes through

_PURPOSE = b"detect"
_DEFAULT_SILENCE_US = int(37.5 * SECOND_US)  # 2.5 heartbeats, if a loss has no last heartbeat
# An agent that only posts has no heartbeat, but a batch every half minute; assumed.
_POST_US = 300 * SECOND_US
_MAX_MARGIN_US = 60 * SECOND_US  # of a hello with a longer silence; polls come every 25 s
_MAX_READINGS = 16  # kept of each agent's early ones, those of anchors (one a round) first
_BESIDE_SESSIONS = frozenset({"bundle", "session"})  # an agent with a session may use these


@dataclass(slots=True)
class SignalReader:
    """A reader of journal rows that keeps the silence of each vantage."""

    secret: bytes  # key of the pseudonyms
    gaps: dict[str, Gap] = field(default_factory=dict)
    returns: deque[tuple[int, str]] = field(default_factory=deque)  # (time, pseudonym), in order
    post_only: dict[str, int] = field(default_factory=dict)  # last post of agents that only post
    # by agents whose session may have ended unnoticed; the newest of each, the oldest first
    early: dict[str, EnvelopeReadings] = field(default_factory=dict)
    anchors_us: int = 0  # when hosts abroad last answered a control

    def read_row(self, row: JournalRow, pseudonym: str) -> Iterator[DetectorSignal]:
        """Yield the signals of a row, after those that became due before it.

        Args:
            row: The next row of the journal.
            pseudonym: That of the row's agent (`derive_pseudonym`).
        """
        yield from self._expire_returns(row.received_us)
        yield from self._expire_post_only(row.received_us)
        self._expire_early(row.received_us)
        if row.kind is RowKind.START:
            is_takeover = row.carrier == FaultReason.TAKEOVER
            reason = FaultReason.TAKEOVER if is_takeover else FaultReason.RESTART
            yield Fault(row.heard_us or row.received_us, row.received_us, reason)
        elif row.kind is RowKind.FAULT:
            yield from _parse_fault(row)
        elif row.role is AgentRole.VOLUNTEER:
            yield from self._read_vantage(pseudonym, row)
        elif row.role is AgentRole.CONTROL:
            if row.kind is RowKind.ENVELOPE:
                self.anchors_us = max(self.anchors_us, find_answer_us(row))
            yield from _read_control(pseudonym, row)
        elif row.kind is not RowKind.ENVELOPE:
            # It may have counted before: what does not count is neither present nor silent.
            self.gaps.pop(pseudonym, None)
            self.post_only.pop(pseudonym, None)
            self.early.pop(pseudonym, None)
            yield Goodbye(row.received_us, pseudonym)

    def take_over(self, other: "SignalReader", now_us: int) -> None:
        """Continue another reader's silences, none of which begins after now."""
        for pseudonym, gap in other.gaps.items():
            if gap.back_us == 0:
                self.gaps[pseudonym] = replace(gap, since_us=min(gap.since_us, now_us))
        self.post_only.update(dict.fromkeys(other.post_only, now_us))

    def derive_pseudonym(self, agent: bytes) -> str:
        """Return the pseudonym of an agent, 16 hex digits."""
        return hmac.digest(self.secret, _PURPOSE + agent, hashlib.sha256)[:8].hex()

    def _read_vantage(self, pseudonym: str, row: JournalRow) -> Iterator[DetectorSignal]:
        if row.kind is RowKind.ENVELOPE:
            yield from self._read_envelope(pseudonym, row)
            return
        self.post_only.pop(pseudonym, None)
        early = self.early.pop(pseudonym, None)
        if row.kind is RowKind.GOODBYE:
            self.gaps.pop(pseudonym, None)
            yield Goodbye(row.received_us, pseudonym)
        elif row.kind is RowKind.LOST:
            heard_us = row.heard_us or row.received_us - _DEFAULT_SILENCE_US
            witness = _vantage_ref(pseudonym, row)
            hello = _parse_hello(row)
            margin_us = min(max(MARGIN_US, hello.poll_s * SECOND_US), _MAX_MARGIN_US)
            self.gaps[pseudonym] = Gap(heard_us, hello.boot, witness=witness, margin_us=margin_us)
            yield VantageLoss(
                row.received_us,
                pseudonym,
                heard_us,
                hello.on_battery if hello.HasField("on_battery") else None,
                _dated_name(row.prefix),
                row.closed_us,
            )
            if early is not None:
                yield from self._read_early(pseudonym, early, row.received_us)
        elif row.kind is RowKind.ARRIVAL:
            yield from self._read_arrival(pseudonym, row)

    def _read_arrival(self, pseudonym: str, row: JournalRow) -> Iterator[DetectorSignal]:
        gap = self.gaps.get(pseudonym)
        hello = _parse_hello(row)
        if gap is not None and gap.back_us == 0:
            self._mark_returned(pseudonym, gap, row.received_us)
            boot = hello.boot
            gap.rebooted = bool(gap.boot and boot) and gap.boot != boot
        elif gap is not None and _is_told(gap, row.received_us):
            del self.gaps[pseudonym]  # it was back by post, and has a session now
        is_same_boot = gap is not None and bool(gap.boot) and gap.boot == hello.boot
        witness = _vantage_ref(pseudonym, row)
        if witness is None:  # no vote, because it is in no known country
            yield Goodbye(row.received_us, pseudonym)
        else:
            yield VantageArrival(
                row.received_us,
                witness,
                hello.on_battery if hello.HasField("on_battery") else None,
                hello.uptime_s if hello.HasField("uptime_s") else None,
                hello.agent_version,
                is_same_boot,
            )

    def _mark_returned(self, pseudonym: str, gap: Gap, at_us: int) -> None:
        gap.back_us = at_us
        self.returns.append((at_us, pseudonym))

    def _read_envelope(self, pseudonym: str, row: JournalRow) -> Iterator[DetectorSignal]:
        """Yield an arrival if an agent without a session posts fresh measurements.

        An agent whose session is blocked but that still uploads is not silent.
        """
        gap = self.gaps.get(pseudonym)
        is_post_only = pseudonym in self.post_only
        if gap is None and not is_post_only:
            self._keep_early(pseudonym, row)
            return
        at_us = row.received_us
        readings = list(read_links(row))
        is_away = gap is not None and gap.back_us == 0
        if (is_away or is_post_only) and is_here(row.carrier, readings, at_us):
            yield from self._note_post(pseudonym, row.carrier, at_us)
        if gap is not None:
            envelope = EnvelopeReadings(at_us, row.carrier, readings)
            yield from report_gap(pseudonym, gap, envelope)
            yield from read_link_tests(pseudonym, gap, envelope, self.anchors_us)
            if gap.back_us and not is_post_only and _is_told(gap, at_us):
                del self.gaps[pseudonym]  # it was isolated until now

    def _keep_early(self, pseudonym: str, row: JournalRow) -> None:
        """Store an envelope sent without a session, as a loss may not be noticed yet."""
        if row.carrier in _BESIDE_SESSIONS:
            return
        since_us = row.received_us - FRESH_US
        earlier = self.early.pop(pseudonym, None)  # keeps the order
        every = (*(earlier.readings if earlier else ()), *read_links(row))
        fresh = sorted((r for r in every if r.at_us >= since_us), key=_tells_nothing)
        if fresh:
            self.early[pseudonym] = EnvelopeReadings(
                row.received_us, row.carrier, fresh[:_MAX_READINGS]
            )

    def _read_early(
        self, pseudonym: str, early: EnvelopeReadings, now_us: int
    ) -> Iterator[DetectorSignal]:
        """Yield what an agent reported between its last heartbeat and its noticed loss.

        No margin is needed, because an agent uses another way only when its session has ended.
        """
        gap = self.gaps[pseudonym]
        if early.at_us <= gap.since_us:
            return
        yield from report_gap(pseudonym, gap, replace(early, at_us=now_us), margin_us=0)
        if is_here(early.carrier, early.readings, now_us):
            yield from self._note_post(pseudonym, early.carrier, now_us)

    def _note_post(self, pseudonym: str, carrier: str, at_us: int) -> Iterator[VantageArrival]:
        """Note a fresh post; yield the arrival of an agent that was lost."""
        self.post_only.pop(pseudonym, None)  # keeps the order: the oldest post comes first
        self.post_only[pseudonym] = at_us
        gap = self.gaps.get(pseudonym)
        if gap is not None and gap.back_us == 0 and gap.witness is not None:
            self._mark_returned(pseudonym, gap, at_us)
            yield VantageArrival(at_us, replace(gap.witness, carrier=carrier))

    def _expire_early(self, now_us: int) -> None:
        while self.early and now_us - next(iter(self.early.values())).at_us >= FRESH_US:
            del self.early[next(iter(self.early))]

    def _expire_post_only(self, now_us: int) -> Iterator[DetectorSignal]:
        """Yield losses of agents that only posted and stopped."""
        while self.post_only and now_us - next(iter(self.post_only.values())) >= _POST_US:
            pseudonym = next(iter(self.post_only))
            posted_us = self.post_only.pop(pseudonym)
            gap = self.gaps.get(pseudonym)
            if gap is not None:  # it may post again
                self.gaps[pseudonym] = Gap(posted_us, gap.boot, witness=gap.witness)
            yield VantageLoss(now_us, pseudonym, posted_us)

    def _expire_returns(self, now_us: int) -> Iterator[DetectorSignal]:
        """Yield a reboot for returned agents that uploaded nothing in time."""
        while self.returns and now_us - self.returns[0][0] >= UPLOAD_WAIT_US:
            back_us, pseudonym = self.returns.popleft()
            gap = self.gaps.get(pseudonym)
            if gap is not None and gap.back_us == back_us:
                if pseudonym not in self.post_only and not gap.is_isolated:
                    del self.gaps[pseudonym]
                if gap.rebooted and not gap.is_told:
                    yield OfflineReport(
                        back_us + UPLOAD_WAIT_US, pseudonym, gap.since_us, back_us, alive=False
                    )


def _is_told(gap: Gap, now_us: int) -> bool:
    """Return whether nothing more is expected of a silence that is over."""
    return now_us - gap.back_us > UPLOAD_WAIT_US and not gap.is_isolated


def _parse_fault(row: JournalRow) -> Iterator[DetectorSignal]:
    """Yield the fault of a row; skip malformed bodies and unknown reasons."""
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        content = json.loads(row.body)
        reason = FaultReason(content.get("why", ""))
        country = str(content.get("country", ""))
        carrier = str(content.get("carrier", ""))
        until_us = int(content.get("until_us", row.received_us))
        yield Fault(row.heard_us or row.received_us, until_us, reason, country, carrier)


def _read_control(pseudonym: str, row: JournalRow) -> Iterator[DetectorSignal]:
    """Yield the session of a control whose address is in a known country.

    One without may be beside the collector, whatever country it declares, and shows as little of
    the way to an entrance as our own connection to it would.
    """
    witness = None if row.country == UNPLACED else _vantage_ref(pseudonym, row)
    if row.kind is RowKind.LOST:
        yield VantageLoss(row.received_us, pseudonym, row.heard_us)
    elif row.kind is RowKind.ARRIVAL and witness is not None:
        yield VantageArrival(row.received_us, witness, is_control=True)
    elif row.kind is not RowKind.ENVELOPE:
        yield Goodbye(row.received_us, pseudonym)


def _tells_nothing(reading: LinkReading) -> bool:
    return reading.is_online is None


def _vantage_ref(pseudonym: str, row: JournalRow) -> VantageRef | None:
    """Build the vantage of an arrival or a loss; None if its country is unknown."""
    vantage = Vantage.from_peer(row.country, row.asn, _parse_hello(row))
    if vantage.country == UNPLACED:
        return None
    seniority = row.seniority_at(row.received_us)
    first_us = row.since_s * SECOND_US or latest_enrollment_us(seniority, row.received_us)
    carrier = row.carrier or "session"
    return VantageRef(pseudonym, row.prefix, _location(vantage), first_us, carrier)


def _dated_name(prefix: str) -> str:
    """Return a line's name if it contains its day, else "".

    Earlier versions wrote the arrival's name, without a day, to a loss.
    """
    return prefix if read_day(prefix) else ""


def _parse_hello(row: JournalRow) -> Hello:
    with suppress(DecodeError):
        return Hello.FromString(row.body)
    return Hello()


def read_votes(
    judged: Iterable[JudgedMeasurement], services: Collection[str] | None = None
) -> Iterator[ServiceVote]:
    """Yield votes of whole-target verdicts by volunteers, in order.

    Measurements without a country, of a service that is not in `services` (None: any), or with an
    impossible time, have no vote: a measurement may name any text, and an incident repeats it.
    """
    for measurement, verdicts in judged:
        overall = next((v for v in verdicts if v.endpoint in ("", LIGHT_CHECK)), None)
        is_listed = services is None or measurement.measurement.service in services
        if overall and is_listed and _has_vote(measurement):
            yield _service_vote(measurement, overall)


def read_stored_votes(stored_votes: Iterable[StoredVote], service: str) -> Iterator[ServiceVote]:
    """Yield votes of stored verdicts, in their order."""
    for stored in stored_votes:
        first_us = latest_enrollment_us(stored.seniority, stored.started_us)
        vantage = VantageRef(stored.pseudonym, stored.prefix, _location(stored.vantage), first_us)
        yield ServiceVote(
            stored.started_us,
            vantage,
            service,
            _vote_value(stored),
            stored.layer,
            stored.method,
            LIGHT_SOURCE if stored.endpoint == LIGHT_CHECK else "",
            stored.function,
        )


def _has_vote(measurement: ReceivedMeasurement) -> bool:
    return (
        measurement.role is AgentRole.VOLUNTEER
        and measurement.vantage.country != UNPLACED
        and bool(measurement.measurement.service)
        and not measurement.is_time_bad
        and measurement.seniority.has_vote
    )


def _service_vote(measurement: ReceivedMeasurement, overall: Verdict) -> ServiceVote:
    at_us = min(measurement.started_us, measurement.received_us)
    first_us = latest_enrollment_us(measurement.seniority, at_us)
    location = _location(measurement.vantage)
    experiment = measurement.measurement.experiment
    return ServiceVote(
        at_us,
        VantageRef(measurement.pseudonym, measurement.prefix, location, first_us),
        measurement.measurement.service,
        read_link_vote(overall) if experiment == ANCHORS else _vote_value(overall),
        overall.layer,
        overall.method,
        experiment + LIGHT_SOURCE * measurement.measurement.is_light,
        overall.function,
        measurement.measurement.trigger,
        measurement.edition,
    )


def _vote_value(verdict: Verdict | StoredVote) -> VoteValue:
    if verdict.state is VerdictState.BLOCKED and verdict.method in SLOW_METHODS:
        return VoteValue.THROTTLED
    return derive_vote_value(
        verdict.state, reachable=verdict.reachable_endpoints, endpoints=verdict.endpoints
    )


def _location(vantage: Vantage) -> VantageLocation:
    access = "" if vantage.access == "unknown" else vantage.access
    return VantageLocation(vantage.country, vantage.region, vantage.asn, access)
