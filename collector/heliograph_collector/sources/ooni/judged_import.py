"""Judge OONI measurement files by rules, in all processors at once.

The texts of files go to processes in batches, and the results come back in the order of the files.
Measurements of services, which have no control, are read twice where a country has
others of the same hours beside it: first to learn what the others saw, then to be judged.

Example:
    for result in judge_files([Path("measurements.jsonl")], judge):
        print(result.sentence if result.is_readable else result)
"""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar, Literal, TypeVar

from heliograph_collector.model.imported import ImportedResult
from heliograph_collector.model.judging import Judge
from heliograph_collector.sources.ooni import (
    ImportRow,
    PeerOutcomes,
    UnreadableError,
    build_result,
    format_row,
    format_sentence,
    has_control,
    read_measurement,
)
from heliograph_collector.sources.ooni.files import (
    Complaint,
    Document,
    Text,
    list_files,
    parse_measurement,
    parse_objects,
    parse_text,
    read_documents,
    read_texts,
)
from heliograph_collector.sources.ooni.peers import Place, find_crowded_places, get_place

BATCH_BYTES = 1 << 19  # of texts that go to a process at once; assumed
BATCHES_AHEAD = 3  # for each process; what waits is bounded; assumed
# A process costs half a second of imports (measured), as much as so many bytes of measurements.
WORTHWHILE_BYTES = 2 << 20
PACKED_FACTOR = 8  # assumed; measurements are packed to about an eighth
BATCH_TIMEOUT_S = 600.0  # for one batch, of some milliseconds a measurement; assumed

Batch = tuple[Text | Complaint, ...]
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class JudgedImport:
    """Verdict on a measurement of OONI."""

    row: ImportRow
    sentence: str
    result: ImportedResult
    path: Path
    line: int
    cut_rows: int  # too many to be read
    is_readable: ClassVar[Literal[True]] = True


def judge_files(
    paths: Sequence[Path],
    judge: Judge,
    *,
    max_expanded: int | None = None,
    processes: int | None = None,
) -> Iterator[JudgedImport | Complaint]:
    """Judge each document of files and folders, in their order.

    Args:
        max_expanded: Bytes read of one file, unpacked; None is files.MAX_EXPANDED_BYTES.
        processes: None is one for each processor, as far as there is work for them.
    """
    count = count_processes(paths) if processes is None else processes
    crowded = find_crowded_places(_list_places(read_texts(paths, max_expanded)))
    peers = PeerOutcomes()
    if crowded:
        batches = make_batches(read_texts(paths, max_expanded))
        for outcomes in _map_batches(partial(collect_outcomes, crowded), batches, count):
            peers.merge(outcomes)
    batches = make_batches(read_texts(paths, max_expanded))
    for results in _map_batches(partial(judge_batch, judge, peers), batches, count):
        yield from results


def count_processes(paths: Sequence[Path]) -> int:
    """Count the processes that are worth their start."""
    expected_bytes = 0
    for path in list_files(paths):
        if isinstance(path, Path):
            factor = PACKED_FACTOR if path.name.endswith(".gz") else 1
            expected_bytes += factor * path.stat().st_size
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(available or 1, expected_bytes // WORTHWHILE_BYTES))


def _list_places(texts: Iterable[Text | Complaint]) -> Iterator[Place]:
    for text in texts:
        for item in parse_objects(text) if isinstance(text, Text) else ():
            if not isinstance(item, Complaint):
                yield get_place(item)


def make_batches(texts: Iterable[Text | Complaint]) -> Iterator[Batch]:
    """Group texts up to BATCH_BYTES."""
    batch: list[Text | Complaint] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text.body) if isinstance(text, Text) else 0
        if size >= BATCH_BYTES:
            yield tuple(batch)
            batch = []
            size = 0
    if batch:
        yield tuple(batch)


def _map_batches(
    work: Callable[[Batch], _Result], batches: Iterator[Batch], processes: int
) -> Iterator[_Result]:
    """Apply `work` to all batches and yield the results in order."""
    if processes < 2:
        yield from map(work, batches)
        return
    # spawn: a fork of a process with threads may hang
    executor = ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_set_work, initargs=(work,)
    )
    pending: deque[Future[_Result]] = deque()
    try:
        for batch in batches:
            with _interrupts_held() if not pending else nullcontext():
                pending.append(executor.submit(_do_work, batch))
            if len(pending) > BATCHES_AHEAD * processes:
                yield pending.popleft().result(BATCH_TIMEOUT_S)
        while pending:
            yield pending.popleft().result(BATCH_TIMEOUT_S)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C while processes start; they inherit that, and this one handles it.

    A terminal sends it to all of them, and each would print a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_work: Callable[[Batch], object] | None = None  # of a process of the pool


def _set_work(work: Callable[[Batch], object]) -> None:
    """Set the work of this process at its start: peers may be too large for batches."""
    global _work
    _work = work
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """End this process when the one that started it is gone: killed, it stops nobody."""
    wait([sentinel])
    os._exit(1)


def _do_work(batch: Batch) -> Any:
    assert _work is not None  # noqa: S101 - _set_work ran at the start of this process
    return _work(batch)


def collect_outcomes(crowded: frozenset[Place], batch: Batch) -> PeerOutcomes:
    """Collect outcomes of measurements without a control in places that have peers."""
    outcomes = PeerOutcomes()
    for text in batch:
        items = parse_objects(text) if isinstance(text, Text) else ()
        for item in items:
            if not isinstance(item, Complaint) and get_place(item) in crowded:
                with suppress(UnreadableError):
                    outcomes.add(read_measurement(parse_measurement(item)))
    return outcomes


def judge_batch(judge: Judge, peers: PeerOutcomes, batch: Batch) -> list[JudgedImport | Complaint]:
    """Judge the measurements of a batch."""
    return [
        item if isinstance(item, Complaint) else _judge_document(judge, peers, item)
        for text in batch
        for item in (parse_text(text) if isinstance(text, Text) else (text,))
    ]


def _judge_document(
    judge: Judge, peers: PeerOutcomes, document: Document
) -> JudgedImport | Complaint:
    try:
        imported = peers.compare_peers(read_measurement(document.measurement))
    except UnreadableError as error:
        return Complaint(document.path, document.line, str(error))
    verdicts = judge(imported.record, imported.control)
    return JudgedImport(
        row=format_row(imported, verdicts),
        sentence=format_sentence(imported, verdicts),
        result=build_result(imported, verdicts),
        path=document.path,
        line=document.line,
        cut_rows=document.measurement.cut_rows,
    )


def collect_peers(paths: Iterable[Path]) -> PeerOutcomes:
    """Collect the outcomes of documents without an own control; skip unreadable ones."""
    peers = PeerOutcomes()
    for document in read_documents(paths):
        if isinstance(document, Document) and not has_control(document.measurement):
            with suppress(UnreadableError):
                peers.add(read_measurement(document.measurement))
    return peers
