"""Signatures of known pages and certificates, each entry with its source.

`block_pages.yml` lists block pages, `false_positives.yml` pages that only resemble them,
`refusals.yml` pages that refuse access to a name that is gone, and `interceptors.yml` issuers of
local software and middleboxes. README.md describes how to add an entry.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from heliograph.observation import Http

SCOPES = ("national", "provider")  # of a block page
KINDS = ("challenge", "parked", "edge_error", "filter", "consent")  # of a similar page
REFUSAL = "refusal"
FIELDS: Mapping[str, Callable[[Http], str]] = {
    "title": lambda http: http.title.lower(),
    "text": lambda http: http.text.lower(),
    "location": lambda http: http.location.lower(),
    "server": lambda http: http.server.lower(),
}


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
        return all(_contains_any(FIELDS[field](http), any_of) for field, any_of in self.phrases)


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
    return tuple(_parse_signature(file, entry) for entry in _read_entries(file))


@cache
def _load_interceptors() -> tuple[tuple[str, tuple[str, ...]], ...]:
    entries = _read_entries("interceptors.yml")
    return tuple((str(entry["id"]), _parse_phrases(entry["issuer"])) for entry in entries)


def _parse_signature(file: str, entry: Mapping[str, Any]) -> Signature:
    allowed = {"id", "kind", "source", "status", "headers", *FIELDS}
    location = f"{file}, {entry.get('id', '?')}"
    if unknown := set(entry) - allowed:
        raise SignatureError(f"{location}: unknown keys {', '.join(sorted(unknown))}")
    if entry.get("kind") not in (*SCOPES, *KINDS, REFUSAL) or not entry.get("source"):
        raise SignatureError(f"{location}: it needs a kind of {SCOPES + KINDS} and a source")
    phrases = tuple((f, _parse_phrases(entry[f])) for f in FIELDS if f in entry)
    if not (phrases or entry.get("headers") or entry.get("status")):
        raise SignatureError(f"{location}: nothing to know it by")
    return Signature(
        id=str(entry["id"]),
        kind=str(entry["kind"]),
        source=str(entry["source"]),
        phrases=phrases,
        status=tuple(int(code) for code in entry.get("status", ())),
        headers=tuple(str(name).lower() for name in entry.get("headers", ())),
    )


def _parse_phrases(value: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(phrase.lower() for phrase in ([value] if isinstance(value, str) else value))


def _read_entries(file: str) -> Sequence[Mapping[str, Any]]:
    import yaml

    yaml_text = resources.files(__name__).joinpath(file).read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = yaml.safe_load(yaml_text)
    return entries
