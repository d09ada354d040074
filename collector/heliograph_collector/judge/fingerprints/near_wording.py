"""Find most of a notice's words, nearby and in their order.

A notice changes a date, a name or a clause more often than all of its words.
"""

import math
from collections.abc import Sequence

MIN_WORDS = 8  # assumed: fewer words come together by chance
SHARE = 0.75  # of the words, in their order; assumed
# Beginnings of words for laws and courts, beside those of notices.yml; from the lines of countries.
LAW_WORDS = frozenset(
    ("закон", "указ", "фз", "legislation", "wetgeving", "republic act", "zakon", "súdu", "court")
)
SLACK = 4  # a quarter more words may stand between them; assumed


def list_key_words(words: Sequence[str]) -> frozenset[str]:
    """List words of which a page has one at least, if it has enough of all."""
    distinct = sorted(set(words), key=len, reverse=True)
    return frozenset(distinct[: len(words) - _count_needed(words) + 1])


def has_near_words(words: Sequence[str], page_words: Sequence[str]) -> bool:
    """Return whether some stretch of the page has enough of the words in their order."""
    needed = _count_needed(words)
    known = set(page_words)
    if sum(word in known for word in words) < needed:
        return False
    first_words = set(words[: len(words) - needed + 1])
    span = len(words) + len(words) // SLACK
    return any(
        _count_common(words, page_words[start : start + span]) >= needed
        for start in range(len(page_words) - needed + 1)
        if page_words[start] in first_words
    )


def _count_needed(words: Sequence[str]) -> int:
    return math.ceil(SHARE * len(words))


def _count_common(words: Sequence[str], others: Sequence[str]) -> int:
    """Count the words of the longest common subsequence."""
    row = [0] * (len(others) + 1)
    for word in words:
        diagonal = 0
        for place, other in enumerate(others, 1):
            above = row[place]
            row[place] = diagonal + 1 if word == other else max(above, row[place - 1])
            diagonal = above
    return row[-1]
