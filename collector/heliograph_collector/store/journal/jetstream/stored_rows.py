"""Rows of the journal as messages: their subjects, their bytes, and back."""

from typing import NamedTuple

import msgspec

from heliograph_collector.model.records import AgentRole, JournalRow, RowKind
from heliograph_collector.store.journal.group_commit import JournalError

RECEIVED = "Heliograph-Received"  # header with the row's time, for those who read headers alone
TOKEN_BYTES = 12  # no two of the 10^10 rows of a month are the same in 1 of 10^9 months


class StoredRow(msgspec.Struct, frozen=True, array_like=True):
    """One message. Fields are added at the end, with a default."""

    token: bytes  # of the attempt to append it: distinguishes our message from an earlier one
    kind: str
    agent: bytes
    sequence: int
    received_us: int
    country: str
    asn: int
    prefix: str
    role: str
    carrier: str
    heard_us: int
    since_s: int
    body: bytes
    closed_us: int = 0


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(StoredRow)


class Subjects(NamedTuple):
    """The subjects of one journal's stream."""

    name: str

    @property
    def envelopes(self) -> str:
        return f"{self.name}.envelope.*.*.*"

    @property
    def presence(self) -> str:
        return f"{self.name}.presence.*"

    def envelope(self, agent: bytes, sequence: int) -> str:
        """Return an envelope's subject, which the servers accept once.

        Its second word is the partition, the first byte of the agent's id: an id is a hash.
        """
        digits = agent.hex()
        return f"{self.name}.envelope.{digits[:2]}.{digits}.{sequence}"

    def of_row(self, row: JournalRow, token: bytes) -> str:
        if row.kind is RowKind.ENVELOPE:
            return self.envelope(row.agent, row.sequence)
        return f"{self.name}.presence.{token.hex()}"


def parse_envelope_subject(subject: str) -> tuple[bytes, int]:
    """Return agent and sequence of an envelope's subject. Raises ValueError."""
    *_, digits, sequence = subject.rsplit(".", 2)
    return bytes.fromhex(digits), int(sequence)


def encode_row(row: JournalRow, token: bytes) -> bytes:
    return _ENCODER.encode(
        StoredRow(
            token=token,
            kind=row.kind.value,
            agent=row.agent,
            sequence=row.sequence,
            received_us=row.received_us,
            country=row.country,
            asn=row.asn,
            prefix=row.prefix,
            role=row.role.value,
            carrier=row.carrier,
            heard_us=row.heard_us,
            since_s=row.since_s,
            body=row.body,
            closed_us=row.closed_us,
        )
    )


def decode_message(position: int, payload: bytes | None) -> StoredRow:
    """Decode a message of the stream. Raises JournalError."""
    try:
        return _DECODER.decode(payload or b"")
    except msgspec.MsgspecError as error:
        raise JournalError(
            f"Message {position} of the journal's stream is no row of a journal: "
            "let nobody else write to its subjects."
        ) from error


def build_row(position: int, stored: StoredRow) -> JournalRow:
    """Build the row of a message. Raises JournalError."""
    try:
        kind = RowKind(stored.kind)
        role = AgentRole(stored.role)
    except ValueError as error:
        raise JournalError(
            f"Message {position} of the journal is of a later version: update this collector."
        ) from error
    return JournalRow(
        kind=kind,
        agent=stored.agent,
        sequence=stored.sequence,
        received_us=stored.received_us,
        country=stored.country,
        asn=stored.asn,
        prefix=stored.prefix,
        role=role,
        carrier=stored.carrier,
        body=stored.body,
        position=position,
        heard_us=stored.heard_us,
        since_s=stored.since_s,
        closed_us=stored.closed_us,
    )
