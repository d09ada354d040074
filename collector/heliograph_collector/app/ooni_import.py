"""Import of OONI files, judged by our own rules."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from heliograph_collector.judge import judge
from heliograph_collector.sources.ooni import judged_import
from heliograph_collector.sources.ooni.judged_import import JudgedImport, UnreadableDocument

__all__ = ["UnreadableDocument", "judge_files"]


def judge_files(paths: Sequence[Path]) -> Iterator[JudgedImport | UnreadableDocument]:
    """Judge each document of files and folders."""
    return judged_import.judge_files(paths, judge)
