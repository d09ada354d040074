"""Names of networks' operators by AS number, in a file that `geo install` writes.

A line is a number, a tab and a name; lines are sorted by number. A lookup searches one text (3 MB
for the 91,000 networks of 2026), because a dictionary would take five times as much memory.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from pathlib import Path

from heliograph.durable_file import replace_file

_MAX_BYTES = 64 * 1_048_576
_MAX_NAME = 120  # characters


class NetworkNames:
    """Names by AS number; none without a file."""

    def __init__(self, text: str = "") -> None:
        """Read lines of a number, a tab and a name, sorted by number. Raises ValueError."""
        self._text = text
        self._folded = text.casefold()  # where letters may be more than before
        self._starts = _list_starts(text)
        self._folded_starts = _list_starts(self._folded)
        self._numbers = array("I", (int(self._line(i)[0]) for i in range(len(self._starts))))

    def name_network(self, asn: int) -> str:
        """Return the operator's name; "" for none."""
        index = bisect_left(self._numbers, asn)
        if index == len(self._numbers) or self._numbers[index] != asn:
            return ""
        return self._line(index)[2]

    def find_networks(self, text: str, limit: int) -> list[int]:
        """Find numbers of networks whose name contains a text.

        Names that begin with it come first.
        """
        folded = text.casefold()
        first = self._find_lines(f"\t{folded}", limit) if folded else []
        more = self._find_lines(folded, limit) if folded else []
        return list(dict.fromkeys([*first, *more]))[:limit]

    def _find_lines(self, folded: str, limit: int) -> list[int]:
        numbers: list[int] = []
        at = self._folded.find(folded)
        while at >= 0 and len(numbers) < limit:
            index = bisect_right(self._folded_starts, at) - 1
            numbers.append(self._numbers[index])
            end = self._folded.find("\n", at)
            at = self._folded.find(folded, end) if end >= 0 else -1
        return numbers

    def _line(self, index: int) -> tuple[str, str, str]:
        start = self._starts[index]
        return self._text[start : self._text.find("\n", start)].partition("\t")


def _list_starts(text: str) -> "array[int]":
    starts = array("I")
    at = 0
    while (end := text.find("\n", at)) >= 0:
        starts.append(at)
        at = end + 1
    return starts


def open_names(file: Path) -> NetworkNames:
    """Open a file of names; a missing or damaged file has none.

    Names are not needed for measurements.
    """
    try:
        with file.open("rb") as stream:
            return NetworkNames(stream.read(_MAX_BYTES).decode())
    except (OSError, ValueError, OverflowError):
        return NetworkNames()


def write_names(file: Path, names: Mapping[int, str]) -> None:
    """Write the file. Raises OSError."""
    lines = [f"{asn}\t{_clean_name(name)}\n" for asn, name in sorted(names.items()) if asn]
    replace_file(file, "".join(lines).encode())


def _clean_name(name: str) -> str:
    """Return a name in one line, without what reorders text on a page or terminal."""
    visible = "".join(c if c.isprintable() else " " for c in name)
    return " ".join(visible.split())[:_MAX_NAME]
