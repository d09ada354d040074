"""From journal rows to measurements: decode, place, and put aside what makes no sense. Pure."""

import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from heliograph.codec import CodecError, epoch_from_pb, measurement_from_pb
from heliograph.envelope import EnvelopeError, decompress
from heliograph.observation import Epoch, Measurement
from heliograph.v1 import envelope_pb2, intake_pb2
from heliograph.v1 import observation_pb2 as opb
from heliograph_collector.model.records import (
    JournalRow,
    Kind,
    Presence,
    Refused,
    Taken,
    Vantage,
    counted_us,
    is_established,
)
from heliograph_collector.store.journal.digests import stretches
from heliograph_collector.store.pseudonyms import Pseudonyms

_PARTS = 1 << 16  # above every index of a batch: ids of what one of its measurements unfolds into
_NOWHERE = Epoch(id="", started_us=0)


@dataclass(slots=True)
class Read:
    """What some journal rows came to."""

    taken: list[Taken] = field(default_factory=list)
    presence: list[Presence] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def read_rows(rows: Iterable[JournalRow], names: Pseudonyms) -> Read:
    """Never raises on what an agent sent: it ends up in `refused`, with the reason."""
    read = Read()
    for row in rows:
        if row.kind is Kind.ENVELOPE:
            _envelope(row, names, read)
        else:
            read.presence.append(_presence(row, names))
    return read


def _envelope(row: JournalRow, names: Pseudonyms, read: Read) -> None:
    try:
        batch = decompress(row.body)
    except EnvelopeError as error:
        read.refused.append(_refused(row, -1, error.reason, row.body))
        return
    epochs = _epochs(batch)
    unfolded = False
    for index, message in enumerate(batch.measurements):
        try:
            measurement = measurement_from_pb(message)
            epoch = epochs.get(measurement.epoch, _NOWHERE)
            told = [measurement] if unfolded else stretches(measurement)
            unfolded = unfolded or len(told) > 1  # one of a batch, which is all that agents send
            for part, one in enumerate(told):
                read.taken.append(_taken(row, index + part * _PARTS, one, epoch, names))
        except CodecError as error:
            body = message.SerializeToString()
            read.refused.append(_refused(row, index, str(error)[:200], body))


def _taken(
    row: JournalRow, index: int, measurement: Measurement, epoch: Epoch, names: Pseudonyms
) -> Taken:
    place = Vantage.of(row.country, row.asn, epoch)
    at_us = counted_us(measurement, row.received_us)
    return Taken(
        id=names.measurement(row.agent, row.sequence, index),
        position=row.position,
        received_us=row.received_us,
        nym=names.vantage(row.agent, place.country, place.asn, at_us),
        prefix=row.prefix,
        role=row.role,
        vantage=place,
        measurement=measurement,
        established=is_established(row.since_s, at_us),
    )


def _presence(row: JournalRow, names: Pseudonyms) -> Presence:
    """The body is the session's Hello; without a readable one the place is less well known."""
    ours = row.kind in (Kind.START, Kind.FAULT)
    hello = intake_pb2.Hello()
    if not ours:
        with contextlib.suppress(DecodeError):
            hello = intake_pb2.Hello.FromString(row.body)
    place = Vantage.of(row.country, row.asn, hello)
    nym = names.vantage(row.agent, place.country, place.asn, row.received_us)
    return Presence(
        kind=row.kind,
        position=row.position,
        received_us=row.received_us,
        vantage=place,
        nym="" if ours else nym,
        prefix=row.prefix,
        role=row.role,
        heard_us=row.heard_us,
        why=_why(row.body) if row.kind is Kind.FAULT else "",
    )


def _why(body: bytes) -> str:
    """ "" when a fault of a collector before or after us says it otherwise."""
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    return str(said.get("why", ""))[:32] if isinstance(said, dict) else ""


def _epochs(batch: envelope_pb2.Batch) -> dict[str, Epoch]:
    epochs: dict[str, Epoch] = {}
    for message in batch.epochs:
        epoch = _epoch(message)
        if epoch is not None:
            epochs[epoch.id] = epoch
    return epochs


def _epoch(message: opb.Epoch) -> Epoch | None:
    """None when it is not ours: its measurements then have no declared place."""
    try:
        return epoch_from_pb(message)
    except CodecError:
        return None


def _refused(row: JournalRow, index: int, reason: str, body: bytes) -> Refused:
    return Refused(
        position=row.position, index=index, received_us=row.received_us, reason=reason, body=body
    )
