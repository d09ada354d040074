"""Pages and certificates that are known by sight: data files, each entry with its provenance.

`block_pages.yml` says who blocks, `false_positives.yml` what only looks like it, `refusals.yml`
what counts in place of a name that is gone, and `interceptors.yml` which issuers are the vantage's
own house. README.md tells how to add one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from heliograph.observation import Http

SCOPES = ("national", "provider")  # of a page of blocking
KINDS = ("challenge", "parked", "edge_error", "filter", "consent")  # of what only looks like one
REFUSAL = "refusal"
FIELDS: Mapping[str, Callable[[Http], str]] = {
    "title": lambda http: http.title.lower(),
    "text": lambda http: http.text.lower(),
    "location": lambda http: http.location.lower(),
    "server": lambda http: http.server.lower(),
}


class SignatureError(ValueError):
    """A data file that makes no sense; the text names the file and the entry."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Holds when every field named has one of its phrases, and the status is among `status`."""

    id: str
    kind: str
    source: str
    phrases: tuple[tuple[str, tuple[str, ...]], ...] = ()  # field, any of these in it
    status: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()  # names, all of which are there

    def matches(self, http: Http) -> bool:
        if self.status and http.status not in self.status:
            return False
        if not set(self.headers) <= set(http.header_names):
            return False
        return all(_contains_any(FIELDS[field](http), any_of) for field, any_of in self.phrases)


def match_block_page(http: Http) -> Signature | None:
    """The page of blocking that this is, if it is a known one."""
    return next((s for s in _load_signatures("block_pages.yml") if s.matches(http)), None)


def match_look_alike(http: Http) -> Signature | None:
    """What this is instead of blocking, if it is known: its `kind` is one of KINDS."""
    return next((s for s in _load_signatures("false_positives.yml") if s.matches(http)), None)


def is_refusal(http: Http) -> bool:
    """Whether it turns the visitor away, in words that no offer of a search would use."""
    if match_look_alike(http) is not None:
        return False
    pages = (*_load_signatures("block_pages.yml"), *_load_signatures("refusals.yml"))
    return any(s.matches(http) for s in pages)


def find_interceptor(issuer: str) -> str:
    """The program or box of the vantage's own house that signs so, "" when it is none."""
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
