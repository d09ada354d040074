"""Numbers an agent has used up, kept as ranges: a whole life of envelopes is one or two rows."""

from collections.abc import Iterable

Range = tuple[int, int]  # first and last, both inclusive


def fold(ranges: Iterable[Range], numbers: Iterable[int]) -> list[Range]:
    """The fewest ranges that cover the same numbers as `ranges` and `numbers` together."""
    folded: list[Range] = []
    for first, last in sorted([*ranges, *((n, n) for n in numbers)]):
        if folded and first <= folded[-1][1] + 1:
            folded[-1] = (folded[-1][0], max(folded[-1][1], last))
        else:
            folded.append((first, last))
    return folded
