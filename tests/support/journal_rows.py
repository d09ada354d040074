"""Presence signals as rows that intake would write, and envelopes of offline time."""

import hashlib
import json

from heliograph.units import SECOND_US
from heliograph.v1 import envelope_pb2
from heliograph.v1 import observation_pb2 as opb
from heliograph.v1.intake_pb2 import Hello
from heliograph.zstd_frame import compress_frame
from heliograph_collector.model.records import JournalRow, RowKind, Vantage
from heliograph_collector.model.signals import (
    Fault,
    Goodbye,
    VantageArrival,
    VantageLoss,
    VantageRef,
)

SECRET = b"s" * 32
COLLECTOR = bytes(16)


def agent(nym: str) -> bytes:
    return hashlib.sha256(nym.encode()).digest()[:16]


def place_of(vantage: VantageRef) -> Vantage:
    where = vantage.place
    return Vantage(country=where.country, region=where.region, asn=where.asn, access=where.access)


def hello(witness: VantageRef | None, boot: str = "b") -> bytes:
    place = witness.place if witness else None
    return Hello(
        region=place.region if place else "", access=place.access if place else "", boot=boot
    ).SerializeToString()


def arrival(signal: VantageArrival, position: int = 0, boot: str = "b") -> JournalRow:
    witness = signal.witness
    return JournalRow(
        kind=RowKind.ARRIVAL, agent=agent(witness.nym), received_us=signal.at_us,
        country=witness.place.country, asn=witness.place.asn, prefix=witness.prefix,
        since_s=witness.first_us // SECOND_US, body=hello(witness, boot), position=position,
    )  # fmt: skip


def row_of(signal: object, position: int = 0) -> JournalRow:
    """Return the journal row of a signal; for a restart, that of a collector's start."""
    if isinstance(signal, VantageArrival):
        return arrival(signal, position)
    if isinstance(signal, Goodbye):
        kind, heard_us, closed_us = RowKind.GOODBYE, 0, 0
    elif isinstance(signal, VantageLoss):
        kind, heard_us, closed_us = RowKind.LOST, signal.heard_us, signal.closed_us
    else:
        assert isinstance(signal, Fault)
        return fault(signal, position)
    return JournalRow(
        kind=kind, agent=agent(signal.nym), received_us=signal.at_us, heard_us=heard_us,
        body=hello(None), position=position, closed_us=closed_us,
    )  # fmt: skip


def fault(signal: Fault, position: int = 0) -> JournalRow:
    said = {"why": signal.why, "country": signal.country, "carrier": signal.carrier}
    return JournalRow(
        kind=RowKind.START if signal.why == "restart" else RowKind.FAULT, agent=COLLECTOR,
        received_us=signal.until_us, heard_us=signal.at_us, body=json.dumps(said).encode(),
        position=position,
    )  # fmt: skip


def upload(nym: str, at_us: int, made_us: list[int], position: int = 0) -> JournalRow:
    batch = envelope_pb2.Batch(measurements=[opb.Measurement(started_us=us) for us in made_us])
    return JournalRow(
        kind=RowKind.ENVELOPE, agent=agent(nym), received_us=at_us, country="KZ",
        body=compress_frame(batch.SerializeToString()), sequence=position,
        position=position,
    )  # fmt: skip


def bare_envelope(agent: bytes, sequence: int, received_us: int | None = None) -> JournalRow:
    """Return an envelope without real content; by default its time is its number."""
    return JournalRow(
        kind=RowKind.ENVELOPE, agent=agent, sequence=sequence, body=b"body",
        received_us=sequence if received_us is None else received_us,
    )  # fmt: skip
