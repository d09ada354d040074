"""The signed log: bodies of its entries, and its pages as published.

The bytes of a line are canonical JSON (`incidents/log_file.py`), so the order of fields is free
here, and a field that older lines lack needs a default.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from heliograph_collector.incidents.published.incident import (
    BracketDocument,
    CellScope,
    EvidenceRows,
    EvidenceWindow,
    PhaseDocument,
    ServiceScope,
)
from heliograph_collector.model.published.fields import Author, EntryNumber, HexHash, Timestamp


class CellRecord(CellScope, frozen=True, kw_only=True, rename={"spared": "except"}):
    """An affected cell with exact or coarse votes, and the unaffected cells in it."""

    votes: float
    share: float
    networks: int
    spared: tuple[CellScope, ...]


class PhaseRecord(Struct, frozen=True, kw_only=True):
    """A part that was restored (opening) or cut again."""

    way: str
    parts: tuple[CellRecord, ...]
    when: BracketDocument
    seen: Timestamp


class KindRecord(Struct, frozen=True, kw_only=True):
    """An explanation of the incident, and from when on it was held."""

    kind: str
    at: Timestamp


class IncidentRecord(Struct, frozen=True, kw_only=True):
    """An incident as the detector's entry holds it."""

    id: str
    kind: str
    label: str
    state: str
    scope: ServiceScope
    parts: tuple[CellRecord, ...]
    started: BracketDocument
    ended: BracketDocument | None
    suspected: Timestamp
    confirmed: Timestamp | None
    closed: Timestamp | None
    layer: str
    method: str
    confidence: float
    turns: tuple[PhaseRecord, ...]
    hints: tuple[str, ...]
    held: tuple[str, ...]
    kinds: tuple[KindRecord, ...] = ()  # in order, the first included; () if it never changed
    phases: tuple[PhaseDocument, ...] = ()


class IncidentReference(Struct, frozen=True):
    """The incident of an operator's entry."""

    id: str


class EntryReference(Struct, frozen=True):
    """An earlier entry, by number and hash."""

    entry: int
    hash: str


class DetectorBody(Struct, frozen=True, kw_only=True):
    """The body of a detector's entry."""

    at: Timestamp
    change: str
    alert: bool
    incident: IncidentRecord
    rows: EvidenceRows | UnsetType = UNSET
    window: EvidenceWindow
    versions: dict[str, str]
    sealed: Annotated[
        str | UnsetType,
        Meta(description="Journal rows and exact times, for the operator; base64."),
    ] = UNSET


class OperatorBody(Struct, frozen=True, kw_only=True):
    """The body of an operator's entry."""

    at: Timestamp
    by: Author
    change: str
    alert: bool
    incident: IncidentReference
    about: EntryReference
    name: str
    text: str


EntryBody = DetectorBody | OperatorBody


class LogEntryDocument(Struct, frozen=True, kw_only=True):
    """One line of the log."""

    format: Literal[1, 2]
    number: EntryNumber
    before: HexHash
    body: Annotated[
        Raw,
        Meta(
            extra_json_schema={
                "type": "object",
                "anyOf": [
                    {"$ref": "#/components/schemas/DetectorBody"},
                    {"$ref": "#/components/schemas/OperatorBody"},
                ],
            }
        ),
    ]
    signature: Annotated[str, Meta(description="Ed25519, base64.")]


class LogProof(Struct, frozen=True, kw_only=True):
    """The head of the log, which proves all entries, and the next page."""

    head: HexHash
    total: Annotated[int, Meta(ge=0)]
    public_key: Annotated[str, Meta(description="Ed25519, hex; empty without a detector.")]
    next: Annotated[int | None, Meta(description="`after` of the next page.")]


class LogDocument(LogProof, frozen=True, kw_only=True):
    """A page of the signed log; its lines are inserted byte for byte as signed."""

    entries: tuple[LogEntryDocument, ...]
