"""Which envelopes go first when the way is open again."""

from collections.abc import Iterator, Sequence


def catch_up(
    urgent: Sequence[int], oldest: Sequence[int], newest: Sequence[int], *, newest_first: bool
) -> Iterator[int]:
    """Urgent ones as they happened, then the rest from both its ends in turn.

    The newest says how it is now, the oldest how it began; who waits for either gets it soon.
    `oldest` and `newest` are the two ends of one list, in their own order, and may overlap.
    """
    yield from urgent
    ends = (iter(newest), iter(oldest)) if newest_first else (iter(oldest), iter(newest))
    told: set[int] = set()
    for pair in zip(*ends, strict=True):
        for sequence in pair:
            if sequence not in told:
                told.add(sequence)
                yield sequence
