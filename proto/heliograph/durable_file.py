"""Write files so that a crash leaves the old content or the new one, never a part.

A new file is written beside its target, synced and renamed. A rename is durable only once the
folder is synced too.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

MAX_LINE = 262_144  # bytes, of a log


def replace_file(
    path: Path, content: bytes | Iterable[bytes], *, mode: int = 0o600, durable: bool = True
) -> None:
    """Replace a file by `content` or by its pieces, all or nothing. Raises OSError.

    Args:
        durable: False spares the disk where the file is written often and can be lost.

    A pipe or a device such as /dev/stdout is written to, because nothing can take its place.
    """
    pieces = (content,) if isinstance(content, bytes) else content
    if path.exists() and not path.is_file():
        with path.open("wb") as stream:
            stream.writelines(pieces)
        return
    fresh = path.with_name(f".{path.name}.new")  # one name, so that a kill leaves at most one file
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(handle, "wb") as stream:
            stream.writelines(pieces)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        fresh.replace(path)
    except OSError as error:
        _name_file(error, path)
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def create_file(path: Path, content: bytes) -> bool:
    """Create a file of mode 0600 durably; return False if another writer was first.

    Raises OSError.
    """
    from tempfile import mkstemp  # an idle agent creates none

    fresh = ""
    try:
        handle, fresh = mkstemp(dir=path.parent, prefix=".new-")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(handle)
        os.link(fresh, path)
    except FileExistsError:
        return False
    except OSError as error:
        _name_file(error, path)
        raise
    finally:
        if fresh:
            Path(fresh).unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def _name_file(error: OSError, path: Path) -> None:
    """Set the caller's file name in a system error; an error of a full disk has none."""
    if error.errno is not None:
        error.filename = str(path)


def move_file(source: Path, target: Path) -> None:
    """Replace `target` by a file that is synced already, durably. Raises OSError."""
    source.replace(target)
    sync_folder(target.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable. Raises OSError.

    Windows opens no folder, and its file system keeps a journal of names itself.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_lines(file: Path) -> Iterator[bytes]:
    """Yield lines without newlines; none without a file. Raises OSError."""
    if not file.exists():
        return
    with file.open("rb") as stream:
        while line := stream.readline(MAX_LINE + 2):
            yield line.removesuffix(b"\n")


def cut_torn_line(file: Path) -> int:
    """Move a last line without newline to a `.torn` file; return its bytes.

    It was never acknowledged, because `append` had not returned. Raises OSError.
    """
    if not file.exists():
        return 0
    with file.open("r+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - MAX_LINE - 1))
        tail = stream.read()
        torn = tail[tail.rfind(b"\n") + 1 :]
        if torn:
            file.with_suffix(".torn").write_bytes(torn)
            stream.truncate(size - len(torn))
            os.fsync(stream.fileno())
    return len(torn)
