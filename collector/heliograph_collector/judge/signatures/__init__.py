"""Signatures of known pages and certificates, each entry with its source.

`block_pages.yml` lists block pages, `false_positives.yml` pages that only resemble them,
`refusals.yml` pages that refuse access to a name that is gone, and `interceptors.yml` issuers of
local software and middleboxes. README.md describes how to add an entry.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Annotated, Literal

import msgspec

from heliograph.observation import Http

Kind = Literal["national", "provider"]  # of a block page
LookAlike = Literal["challenge", "parked", "edge_error", "filter", "consent"]  # of a similar page
Phrases = str | tuple[str, ...]


class SignatureError(ValueError):
    """Error in a data file; the message names the file and the entry."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Signature that matches by status, headers and phrases.

    Every named field must contain one of its phrases.
    """

    id: str
    kind: str
    source: str
    phrases: tuple[tuple[str, tuple[str, ...]], ...] = ()  # field, phrases of which it contains one
    status: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()  # names, all of which are present

    def matches(self, http: Http) -> bool:
        if self.status and http.status not in self.status:
            return False
        if not set(self.headers) <= set(http.header_names):
            return False
        return all(
            _contains_any(getattr(http, field).lower(), any_of) for field, any_of in self.phrases
        )


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of a data file; a field with several phrases holds if one of them occurs."""

    id: str
    kind: Kind | LookAlike | Literal["refusal"]
    source: Annotated[str, msgspec.Meta(min_length=1)]
    title: Phrases = ()
    text: Phrases = ()
    location: Phrases = ()
    server: Phrases = ()
    status: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()

    def to_signature(self) -> Signature:
        values = ((name, getattr(self, name)) for name in ("title", "text", "location", "server"))
        phrases = tuple((name, _parse_phrases(value)) for name, value in values if value)
        if not (phrases or self.headers or self.status):
            raise SignatureError(f"{self.id}: nothing to recognize it by")
        headers = tuple(name.lower() for name in self.headers)
        return Signature(self.id, self.kind, self.source, phrases, self.status, headers)


class _Interceptor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    issuer: Phrases
    source: str


def match_block_page(http: Http) -> Signature | None:
    """Return the signature of the known block page, or None."""
    return next((s for s in _load_signatures("block_pages.yml") if s.matches(http)), None)


def match_look_alike(http: Http) -> Signature | None:
    """Return the signature of a known harmless page, or None; its `kind` is in KINDS."""
    return next((s for s in _load_signatures("false_positives.yml") if s.matches(http)), None)


def is_refusal(http: Http) -> bool:
    """Return whether the page refuses access in terms that no search page uses."""
    if match_look_alike(http) is not None:
        return False
    pages = (*_load_signatures("block_pages.yml"), *_load_signatures("refusals.yml"))
    return any(s.matches(http) for s in pages)


def find_interceptor(issuer: str) -> str:
    """Return the local software or middlebox with this issuer, "" when it is none."""
    issuer_name = issuer.lower()
    return next(
        (id_ for id_, phrases in _load_interceptors() if _contains_any(issuer_name, phrases)), ""
    )


def _contains_any(value: str, phrases: Iterable[str]) -> bool:
    return any(phrase in value for phrase in phrases)


@cache
def _load_signatures(file: str) -> tuple[Signature, ...]:
    entries = msgspec.yaml.decode(_read_data(file), type=tuple[_Entry, ...])
    return tuple(entry.to_signature() for entry in entries)


@cache
def _load_interceptors() -> tuple[tuple[str, tuple[str, ...]], ...]:
    entries = msgspec.yaml.decode(_read_data("interceptors.yml"), type=tuple[_Interceptor, ...])
    return tuple((entry.id, _parse_phrases(entry.issuer)) for entry in entries)


def _parse_phrases(value: Phrases) -> tuple[str, ...]:
    return tuple(phrase.lower() for phrase in ([value] if isinstance(value, str) else value))


def _read_data(file: str) -> bytes:
    return resources.files(__name__).joinpath(file).read_bytes()
