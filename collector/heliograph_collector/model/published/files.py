"""Daily files, health and refusals, as published."""

from typing import Annotated

from msgspec import Meta, Struct

from heliograph_collector.model.published.fields import Day, HexHash, License, Timestamp

Positive = Annotated[int, Meta(ge=1)]


class DumpFile(Struct, frozen=True, kw_only=True):
    """One daily file in the folder's index."""

    name: str
    day: Day
    revision: Positive
    rows: Positive
    bytes: Positive
    sha256: HexHash
    written: Timestamp


class DumpFileDocument(DumpFile, frozen=True, kw_only=True):
    """One daily file, with its path."""

    url: str


class DumpsDocument(Struct, frozen=True, kw_only=True):
    """The daily files, newest day first."""

    dictionary: str
    k_anonymity: int
    license: License
    files: tuple[DumpFileDocument, ...]


class ColumnDescription(Struct, frozen=True):
    """One column of the daily files."""

    name: str
    type: str
    unit: str
    meaning: str


class DictionaryDocument(Struct, frozen=True, kw_only=True):
    """The content of the daily files, for people and programs."""

    title: str
    about: str
    revisions: str
    schema: int
    row: Annotated[tuple[str, ...], Meta(description="The columns that identify a row.")]
    columns: tuple[ColumnDescription, ...]
    k_anonymity: int
    license: License


class ProblemDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A refusal (RFC 9457) that names the wrong parameter and the allowed values."""

    type: str
    title: str
    status: int
    detail: str
    parameter: str = ""
    allowed: str = ""


class AliveDocument(Struct, frozen=True):
    """The process answers."""

    alive: bool


class ReadyDocument(Struct, frozen=True):
    """Readiness to serve readers and agents, else the reasons."""

    ready: bool
    problems: tuple[str, ...]
