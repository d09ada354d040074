"""Gives back the pages of program text that only the start needed.

Loading the libraries touches most of their code once; an idle agent uses a small part of it. These
pages are clean copies of files. The kernel would take them when it needs room; here they go at
once, and what is needed again is read again.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

MAPS = Path("/proc/self/maps")
MADV_DONTNEED = 4
_TEXT = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ \S+ +/")  # never written, so never lost


def give_back() -> None:
    """Linux only; does nothing where it cannot."""
    if sys.platform != "linux" or not MAPS.exists():
        return
    import ctypes

    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for start, length in text_of(MAPS.read_text()):
        advise(start, length, MADV_DONTNEED)


def text_of(maps: str) -> Iterator[tuple[int, int]]:
    """Start and length of every mapping of a file's code, private and not writable."""
    for line in maps.splitlines():
        found = _TEXT.match(line)
        if found:
            start, end = int(found[1], 16), int(found[2], 16)
            yield start, end - start
