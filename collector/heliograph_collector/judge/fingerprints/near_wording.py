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


def list_key_words(listed_words: Sequence[str]) -> frozenset[str]:
    """List words of which a page has one at least, if it has enough of all."""
    distinct = sorted(set(listed_words), key=len, reverse=True)
    return frozenset(distinct[: len(listed_words) - _count_needed(listed_words) + 1])


def has_near_words(listed_words: Sequence[str], page_words: Sequence[str]) -> bool:
    """Return whether some stretch of the page has enough of the words in their order."""
    needed = _count_needed(listed_words)
    page_word_set = set(page_words)
    if sum(listed_word in page_word_set for listed_word in listed_words) < needed:
        return False
    first_words = set(listed_words[: len(listed_words) - needed + 1])
    span = len(listed_words) + len(listed_words) // SLACK
    return any(
        _count_common(listed_words, page_words[start : start + span]) >= needed
        for start in range(len(page_words) - needed + 1)
        if page_words[start] in first_words
    )


def _count_needed(listed_words: Sequence[str]) -> int:
    return math.ceil(SHARE * len(listed_words))


def _count_common(listed_words: Sequence[str], others: Sequence[str]) -> int:
    """Count the words of the longest common subsequence."""
    row = [0] * (len(others) + 1)
    for listed_word in listed_words:
        diagonal = 0
        for column, other in enumerate(others, 1):
            above = row[column]
            row[column] = diagonal + 1 if listed_word == other else max(above, row[column - 1])
            diagonal = above
    return row[-1]
