"""Decoding of journal rows to measurements and presence; pure.

A round of light checks becomes one measurement for each of its services, so that each is judged,
stored and judged again by itself, as checks that came alone are. Messages that cannot be decoded
are kept as failures.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from google.protobuf.message import DecodeError

from heliograph.codec import CodecError, decode_round, epoch_from_pb
from heliograph.envelope import EnvelopeError, decompress_batch
from heliograph.failure import Operation
from heliograph.observation import Epoch, Exchange, Link, Measurement, Observation
from heliograph.v1 import envelope_pb2, intake_pb2, observation_pb2
from heliograph_collector.model.records import (
    DecodeFailure,
    JournalRow,
    PresenceRow,
    ReceivedMeasurement,
    RowKind,
    Vantage,
    effective_time_us,
)
from heliograph_collector.store.pseudonyms import Pseudonyms

EXPERIMENT = "digest"
MAX_REPORTS = 512  # reports per digest; a longer digest merges steps in pairs, fours …
_STATE_WORDS = {1: "answers", 2: "fails", 3: "both"}


def unfold_digest(measurement: Measurement) -> list[Measurement]:
    """Split a digest into one measurement per run of equal states; keep all others."""
    digest = measurement.digest
    if digest is None or measurement.experiment != EXPERIMENT:
        return [measurement]
    width = len(digest.classes)  # bytes of a step, one for each class
    step_s = digest.step_s
    steps = [digest.lives[at : at + width] for at in range(0, len(digest.lives), width)]
    while len(list(groupby(steps))) > MAX_REPORTS:
        steps = list(_merge_pairs(steps))
        step_s = 2 * step_s
    reports = []
    step_index = 0
    for states, equal_steps in groupby(steps):
        count = len(list(equal_steps))
        reports.append(
            _build_report(measurement, digest.classes, states, step_index * step_s, count * step_s)
        )
        step_index += count
    return reports


def _build_report(
    measurement: Measurement, classes: tuple[str, ...], states: bytes, after_s: int, length_s: int
) -> Measurement:
    state_by_class = {
        name: _STATE_WORDS[state] for name, state in zip(classes, states, strict=True) if state
    }
    return replace(
        measurement,
        started_us=measurement.started_us + after_s * 1_000_000,
        monotonic_us=measurement.monotonic_us + after_s * 1_000_000,
        runtime_us=length_s * 1_000_000,
        link=derive_link(state_by_class),
        digest=None,
        observations=build_exchanges(EXPERIMENT, state_by_class),
    )


def build_exchanges(protocol: str, state_by_class: Mapping[str, str]) -> tuple[Observation, ...]:
    """Build one exchange for each class of services, whose reply is the state."""
    return tuple(
        Observation(
            operation=Operation.EXCHANGE,
            started_us=0,
            duration_us=0,
            endpoint=name,
            exchange=Exchange(protocol=protocol, reply=reply),
        )
        for name, reply in state_by_class.items()
    )


def derive_link(state_by_class: Mapping[str, str]) -> Link:
    """Derive the link from states as agents do by anchors, or unknown in doubt."""
    foreign, domestic, name_lookup = (
        state_by_class.get(name, "") for name in ("foreign", "domestic", "dns")
    )
    if foreign == "answers":
        return Link.NO_RESOLVER if name_lookup == "fails" else Link.ONLINE
    if foreign == "fails" and domestic == "answers":
        return Link.DOMESTIC_ONLY
    is_offline = foreign == domestic == name_lookup == "fails"
    return Link.OFFLINE if is_offline else Link.UNKNOWN


def _merge_pairs(steps: list[bytes]) -> Iterator[bytes]:
    for index in range(0, len(steps), 2):
        pair = steps[index : index + 2]
        yield bytes(a | b for a, b in zip(pair[0], pair[-1], strict=True))


_PART_STRIDE = 1 << 16  # above every index in a batch: tells apart what one message holds
_UNKNOWN_EPOCH = Epoch(id="", started_us=0)


@dataclass(slots=True)
class DecodedRows:
    """Decoded content of journal rows."""

    records: list[ReceivedMeasurement] = field(default_factory=list)
    presence: list[PresenceRow] = field(default_factory=list)
    failures: list[DecodeFailure] = field(default_factory=list)
    bodies: dict[str, bytes] = field(default_factory=dict)  # by id: see `Block.bodies`


def read_rows(rows: Iterable[JournalRow], pseudonyms: Pseudonyms) -> DecodedRows:
    """Decode rows; invalid messages of agents go to `failures` and never raise."""
    decoded = DecodedRows()
    for row in rows:
        if row.kind is RowKind.ENVELOPE:
            _decode_envelope(row, pseudonyms, decoded)
        else:
            decoded.presence.append(_build_presence(row, pseudonyms))
    return decoded


def _list_bodies(
    message: observation_pb2.Measurement, parts: Sequence[observation_pb2.Measurement]
) -> list[bytes]:
    """List the bodies of a measurement's parts.

    A digest has none, because its reports are made here. Certificates have a separate table, and
    fields that this version does not know are not stored.
    """
    if message.HasField("digest"):
        return []
    bodies = []
    for whole in parts:
        whole.ClearField("certificates")
        whole.DiscardUnknownFields()
        bodies.append(whole.SerializeToString())
    return bodies


def _name_part(row: JournalRow, index: int, part: int, pseudonyms: Pseudonyms) -> str:
    return pseudonyms.measurement(row.agent, row.sequence, index + part * _PART_STRIDE)


def _decode_envelope(row: JournalRow, pseudonyms: Pseudonyms, decoded: DecodedRows) -> None:
    try:
        batch = decompress_batch(row.body)
    except EnvelopeError as error:
        decoded.failures.append(_build_failure(row, -1, error.reason, row.body))
        return
    vantages = _decode_vantages(row, batch)
    undeclared = Vantage.from_peer(row.country, row.asn, _UNKNOWN_EPOCH)
    is_unfolded = False
    for index, message in enumerate(batch.measurements):
        try:
            measurement, parts = decode_round(message)
            vantage = vantages.get(measurement.epoch, undeclared)
            reports = list(measurement.list_parts())
            # This unfolds one digest per batch, which is all that agents send.
            if measurement.digest is not None and not is_unfolded:
                reports = unfold_digest(measurement)
                is_unfolded = len(reports) > 1
            names = [_name_part(row, index, part, pseudonyms) for part in range(len(reports))]
            decoded.records += [
                _build_record(row, name, report, vantage, pseudonyms, batch.agent_version)
                for name, report in zip(names, reports, strict=True)
            ]
            decoded.bodies.update(zip(names, _list_bodies(message, parts), strict=False))
        except CodecError as error:
            body = message.SerializeToString()
            decoded.failures.append(_build_failure(row, index, str(error)[:200], body))


def _build_record(
    row: JournalRow,
    identity: str,
    measurement: Measurement,
    vantage: Vantage,
    pseudonyms: Pseudonyms,
    edition: str,
) -> ReceivedMeasurement:
    effective_us = effective_time_us(measurement, row.received_us)
    return ReceivedMeasurement(
        id=identity,
        position=row.position,
        received_us=row.received_us,
        pseudonym=pseudonyms.vantage(row.agent, vantage.country, vantage.asn, effective_us),
        prefix=row.line_at(effective_us),
        role=row.role,
        vantage=vantage,
        measurement=measurement,
        seniority=row.seniority_at(effective_us),
        reporter=pseudonyms.reporter(row.agent, row.received_us),
        edition=edition[:64],
    )


def _build_presence(row: JournalRow, pseudonyms: Pseudonyms) -> PresenceRow:
    """Build a presence row, whose body is the session's Hello.

    Without a readable Hello the vantage is known only by its address.
    """
    is_own_row = row.kind in (RowKind.START, RowKind.FAULT)
    hello = intake_pb2.Hello()
    if not is_own_row:
        with contextlib.suppress(DecodeError):
            hello = intake_pb2.Hello.FromString(row.body)
    vantage = Vantage.from_peer(row.country, row.asn, hello)
    pseudonym = pseudonyms.vantage(row.agent, vantage.country, vantage.asn, row.received_us)
    return PresenceRow(
        kind=row.kind,
        position=row.position,
        received_us=row.received_us,
        vantage=vantage,
        pseudonym="" if is_own_row else pseudonym,
        prefix=row.prefix,
        role=row.role,
        heard_us=row.heard_us,
        reason=_parse_fault_reason(row.body) if row.kind is RowKind.FAULT else "",
        seniority=row.seniority_at(row.received_us),
    )


def _parse_fault_reason(body: bytes) -> str:
    """Parse the reason of a collector fault, "" for another version's format."""
    try:
        fault = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return str(fault.get("why", ""))[:32] if isinstance(fault, dict) else ""


def _decode_vantages(row: JournalRow, batch: envelope_pb2.Batch) -> dict[str, Vantage]:
    """Decode the vantage of each epoch.

    Measurements of an invalid epoch have no declared vantage.
    """
    vantages: dict[str, Vantage] = {}
    for message in batch.epochs:
        with contextlib.suppress(CodecError):
            epoch = epoch_from_pb(message)
            vantages[epoch.id] = Vantage.from_peer(row.country, row.asn, epoch)
    return vantages


def _build_failure(row: JournalRow, index: int, reason: str, body: bytes) -> DecodeFailure:
    return DecodeFailure(
        position=row.position, index=index, received_us=row.received_us, reason=reason, body=body
    )
