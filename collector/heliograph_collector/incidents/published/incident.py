"""Documents of incidents and their histories; the signed log has the same scopes."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from heliograph_collector.model.published.annotation import AnnotationDocument
from heliograph_collector.model.published.fields import (
    Asn,
    Author,
    Confidence,
    CountBand,
    EntryNumber,
    HexHash,
    IncidentKindName,
    IncidentStateName,
    License,
    Timestamp,
)
from heliograph_collector.model.scope import Scope


class CellScope(Struct, frozen=True, kw_only=True):
    """A cell; an empty field matches every value."""

    country: str
    region: str
    asn: Asn
    access: str

    def to_scope(self) -> Scope:
        return Scope(self.country, self.region, self.asn, self.access)


class ServiceScope(CellScope, frozen=True, kw_only=True):
    """Narrowest cell with all parts, and the service; "" for a network silence."""

    service: str


class BracketDocument(Struct, frozen=True):
    """An event between two times."""

    earliest: Timestamp
    latest: Timestamp


class PartDocument(CellScope, frozen=True, kw_only=True, rename={"spared": "except"}):
    """A cell that is cut, or restored, with the unaffected cells in it."""

    votes: CountBand
    share: Confidence
    networks: Annotated[int, Meta(description="ASNs with an affected vantage.")]
    spared: tuple[CellScope, ...]


class TurnDocument(Struct, frozen=True, kw_only=True):
    """A part that was restored (opening), or cut later than the first or again."""

    way: Annotated[str, Meta(extra_json_schema={"enum": ["opening", "cut"]})]
    parts: tuple[PartDocument, ...]
    when: BracketDocument
    seen: Timestamp


class PhaseDocument(Struct, frozen=True, kw_only=True):
    """Dated step: a cell fell silent, came back (recovery), or got a new explanation."""

    kind: IncidentKindName
    scope: ServiceScope
    started: BracketDocument
    ended: Annotated[
        BracketDocument | None,
        Meta(description="Null: it lasts, or this is still the explanation."),
    ]
    confirmed_at: Annotated[Timestamp | None, Meta(description="Null: only suspected.")]


class OperatorNote(Struct, frozen=True, kw_only=True):
    """A public text of the operator, which is an entry of the log."""

    entry: EntryNumber
    at: Timestamp
    name: str
    text: str


class OperatorVerdict(OperatorNote, frozen=True, kw_only=True):
    """A confirmation or a withdrawal by the operator."""

    until: Annotated[int | None, Meta(description="The entry that ended it; null: in force.")]


class OperatorStatements(Struct, frozen=True, kw_only=True):
    """The operator's statements on an incident, each an entry of the log."""

    acknowledged: OperatorNote | None
    confirmed: OperatorVerdict | None
    withdrawn: OperatorVerdict | None
    notes: tuple[OperatorNote, ...]


class EvidenceRows(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """First and last row of the journal, and late rows with the time evaluated before."""

    first: int
    last: int
    late: tuple[tuple[int, Timestamp], ...] = ()


class EvidenceWindow(Struct, frozen=True, kw_only=True):
    """The time from which an entry was computed."""

    since: Timestamp
    until: Timestamp


class EvidenceDocument(Struct, frozen=True, kw_only=True):
    """The input that reproduces an entry, which its line in the log holds sealed."""

    entry: EntryNumber
    hash: HexHash
    window: EvidenceWindow
    versions: Annotated[dict[str, str], Meta(description="Of code and data, by name.")]


class AlertDocument(Struct, frozen=True, kw_only=True):
    """One entry of the log about an incident."""

    entry: EntryNumber
    by: Author
    name: Annotated[str, Meta(description="Of an operator who chose to be named.")]
    text: Annotated[str, Meta(description="The operator's public text.")]
    at: Timestamp
    change: str
    called: Annotated[bool, Meta(description="Subscribers were notified.")]


class IncidentLinks(Struct, frozen=True, kw_only=True, rename={"document": "self"}):
    """Paths of the incident's document, its page, and its newest entry in the log."""

    document: str
    page: str
    log: str


class IncidentSummary(Struct, frozen=True, kw_only=True):
    """An incident as of one entry of the log."""

    id: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
    kind: IncidentKindName
    label: str
    state: IncidentStateName
    detected: IncidentStateName
    confirmed_by: tuple[Author, ...]
    withdrawn_by: Annotated[str, Meta(extra_json_schema={"enum": ["", "detector", "operator"]})]
    operator: OperatorStatements | None
    scope: ServiceScope
    title: Annotated[str, Meta(description="Of the service; empty for a network silence.")]
    sentence: str
    started: BracketDocument
    ended: BracketDocument | None
    suspected: Timestamp
    confirmed: Timestamp | None
    closed: Timestamp | None
    layer: str
    method: str
    confidence: Confidence
    parts: tuple[PartDocument, ...]
    turns: tuple[TurnDocument, ...]
    phases: tuple[PhaseDocument, ...]
    hints: tuple[str, ...]
    held: tuple[str, ...]


class IncidentDocument(IncidentSummary, frozen=True, kw_only=True):
    """An incident with its history; the log does not prove `corroboration`."""

    evidence: tuple[EvidenceDocument, ...]
    alerts: tuple[AlertDocument, ...]
    updated: Timestamp
    links: IncidentLinks
    corroboration: tuple[AnnotationDocument, ...] | UnsetType = UNSET


class IncidentsDocument(Struct, frozen=True, kw_only=True):
    """A page of incidents, newest start first."""

    k_anonymity: int
    license: License
    incidents: tuple[IncidentDocument, ...]
    next: str | None
