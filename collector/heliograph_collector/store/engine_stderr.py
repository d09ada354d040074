"""Filter what the embedded engine writes to stderr as it starts."""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

CGROUP_FILES = (
    Path("/sys/fs/cgroup/cgroup.controllers"),  # version 2
    Path("/sys/fs/cgroup/memory/memory.stat"),  # version 1
)
_CGROUP_TRACE = re.compile(rb"Cannot use cgroups reader.*?\(version [^)]*\)\n?", re.DOTALL)
# Of two that held stderr at once, the second one would leave it in the first one's file for good.
_HOLDING = threading.Lock()


@contextmanager
def drop_cgroup_trace(cgroup_files: Iterable[Path] = CGROUP_FILES) -> Iterator[None]:
    """Drop the C++ stack trace that the engine prints on a system without cgroups.

    The engine works there, but no setting silences the message (ClickHouse's MemoryWorker.cpp). All
    other output on stderr is passed on.
    """
    if any(path.exists() for path in cgroup_files):
        yield
        return
    with _HOLDING, tempfile.TemporaryFile() as held_file:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(held_file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held_file.seek(0)
            written = _CGROUP_TRACE.sub(b"", held_file.read())
            sys.stderr.write(written.decode(errors="replace"))
