"""Documents of other projects' results, published beside our own cells."""

from msgspec import Struct

from heliograph_collector.model.published.fields import Timestamp


class ImportSourceDocument(Struct, frozen=True, kw_only=True):
    """The project that measured, and the terms of its data."""

    id: str
    name: str
    origin: str
    license: str
    license_url: str


class ImportedCellDocument(Struct, frozen=True, kw_only=True):
    """One day of a source's results on a target in a network, judged by our rules."""

    source: str
    country: str
    asn: int
    test_name: str
    target: str
    start: Timestamp
    reachable: int
    partial: int
    blocked: int
    down: int
    unknown: int
    newest: Timestamp
    lag_s: int  # age of the newest measurement when it was imported


class ImportedDocument(Struct, frozen=True, kw_only=True):
    """Results of other projects that the operator imported; none of them is a vote."""

    since: Timestamp
    until: Timestamp
    sources: tuple[ImportSourceDocument, ...]
    cells: tuple[ImportedCellDocument, ...]
    complete: bool
