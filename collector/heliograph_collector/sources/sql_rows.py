"""Rows of SQL's INSERT, as databases dump tables.

OONI's pipeline keeps the rows that its detector is tested with in this form. Only names of columns
and literals are read: nothing is executed.
"""

import re
from collections.abc import Iterator

_COMMENTS = re.compile(r"\s*(?:--[^\n]*\n\s*)*")
_BEGIN = re.compile(r"INSERT\s+INTO\s+[\w.`\"]+\s*\(([^)]*)\)\s*VALUES", re.I)
_TOKEN = re.compile(r"'((?:[^'\\]|\\.|'')*)'|([(),])|([^\s(),';]+)")
_ESCAPE = re.compile(r"\\(.)|''")


def is_insert(text: str) -> bool:
    comments = _COMMENTS.match(text)
    return _BEGIN.match(text, comments.end() if comments else 0) is not None


def read_inserts(text: str) -> Iterator[list[str]]:
    """Yield the names of the columns, then each row; NULL is an empty cell.

    Further statements of the same table add their rows.
    """
    starts = list(_BEGIN.finditer(text))
    for index, start in enumerate(starts):
        if index == 0:
            yield [name.strip(' `"\n') for name in start[1].split(",")]
        end = starts[index + 1].start() if index + 1 < len(starts) else len(text)
        yield from _read_rows(text, start.end(), end)


def _read_rows(text: str, begin: int, end: int) -> Iterator[list[str]]:
    row: list[str] | None = None
    for token in _TOKEN.finditer(text, begin, end):
        quoted, mark, literal = token.groups()
        if mark == "(":
            row = []
        elif mark == ")" and row is not None:
            yield row
            row = None
        elif row is not None and quoted is not None:
            row.append(_ESCAPE.sub(lambda match: match[1] or "'", quoted))
        elif row is not None and literal is not None:
            row.append("" if literal.upper() == "NULL" else literal)
