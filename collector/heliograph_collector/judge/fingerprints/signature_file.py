"""Reader of our own YAML lists, in which an entry may have several conditions."""

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from heliograph_collector.judge.fingerprints.fingerprint import (
    Condition,
    Fingerprint,
    FingerprintScope,
    Surface,
)
from heliograph_collector.judge.fingerprints.pattern import (
    Pattern,
    PatternError,
    PatternType,
    compile_pattern,
)

Phrases = str | tuple[str, ...]
KindOfPage = Literal["challenge", "parked", "edge_error", "filter", "consent", "portal", "site"]


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry; a field with several phrases holds if one of them occurs."""

    id: str
    scope: FingerprintScope
    source: Annotated[str, msgspec.Meta(min_length=1)]
    kind: KindOfPage | Literal[""] = ""
    countries: tuple[str, ...] = ()
    date: str = ""
    title: Phrases = ()
    text: Phrases = ()
    location: Phrases = ()
    server: Phrases = ()
    issuer: Phrases = ()
    words: tuple[tuple[str, ...], ...] = ()  # groups; each has a phrase of the visible text
    without: tuple[str, ...] = ()  # phrases of which the visible text has none
    max_words: int = 0
    redirect_word: tuple[str, ...] = ()
    redirect_label: tuple[str, ...] = ()
    redirect_end: tuple[str, ...] = ()
    status: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()

    def to_fingerprint(self) -> Fingerprint:
        fields = (
            (Surface.TITLE, self.title),
            (Surface.BODY, self.text),
            (Surface.LOCATION, self.location),
            (Surface.SERVER, self.server),
            (Surface.ISSUER, self.issuer),
            (Surface.REDIRECT_WORD, self.redirect_word),
            (Surface.REDIRECT_LABEL, self.redirect_label),
            (Surface.REDIRECT_END, self.redirect_end),
            *((Surface.WORDS, group) for group in self.words),
        )
        conditions = tuple(
            Condition(surface, tuple(_compile_phrases(phrases)))
            for surface, phrases in fields
            if phrases
        )
        if not (conditions or self.headers or self.status):
            raise PatternError(f"{self.id}: nothing to recognize it by; add a phrase")
        return Fingerprint(
            name=self.id,
            scope=self.scope,
            conditions=conditions,
            kind_of_page=self.kind,
            countries=self.countries,
            source=self.source,
            date=self.date,
            status=self.status,
            max_words=self.max_words,
            without=tuple(_compile_phrases(self.without)),
            headers=tuple(name.lower() for name in self.headers),
        )


def read_signatures(content: bytes) -> tuple[Fingerprint, ...]:
    """Read YAML entries. Raises msgspec.ValidationError, msgspec.DecodeError, PatternError."""
    entries = msgspec.yaml.decode(content, type=tuple[_Entry, ...])
    return tuple(entry.to_fingerprint() for entry in entries)


def _compile_phrases(phrases: Phrases) -> Iterable[Pattern]:
    for phrase in (phrases,) if isinstance(phrases, str) else phrases:
        yield compile_pattern(PatternType.CONTAINS, phrase)
