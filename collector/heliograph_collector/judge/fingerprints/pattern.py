"""Compile patterns: full, prefix, contains, and safe regular expressions.

A regular expression is cut at each `.*` into pieces, which must occur in this order. A piece has no
repetition, so the time is linear in the page; a list cannot stall the judge.

Example:
    pattern = compile_pattern(PatternType.REGEXP, r"URL .* Sp.*er Gate")
    pattern.find_in(normalize_markup(page))
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from heliograph_collector.judge.fingerprints.page_text import extract_words, normalize_markup

MAX_PATTERN = 4096  # characters; the longest pattern of OONI's list has 800
MIN_WORDS = 25  # assumed: characters of text that identify a page without the tags around them
_FILE_ENDINGS = frozenset(
    (
        "asp",
        "aspx",
        "cgi",
        "css",
        "gif",
        "htm",
        "html",
        "jpeg",
        "jpg",
        "js",
        "jsp",
        "php",
        "png",
        "xml",
    )
)
_ADDRESS = re.compile(
    r"(?:http:)?(?://)?(?P<host>\.?[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?P<end>[a-z]{2,}|\d{1,3}))"
    r"(?:[:/?]\S*)?"
)
_TITLE = re.compile(r"<title>([^<>]+)</title>")
_GAP = re.compile(r"(?<!\\)\.[*+]")
_QUANTIFIER = re.compile(r"\{\d+(?:,\d*)?\}")
_PIECE = re.compile(r"\\[ds]|\\\W|[^\\()\[\]|?*+^$]")
_BEFORE_HOST = re.compile(r"[a-z0-9-]")
_AFTER_HOST = re.compile(r"[a-z0-9-]|\.[a-z0-9]")


class PatternError(ValueError):
    """Error in a pattern; the message names the fault and the cure."""


class PatternType(StrEnum):
    """Kind of comparison, as in OONI's column `pattern_type`."""

    FULL = "full"
    PREFIX = "prefix"
    CONTAINS = "contains"
    REGEXP = "regexp"


@dataclass(frozen=True)
class Pattern:
    """Pattern in normal form, as in page_text.py."""

    type: PatternType
    literal: str
    pieces: tuple[re.Pattern[str], ...] = ()  # of a regular expression

    def find_in(self, value: str) -> bool:
        """Return whether the normalized value has the pattern."""
        if self.pieces:
            return self._find_pieces(value)
        if self.type is PatternType.FULL:
            return value == self.literal
        if self.type is PatternType.PREFIX:
            return value.startswith(self.literal)
        return self._has_literal(value)

    @cached_property
    def host(self) -> str:
        """Return the host if the pattern is an address of a page, else ""."""
        match = None if self.pieces else _ADDRESS.fullmatch(self.literal)
        return match["host"] if match and match["end"] not in _FILE_ENDINGS else ""

    @cached_property
    def title(self) -> str:
        """Return the words of the title, if the pattern is a whole title."""
        match = _TITLE.fullmatch(self.literal)
        return extract_words(match[1]) if match else ""

    @cached_property
    def words(self) -> str:
        """Return its words, without tags and punctuation."""
        return extract_words(self.literal)

    @cached_property
    def identifying_words(self) -> str:
        """Return words that identify the page in its visible text, "" if there are none."""
        if self.pieces or self.host or self.title:
            return ""
        has_markup = "<" in self.literal or '="' in self.literal
        return "" if has_markup and len(self.words) < MIN_WORDS else self.words

    @cached_property
    def required_word(self) -> str:
        """Return a word that every page with the pattern has, "" if none is certain.

        The first and the last word of a pattern may be parts of longer ones.
        """
        words = (self.identifying_words or self.title or self.words).split()
        inner_words = () if self.pieces else words[1:-1]
        return max(inner_words, key=len, default="")

    def _find_pieces(self, value: str) -> bool:
        at = 0
        for piece in self.pieces:
            match = piece.search(value, at)
            if match is None:
                return False
            at = match.end()
        return True

    def _has_literal(self, value: str) -> bool:
        """Return whether the text occurs, and is no part of a longer number or host."""
        at = value.find(self.literal)
        while at >= 0:
            if self._stands_alone(value, at):
                return True
            at = value.find(self.literal, at + 1)
        return False

    def _stands_alone(self, value: str, at: int) -> bool:
        end = at + len(self.literal)
        if self.literal[-1].isdigit() and value[end : end + 1].isdigit():
            return False  # of another address, counter or article
        if not self.host:
            return True
        starts = self.literal[0] in "./" or not _BEFORE_HOST.match(value[at - 1 : at])
        return starts and not (self.literal.endswith(self.host) and _AFTER_HOST.match(value, end))


def compile_pattern(type_: PatternType, pattern: str) -> Pattern:
    """Compile a pattern. Raises PatternError."""
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"it has more than {MAX_PATTERN} characters; shorten it")
    literal = normalize_markup(pattern)
    if not literal:
        raise PatternError("it is empty; give the text that the page has")
    pieces = _compile_pieces(literal) if type_ is PatternType.REGEXP else ()
    return Pattern(type_, literal, pieces)


def _compile_pieces(expression: str) -> tuple[re.Pattern[str], ...]:
    pieces = tuple(_compile_piece(piece) for piece in _GAP.split(expression) if piece)
    if not pieces:
        raise PatternError("it matches every page; give the text that the page has")
    return pieces


def _compile_piece(piece: str) -> re.Pattern[str]:
    tokens = []
    end = 0
    while end < len(piece):
        token = None if _QUANTIFIER.match(piece, end) else _PIECE.match(piece, end)
        if token is None:
            raise PatternError(
                f"{piece[end]!r} is not supported in a regexp; only literals, `.`, `.*`, `\\d`, "
                "`\\s` and escaped signs are, so that no page can stall the judge"
            )
        is_literal = token[0][0] not in ".\\"
        tokens.append(re.escape(token[0]) if is_literal else token[0])
        end = token.end()
    return re.compile("".join(tokens))
